"""What a level map costs, as the coder codes it: two binary decisions a region (is the level above 0, above 1)."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..coder import AdaptiveBit, RangeEncoder
from .geometry import LEVELS, QUALITIES

BUCKETS = 8  # of the quality, in the table of start probabilities
ABSENT = LEVELS  # the level of a neighbour outside the picture


def bucket_of(quality: int) -> int:
    """The row of start probabilities for a quality 1 to 100."""
    return (quality - 1) * BUCKETS // QUALITIES


def decisions(levels: NDArray[np.integer[Any]]) -> Iterator[tuple[int, int, int, bool]]:
    """(region in raster order, context, which decision, its outcome) in coding order, of levels [rows, columns].

    The context is 4 * level to the west + level to the north.
    """
    grid: list[list[int]] = levels.tolist()
    for y, row in enumerate(grid):
        for x, level in enumerate(row):
            context = 4 * (row[x - 1] if x else ABSENT) + (grid[y - 1][x] if y else ABSENT)
            for decision in range(min(level + 1, LEVELS - 1)):
                yield y * len(row) + x, context, decision, level > decision


def map_bits(prior: NDArray[np.integer[Any]], levels: NDArray[np.integer[Any]], quality: int, aligned: bool) -> float:
    """Ideal bits of a coded level map.

    Args:
        prior: integers [17, 8, 16, 2], P(bit = 1) in 1/65536: place (0: any; 1 + region where aligned), quality bucket,
            context, decision.
        levels: integers [rows, columns] in 0..2.
        quality: 1 to 100. aligned: static probabilities by place; else adaptive ones that start at place 0.
    """
    table: list[list[list[int]]] = prior[:, bucket_of(quality)].tolist()
    adaptive = [] if aligned else [[AdaptiveBit(p) for p in row] for row in table[0]]
    nowhere, bits = RangeEncoder(), 0.0  # a state moves when a bit is coded with it
    for region, context, decision, more in decisions(levels):
        state = AdaptiveBit(table[1 + region][context][decision]) if aligned else adaptive[context][decision]
        p = state.p1 / 65536
        bits -= math.log2(p if more else 1 - p)
        nowhere.encode_adaptive(more, state)
    return bits
