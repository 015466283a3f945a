"""Aligned faces as vectors: YCbCr with the chroma at half size, cut into square blocks at fixed positions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...format.geometry import SIDE
from ..interface import Pixels

Floats = NDArray[np.float32]


def planes(pixels: NDArray[np.uint8] | Sequence[Pixels]) -> tuple[Floats, Floats]:
    """uint8 [N, 112, 112, 3] RGB -> luma float32 [N, 112, 112], chroma float32 [N, 2, 56, 56]."""
    luma = np.empty((len(pixels), SIDE, SIDE), np.float32)
    chroma = np.empty((len(pixels), 2, SIDE // 2, SIDE // 2), np.float32)
    for i, image in enumerate(pixels):
        y, cb, cr = Image.fromarray(image).convert("YCbCr").split()
        luma[i] = np.asarray(y)
        for j, plane in enumerate((cb, cr)):
            chroma[i, j] = np.asarray(plane.reduce(2))
    return luma, chroma


def picture(luma: Floats, chroma: Floats) -> Pixels:
    """The inverse of ``planes`` for one face -> uint8 [112, 112, 3]."""
    channels = [Image.fromarray(np.clip(np.rint(luma), 0, 255).astype(np.uint8))]
    for plane in chroma:
        small = Image.fromarray(np.clip(np.rint(plane), 0, 255).astype(np.uint8))
        channels.append(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return np.asarray(Image.merge("YCbCr", channels).convert("RGB"))


def blocks(luma: Floats, chroma: Floats, side: int) -> list[Floats]:
    """Vectors of every block position: list of float32 [N, D], luma blocks of ``side``, then chroma blocks of half
    that."""
    out = []
    for y in range(0, SIDE, side):
        for x in range(0, SIDE, side):
            out.append(luma[:, y : y + side, x : x + side].reshape(len(luma), -1))
    half = side // 2
    for y in range(0, SIDE // 2, half):
        for x in range(0, SIDE // 2, half):
            out.append(chroma[:, :, y : y + half, x : x + half].reshape(len(chroma), -1))
    return out


def unblocks(vectors: Sequence[Floats], side: int) -> tuple[Floats, Floats]:
    """The inverse of ``blocks`` for one face: list of float [D] -> luma [112, 112], chroma [2, 56, 56]."""
    luma, chroma = np.empty((SIDE, SIDE), np.float32), np.empty((2, SIDE // 2, SIDE // 2), np.float32)
    items = iter(vectors)
    for y in range(0, SIDE, side):
        for x in range(0, SIDE, side):
            luma[y : y + side, x : x + side] = next(items).reshape(side, side)
    half = side // 2
    for y in range(0, SIDE // 2, half):
        for x in range(0, SIDE // 2, half):
            chroma[:, y : y + half, x : x + half] = next(items).reshape(2, half, half)
    return luma, chroma
