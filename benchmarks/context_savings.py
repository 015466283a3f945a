"""What the context model saves on real faces against a factorised static prior.

    python benchmarks/context_savings.py data/train.safetensors --model face-v1 --faces 600

The faces are aligned crops of a packed file (docs/training.md). For each quality the network's symbols are coded with
the context model: whole payloads, as files carry them. The static prior has one distribution a channel and pooling
level, of exactly the frequencies that these symbols have: no static prior of this form does better on them. The classic
context coder, measured beside it, has seven such distributions, picked by the magnitudes of the channel's decoded
neighbours W, N, NW and NE. The bits of both are the ideal ones, and they pay neither for tables nor for the ends of
streams. Results: benchmarks/results/context_savings.csv.
"""

import argparse
import collections

import numpy as np
from common import write_csv

from lfic.codec import load_codec
from lfic.data.facepack import FacePack
from lfic.data.sources import template_crops
from lfic.encoder.draft import first_drafts
from lfic.format.geometry import REGION

QUALITIES = (5, 20, 40, 60, 90)
MAGNITUDES = (1, 2, 3, 5, 8, 13)  # of 2 |W| + 2 |N| + |NW| + |NE|: where the next context begins


def neighbour_contexts(symbols, levels, height, width):
    """Context 0..6 of every symbol [cells, C] of a face, in coding order, from magnitudes decoded before it."""
    dense = np.zeros(
        (height + 1, width + 2, symbols.shape[1]), np.int64
    )  # magnitudes, zeros around: cell (y, x) is [y + 1, x + 1]
    out, at = np.empty(symbols.shape, np.uint8), 0
    for (row, column), level in np.ndenumerate(levels):
        side, bottom, right = 1 << int(level), min(REGION * row + REGION, height), min(REGION * column + REGION, width)
        for y in range(REGION * row, bottom, side):
            for x in range(REGION * column, right, side):
                east = min(x + side, width)  # zero still where it is not decoded
                weight = 2 * dense[y + 1, x] + 2 * dense[y, x + 1] + dense[y, x] + dense[y, east + 1]
                out[at] = np.digitize(weight, MAGNITUDES)
                dense[y + 1 : min(y + side, bottom) + 1, x + 1 : min(x + side, right) + 1] = np.abs(symbols[at])
                at += 1
    return out


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
    """Bits of images uint8 [N, 112, 112, 3]: (with the context model, with the static prior, by magnitudes nearby)."""
    coded, symbols, contexts = 0, collections.defaultdict(list), collections.defaultdict(list)
    model = codec.model.of(True).context
    for start in range(0, len(pixels), 32):
        for draft in first_drafts(codec.model, list(pixels[start : start + 32]), quality, True):
            grid = draft.grid
            coded += len(model.encode(draft.symbols, draft.levels, *grid, quality, True))
            of_cell, levels = draft.symbols.reshape(-1, model.channels), cell_levels(draft.levels, *grid)
            context = neighbour_contexts(of_cell, draft.levels, *grid)
            for level in np.unique(levels):
                symbols[level].append(of_cell[levels == level])
                contexts[level].append(context[levels == level])
    static = magnitudes = 0.0
    for level in symbols:
        for channel, context in zip(np.concatenate(symbols[level]).T, np.concatenate(contexts[level]).T):
            static += entropy_bits(np.unique(channel, return_counts=True)[1])
            magnitudes += sum(
                entropy_bits(np.unique(channel[context == c], return_counts=True)[1]) for c in np.unique(context)
            )
    return 8 * coded, static, magnitudes


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("pack")
    parser.add_argument("--model", default="face-v1")
    parser.add_argument("--faces", type=int, default=600, help="evenly spaced in the pack")
    args = parser.parse_args()
    codec, pack = load_codec(args.model), FacePack(args.pack)
    pixels = template_crops(pack, np.linspace(0, len(pack) - 1, min(args.faces, len(pack))).astype(int))
    rows = []
    for quality in QUALITIES:
        context, static, magnitudes = (bits / 8 / len(pixels) for bits in measure(codec, pixels, quality))
        rows.append(
            {
                "model": args.model,
                "quality": quality,
                "faces": len(pixels),
                "payload_bytes": context,
                "static_bytes": static,
                "magnitude_bytes": magnitudes,
                "saved_percent": 100 * (1 - context / static),
            }
        )
        print(
            f"quality {quality}: {context:.1f} bytes a face, {static:.1f} with the static prior "
            f"({rows[-1]['saved_percent']:.1f} % saved), {magnitudes:.1f} by neighbour magnitudes"
        )
    write_csv(
        "context_savings",
        rows,
        "aligned faces of a training pack; payloads without header; the other two are ideal and fitted to these very "
        "symbols",
    )


if __name__ == "__main__":
    main()
