"""What a background is coded from: the picture without what layers cover, at a fraction of its size."""

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..format.compose import Pixels
from ..format.layers import background_scale, background_size

Floats: TypeAlias = NDArray[np.floating[Any]]  # float32 [h, w, C]

LEAST_WEIGHT = 1 / 64  # of a pixel's surroundings: below it the colour comes from farther away


def uncovered(pixels: Pixels, left: NDArray[np.int32], reduction: int) -> Pixels:
    """The background of a picture, smaller by a reduction, continued smoothly under the layers.

    Args:
        pixels: uint8 [H, W, 3].
        left: how much of the background is seen at each pixel, int32 [H, W] in 0..256, by ``compose.coverage``.
        reduction: 0 to 15.

    Returns:
        uint8 [h, w, 3] of ``layers.background_size``.
    """
    weight = (left / 256).astype(np.float32)
    colour = shrunk(pixels.astype(np.float32) * weight[:, :, None], reduction)
    filled = pulled(colour, shrunk(weight[:, :, None], reduction))
    return np.clip(np.rint(filled), 0, 255).astype(np.uint8)


def shrunk(values: Floats, reduction: int) -> Floats:
    """float32 [H, W, C] -> smaller by a reduction, by a filter of Lanczos that keeps positions."""
    if reduction == 0:
        return values
    n, k = background_scale(reduction)
    width, height = background_size(values.shape[1], values.shape[0], reduction)
    seen = width * (1 << k) / n, height * (1 << k) / n  # of the picture, continued to whole pixels of the background
    pad = ((0, math.ceil(seen[1]) - values.shape[0]), (0, math.ceil(seen[0]) - values.shape[1]), (0, 0))
    padded = np.pad(values, pad, mode="edge")
    planes = [
        Image.fromarray(np.ascontiguousarray(padded[:, :, c])).resize(
            (width, height), Image.Resampling.LANCZOS, (0, 0, *seen)
        )
        for c in range(padded.shape[2])
    ]
    return np.stack([np.asarray(plane) for plane in planes], 2)


def pulled(colour: Floats, weight: Floats) -> Floats:
    """Colour / weight where there is weight, and beyond it what the surroundings have (pull-push, Gortler et al. 1996).

    colour float32 [h, w, 3], already multiplied by weight float32 [h, w, 1].
    """
    height, width = weight.shape[:2]
    enough = weight > LEAST_WEIGHT
    own = colour / np.maximum(weight, LEAST_WEIGHT)
    if enough.all() or min(height, width) == 1:
        mean = colour.sum((0, 1)) / max(float(weight.sum()), 1e-6)
        return np.where(enough, own, mean.astype(np.float32))
    pad = ((0, height % 2), (0, width % 2), (0, 0))
    c, w = np.pad(colour, pad), np.pad(weight, pad)
    c, w = (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2] for x in (c, w))
    w = w / 4
    coarse = pulled(c / 4, w)
    planes = [
        Image.fromarray(np.ascontiguousarray(coarse[:, :, k])).resize(
            (2 * coarse.shape[1], 2 * coarse.shape[0]), Image.Resampling.BILINEAR
        )
        for k in range(3)
    ]
    behind = np.stack([np.asarray(plane) for plane in planes], 2)[:height, :width]
    share = np.clip(weight, 0, 1)
    return np.asarray(share * own + (1 - share) * behind, np.float32)
