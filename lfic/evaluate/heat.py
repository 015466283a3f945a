"""Region levels as colours over a face: red regions are fine and dear, blue ones are pooled and cheap."""

import numpy as np
from numpy.typing import NDArray

from ..format.geometry import REGION, STRIDE
from .interface import Pixels

COLORS = ((196, 30, 58), (240, 170, 40), (40, 90, 200))  # levels 0, 1, 2
MEANING = "red: fine, yellow: pooled 2 x 2, blue: 4 x 4"
REGION_SIDE = REGION * STRIDE  # pixels


def heat_map(face: Pixels, levels: NDArray[np.uint8]) -> Pixels:
    """The face in grey under the colours of its levels.

    Args:
        face: uint8 [H, W, 3]. levels: uint8 [ceil(H / 32), ceil(W / 32)], 0 to 2.

    Returns:
        uint8 [H, W, 3].
    """
    colors = np.array(COLORS, np.float64)[levels].repeat(REGION_SIDE, 0).repeat(REGION_SIDE, 1)
    grey = face.mean(2, keepdims=True)
    tinted: Pixels = (0.55 * grey + 0.45 * colors[: face.shape[0], : face.shape[1]]).astype(np.uint8)
    return tinted
