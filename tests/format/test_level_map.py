"""The bits of a level map, counted in Python against the coder's."""

import numpy as np

from lfic.format import level_map


def test_level_map_bits_match_the_coder(codec, rng=np.random.default_rng(5)):
    for aligned in (True, False):
        rows, columns = (4, 4) if aligned else (9, 13)
        h, w = (14, 14) if aligned else (36, 52)
        levels = rng.integers(0, 3, (rows, columns)).astype(np.uint8)
        kept = sum(
            len(range(0, min(4, h - 4 * y), 1 << levels[y, x])) * len(range(0, min(4, w - 4 * x), 1 << levels[y, x]))
            for y in range(rows)
            for x in range(columns)
        )
        symbols = np.zeros(kept * codec.model.context.channels, np.int16)
        with_map = len(codec.model.context.encode(symbols, levels, h, w, 40, aligned, True))
        without = len(codec.model.context.encode(symbols, levels, h, w, 40, aligned, False))
        assert (
            abs(level_map.map_bits(codec.model.context.level_prior, levels, 40, aligned) / 8 - (with_map - without))
            <= 1.5
        )
