"""What a caller has set for torch does not reach into the codec: its networks compute in a state of their own."""

import contextlib
from collections.abc import Iterator
from typing import Literal, TypeAlias

import torch

from ..errors import InvalidInputError

Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]
DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def checked_precision(precision: str) -> torch.dtype:
    """The dtype of that name.

    Raises:
        InvalidInputError: there is none.
    """
    if precision not in DTYPES:
        raise InvalidInputError(f"precision is {precision!r}; allowed are {', '.join(map(repr, DTYPES))}")
    return DTYPES[precision]


@contextlib.contextmanager
def computing(device: torch.device, dtype: torch.dtype = torch.float32, gradients: bool = False) -> Iterator[None]:
    """Inside, convolutions run in ``dtype`` whatever autocast is outside, and gradients can be taken where they are
    asked for, in ``torch.inference_mode`` as well."""
    half = dtype != torch.float32
    with torch.inference_mode(not gradients), torch.autocast(device.type, dtype=dtype if half else None, enabled=half):
        yield
