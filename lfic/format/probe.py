"""What a file says of itself, without torch and without decoding pixels."""

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from ..coder import ContextModel
from ..errors import ContainerError
from . import weights
from .bare import Container, read_as
from .container import MAX_PIXELS, MODELS, PRIVATE, Bytes
from .layers import Stream
from .payload import uniform_levels


@dataclasses.dataclass(frozen=True, eq=False)
class LayerInfo:
    """A face layer: quality; matrix float64 [2, 3] from the 112 x 112 template's pixels to the picture's (integers are
    pixel centres); levels uint8 [4, 4]; bytes of its payload."""

    quality: int
    matrix: NDArray[np.float64]
    levels: NDArray[np.uint8]
    payload_bytes: int


@dataclasses.dataclass(frozen=True, eq=False)
class Info:
    """What ``probe`` finds: pixels, model, bytes of the file and of all its payloads.

    quality, aligned and levels uint8 [rows, columns] are those of the picture's stream, or of the background, which has
    2^-exponent of the picture's size; a file without a background has quality 0 and no levels there. layers: of the
    faces painted over it.
    """

    width: int
    height: int
    model: str
    quality: int
    aligned: bool
    checksum: bool
    levels: NDArray[np.uint8]
    bytes: int
    payload_bytes: int
    exponent: int = 0
    layers: tuple[LayerInfo, ...] = ()


def probe(
    data: Bytes,
    max_pixels: int = MAX_PIXELS,
    context: ContextModel | None = None,
    container: Container = "file",
) -> Info:
    """``Info`` of a file, or of a bare stream where ``container`` says so; decodes no pixels.

    context: the context model of private weights.

    Raises:
        ContainerError, CorruptStreamError: as ``decode`` does for the header and the level maps.
    """
    picture = read_as(data, max_pixels, container)
    whole = picture.background
    return Info(
        picture.width,
        picture.height,
        MODELS[picture.model],
        0 if whole is None else whole.header.quality,
        whole is not None and whole.header.aligned,
        picture.checksum,
        np.zeros((0, 0), np.uint8) if whole is None else levels_of(whole, context),
        len(data),
        sum(len(stream.payload) for stream in picture.streams),
        picture.exponent,
        tuple(
            LayerInfo(
                layer.stream.header.quality,
                layer.place.matrix(picture.width, picture.height),
                levels_of(layer.stream, context),
                len(layer.stream.payload),
            )
            for layer in picture.layers
        ),
    )


def levels_of(stream: Stream, context: ContextModel | None) -> NDArray[np.uint8]:
    """Region levels of a stream: what its header says, or the head of its payload."""
    header = stream.header
    levels = uniform_levels(header)
    if levels is not None:
        return levels
    if context is None:
        if header.model == PRIVATE:
            raise ContainerError(
                "the level map of this file was coded with private weights: use load_codec(PATH).probe"
            )
        context = bundled_context(MODELS[header.model])
    return context.decode_levels(stream.payload, *header.grid, header.quality, header.aligned)


@functools.lru_cache(maxsize=4)
def bundled_context(name: str) -> ContextModel:
    """Context model of a bundled model, loaded once."""
    return weights.context_model(weights.load_arrays(name)[0])
