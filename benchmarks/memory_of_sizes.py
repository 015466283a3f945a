"""What torch keeps of sizes: pictures of 240 sizes, each coded once with effort, and the memory in use after every 20.

    python benchmarks/memory_of_sizes.py

prints sizes, resident memory and what malloc has handed out in MiB. Linux with glibc; a minute on a core of its own.
"""

import gc

import numpy as np
import torch
from long_run import state

import lfic
from lfic.encoder import search
from lfic.format.geometry import REGION, STRIDE

EVERY = 20


def main() -> None:
    torch.set_num_threads(1)
    search.FEATURE_STEPS = {1: 1}  # the first gradient step makes all plans
    codec, rng = lfic.load_codec(), np.random.default_rng(0)
    side = REGION * STRIDE  # pictures are padded to multiples of it
    sizes = [(side * rows, side * columns) for rows in range(1, 5) for columns in range(1, 61)]
    rng.shuffle(sizes)
    for count, size in enumerate(sizes, 1):
        codec.encode(rng.integers(0, 256, (*size, 3), np.uint8), quality=40, effort=1)
        if count % EVERY == 0:
            gc.collect()
            resident, in_use, *_ = state()
            print(f"{count:3} sizes: {resident:.0f} MiB, in use {in_use:.0f}", flush=True)


if __name__ == "__main__":
    main()
