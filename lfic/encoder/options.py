"""The options of encoding by name, as checkers see them; ``Codec.encode_batch`` says what each means."""

from collections.abc import Sequence
from typing import Literal, TypeAlias, TypedDict

from numpy.typing import ArrayLike

from ..format.bare import Container

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


class EncodeOptions(SharedOptions, total=False):
    """What ``encode`` takes beside the image."""

    faces: Faces
