"""The coder against its peers, and the context model on faces: one run, one thread, CPU time, medians of 5 rounds or
more.

    python -m pytest benchmarks/bench_coder.py --benchmark-only

Results: benchmarks/results/coder.csv, and of faces coder-faces.csv. Streams of 3,136 symbols (the coefficients of a 112
x 112 face at one pooling level), 64 Gaussian tables, a random table a symbol, one public Python call a stream. Peers
that can be imported are measured beside lfic: constriction (its range coder with quantised Gaussians), compressai.ans
(table lists made once), torchac (its CDF rows gathered by index in the call, as lfic and the others do, and gathered
beforehand), TensorFlow Compression (its one call for unbounded symbols, and its range coder handles),
MLCodec_extensions_cpp (DCVC-RT's rANS; its Python binding returns no decoded symbols, so build it with one more line,
``get_decoded(n)`` around ``get_decoded_tensor_cpp``). A peer that is missing is named in the CSV's first lines.
"""

import itertools
import time

import numpy as np
import pytest
from coder_peers import COUNT, MAKERS, PEERS, STREAMS, Work
from common import write_csv

from lfic import coder
from lfic.format import weights

# CPU time of the process (a peer's own threads included): other work on the machine then disturbs little.
pytestmark = pytest.mark.benchmark(timer=time.process_time)


@pytest.fixture(scope="session")
def work():
    return Work()


@pytest.fixture(scope="session")
def peers(work):
    found, missing = {}, []
    for name, maker in MAKERS.items():
        try:
            found[name] = maker(work)
        except ImportError as error:
            missing.append(f"not measured: {name} ({error})")
        except AttributeError:
            missing.append(f"not measured: {name} (not installed)")
    found["missing"] = missing
    return found


@pytest.fixture(scope="session")
def rows(peers):
    collected = []
    yield collected
    own = {r["what"]: r["median_us"] for r in collected if r["coder"] == "lfic"}
    for row in collected:
        if row["what"] in own:
            row["times_lfic"] = row["median_us"] / own[row["what"]]
    if collected:
        note = (
            "one thread, CPU time (packed: wall time); medians; a unit is a stream of 3,136 symbols, a call or a "
            "megabit, as `what` says"
        )
        write_csv("coder", collected, "\n".join([note, *peers["missing"]]))


@pytest.fixture(scope="session")
def faces():
    collected = []
    yield collected
    if collected:
        write_csv("coder-faces", collected, "one thread, CPU time; medians; symbols are the model's means, with noise")


def record(rows, benchmark, what, name, units, **extra):
    median = benchmark.stats.stats.median / units
    benchmark.extra_info.update(extra)
    rows.append(
        {"what": what, "coder": name, "median_us": median * 1e6, "rounds": benchmark.stats.stats.rounds, **extra}
    )


@pytest.mark.parametrize("name", list(MAKERS))
@pytest.mark.parametrize("way", ["encode", "decode"])
def test_streams(benchmark, work, peers, rows, name, way):
    if name not in peers:
        pytest.skip(f"{name} is not installed")
    peer, count = peers[name], PEERS.get(name, STREAMS)
    data = [peer.encode(s) for s in range(count)]
    for s in range(0, count, 50):
        np.testing.assert_array_equal(np.asarray(peer.decode(s, data[s])), work.symbols[s])

    def code():  # results are let go of: keeping them would measure fresh memory
        for s in range(count):
            peer.encode(s) if way == "encode" else peer.decode(s, data[s])

    benchmark.pedantic(code, rounds=7, warmup_rounds=1)
    size = float(np.mean([getattr(d, "nbytes", None) or len(d) for d in data]))
    rate = COUNT * count / benchmark.stats.stats.median / 1e6
    extra = {"bytes": size, "msymbols_per_s": rate}
    if name != "constriction":  # its own Gaussians, not these tables
        extra["over_ideal_percent"] = 100 * (size / work.ideal - 1)
    record(rows, benchmark, f"stream {way}", name, count, **extra)


@pytest.mark.benchmark(timer=time.perf_counter)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("way", ["encode", "decode"])
def test_packed(benchmark, work, peers, rows, way, threads):
    buffer, offsets = coder.encode_packed(work.symbols, work.indexes, work.tables)
    if way == "encode":
        benchmark.pedantic(
            lambda: coder.encode_packed(work.symbols, work.indexes, work.tables, threads), rounds=25, warmup_rounds=1
        )
    else:
        benchmark.pedantic(
            lambda: coder.decode_packed(buffer, offsets, work.indexes, work.tables, threads), rounds=25, warmup_rounds=1
        )
    # Two threads want both cores for themselves: the quickest round says more than the median of a machine that does
    # other things.
    record(
        rows,
        benchmark,
        f"packed {way}, {threads} threads",
        "lfic",
        STREAMS,
        best_us=benchmark.stats.stats.min / STREAMS * 1e6,
        msymbols_per_s=COUNT * STREAMS / benchmark.stats.stats.median / 1e6,
    )


@pytest.mark.parametrize("packed", [False, True], ids=["calls", "packed"])
@pytest.mark.parametrize("tables", [16, 24, 32, 40])
def test_low_rates(benchmark, peers, rows, tables, packed):
    """Where a batch decodes four streams in lock-step, beside the same streams one call each."""
    work = Work(tables)
    buffer, offsets = coder.encode_packed(work.symbols, work.indexes, work.tables)
    data = [buffer[a:b].tobytes() for a, b in itertools.pairwise(offsets)]

    def code():
        if packed:
            return coder.decode_packed(buffer, offsets, work.indexes, work.tables)
        for s in range(STREAMS):
            coder.decode(data[s], work.indexes[s], work.tables)

    benchmark.pedantic(code, rounds=7, warmup_rounds=1)
    rate = 8 * len(buffer) / work.symbols.size
    record(
        rows,
        benchmark,
        f"{'packed' if packed else 'stream'} decode, {rate:.2f} bits a symbol",
        "lfic",
        STREAMS,
        bytes=len(buffer) / STREAMS,
        msymbols_per_s=COUNT * STREAMS / benchmark.stats.stats.median / 1e6,
    )


@pytest.mark.parametrize("way", ["encode", "decode"])
def test_call_overhead(benchmark, work, peers, rows, way):
    symbols, indexes = np.zeros(1, np.int32), np.zeros(1, np.uint8)
    data = coder.encode(symbols, indexes, work.tables)
    if way == "encode":
        benchmark.pedantic(lambda: [coder.encode(symbols, indexes, work.tables) for _ in range(10000)], rounds=7)
    else:
        benchmark.pedantic(lambda: [coder.decode(data, indexes, work.tables) for _ in range(10000)], rounds=7)
    record(rows, benchmark, f"call of 1 symbol, {way}", "lfic", 10000)


@pytest.mark.parametrize("way", ["encode", "decode"])
def test_adaptive_bits(benchmark, peers, rows, way):
    rng, n = np.random.default_rng(0), 10_000_000
    p = np.array([0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9])
    contexts = rng.integers(0, 8, n).astype(np.uint8)
    bits = (rng.random(n) < p[contexts]).astype(np.uint8)
    start = np.full(8, 32768, np.uint16)

    def encode():
        encoder = coder.RangeEncoder()
        encoder.encode_bits(bits, contexts, coder.AdaptiveBits(start))
        return encoder.finish()

    data = encode()
    if way == "encode":
        benchmark.pedantic(encode, rounds=5)
    else:
        benchmark.pedantic(lambda: coder.RangeDecoder(data).decode_bits(contexts, coder.AdaptiveBits(start)), rounds=5)
    ideal = float(-(p * np.log2(p) + (1 - p) * np.log2(1 - p))[contexts].sum())
    record(
        rows,
        benchmark,
        f"adaptive megabit, {way}",
        "lfic",
        10,
        over_ideal_percent=100 * (len(data) * 8 / ideal - 1),
        mbit_per_s=n / 1e6 / benchmark.stats.stats.median,
    )


@pytest.mark.parametrize("p", [0.05, 0.2, 0.5])
def test_masks(benchmark, peers, rows, p):
    """196-bit masks, each a stream's worth of adaptive bits from a start state that was trained (here: known)."""
    rng, contexts = np.random.default_rng(1), np.zeros(196, np.uint8)
    masks, start = (rng.random((500, 196)) < p).astype(np.uint8), np.array([round(65536 * p)], np.uint16)

    def encode():
        encoder = coder.RangeEncoder()
        for mask in masks:
            encoder.encode_bits(mask, contexts, coder.AdaptiveBits(start))
        return encoder.finish()

    benchmark.pedantic(encode, rounds=9, warmup_rounds=1)
    ideal = masks.size * -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    record(
        rows,
        benchmark,
        f"mask of 196 bits, p = {p}",
        "lfic",
        500,
        over_ideal_percent=100 * (len(encode()) * 8 / ideal - 1),
        mbit_per_s=masks.size / 1e6 / benchmark.stats.stats.median,
    )


def likely_face(model, level, quality, seed):
    """A 14 x 14 face of one level whose symbols are the model's own means, with a little noise: about real rates."""
    rng, levels = np.random.default_rng(seed), np.full((4, 4), level, np.uint8)
    count = {0: 196, 1: 49, 2: 16}[level] * model.channels
    symbols = np.zeros(count, np.int16)
    for _ in range(4):
        _, means = model.predict(symbols, levels, 14, 14, quality, True)
        symbols = (means + rng.choice([-1, 0, 0, 0, 0, 0, 0, 1], count)).astype(np.int16)
    return symbols, levels, 14, 14, quality, True


@pytest.mark.parametrize("simd", ["auto", "scalar"])
@pytest.mark.parametrize(("level", "quality"), [(1, 40), (0, 90)])
@pytest.mark.parametrize("way", ["encode", "decode", "decode of a batch", "cost", "predict"])
@pytest.mark.parametrize("name", ["face-v1", "face-v2"])
def test_faces(benchmark, faces, name, way, level, quality, simd):
    arrays = weights.load_arrays(name)[0]
    model = weights.context_model(weights.template_part(arrays) or arrays, simd)
    several = [likely_face(model, level, quality, seed) for seed in range(20)]
    streams = [(model.encode(*face), *face[2:], face[1]) for face in several]
    call = {
        "encode": lambda: [model.encode(*face) for face in several],
        "decode": lambda: [model.decode(*stream) for stream in streams],
        "decode of a batch": lambda: model.decode_batch(streams),
        "cost": lambda: [model.cost(*face) for face in several],
        "predict": lambda: [model.predict(*face) for face in several],
    }[way]
    benchmark.pedantic(call, rounds=45, warmup_rounds=1)
    kept, size = len(several[0][0]) // model.channels, np.mean([len(data) for data, *_ in streams])
    what = f"face {way}, {kept} cells, {name} on the template"
    record(faces, benchmark, what, f"lfic, {model.simd}", len(streams), bytes=float(size))
