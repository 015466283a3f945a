"""What a level map costs, as the coder codes it: two binary decisions a region (is the level above 0, above 1)."""

import math

BUCKETS = 8  # of the quality, in the table of start probabilities
ABSENT = 3  # the level of a neighbour outside the picture


def map_bits(prior, levels, quality, aligned):
    """Ideal bits of a coded level map.

    Args:
        prior: integers [17, 8, 16, 2], P(bit = 1) in 1/65536: place (0: any; 1 + region where aligned), quality bucket,
            context (4 * level to the west + level to the north), decision.
        levels: integers [rows, columns] in 0..2.
        quality: 1 to 100. aligned: static probabilities by place; else adaptive ones that start at place 0.
    """
    bucket = (quality - 1) * BUCKETS // 100
    table = prior[:, bucket].tolist()
    # A fast and a slow estimate in 2^-24, as the coder's AdaptiveBit keeps them; see docs/FORMAT.md.
    states = [[[p << 8, p << 8] for p in row] for row in table[0]]
    grid, bits = levels.tolist(), 0.0
    columns = len(grid[0])
    for y, row in enumerate(grid):
        for x, level in enumerate(row):
            context = 4 * (row[x - 1] if x else ABSENT) + (grid[y - 1][x] if y else ABSENT)
            for decision in range(2):
                more = level > decision
                state = (
                    [table[1 + y * columns + x][context][decision] << 8] * 2 if aligned else states[context][decision]
                )
                p = min(max(sum(state) >> 9, 32), 65504) / 65536
                bits -= math.log2(p if more else 1 - p)
                if not aligned:
                    for i, shift in enumerate((5, 8)):
                        state[i] += (0xFFFFFF - state[i]) >> shift if more else -(state[i] >> shift)
                if not more:
                    break
    return bits
