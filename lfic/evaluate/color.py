"""Colour error at low frequency: greenish and reddish patches, which PSNR hardly sees and people do.

    color_error = mean over cells of (|a - a'| + |b - b'|) / 2

a and b are CIE 1976 L*a*b* coordinates (sRGB, white D65), averaged over cells of 8 x 8 pixels before they are compared,
so that fine texture that a codec leaves out does not count. A difference of some 2 in a patch can be seen.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..align import template_matrix
from .interface import Pixels

CELL = 8
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = XYZ.sum(1)
OVAL = (56.0, 66.0, 40.0, 50.0)  # of the face on the 112 x 112 template: centre x and y, half axes
LINEAR = np.arange(256) / 255
LINEAR = np.where(LINEAR <= 0.04045, LINEAR / 12.92, ((LINEAR + 0.055) / 1.055) ** 2.4)  # of sRGB's 256 levels


def lab_ab(pixels: Pixels) -> NDArray[np.float64]:
    """uint8 [H, W, 3], sRGB -> a* and b*, float64 [H, W, 2]."""
    t = LINEAR[pixels] @ (XYZ / WHITE[:, None]).T
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def cell_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of 8 x 8 cells: [H, W, C] -> [ceil(H / 8), ceil(W / 8), C]; the last cells may be partial."""
    height, width = values.shape[:2]
    rows, columns = np.arange(0, height, CELL), np.arange(0, width, CELL)
    sums = np.add.reduceat(np.add.reduceat(values, rows, 0), columns, 1)
    counts = np.minimum(CELL, height - rows)[:, None] * np.minimum(CELL, width - columns)[None]
    out: NDArray[np.float64] = sums / counts[..., None]
    return out


def color_errors(original: Pixels, decoded: Pixels) -> NDArray[np.float64]:
    """(|a - a'| + |b - b'|) / 2 of every cell: float64 [ceil(H / 8), ceil(W / 8)]."""
    difference = cell_means(lab_ab(decoded) - lab_ab(original))
    out: NDArray[np.float64] = np.abs(difference).mean(-1)
    return out


def outside_face(height: int, width: int, landmarks: ArrayLike | None = None) -> NDArray[np.bool_]:
    """Cells of a picture that are hair, clothes or background: their centre lies outside the oval of the face.

    landmarks: float [5, 2] in the picture; None: it is a 112 x 112 crop on the template, or one with an even margin.
    """
    x, y = (np.arange(0, side, CELL) + CELL / 2 - 0.5 for side in (width, height))
    points = np.stack(np.broadcast_arrays(x[None], y[:, None]), -1)
    if landmarks is None:
        points = points - [(width - 112) / 2, (height - 112) / 2]
    else:
        forward = np.linalg.inv(np.vstack([template_matrix(landmarks), [0, 0, 1]]))[:2]
        points = points @ forward[:, :2].T + forward[:, 2]
    center_x, center_y, half_x, half_y = OVAL
    out: NDArray[np.bool_] = ((points[..., 0] - center_x) / half_x) ** 2 + (
        (points[..., 1] - center_y) / half_y
    ) ** 2 > 1
    return out
