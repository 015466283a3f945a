"""Faces side by side at equal bytes."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .budget import largest_that_fits
from .interface import EvaluatedCodec, Pixels, Setting

BUDGETS = (150, 300, 600, 1000)
OF_PHOTOS = (300, 600, 1000, 2000)


@dataclasses.dataclass
class Exhibit:
    """One face by every codec.

    Attributes:
        original: uint8 [H, W, 3].
        codecs: name -> for each budget (bytes, decoded uint8 [112, 112, 3]), or None where no file fits.
        levels: quality -> uint8 [rows, columns], of the first codec that has ``region_levels``.
        budgets: in bytes.
    """

    original: Pixels
    codecs: dict[str, list[tuple[int, Pixels] | None]]
    levels: dict[Setting, NDArray[np.uint8]]
    budgets: Sequence[int] = BUDGETS


def gallery(
    codecs: Sequence[EvaluatedCodec], faces: Iterable[Pixels], budgets: Sequence[int] = BUDGETS
) -> list[Exhibit]:
    """In each exhibit the largest file of every codec within each of the budgets, in bytes."""
    out = []
    for face in faces:
        cells: dict[str, list[tuple[int, Pixels] | None]] = {}
        for codec in codecs:
            found = [largest_that_fits(codec, face, budget) for budget in budgets]
            cells[codec.name] = [pair and (len(pair[0]), pair[1]) for pair in found]
        out.append(Exhibit(face, cells, region_levels(codecs, face), tuple(budgets)))
    return out


def region_levels(codecs: Iterable[EvaluatedCodec], face: Pixels) -> dict[Setting, NDArray[np.uint8]]:
    """Level maps of a face at every setting of the first codec that has any."""
    for codec in codecs:
        if codec.region_levels is not None:
            return {setting: codec.region_levels(face, setting) for setting in codec.settings}
    return {}
