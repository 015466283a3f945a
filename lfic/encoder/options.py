"""The options of encoding by name, as checkers see them; ``Codec.encode_batch`` says what each means."""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from ..arguments import integer, number
from ..errors import InvalidInputError
from ..format.bare import Container
from ..format.geometry import SIDE
from ..image import check_size

DEFAULT_MODEL = "face-v2"

Resolution: TypeAlias = Literal["auto", "full"]
Faces: TypeAlias = Literal["auto"] | Sequence[ArrayLike] | None  # found, landmarks float [5, 2] of each, or no layers


class SharedOptions(TypedDict, total=False):
    """What one image and a batch of them take alike."""

    quality: int | None
    max_bytes: int | None
    min_similarity: float | None
    effort: int
    aligned: bool | None
    checksum: bool
    face_quality: int | None
    background_quality: int | None
    container: Container
    resolution: Resolution


class BatchOptions(TypedDict, total=False):
    """What ``encode_batch`` takes beside images and ``errors``."""

    quality: int | Sequence[int] | None
    max_bytes: int | None
    min_similarity: float | None
    effort: int
    aligned: bool | None
    checksum: bool
    faces: Faces | Sequence[Faces]
    face_quality: int | None
    background_quality: int | None
    container: Container
    resolution: Resolution


class EncodeOptions(SharedOptions, total=False):
    """What ``encode`` takes beside the image."""

    faces: Faces


def check_bounds(
    quality: Any,
    max_bytes: Any,
    min_similarity: Any,
    effort: Any,
    face_quality: Any = None,
    background_quality: Any = None,
) -> None:
    """Refuse options out of range, and those that exclude each other; quality: one, or a sequence."""
    several = isinstance(quality, (list, tuple)) or (isinstance(quality, np.ndarray) and quality.ndim == 1)
    for each in quality if several else () if quality is None else (quality,):
        integer("quality", each, 1, 100)
    for name, bound in (("max_bytes", max_bytes), ("min_similarity", min_similarity)):
        if quality is not None and bound is not None:
            raise InvalidInputError(f"quality and {name} exclude each other, as the bound finds the quality: give one")
    integer("effort", effort, 0, 3)
    if max_bytes is not None and min_similarity is not None:
        raise InvalidInputError("max_bytes and min_similarity exclude each other: give one")
    if min_similarity is not None and face_quality is not None:
        raise InvalidInputError(
            "face_quality and min_similarity exclude each other, as that finds the faces': give one"
        )
    if max_bytes is not None:
        integer("max_bytes", max_bytes, 1)
    if min_similarity is not None:
        number("min_similarity", min_similarity, -1, 1)
    for name, value in (("face_quality", face_quality), ("background_quality", background_quality)):
        if value is not None:
            integer(name, value, 1, 100)


def check_resolution(resolution: str) -> None:
    """Raise unless it is one of ``Resolution``."""
    if resolution not in ("auto", "full"):
        raise InvalidInputError(f"resolution is {resolution!r}; allowed are 'auto' and 'full'")


def check_image(width: int, height: int, aligned: bool | None) -> None:
    """Refuse what the container can't hold."""
    check_size(width, height)
    if aligned and (width, height) != (SIDE, SIDE):
        raise InvalidInputError(f"aligned=True needs {SIDE} x {SIDE} pixels; found {width} x {height}")
