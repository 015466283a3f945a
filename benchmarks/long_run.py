"""One process that codes pictures of mixed sizes for as long as it is told: memory and handles are to stay flat.

    python benchmarks/long_run.py --seconds 3600 --out benchmarks/results/long-run

writes OUT.csv (seconds, pictures, memory in MiB, open handles, threads) and OUT.png, and ends with exit status 1 where
memory grew by more than a tenth from the first tenth of the run to the last. Linux.
"""

import argparse
import csv
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

SIDES = (1, 7, 40, 64, 100, 112, 113, 160, 250, 333)
WITH_EFFORT = (64, 112)  # sides of pictures that are coded with effort now and then: torch keeps plans for each size
ALLOWED_GROWTH = 1.10


def state() -> tuple[float, int, int]:
    """(resident memory in MiB, open handles, threads) of this process."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    memory = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return memory, len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


def pictures(rng: np.random.Generator):
    """Pictures of random sizes, cut from the face that ships, for ever."""
    face = to_rgb(open_image(ASTRONAUT))
    while True:
        height, width = rng.choice(SIDES, 2)
        tiled = np.tile(face, (-(-height // 112), -(-width // 112), 1))
        top, left = rng.integers(0, 9, 2)
        yield np.ascontiguousarray(np.roll(tiled, (top, left), (0, 1))[:height, :width])


def work(codec: lfic.Codec, picture: np.ndarray, rng: np.random.Generator) -> None:
    """What a service does with a picture: the usual calls, and some that are refused."""
    quality = int(rng.integers(1, 101))
    effort = int(set(picture.shape[:2]) <= set(WITH_EFFORT) and rng.random() < 0.3)
    data = codec.encode(picture, quality=quality, effort=effort)
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
    codec, rng = lfic.load_codec(), np.random.default_rng(0)
    for height in WITH_EFFORT:
        for width in WITH_EFFORT:
            codec.encode(np.zeros((height, width, 3), np.uint8), effort=1)
    rows, began, due = [], time.monotonic(), 0.0
    for count, picture in enumerate(pictures(rng), 1):
        work(codec, picture, rng)
        passed = time.monotonic() - began
        if passed >= due:
            gc.collect()
            rows.append((round(passed, 1), count, *state()))
            due = passed + args.every
            with open(f"{args.out}.csv", "w", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["seconds", "pictures", "memory_mib", "handles", "threads"])
                writer.writerows((s, n, round(memory, 1), h, t) for s, n, memory, h, t in rows)
        if passed > args.seconds:
            break
    return report(rows, args.out)


def report(rows: list[tuple[float, int, float, int, int]], out: str) -> int:
    """Plot the rows and judge them; the exit status."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    table = np.array(rows)
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(7, 4.5), sharex=True)
    upper.plot(table[:, 0] / 60, table[:, 2])
    upper.set(ylabel="memory, MiB", ylim=(0, table[:, 2].max() * 1.2))
    lower.plot(table[:, 0] / 60, table[:, 3], label="handles")
    lower.plot(table[:, 0] / 60, table[:, 4], label="threads")
    lower.set(xlabel="minutes", ylim=(0, None))
    lower.legend()
    figure.tight_layout()
    figure.savefig(f"{out}.png", dpi=110)
    tenth = max(1, len(rows) // 10)
    # The first tenth fills caches; what comes after it is compared.
    first, last = table[tenth : 2 * tenth + 1, 2].mean(), table[-tenth:, 2].mean()
    handles = table[tenth:, 3]
    print(f"{rows[-1][1]} pictures in {rows[-1][0]:.0f} s: memory {first:.0f} to {last:.0f} MiB, ", end="")
    print(f"handles {handles.min():.0f} to {handles.max():.0f}, threads {table[:, 4].max():.0f} at most")
    return 0 if last <= first * ALLOWED_GROWTH and handles.max() <= handles.min() + 2 else 1


if __name__ == "__main__":
    raise SystemExit(main())
