"""What the evaluation asks of a codec: images become files at a setting, and files become images."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]  # [H, W, 3], RGB
Setting: TypeAlias = Any  # whatever a codec's ``encode`` takes: mostly an int


def no_header(data: bytes) -> int:
    """The header of a format whose every byte may differ from face to face."""
    return 0


@dataclasses.dataclass(frozen=True)
class EvaluatedCodec:
    """A codec and its settings.

    Attributes:
        name: for tables.
        settings: quality steps to measure, from few bytes to many; each is passed to ``encode``.
        encode: (images uint8 [H, W, 3], setting) -> list of bytes.
        decode: list of bytes -> list of uint8 [H, W, 3].
        header: bytes -> how many bytes of that file are the same for every face; tables have a column without them.
        version: libraries, weights and fixed settings: results are kept under name, version and setting.
        batch: images per call.
        threads: whether calls may run in several threads.
        fine_settings: settings between and beyond the measured ones, from few bytes to many, in steps small enough to
            come close to a number of bytes; empty: the measured ones are all.
        region_levels: (image, setting) -> uint8 [rows, columns] for codecs with RAP, for heat maps.
        looks_through: "bundled", or the SHA-256 of the file of the encoder's recogniser, which is no judge of this
            codec.
        loss: names of the recognisers that its training looked through.
        encoder: name of the recogniser that its encoder looks through, or "".
    """

    name: str
    settings: tuple[Setting, ...]
    encode: Callable[[Sequence[Pixels], Setting], list[bytes]]
    decode: Callable[[Sequence[bytes]], list[Pixels]]
    header: Callable[[bytes], int] = no_header
    version: str = ""
    batch: int = 16
    threads: bool = True
    fine_settings: tuple[Setting, ...] = ()
    region_levels: Callable[[Pixels, Setting], NDArray[np.uint8]] | None = None
    looks_through: str = ""
    loss: tuple[str, ...] = ()
    encoder: str = ""

    def key(self, setting: Setting) -> str:
        """What the results at a setting are kept under."""
        return f"{self.name}|{self.version}|{setting}"


def from_function(
    name: str, function: Callable[[Sequence[Pixels]], tuple[list[bytes], list[Pixels]]], version: str
) -> EvaluatedCodec:
    """A codec given as one function: list of uint8 images -> (list of bytes, list of decoded uint8 images).

    ``version`` has to change whenever the function's results would.
    """
    decoded: dict[bytes, Pixels] = {}

    def encode(images: Sequence[Pixels], setting: Setting) -> list[bytes]:
        files, pictures = function(images)
        decoded.update(zip(map(bytes, files), pictures))
        return list(files)

    def decode(files: Sequence[bytes]) -> list[Pixels]:
        return [decoded.pop(bytes(data)) for data in files]

    return EvaluatedCodec(name, ("",), encode, decode, version=version, threads=False)
