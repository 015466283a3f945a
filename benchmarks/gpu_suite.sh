#!/usr/bin/env bash
# Everything that needs a GPU, once, sorted by value, within a fixed time: tests, figures, baselines, variants.
#
#     benchmarks/gpu_suite.sh [--seconds 270] [--out FOLDER] [--device cuda|cpu] [--workers N]
#
# Builds the extensions first if they are missing. Every figure is in the folder as soon as it is measured, and a step
# that fails or runs out of its share leaves the others alone; what had no time left has rows that say so. The shares
# add up to 254 of 270 seconds; the code that is timed is compiled while tests run. Building takes what is left and then
# of the last steps' time. The folder is benchmarks/results/gpu-CARD unless --out says otherwise. Afterwards:
#
#     suite.log      what ran, when, and what it printed           kernels.csv    copy bandwidth, the kernels, baselines
#     pytest.log     the tests that need a device                  variants.csv   launch shapes; passes.csv: one or two
#     codec.csv      faces a second                                contention-*   the kernels in two processes at once
#     profile.txt    torch.profiler's lists of training            ncu.txt        three kernels, where ncu is installed
#     summary.txt    the short of it
#
# --device cpu rehearses every step with small shapes on a machine without a GPU.
set -u
cd "$(dirname "$0")/.."

seconds=270
device=cuda
out=${OUT:-}
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
if [ -z "$out" ]; then
    card=$device
    [ "$device" = cuda ] && card=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1)
    card=$(printf %s "${card:-cuda}" | tr -cs '[:alnum:]' - | tr '[:upper:]' '[:lower:]')
    out=benchmarks/results/gpu-${card%-}
fi
mkdir -p "$out" || exit 2
out=$(cd "$out" && pwd)
log=$out/suite.log
scratch=$(mktemp -d)
began=$SECONDS
python=${PYTHON:-python3}
export PYTHONUNBUFFERED=1 TRITON_CACHE_DIR=$scratch/triton TORCHINDUCTOR_CACHE_DIR=$scratch/inductor
export OMP_NUM_THREADS=1

spent() { echo $((SECONDS - began)); }
left() { echo $((seconds - (SECONDS - began))); }
say() { echo "[$(spent) s] $*" | tee -a "$log"; }

# step NAME SECONDS COMMAND...: run it for at most that long (of a suite of 270 s; of others their share) and no longer
# than the suite has left. An argument @ becomes the seconds that the command may plan with. It is interrupted, not
# killed, so that it can say what it has.
step() {
    local name=$1 most=$(($2 * seconds / 270)) arguments=() argument
    shift 2
    local time=$(($(left) - 5 < most ? $(left) - 5 : most))
    if ((time < 5)); then
        say "$name: no time left"
        return 1
    fi
    for argument; do
        [ "$argument" = @ ] && argument=$((time - 3))
        arguments+=("$argument")
    done
    say "$name: at most $time s"
    timeout --signal=INT --kill-after=4 "$time" "${arguments[@]}" >>"$log" 2>&1 </dev/null
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
if ! "$python" -c "import lfic._coder, lfic._network, lfic.kernels._rap" 2>/dev/null; then
    LFIC_BUILD_JOBS=$workers step build 90 "$python" setup.py -q build_ext --inplace
    "$python" -c "import lfic._coder, lfic._network, lfic.kernels._rap" || say "the extensions are not there; what follows will fail"
fi
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}

# --- copy bandwidth: the yardstick of all that follows ------------------------------------------------------------------
step bandwidth 8 "${bench[@]}" --only-copy

# --- tests; meanwhile the code of what is timed later is compiled on the other cores -----------------------------------
warm=("$python" -m lfic.kernels.bench.warm --device "$device")
half=$(((workers + 1) / 2))
brief=$((seconds < 240)) # then there are no compiled baselines, and exact results are tested after the figures
warm_up() {
    step warm-lfic 35 "${warm[@]}" --shape "${shapes[@]}" --dtype "${dtypes[@]}" --workers "$half" --seconds @
    step warm-passes 12 "$python" benchmarks/gpu_passes.py --device "$device" --warm "$half" --seconds @
    ((brief)) || step warm-baselines 35 nice -n 5 "${warm[@]}" --baselines --shape "${most[@]}" --dtype "${short[@]}" \
        --workers "$half" --seconds @
}
parallel=()
"$python" -c "import xdist" 2>/dev/null && parallel=(-n "$half")
pytest() {
    local name=$1 time=$2
    shift 2
    step "$name" "$time" bash -c '"$@" 2>&1 | tee -i -a "$0"; exit "${PIPESTATUS[0]}"' "$out/pytest.log" "$python" \
        -m pytest tests/kernels/test_gpu.py -v -rfE --tb=short --maxfail=12 -p no:cacheprovider "${marks[@]}" "$@"
}
warm_up &
warming=$!
# Workers take as long to start as a third of the tests take: one call for all of them, where there is time for all.
if ((brief)); then
    pytest tests-new 26 "${parallel[@]}" -k "not exact and not sanitizer and not two_to"
else
    pytest tests 62 "${parallel[@]}" -k "not sanitizer and not two_to"
fi
tests_exact() {
    ((brief)) && pytest tests-exact 36 "${parallel[@]}" -k exact
    LFIC_PLAIN_MEMORY=1 pytest tests-plain 8 "${parallel[@]}" -k "stream or sums or (training and 192 and 14)"
}
((brief)) || tests_exact
wait $warming

# --- figures -----------------------------------------------------------------------------------------------------------
step lfic 40 "${bench[@]}" --baselines copy --refcheck --no-compile --dtype "${dtypes[@]}" \
    --shape "${shapes[@]}" --deadline @
if [ -e benchmarks/bench_gpu_codec.py ]; then
    OMP_NUM_THREADS=$workers step codec 40 "$python" benchmarks/bench_gpu_codec.py --device "$device" --seconds @ \
        --out "$out/codec.csv"
else
    say "codec: benchmarks/bench_gpu_codec.py is not there"
fi
# torch.profiler imports the compiler, which takes seconds: it comes last, in the same process.
step passes 20 "$python" benchmarks/gpu_passes.py --device "$device" --out "$out/passes.csv" --seconds @ \
    --profile "$out/profile.txt"
# Two processes at once, the second as loud as the first: what a neighbor on the card costs.
two_at_once() {
    local file=$1
    shift
    "$@" --out "$file-1.csv" &
    "$@" --out "$file-2.csv"
    wait
}
export -f two_at_once
step contention 10 bash -c 'two_at_once "$@"' - "$out/contention" "$python" -m lfic.kernels.bench --device "$device" \
    --baselines copy --no-compile --dtype "${short[@]}" --shape "${most[0]}" --ops dense quantize unpool --deadline @
if command -v ncu >/dev/null; then
    step ncu 12 ncu --section SpeedOfLight --section Occupancy --section LaunchStats --section MemoryWorkloadAnalysis \
        --kernel-name 'regex:rap_(dense|dense_backward|unpool)_kernel' --log-file "$out/ncu.txt" \
        "$python" benchmarks/gpu_passes.py --device "$device" --once
else
    say "ncu: not installed"
fi
if [ "$device" = cuda ]; then
    step variants 20 "$python" -m lfic.kernels.bench.tune --shape N1-C192-14x14 N256-C192-14x14 --dtype fp16 \
        --ops dense dense_backward_tables quantize unpool --workers "$workers" --seconds @ --out "$out/variants.csv"
fi
((brief)) && tests_exact
((brief)) || step baselines 24 "${bench[@]}" --baselines "best compile" copy --dtype "${short[@]}" --shape "${most[@]}" \
    --ops train dense quantize unpool --deadline @
pytest tests-large 10 -k two_to

# --- the short of it ---------------------------------------------------------------------------------------------------
{
    for result in PASSED SKIPPED FAILED ERROR; do
        echo "$result $(grep -h "$result" "$out/pytest.log" 2>/dev/null | grep -o "test_gpu.py::.*" | sort -u | wc -l)"
    done
    grep -h "^FAILED\|^ERROR\|^E  " "$out/pytest.log" 2>/dev/null | head -30
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
    cat "$out/passes.csv" "$out/codec.csv" "$out"/contention-*.csv 2>/dev/null
    head -n 12 "$out/profile.txt" 2>/dev/null
    grep -h "Launch(" "$log" 2>/dev/null
} >"$out/summary.txt" 2>&1
say "done"
rm -rf "$scratch"
tail -c 10500 "$out/summary.txt"
exit 0
