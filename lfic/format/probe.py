"""What a file says of itself, without torch and without decoding pixels."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..coder import ContextModel
from . import weights
from .bare import Container, read_as
from .container import DECODED_PIXELS, FORMER, MODELS, PRIVATE, Bytes, Header
from .geometry import SIDE
from .layers import Stream, background_scale
from .payload import uniform_levels

NO_LEVELS = np.zeros((0, 0), np.uint8)


class Facts:
    """What dataclasses with arrays in them lack: equality, a hash, and a form for JSON."""

    def as_dict(self) -> dict[str, Any]:
        """Names and values as JSON has them: arrays are lists, layers dicts."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return {field.name: plain(getattr(self, field.name)) for field in fields}

    def __eq__(self, other: object) -> bool:
        return self.as_dict() == other.as_dict() if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self.as_dict()))


def plain(value: Any) -> Any:
    """A field as JSON has it."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return [plain(entry) for entry in value]
    return value.as_dict() if isinstance(value, Facts) else value


@dataclasses.dataclass(frozen=True, eq=False)
class LayerInfo(Facts):
    """A face layer: quality; matrix float64 [2, 3] from the 112 x 112 template's pixels to the picture's (integers are
    pixel centres); levels uint8, [4, 4] of a ``side`` of 112 pixels, [7, 7] of 224, [14, 14] of 448; bytes of its
    payload."""

    quality: int
    matrix: NDArray[np.float64]
    levels: NDArray[np.uint8]
    payload_bytes: int
    side: int = SIDE


@dataclasses.dataclass(frozen=True, eq=False)
class Info(Facts):
    """What ``probe`` finds: pixels, model, bytes of the file and of all its payloads.

    quality, aligned and levels uint8 [rows, columns] are those of the picture, or of the background where there are
    layers; a file without a background has quality 0 and no levels there. scale: of the sides of what was coded, 1
    where it has the picture's size: a region has 32 / scale of the picture's pixels a side; a stream that is smaller is
    finer than its picture's quality. layers: of the faces painted over it. grey: shown without colour. weights: of a
    file by private weights the start of their digest, in hex, where it says so; levels that only they can tell are
    empty, [0, 0]. ``as_dict()`` is for JSON; equal files have equal ``Info``.
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
    scale: float = 1.0
    layers: tuple[LayerInfo, ...] = ()
    weights: str = ""
    grey: bool = False


Contexts: TypeAlias = Callable[[Header], ContextModel | None]  # the context model that a stream was coded with


def probe(data: Bytes, max_pixels: int = DECODED_PIXELS, container: Container = "file") -> Info:
    """``Info`` of a file, or of a bare stream where ``container`` says so; decodes no pixels.

    Raises:
        ContainerError, CorruptStreamError: as ``decode`` does for the header and the level maps.
    """
    return inspected(data, max_pixels, known_context, container)


def inspected(data: Bytes, max_pixels: int, contexts: Contexts, container: Container) -> Info:
    """``probe`` with context models of the caller's."""
    picture = read_as(data, max_pixels, container)
    whole = picture.background
    return Info(
        picture.width,
        picture.height,
        MODELS[picture.model],
        picture.quality,
        whole is not None and whole.header.aligned,
        picture.checksum,
        NO_LEVELS if whole is None else levels_of(whole, contexts),
        len(data),
        sum(len(stream.payload) for stream in picture.streams),
        scale_of(picture.reduction),
        tuple(
            LayerInfo(
                layer.stream.header.quality,
                layer.place.matrix(picture.width, picture.height),
                levels_of(layer.stream, contexts),
                len(layer.stream.payload),
                layer.stream.header.width,
            )
            for layer in picture.layers
        ),
        picture.weights.hex(),
        picture.grey,
    )


def scale_of(reduction: int) -> float:
    """A background's sides, in parts of the picture's."""
    n, k = background_scale(reduction)
    return n / (1 << k)


def levels_of(stream: Stream, contexts: Contexts) -> NDArray[np.uint8]:
    """Region levels of a stream: what its header says, or the head of its payload; none where the model is not known
    here."""
    header = stream.header
    levels = uniform_levels(header)
    if levels is not None:
        return levels
    context = contexts(header)
    if context is None:
        return NO_LEVELS
    symbols = header.grid[0] * header.grid[1] * context.channels  # as many as max_pixels has let through
    return context.decode_levels(stream.payload, *header.grid, header.quality, header.aligned, symbols)


def known_context(header: Header) -> ContextModel | None:
    """Of a bundled model, or of private weights that this process has loaded; None of others."""
    if header.model == PRIVATE:
        return weights.private_contexts.get(header.weights)
    return bundled_context(MODELS[header.model], header.aligned and header.model in FORMER)


@functools.lru_cache(maxsize=4)
def bundled_context(name: str, on_template: bool) -> ContextModel:
    """Context model of a bundled model, loaded once; on_template: the one of its own for what stands there."""
    arrays = weights.load_arrays(name)[0]
    return weights.context_model(weights.template_part(arrays) if on_template else arrays)
