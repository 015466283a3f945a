"""Grey pictures: a flag in the file, and pixels whose three colours are one integer sum of what was decoded.

Y = (77 R + 150 G + 29 B + 128) >> 8, the luma of ITU-R BT.601 in 1/256.
"""

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # [H, W, 3], RGB

LUMA = (77, 150, 29)
FIRST_LOOK = 16  # every so many rows and columns are looked at before all are


def without_colour(pixels: Pixels) -> Pixels:
    """uint8 [H, W, 3] -> the same shape, all three colours Y."""
    red, green, blue = (pixels[:, :, c].astype(np.uint32) * weight for c, weight in enumerate(LUMA))
    luma = ((red + green + blue + 128) >> 8).astype(np.uint8)
    return np.repeat(luma[:, :, None], 3, 2)


def is_grey(pixels: Pixels) -> bool:
    """Whether red, green and blue are the same everywhere."""
    for part in (pixels[::FIRST_LOOK, ::FIRST_LOOK], pixels):
        if not ((part[:, :, 0] == part[:, :, 1]).all() and (part[:, :, 0] == part[:, :, 2]).all()):
            return False
    return True
