#!/usr/bin/env bash
# Everything that needs a GPU, once, sorted by value, within a fixed time: tests, figures, baselines, variants.
#
#     benchmarks/gpu_suite.sh [--seconds 270] [--out FOLDER] [--device cuda|cpu] [--workers N]
#
# Builds the extensions first if they are missing. Every figure is in the folder as soon as it is measured, and a step
# that fails or runs out of its share leaves the others alone. Afterwards:
#
#     suite.log      what ran, when, and what it printed           kernels.csv    the kernels, copy and baselines
#     pytest.log     the tests that need a device                  variants.csv   launch shapes; passes.csv: one or two
#     codec.csv      faces a second                                summary.txt    the short of it
#
# --device cpu rehearses every step with small shapes on a machine without a GPU.
set -u
cd "$(dirname "$0")/.."

seconds=270
device=cuda
out=${OUT:-benchmarks/results/gpu}
workers=$(env -u OMP_NUM_THREADS nproc)
while (($#)); do
    case $1 in
        --seconds) seconds=$2 ;;
        --out) out=$2 ;;
        --device) device=$2 ;;
        --workers) workers=$2 ;;
        *) echo "unknown option $1; there are --seconds, --out, --device, --workers" >&2; exit 2 ;;
    esac
    shift 2 || { echo "an option needs a value" >&2; exit 2; }
done
mkdir -p "$out" || exit 2
out=$(cd "$out" && pwd)
log=$out/suite.log
scratch=$(mktemp -d)
began=$SECONDS
python=${PYTHON:-python3}
export PYTHONUNBUFFERED=1 TRITON_CACHE_DIR=$scratch/triton TORCHINDUCTOR_CACHE_DIR=$scratch/inductor
export OMP_NUM_THREADS=1 PYTORCH_ALLOC_CONF=expandable_segments:False

spent() { echo $((SECONDS - began)); }
left() { echo $((seconds - (SECONDS - began))); }
say() { echo "[$(spent) s] $*" | tee -a "$log"; }

# step NAME SECONDS COMMAND...: run it for at most that long and no longer than the suite has left.
step() {
    local name=$1 most=$2
    shift 2
    local time=$(($(left) - 3 < most ? $(left) - 3 : most))
    if ((time < 5)); then
        say "$name: no time left"
        return 1
    fi
    say "$name: at most $time s"
    timeout --kill-after=3 "$time" "$@" >>"$log" 2>&1 </dev/null
    local status=$?
    say "$name: status $status"
    return $status
}

bench=("$python" -m lfic.kernels.bench --device "$device" --out "$out/kernels.csv")
if [ "$device" = cpu ]; then
    shapes=(N2-C16-14x14) most=(N1-C16-8x8) dtypes=(fp32) short=(fp32) marks=(-m "gpu and not slow")
else
    shapes=(N256-C192-14x14 N64-C192-64x64 N1-C192-14x14) most=(N256-C192-14x14 N1-C192-14x14)
    dtypes=(fp16 bf16 fp32) short=(fp16) marks=(-m gpu)
fi

say "on $(uname -m), $workers cores, commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown), $seconds s"
[ "$device" = cuda ] && nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,memory.total --format=csv,noheader \
    >>"$log" 2>&1

# --- building ----------------------------------------------------------------------------------------------------------
[ -e lfic/kernels ] || ln -s ../kernels lfic/kernels
if ! "$python" -c "import lfic._coder, lfic.kernels._rap" 2>/dev/null; then
    LFIC_BUILD_JOBS=$workers step build 90 "$python" setup.py -q build_ext --inplace
    "$python" -c "import lfic._coder, lfic.kernels._rap" || say "the extensions are not there; what follows will fail"
fi
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}

# --- tests, and all code compiled on the cores that they leave ---------------------------------------------------------
warm=("$python" -m lfic.kernels.bench.warm --device "$device")
half=$(((workers + 1) / 2))
step warm-lfic 40 "${warm[@]}" --shape "${shapes[@]}" --dtype "${dtypes[@]}" --workers "$workers" --seconds 35
test=(tests/kernels/test_gpu.py -q -x --maxfail=8 -p no:cacheprovider "${marks[@]}")
parallel=()
"$python" -c "import xdist" 2>/dev/null && parallel=(-n "$half")
pytest() {
    local name=$1 time=$2
    shift 2
    step "$name" "$time" bash -c '"$@" 2>&1 | tee -a "$0"; exit "${PIPESTATUS[0]}"' "$out/pytest.log" \
        "$python" -m pytest "${test[@]}" "$@"
}
step warm-baselines 75 nice -n 5 "${warm[@]}" --baselines --shape "${most[@]}" --dtype "${short[@]}" \
    --workers "$half" --seconds 70 &
warming=$!
pytest tests-new 40 "${parallel[@]}" -k "not exact and not sanitizer and not two_to"
pytest tests-exact 45 "${parallel[@]}" -k exact
LFIC_PLAIN_MEMORY=1 pytest tests-plain 15 "${parallel[@]}" -k "training and 192 and 14 or stream or sums"
wait $warming

# --- figures -----------------------------------------------------------------------------------------------------------
step lfic 50 "${bench[@]}" --copy --baselines copy --refcheck --no-compile --dtype "${dtypes[@]}" --shape "${shapes[@]}" --deadline 45
if [ -e benchmarks/bench_gpu_codec.py ]; then
    time=$(($(left) > 110 ? 45 : $(left) / 3))
    OMP_NUM_THREADS=$workers step codec "$((time + 5))" "$python" benchmarks/bench_gpu_codec.py \
        --seconds "$time" --out "$out/codec.csv"
else
    say "codec: benchmarks/bench_gpu_codec.py is not there"
fi
step passes 12 "$python" benchmarks/gpu_passes.py --device "$device" --out "$out/passes.csv"
step baselines 45 "${bench[@]}" --baselines "best compile" copy --dtype "${short[@]}" --shape "${most[@]}" \
    --ops train dense quantize unpool --deadline 40
if [ "$device" = cuda ]; then
    step variants 30 "$python" -m lfic.kernels.bench.tune --shape N1-C192-14x14 N256-C192-14x14 --dtype fp16 \
        --ops dense dense_backward_tables quantize unpool --workers "$workers" --seconds 26 --out "$out/variants.csv"
fi
pytest tests-large 20 -k two_to

# --- the short of it ---------------------------------------------------------------------------------------------------
{
    grep -h "passed\|failed" "$out/pytest.log" 2>/dev/null
    grep -h "^FAILED\|^ERROR" "$out/pytest.log" 2>/dev/null | head -20
    "$python" - "$out/kernels.csv" <<'END'
import csv, sys
try:
    rows = list(csv.DictReader(open(sys.argv[1])))
except OSError:
    rows = []
for r in rows:
    print(*(f"{r[k] or '-':>9}" for k in ("operation", "shape", "dtype", "what", "p50_us", "gb_per_s", "percent_of_copy",
                                          "times_lfic", "host_us", "check")), r["note"])
END
    cat "$out/passes.csv" "$out/codec.csv" 2>/dev/null
    grep -h "Launch(" "$log" 2>/dev/null
} >"$out/summary.txt" 2>&1
say "done"
rm -rf "$scratch"
tail -c 9000 "$out/summary.txt"
exit 0
