"""Region levels as colours."""

import numpy as np
from evaluate_faces import crops

from lfic.evaluate import heat


def test_heat_map_tints_the_right_regions():
    face = crops(1, 1)[0][0]
    levels = np.zeros((4, 4), np.uint8)
    levels[1, 2], levels[3, 3] = 1, 2
    tint = heat.heat_map(face, levels) - 0.55 * face.mean(2, keepdims=True)
    for (row, column), level in np.ndenumerate(levels):
        region = tint[32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
        assert np.abs(region - 0.45 * np.array(heat.COLORS[level])).max() <= 1
    red, _, blue = heat.COLORS
    assert red[0] > 2 * max(red[1:]) and blue[2] > 2 * max(blue[:2])  # fine regions are red, pooled ones blue
