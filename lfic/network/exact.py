"""Tensors in, tensors out, integers between: how the codec on a CPU calls csrc/network."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..format.integers import IntegerModel, pixels_of

Pixels = NDArray[np.uint8]  # [H, W, 3], RGB


def reconstruct(
    integers: IntegerModel,
    faces: Sequence[tuple[NDArray[np.int16], NDArray[np.uint8]]],
    qualities: Sequence[int],
    aligned: Sequence[bool],
    height: int,
    width: int,
    threads: int = 1,
) -> Tensor:
    """(symbols, levels) of faces of one size -> uint8 [N, 3, height, width], channels last."""
    coded = [
        (symbols, levels, height, width, int(quality), bool(on_template))
        for (symbols, levels), quality, on_template in zip(faces, qualities, aligned, strict=True)
    ]
    return torch.from_numpy(np.stack(pixels_of(integers, coded, threads))).permute(0, 3, 1, 2)


def analyze(integers: IntegerModel, pixels: Pixels, quality: int, aligned: bool) -> NDArray[np.int16]:
    """uint8 [H, W, 3] -> features int16 [ceil(H/8), ceil(W/8), C], in units of ``integers``."""
    return integers.analyze(np.ascontiguousarray(pixels), quality, aligned)


def as_floats(features: NDArray[np.int16], unit: NDArray[np.float32]) -> Tensor:
    """Integer features [h, w, C] in the float network's unit: float [1, C, h, w], channels last. unit float [C]: the
    size of 1 there."""
    return torch.from_numpy(features * unit).permute(2, 0, 1)[None]
