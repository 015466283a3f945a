"""The integer networks of a weights file: csrc/network, behind numpy alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._network import Model as IntegerModel
from ..errors import InvalidInputError, WeightsError

PREFIX = "integers."
DECODING = f"{PREFIX}synthesis."
Coded = tuple[NDArray[np.int16], NDArray[np.uint8], int, int, int, bool]

__all__ = ["DECODING", "PREFIX", "Coded", "IntegerModel", "integer_model", "pixels_of"]


def integer_model(arrays: Mapping[str, NDArray[Any]], simd: str = "auto") -> IntegerModel | None:
    """The networks out of a weights file's arrays, without the analysis where the arrays lack it; None where they hold
    no integers at all.

    Raises:
        WeightsError: they do not fit together, or a sum could leave 32 bits.
    """
    held = {name.removeprefix(PREFIX): array for name, array in arrays.items() if name.startswith(PREFIX)}
    if not held:
        return None
    try:
        return IntegerModel(held, simd)
    except InvalidInputError as error:
        raise WeightsError(f"the weights' integer networks can't be used: {error}") from None


def pixels_of(model: IntegerModel, coded: Sequence[Coded], threads: int = 1) -> list[NDArray[np.uint8]]:
    """(symbols int16 [kept cells * C], levels uint8 [rows, columns], height, width, quality, aligned) of pictures of
    any sizes -> uint8 [height, width, 3] each; threads: 0 for one a core."""
    return model.synthesize(coded, threads)
