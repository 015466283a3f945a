"""Painting in integers: backgrounds are enlarged, face layers are warped and blended; equal on every machine.

The work is done by csrc/compose, without the GIL; docs/FORMAT.md has the formulas. ``threads``: 0 is one a core.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import _compose
from .place import Place

Pixels = NDArray[np.uint8]  # [H, W, 3], RGB


def enlarged(pixels: Pixels, reduction: int, width: int, height: int, threads: int = 1) -> Pixels:
    """A background of ``layers.background_size`` -> uint8 [height, width, 3].

    Raises:
        InvalidInputError: another shape or dtype, or a reduction outside 0 to 15.
    """
    return _compose.enlarge(pixels, reduction, width, height, threads)


def shrunk(pixels: Pixels, reduction: int, threads: int = 1) -> Pixels:
    """uint8 [H, W, 3] -> uint8 [h, w, 3] of ``layers.background_size``, by the cubic of ``enlarged``, as wide as the
    reduction asks for. Errors as there."""
    return _compose.shrink(pixels, reduction, threads)


def background_step(quality: int) -> tuple[int, int]:
    """The backgrounds' own scale, 1 to 100 -> (reduction, quality of the stream).

    Raises:
        InvalidInputError: another quality.
    """
    return _compose.background_step(quality)


def may_shrink(width: int, height: int, quality: int) -> bool:
    """Whether ``resolution_for`` of such a picture depends on what it shows; else it has its own size."""
    return _compose.most_reduction(width, height, quality) > 0


def resolution_for(pixels: Pixels, quality: int, threads: int = 1) -> tuple[int, int]:
    """(reduction, quality of its stream) that a picture uint8 [H, W, 3] without layers is coded at.

    Below quality 63 it becomes smaller, unless it is a sharp one; csrc/compose/resolution.cpp has the bounds. The
    stream's quality is higher than the picture's, so that bits and errors weigh as much as before.
    """
    return _compose.resolution(pixels, quality, threads)


def paint(picture: Pixels, template: Pixels, place: Place, threads: int = 1) -> None:
    """Blend a face, uint8 [S, S, 3] with S of 112, 224 or 448, into a contiguous picture, in place.

    Raises:
        InvalidInputError: another shape or dtype, a picture that can't be written where it lies.
    """
    _compose.paint(picture, template, place.x, place.y, place.scale, place.angle, threads)


def coverage(places: Sequence[Place], width: int, height: int, threads: int = 1) -> NDArray[np.int32]:
    """How much of a picture's background the layers leave: int32 [height, width], 256 (all) to 0 (nothing)."""
    left = np.full((height, width), 256, np.int32)
    for place in places:
        _compose.cover(left, place.x, place.y, place.scale, place.angle, threads)
    return left


def compose(
    background: Pixels | None,
    reduction: int,
    layers: Sequence[tuple[Pixels, Place]],
    width: int,
    height: int,
    threads: int = 1,
) -> Pixels:
    """A picture uint8 [height, width, 3]; without a background it is mid-grey where no layer is."""
    if background is None:
        picture = np.full((height, width, 3), 128, np.uint8)
    else:
        picture = enlarged(background, reduction, width, height, threads)
    for template, place in layers:
        paint(picture, template, place, threads)
    return picture
