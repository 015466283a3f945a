"""What the context model saves on real faces against a factorised static prior.

    python benchmarks/context_savings.py data/train.safetensors --model face-v1 --faces 600

The faces are aligned crops of a packed file (docs/training.md). For each quality the network's symbols are coded with the
context model: whole payloads, as files carry them. The static prior has one distribution a channel and pooling level, of
exactly the frequencies that these symbols have: no static prior of this form does better on them. Its bits are the ideal
ones, and it pays neither for tables nor for the ends of streams. Results: benchmarks/results/context_savings.csv.
"""
import argparse
import collections

import numpy as np
from common import write_csv

from lfic.codec import load_codec
from lfic.train.data import SIDE, FacePack

QUALITIES = (5, 20, 40, 60, 90)
REGION = 4


def cell_levels(levels, height, width):
    """Pooling level of every kept cell in coding order, from levels uint8 [ceil(h/4), ceil(w/4)]: uint8 [cells]."""
    out = []
    for (row, column), level in np.ndenumerate(levels):
        tall, wide = min(REGION, height - REGION * row), min(REGION, width - REGION * column)
        side = 1 << int(level)
        out += [level] * (-(-tall // side) * -(-wide // side))
    return np.array(out, np.uint8)


def entropy_bits(counts):
    """Bits of all symbols counted, each at its own frequency."""
    counts = counts[counts > 0].astype(np.float64)
    return float(np.sum(counts * np.log2(counts.sum() / counts)))


def measure(codec, pixels, quality):
    """(context bits, static bits, faces' mean payload bytes) over images uint8 [N, 112, 112, 3]."""
    coded, symbols = 0, collections.defaultdict(list)
    for start in range(0, len(pixels), 32):
        for draft in codec.draft(list(pixels[start : start + 32]), quality, True):
            grid = draft.grid
            coded += len(codec.context.encode(draft.symbols, draft.levels, *grid, quality, True))
            of_cell, levels = draft.symbols.reshape(-1, codec.context.channels), cell_levels(draft.levels, *grid)
            for level in np.unique(levels):
                symbols[level].append(of_cell[levels == level])
    static = 0.0
    for level in symbols:
        for channel in np.concatenate(symbols[level]).T:
            static += entropy_bits(np.unique(channel, return_counts=True)[1])
    return 8 * coded, static, coded / len(pixels)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack")
    parser.add_argument("--model", default="face-v1")
    parser.add_argument("--faces", type=int, default=600, help="evenly spaced in the pack")
    args = parser.parse_args()
    codec, pack = load_codec(args.model), FacePack(args.pack)
    chosen, margin = np.linspace(0, len(pack) - 1, min(args.faces, len(pack))).astype(int), pack.margin
    pixels = pack.pixels[chosen, margin : margin + SIDE, margin : margin + SIDE]
    rows = []
    for quality in QUALITIES:
        context, static, size = measure(codec, pixels, quality)
        rows.append({"model": args.model, "quality": quality, "faces": len(pixels), "payload_bytes": size,
                     "static_bytes": static / 8 / len(pixels), "saved_percent": 100 * (1 - context / static)})  # fmt: skip
        print(f"quality {quality}: {size:.1f} bytes with the context model, {static / 8 / len(pixels):.1f} with the static prior: {rows[-1]['saved_percent']:.1f} % saved")
    write_csv("context_savings", rows, "aligned faces of a training pack; payloads without header; the static prior is ideal and fitted to these very symbols")


if __name__ == "__main__":
    main()
