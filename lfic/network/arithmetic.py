"""What a caller has set for torch does not reach into the codec: its networks compute in a state of their own."""

import contextlib
from collections.abc import Iterator
from typing import Literal, TypeAlias, cast

import torch

from ..arguments import one_of

Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]
DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def checked_precision(precision: str) -> torch.dtype:
    """The dtype of that name.

    Raises:
        InvalidInputError: there is none.
    """
    return DTYPES[cast(Precision, one_of("precision", precision, *DTYPES))]


@contextlib.contextmanager
def computing(device: torch.device, dtype: torch.dtype = torch.float32, gradients: bool = False) -> Iterator[None]:
    """Inside, convolutions run in ``dtype`` whatever autocast is outside, and gradients can be taken where they are
    asked for, in ``torch.inference_mode`` as well."""
    half = dtype != torch.float32
    with torch.inference_mode(not gradients), torch.autocast(device.type, dtype=dtype if half else None, enabled=half):
        yield
