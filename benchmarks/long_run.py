"""One process that codes pictures of mixed sizes for as long as it is told: memory and handles are to stay flat.

    python benchmarks/long_run.py --seconds 3600 --out benchmarks/results/long-run

writes OUT.csv (seconds, pictures, sizes so far, memory in MiB, of it handed out by malloc, open handles, threads) and
OUT.png, and ends with exit status 1 where memory grew by more than a tenth from the second tenth of the run to the
last. Linux with glibc.
"""

import argparse
import csv
import ctypes
import gc
import os
import pathlib
import time

import numpy as np
import torch

import lfic
from lfic.demo import ASTRONAUT
from lfic.errors import LficError
from lfic.image import open_image, to_rgb

LONGEST_SIDE = 333
ALLOWED_GROWTH = 1.10
# Rows of the CSV.
SECONDS, PICTURES, SIZES, MEMORY, IN_USE, HANDLES, THREADS = range(7)
COLUMNS = ("seconds", "pictures", "sizes", "memory_mib", "in_use_mib", "handles", "threads")


class Mallinfo2(ctypes.Structure):
    """glibc's struct mallinfo2."""

    _fields_ = (("values", ctypes.c_size_t * 10),)
    MAPPED, IN_HEAP = 4, 7  # hblkhd, uordblks: bytes handed out


def in_use() -> float:
    """MiB that malloc has handed out and not got back; the rest of the heap is free, if not returned to the system."""
    glibc = ctypes.CDLL(None)
    glibc.mallinfo2.restype = Mallinfo2
    values = glibc.mallinfo2().values
    return (values[Mallinfo2.MAPPED] + values[Mallinfo2.IN_HEAP]) / 2**20


def state() -> tuple[float, float, int, int]:
    """(resident memory in MiB, what malloc has handed out in MiB, open handles, threads) of this process."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    memory = round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
    handles, threads = (len(os.listdir(f"/proc/self/{of}")) for of in ("fd", "task"))
    return memory, round(in_use(), 1), handles, threads


def pictures(rng: np.random.Generator):
    """Pictures of random sizes, cut from the face that ships, for ever."""
    face = to_rgb(open_image(ASTRONAUT))
    while True:
        height, width = rng.integers(1, LONGEST_SIDE, 2, endpoint=True)
        tiled = np.tile(face, (-(-height // 112), -(-width // 112), 1))
        top, left = rng.integers(0, 9, 2)
        yield np.ascontiguousarray(np.roll(tiled, (top, left), (0, 1))[:height, :width])


def work(codec: lfic.Codec, picture: np.ndarray, rng: np.random.Generator) -> None:
    """What a service does with a picture: the usual calls, and some that are refused."""
    quality = int(rng.integers(1, 101))
    data = codec.encode(picture, quality=quality, effort=1)
    codec.probe(data)
    assert np.asarray(codec.decode(data)).shape == picture.shape
    batch = codec.encode_batch([picture, picture[::-1].copy()], quality=quality)
    codec.decode_batch(batch, out="numpy")
    for bad in (data[: len(data) // 2], data + b"more", b"no file"):
        try:
            codec.decode(bad)
            raise SystemExit("a damaged file was decoded")
        except LficError:
            pass


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--every", type=float, default=10, help="seconds between two rows")
    parser.add_argument("--out", default="benchmarks/results/long-run")
    args = parser.parse_args()
    torch.set_num_threads(1)
    codec, rng, sizes = lfic.load_codec(), np.random.default_rng(0), set()
    rows, began, due = [], time.monotonic(), 0.0
    for count, picture in enumerate(pictures(rng), 1):
        work(codec, picture, rng)
        sizes.add(picture.shape)
        passed = time.monotonic() - began
        if passed >= due:
            gc.collect()
            rows.append((round(passed, 1), count, len(sizes), *state()))
            due = passed + args.every
            with open(f"{args.out}.csv", "w", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
        if passed > args.seconds:
            break
    return report(rows, args.out)


def report(rows: list[tuple[float, ...]], out: str) -> int:
    """Plot the rows and judge them; the exit status."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    table = np.array(rows)
    minutes, (memory, used, handles, threads) = table[:, SECONDS] / 60, table[:, MEMORY:].T
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(7, 4.5), sharex=True)
    upper.plot(minutes, memory, label="resident")
    upper.plot(minutes, used, label="in use of malloc's")
    upper.set(ylabel="memory, MiB", ylim=(0, memory.max() * 1.2))
    upper.legend()
    lower.plot(minutes, handles, label="handles")
    lower.plot(minutes, threads, label="threads")
    lower.set(xlabel="minutes", ylim=(0, None))
    lower.legend()
    figure.tight_layout()
    figure.savefig(f"{out}.png", dpi=110)
    tenth = max(1, len(rows) // 10)
    # The first tenth fills caches; what comes after it is compared.
    first, last = (values.mean(0) for values in (table[tenth : 2 * tenth + 1], table[-tenth:]))
    handles = handles[tenth:]
    print(f"{rows[-1][PICTURES]} pictures of {rows[-1][SIZES]} sizes in {rows[-1][SECONDS]:.0f} s: memory ", end="")
    print(
        f"{first[MEMORY]:.0f} to {last[MEMORY]:.0f} MiB, in use {first[IN_USE]:.0f} to {last[IN_USE]:.0f} MiB, ", end=""
    )
    print(f"handles {handles.min():.0f} to {handles.max():.0f}, threads {threads.max():.0f} at most")
    return 0 if last[MEMORY] <= first[MEMORY] * ALLOWED_GROWTH and handles.max() <= handles.min() + 2 else 1


if __name__ == "__main__":
    raise SystemExit(main())
