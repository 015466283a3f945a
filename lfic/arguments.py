"""What public functions ask of their arguments, once: numpy's and torch's numbers are numbers, a bool is none, a string
is no list. Every refusal says what was found, what is allowed and how to mend it."""

import math
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidInputError

T = TypeVar("T")


def plain(value: Any) -> Any:
    """Python's number of numpy's or torch's scalar (0-d or of one element without axes); anything else as it is."""
    torch = sys.modules.get("torch")
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    if torch is not None and isinstance(value, torch.Tensor) and value.ndim == 0 and not value.is_meta:
        return value.item()
    return value


def is_integer(value: Any) -> bool:
    """Python's, numpy's and torch's integers; not bool, which is a mistake wherever a number is meant."""
    value = plain(value)
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """The same for all real numbers that are finite."""
    value = plain(value)
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """An integer in low..high (None: no end) as Python's.

    Raises:
        InvalidInputError: anything else.
    """
    if not is_integer(value) or plain(value) < low or (high is not None and plain(value) > high):
        allowed = (
            f"an integer of at least {low} is needed" if high is None else f"allowed are the integers {low} to {high}"
        )
        raise InvalidInputError(f"{name} is {shown(value)}; {allowed}")
    return int(plain(value))


def number(name: str, value: Any, low: float, high: float) -> float:
    """A number in low..high as Python's; errors as ``integer``."""
    if not is_number(value) or not low <= plain(value) <= high:
        raise InvalidInputError(f"{name} is {shown(value)}; allowed are {low} to {high}")
    return float(plain(value))


def flag(name: str, value: Any) -> bool:
    """A bool, numpy's as well.

    Raises:
        InvalidInputError: anything else, such as 2 or "no", which Python would take for true.
    """
    if not isinstance(plain(value), bool):
        raise InvalidInputError(f"{name} is {shown(value)}; allowed are True and False")
    return bool(plain(value))


def one_of(name: str, value: Any, *allowed: str) -> str:
    """One of a few words.

    Raises:
        InvalidInputError: anything else.
    """
    if not isinstance(value, str) or value not in allowed:
        *first, last = map(repr, allowed)
        raise InvalidInputError(f"{name} is {shown(value)}; allowed are {', '.join(first)} and {last}")
    return value


def sequence_of(name: str, values: Any) -> list[Any]:
    """The entries of a list or of anything that can be iterated over, but not of one thing that happens to be iterable:
    a string, bytes, a path, a dict.

    Raises:
        InvalidInputError: one of these, or nothing that can be iterated over.
    """
    if isinstance(values, (str, bytes, bytearray, memoryview, os.PathLike, dict)) or not isinstance(values, Iterable):
        raise InvalidInputError(f"{name} is one {type(values).__name__}, {shown(values)}; a list is needed: [{name}]")
    return values if isinstance(values, list) else list(values)


def images_of(taker: str, images: Any, instead: str) -> Any:
    """What takes several images was given: a list, or a tensor [N, 3, H, W] or an array [N, H, W, 3] as it is.

    taker: who takes them. instead: what an error tells to do with one image.

    Raises:
        InvalidInputError: one image, or nothing that can be iterated over.
    """
    if hasattr(images, "ndim") and hasattr(images, "shape"):
        if images.ndim == 4:
            return images
        raise InvalidInputError(
            f"{taker} takes a list of images, a tensor [N, 3, H, W] or an array [N, H, W, 3]; found a "
            f"{type(images).__name__} {tuple(images.shape)}: {instead}"
        )
    if isinstance(images, (str, bytes)) or hasattr(images, "getbands"):  # the latter of PIL
        raise InvalidInputError(f"{taker} takes a list of images; found one {type(images).__name__}: {instead}")
    return images if isinstance(images, tuple) else sequence_of("images", images)


def path(name: str, value: Any) -> str | os.PathLike[str]:
    """A path: str or os.PathLike of one.

    Raises:
        InvalidInputError: anything else.
    """
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        raise InvalidInputError(f"{name} is {shown(value)}; a path is needed")
    return value


def numbers(name: str, values: Any, shape: Sequence[int | None] | None = None) -> NDArray[np.float64]:
    """Real numbers of a shape (None in it: any length) as float64; whether they are finite is the caller's to ask.

    Raises:
        InvalidInputError: no numbers, or another shape.
    """
    try:
        out = np.asarray(values)
        if out.dtype.kind not in "iuf":
            raise TypeError
        out = out.astype(np.float64)
    except (TypeError, ValueError, RuntimeError):
        raise InvalidInputError(f"{name} is {shown(values)}; numbers are needed") from None
    if shape is not None and not (
        out.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, out.shape))
    ):
        wanted = ", ".join("any" if side is None else str(side) for side in shape)
        raise InvalidInputError(f"{name} has shape {out.shape}; needed is [{wanted}]")
    return out


def shown(value: Any) -> str:
    """A value in a message: short, and without an error of its own."""
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:60]}... ({type(value).__name__})"
