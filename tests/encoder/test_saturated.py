"""Flat saturated colors, as of a wall behind a badge's photo, stay close to flat."""

import numpy as np
import pytest

import lfic


@pytest.mark.parametrize("quality", [40, 90])
@pytest.mark.parametrize("color", [(0, 255, 0), (0, 200, 0), (0, 177, 64), (0, 0, 255), (255, 0, 255), (255, 0, 0)])
def test_a_flat_color_stays_close_to_flat(color, quality):
    wall = np.broadcast_to(np.array(color, np.uint8), (256, 256, 3))
    data = lfic.encode(wall, quality=quality, faces=None)
    shown = np.asarray(lfic.decode(data)).astype(float)
    assert np.abs(shown.mean((0, 1)) - color).max() < 12  # it was 68 of pure green, with 53 from pixel to pixel
    assert shown.std((0, 1)).max() < 11
    assert len(data) < (750 if quality == 40 else 3500)
