"""What a file says of itself, without torch and without decoding pixels."""

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from ..coder import ContextModel
from ..errors import ContainerError
from . import container, weights
from .container import MAX_PIXELS, MODELS, PRIVATE, Bytes
from .payload import uniform_levels


@dataclasses.dataclass(frozen=True)
class Info:
    """What ``probe`` finds: width and height in pixels, the model's name, quality 1..100, whether the face stands on
    the template, region levels uint8 [rows, columns], bytes of the whole file and of its payload."""

    width: int
    height: int
    model: str
    quality: int
    aligned: bool
    checksum: bool
    levels: NDArray[np.uint8]
    bytes: int
    payload_bytes: int


def probe(data: Bytes, max_pixels: int = MAX_PIXELS, context: ContextModel | None = None) -> Info:
    """``Info`` of a file; decodes no pixels. ``context``: the context model of private weights.

    Raises:
        ContainerError, CorruptStreamError: as ``decode`` does for the header and the level map.
    """
    header, payload = container.read(data, max_pixels)
    levels = uniform_levels(header)
    if levels is None:
        if context is None and header.model == PRIVATE:
            raise ContainerError(
                "the level map of this file was coded with private weights: use load_codec(PATH).probe"
            )
        context = context or bundled_context(MODELS[header.model])
        levels = context.decode_levels(payload, *header.grid, header.quality, header.aligned)
    return Info(
        header.width,
        header.height,
        MODELS[header.model],
        header.quality,
        header.aligned,
        header.checksum,
        levels,
        len(data),
        len(payload),
    )


@functools.lru_cache(maxsize=4)
def bundled_context(name: str) -> ContextModel:
    """Context model of a bundled model, loaded once."""
    return weights.context_model(weights.load_arrays(name)[0])
