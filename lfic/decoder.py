"""bytes -> picture by integers alone: the same pixels on every machine, with numpy and Pillow and nothing else.

bytes -> container -> range coder + context model -> csrc/network: dequantise, unpool, synthesis -> paint -> picture
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .align import TEMPLATE_112
from .arguments import integer
from .coder import ContextModel
from .errors import ContainerError, WeightsError
from .format import bare, layers, tensors, weights
from .format.bare import Container, read_as
from .format.compose import compose
from .format.container import DECODED_PIXELS, FORMER, MAX_PIXELS, MODELS, PRIVATE, Bytes
from .format.geometry import SIDE
from .format.grey import without_colour
from .format.integers import DECODING, IntegerModel, integer_model, pixels_of
from .format.layers import Picture, Stream
from .format.look import Look, checked_look, look_path
from .format.parts import Parts
from .format.payload import decode_payloads

Pixels = NDArray[np.uint8]  # [H, W, 3], RGB


@dataclasses.dataclass(frozen=True, eq=False)
class DecodedFace:
    """A face of a file. image: PIL, RGB, as it was coded, on the alignment template: 112 x 112, or 224 x 224 or
    448 x 448 of a large face at a high quality. matrix: float64 [2, 3], from the image's pixels to the picture's
    (integers are pixel centres). quality: 1 to 100."""

    image: Image.Image
    matrix: NDArray[np.float64]
    quality: int

    @property
    def landmarks(self) -> NDArray[np.float64]:
        """The template's five points in the picture, float64 [5, 2], x right and y down."""
        points = (TEMPLATE_112 + 0.5) * (self.image.width / SIDE) - 0.5
        out: NDArray[np.float64] = points @ self.matrix[:, :2].T + self.matrix[:, 2]
        return out

    @property
    def template(self) -> Image.Image:
        """112 x 112, what recognisers take: the image, or means of its pixels where it is larger."""
        same = self.image.width == SIDE
        return self.image if same else self.image.resize((SIDE, SIDE), Image.Resampling.BOX)


@dataclasses.dataclass(frozen=True, eq=False)
class Decoder(Parts):
    """What decoding computes with; nothing of it changes. context: the entropy model; network: the synthesis; number:
    what files say of the model; weights: and of private weights; template, former: ``format.parts.Parts``. Safe to call
    from several threads."""

    context: ContextModel
    network: IntegerModel
    number: int
    weights: bytes = b""
    template: Self | None = None
    former: Self | None = None

    def decode(self, data: Bytes, max_pixels: int = DECODED_PIXELS, container: Container = "file") -> Image.Image:
        """Bytes -> PIL image, RGB, or L of a grey picture, the size that went in. Raises ``LficError`` subclasses for
        anything else."""
        picture = self.read(data, max_pixels, container)
        return image_of(composed(picture, self.streams(picture.streams, 0)), picture.grey)

    def arrays(
        self, blobs: Sequence[Bytes], max_pixels: int = DECODED_PIXELS, threads: int = 1, container: Container = "file"
    ) -> list[Pixels]:
        """List of bytes -> uint8 [H, W, 3] each. threads: 1 to 256, or 0 for one a core.

        Raises:
            ContainerError: no lfic file, or one that another model wrote, or more than ``max_pixels``.
            CorruptStreamError: damage.
        """
        return [pixels for _, pixels in self._composed(blobs, max_pixels, threads, container)]

    def decode_batch(
        self, blobs: Sequence[Bytes], max_pixels: int = DECODED_PIXELS, threads: int = 1
    ) -> list[Image.Image]:
        """Several files -> what ``decode`` gives of each. Errors and threads as ``arrays``."""
        found = self._composed(blobs, max_pixels, threads, "file")
        return [image_of(pixels, picture.grey) for picture, pixels in found]

    def _composed(
        self, blobs: Sequence[Bytes], max_pixels: int, threads: int, container: Container
    ) -> list[tuple[Picture, Pixels]]:
        """What files hold, and what they show."""
        integer("threads", threads, 0, 256)
        pictures = [self.read(blob, max_pixels, container) for blob in blobs]
        shown = iter(self.streams([stream for picture in pictures for stream in picture.streams], threads))
        return [(picture, composed(picture, [next(shown) for _ in picture.streams])) for picture in pictures]

    def decode_faces(
        self, data: Bytes, max_pixels: int = DECODED_PIXELS, container: Container = "file"
    ) -> list[DecodedFace]:
        """The face layers of a file as they were coded; of a file of one aligned face, that one."""
        picture = self.read(data, max_pixels, container)
        shown = self.streams(picture.streams)
        return faces_of(picture, shown)

    def to_bare(self, data: Bytes, container: Container = "file") -> bytes:
        """A file -> the bare stream of the same symbols: it decodes to the same picture. A bare stream stays as it is.

        Raises:
            ContainerError, CorruptStreamError: as ``decode``.
        """
        picture = self.read(data, MAX_PIXELS, container)
        return bare_of(picture, self.part(picture.streams[0].header).context)

    def read(self, data: Bytes, max_pixels: int, container: Container) -> Picture:
        """A file, or a bare stream, that this model wrote."""
        picture = read_as(data, max_pixels, container)
        if picture.model not in self.numbers:
            raise ContainerError(
                f"the file was written by model {MODELS[picture.model]}; these weights are {MODELS[self.number]}: load "
                "those that wrote it"
            )
        if picture.weights not in (b"", self.weights):
            raise ContainerError(
                f"the file was written with the private weights {picture.weights.hex()}; these are "
                f"{self.weights.hex()}: load those that wrote it"
            )
        return picture

    def streams(self, streams: Sequence[Stream], threads: int = 1) -> list[Pixels]:
        """Coded pictures of any sizes -> uint8 [H, W, 3] each."""
        parts = [self.part(stream.header) for stream in streams]
        out: dict[int, Pixels] = {}
        for part in {id(part): part for part in parts}.values():
            places = [i for i, other in enumerate(parts) if other is part]
            out |= zip(places, part._own_streams([streams[i] for i in places], threads), strict=True)
        return [out[i] for i in range(len(streams))]

    def _own_streams(self, streams: Sequence[Stream], threads: int) -> list[Pixels]:
        """``streams`` of this part."""
        found = decode_payloads(self.context, [(s.header, memoryview(s.payload)) for s in streams], threads)
        coded = [
            (symbols, levels, s.header.height, s.header.width, s.header.quality, s.header.aligned)
            for (symbols, levels), s in zip(found, streams, strict=True)
        ]
        shown = pixels_of(self.network, coded, threads)
        return [without_colour(pixels) if s.header.grey else pixels for pixels, s in zip(shown, streams, strict=True)]


def image_of(pixels: Pixels, grey: bool) -> Image.Image:
    """uint8 [H, W, 3] -> PIL image, RGB, or L of a grey picture."""
    return Image.fromarray(np.ascontiguousarray(pixels[:, :, 0]) if grey else pixels)


def composed(picture: Picture, streams: Sequence[Pixels]) -> Pixels:
    """What a picture shows, uint8 [H, W, 3]; its streams' pixels uint8 [h, w, 3] in their order."""
    if picture.plain:
        return streams[0]
    rest = list(streams)
    background = None if picture.background is None else rest.pop(0)
    painted = [(pixels, layer.place) for pixels, layer in zip(rest, picture.layers, strict=True)]
    return compose(background, picture.reduction, painted, picture.width, picture.height)


def bare_of(picture: Picture, context: ContextModel) -> bytes:
    """The bare stream of a picture's symbols; no pixels are decoded."""
    if not picture.plain:
        return layers.write(dataclasses.replace(picture, checksum=False))
    assert picture.background is not None
    header, payload = picture.background.header, picture.background.payload
    wanted = bare.bare_header(header)
    if wanted.level_mode != header.level_mode:
        ((symbols, levels),) = decode_payloads(context, [(header, memoryview(payload))])
        payload = context.encode(symbols, levels, *header.grid, header.quality, header.aligned, True)
    return bare.write(wanted, payload)


def faces_of(picture: Picture, streams: Sequence[Pixels]) -> list[DecodedFace]:
    """The faces of a picture whose streams show this, uint8 [h, w, 3] each in their order."""
    if picture.plain:
        assert picture.background is not None
        if not picture.background.header.aligned:
            return []
        whole = np.array([[1.0, 0, 0], [0, 1, 0]])
        return [DecodedFace(Image.fromarray(streams[0]), whole, picture.background.header.quality)]
    faces = streams[len(streams) - len(picture.layers) :]
    return [
        DecodedFace(
            Image.fromarray(face),
            layer.place.matrix(picture.width, picture.height, layer.size),
            layer.stream.header.quality,
        )
        for layer, face in zip(picture.layers, faces, strict=True)
    ]


def load(name: str | os.PathLike[str], look: Look = "faithful") -> Decoder:
    """A bundled model by name, or a weights file. look: "vivid": by its other synthesis, which invents detail.

    Raises:
        WeightsError: no such model or look, a damaged file, or one without integer networks.
    """
    checked_look(look)
    found = read(name)
    if found is None:
        raise WeightsError(
            f"{weights.weights_path(name)} holds no integer networks: add them with `lfic export WEIGHTS "
            "OUT.safetensors --data FACES`"
        )
    if look == "faithful":
        return found
    if found.template is not None and found.former is not None:  # whose networks alone have other looks
        shown = bundled(MODELS[found.former.number], look)
        template = dataclasses.replace(found.template, network=shown.network)
        return dataclasses.replace(found, template=template, former=shown)
    other = read(look_path(name, look))
    assert other is not None
    return other


def read(
    name: str | os.PathLike[str],
    networks: str = DECODING,
    load_former: Callable[[str], Decoder | None] | None = None,
) -> Decoder | None:
    """``load``, or None where the file holds no integer networks. networks: what the names of their tensors begin with,
    the synthesis alone or all of them. load_former: what the model before this one is loaded by (``bundled``)."""
    path = weights.weights_path(name)
    wanted = (networks, "context.", "tables.", weights.TEMPLATE)
    arrays, metadata, digest = tensors.read(path, lambda key: key.startswith(wanted))
    weights.check(path, metadata, digest)
    network = integer_model(arrays)
    if network is None:
        return None
    number, told = weights.model_number(metadata), weights.weights_bytes(metadata)
    found = Decoder(weights.context_model(arrays), network, number, told)
    if number not in FORMER:
        return found
    former = (load_former or bundled)(MODELS[FORMER[number]])
    if former is None:
        raise WeightsError(f"{path} needs {MODELS[FORMER[number]]} with its integer networks: install lfic anew")
    context = weights.context_model(weights.template_part(arrays))
    template = dataclasses.replace(former, context=context, number=number, former=former)
    return dataclasses.replace(found, template=template, former=former)


@functools.lru_cache(maxsize=4)
def bundled(name: str, look: Look = "faithful") -> Decoder:
    """A bundled model's decoder, loaded once."""
    return load(name, look)


class Decodes(Protocol):
    """A ``Codec`` or a ``Decoder``."""

    def decode(self, data: Bytes, max_pixels: int = ..., container: Container = ...) -> Image.Image: ...

    def decode_faces(self, data: Bytes, max_pixels: int = ..., container: Container = ...) -> list[DecodedFace]: ...


private: dict[bytes, Decodes] = {}  # of private weights that this process has loaded, by what files say of them


def decode(
    data: Bytes, max_pixels: int = DECODED_PIXELS, container: Container = "file", look: Look = "faithful"
) -> Image.Image:
    """Bytes -> PIL image, RGB, or L of a grey picture, the size that went in. container: "bare" for a bare stream.
    look: "vivid" is sharper and invents detail: for people who look, never for recognisers.

    Files of private weights need ``load_codec`` of these before.
    """
    if checked_look(look) == "faithful":
        return writer(data, max_pixels, container).decode(data, max_pixels, container)
    number = read_as(data, max_pixels, container).model
    if number == PRIVATE:
        raise ContainerError(
            "the file was written with private weights: load_codec(PATH OF THE WEIGHTS).decode has their looks"
        )
    return bundled(MODELS[number], look).decode(data, max_pixels, container)


def decode_faces(data: Bytes, max_pixels: int = DECODED_PIXELS, container: Container = "file") -> list[DecodedFace]:
    """The face layers of a file as they were coded: aligned crops, not resampled, and where they lie."""
    return writer(data, max_pixels, container).decode_faces(data, max_pixels, container)


def writer(data: Bytes, max_pixels: int, container: Container) -> Decodes:
    """The model that wrote a file: a bundled one, or private weights that this process has loaded."""
    picture = read_as(data, max_pixels, container)
    if picture.model == PRIVATE:
        if picture.weights in private:
            return private[picture.weights]
        raise ContainerError(
            f"the file was written with private weights{f', {picture.weights.hex()}' if picture.weights else ''}: "
            "decode it with load_codec(PATH OF THE WEIGHTS).decode, or with --model"
        )
    return bundled(MODELS[picture.model])
