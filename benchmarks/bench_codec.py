"""Latency of one face and faces per second in batches, lfic against the codecs of Pillow, in one run on one core.

    python -m pytest benchmarks/bench_codec.py --benchmark-only

Results: benchmarks/results/codec.csv. Every codec works as the evaluation uses it (slow, small files; AVIF at speed 4,
JPEG XL at effort 7, WebP at method 6), at the setting in the middle of its scale there.
"""

import numpy as np
import pytest
import torch
from common import write_csv
from PIL import Image

import lfic
from lfic.demo import ASTRONAUT
from lfic.evaluate.registry import CODECS

PEERS = ("jpeg", "webp", "jpeg2000", "avif", "jxl")
BATCH = 64


@pytest.fixture(scope="session")
def faces():
    """uint8 [64, 112, 112, 3]: one face, shifted, mirrored, brighter and darker."""
    face = np.array(Image.open(ASTRONAUT).convert("RGB"))
    moved = [np.roll(face, (i % 5 - 2, i % 7 - 3), (0, 1)) for i in range(BATCH)]
    moved = [f[:, ::-1] if i % 2 else f for i, f in enumerate(moved)]
    gains = np.linspace(0.7, 1.1, BATCH)[:, None, None, None]
    return np.clip(np.stack(moved) * gains, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def rows():
    """Collects the results and writes them, with ratios to lfic, when all are there."""
    collected = []
    yield collected
    own = {(r["what"], r["faces"]): r["ms_per_face"] for r in collected if r["codec"].startswith("lfic")}
    for row in collected:
        reference = own.get((row["what"], row["faces"]))
        row["times_lfic"] = row["ms_per_face"] / reference if reference else ""
    if collected:
        write_csv(
            "codec",
            collected,
            "one thread; medians; 112 x 112 faces; times_lfic: duration relative to lfic at quality 40 in the same run",
        )


def record(benchmark, rows, what, codec, count, size):
    median = benchmark.stats.stats.median
    rows.append(
        {
            "what": what,
            "codec": codec,
            "faces": count,
            "bytes": float(size),
            "ms_per_face": median * 1000 / count,
            "faces_per_s": count / median,
            "rounds": benchmark.stats.stats.rounds,
        }
    )


@pytest.mark.parametrize("count", [1, BATCH])
@pytest.mark.parametrize("what", ["encode", "decode"])
def test_lfic(benchmark, rows, faces, what, count):
    codec, images = lfic.load_codec(), list(faces[:count])
    blobs = codec.encode_batch(images, quality=40, aligned=True)
    if what == "encode":
        benchmark(lambda: codec.encode_batch(images, quality=40, aligned=True))
    else:
        benchmark(lambda: codec.decode_batch(blobs, out="numpy"))
    record(benchmark, rows, what, "lfic", count, np.mean([len(b) for b in blobs]))


@pytest.mark.parametrize("count", [1, BATCH])
@pytest.mark.parametrize("what", ["encode", "decode"])
@pytest.mark.parametrize("name", PEERS)
def test_peer(benchmark, rows, faces, name, what, count):
    codec, images = CODECS[name](), list(faces[:count])
    setting = codec.settings[len(codec.settings) // 2]
    blobs = codec.encode(images, setting)
    if what == "encode":
        benchmark.pedantic(lambda: codec.encode(images, setting), rounds=9 if count > 1 else 30, warmup_rounds=1)
    else:
        benchmark(lambda: codec.decode(blobs))
    record(benchmark, rows, what, codec.name, count, np.mean([len(b) for b in blobs]))
