"""The whole chain, written top to bottom, once.

image -> analysis -> region levels -> pooled symbols -> context model + range coder -> container -> bytes
bytes -> container -> range coder + context model -> dequantise, unpool -> synthesis -> image
"""

import dataclasses
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Unpack, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .align import TEMPLATE_112
from .arguments import flag, integer, number, one_of, sequence_of
from .coder import ContextModel
from .encoder import layers, rate_control
from .encoder.choose import best_drafts
from .encoder.draft import files
from .encoder.options import EncodeOptions, Faces, SharedOptions
from .encoder.rate_control import DEFAULT_QUALITY
from .errors import ContainerError, InvalidInputError
from .format.compose import compose
from .format.container import DECODED_PIXELS, MODELS, PRIVATE, Bytes, Header
from .format.geometry import SIDE
from .format.layers import Picture, Stream, read
from .format.payload import decode_payloads
from .format.probe import Info, inspected, known_context
from .format.weights import load_arrays, private_contexts
from .image import ImageLike, check_size, to_rgb
from .network.load import AnyRecognizer, Model, Pixels, load, made_of
from .network.surroundings import undisturbed

DEFAULT_MODEL = "face-v1"
PIXELS_AT_ONCE = {"cpu": 16 * SIDE**2, "cuda": 512 * SIDE**2}  # of a batch; more falls out of a CPU core's cache


@dataclasses.dataclass(frozen=True, eq=False)
class DecodedFace:
    """A face of a file. image: PIL, 112 x 112, RGB, on the alignment template. matrix: float64 [2, 3], from the
    template's pixels to the picture's (integers are pixel centres). quality: 1 to 100."""

    image: Image.Image
    matrix: NDArray[np.float64]
    quality: int

    @property
    def landmarks(self) -> NDArray[np.float64]:
        """The template's five points in the picture, float64 [5, 2], x right and y down."""
        out: NDArray[np.float64] = TEMPLATE_112 @ self.matrix[:, :2].T + self.matrix[:, 2]
        return out


class Codec:
    """A loaded model's two directions. Safe to call from several threads; its state does not change.

    Args:
        name: bundled model ("face-v1") or path of a .safetensors file.
        device: where the networks run; the coder always runs on the CPU.
        recognizer: ``lfic.metric.Recognizer`` for ``min_similarity``, ``embed`` and the search of higher efforts;
            "bundled": the one that ships, loaded when first needed; None: efforts serve pixels alone, and what needs
            one says so.
        threads: coder threads of a batch, 1 to 256, or 0 for one a core.

    Attributes: ``model`` (``lfic.network.load.Model``), ``threads``.

    Raises:
        WeightsError: no such model, or a damaged file.
        InvalidInputError: a device that torch can't use here.
    """

    def __init__(
        self,
        name: str | os.PathLike[str] = DEFAULT_MODEL,
        device: str | torch.device = "cpu",
        recognizer: AnyRecognizer = "bundled",
        threads: int = 1,
    ) -> None:
        self.model: Model = load(name, device, recognizer)
        self.threads = integer("threads", threads, 0, 256)

    def __reduce__(self) -> tuple[Any, ...]:
        model = self.model
        weights = model.source if model.number != PRIVATE else load_arrays(model.source)
        return travelled, (weights, model.source, str(model.device), model.looks_through, self.threads)

    # ------------------------------------------------------------------------------------------------ encoding

    def encode(self, image: ImageLike, *, faces: Faces = None, **options: Unpack[SharedOptions]) -> bytes:
        """One image -> bytes; options as for ``encode_batch``. faces: None, "auto" or landmarks of each face."""
        return self.encode_batch([image], faces=[faces], **options)[0]

    @undisturbed
    def encode_batch(
        self,
        images: Sequence[ImageLike],
        quality: int = DEFAULT_QUALITY,
        max_bytes: int | None = None,
        min_similarity: float | None = None,
        effort: int = 0,
        aligned: bool | None = None,
        checksum: bool = True,
        faces: Faces | Sequence[Faces] = None,
        face_quality: int | None = None,
        background_quality: int | None = None,
    ) -> list[bytes]:
        """Images -> list of bytes.

        Args:
            images: PIL images, uint8 ndarrays [H, W, 3] or uint8 tensors [3, H, W]; sizes may differ.
            quality: 1 to 100; used where neither bound below is given.
            max_bytes: the file has at most so many bytes: the quality at which it fits while one more would not. Where
                not even quality 1 does, every region is pooled to level 2, and then a picture larger than a face is
                coded at a half, a quarter or an eighth of its size.
            min_similarity: the smallest quality at which the recogniser finds the decoded face that like the original,
                -1 to 1: 1 is the same picture, 0 another person. Of a picture with layers it is asked of every face.
            effort: 0 takes what the analysis network says. 1 to 3 improve it by the gradient of the loss that the
                model was trained with: 1 the features in six steps, 2 in twelve, 3 in 24, region levels and single
                symbols as well; each takes longer than the one before. Identity counts on aligned faces, through the
                codec's recogniser; without one they serve pixels alone, at some cost of likeness.
            aligned: True: the faces stand on the 112 x 112 template; False: they do not; None: of a 112 x 112 image
                that is told from what it costs, and in doubt it is coded both ways and the smaller file is kept.
            checksum: two more bytes that tell nearly all damage.
            faces: None: pictures are coded whole. "auto": the faces that a detector finds become layers of their own
                over a coarse background (none where facenet-pytorch is not installed, or of a 112 x 112 image, which
                is a face). Or one entry an image: None, "auto", or landmarks, float [5, 2] in pixels of each face.
            face_quality, background_quality: 1 to 100, of a picture with layers; ``quality`` and what goes with it by
                default. The background's scale reaches lower than that of faces: below 50 it is coded at a half, a
                quarter or an eighth of its size. Under ``max_bytes`` what is not given here is found.

        Raises:
            InvalidInputError: an option out of range, an image that is none, a bound that can't be met.
            MissingDependencyError: an option needs a recogniser and the codec has none.
        """
        self._check_options(quality, max_bytes, min_similarity, effort)
        for name, value in (("face_quality", face_quality), ("background_quality", background_quality)):
            if value is not None:
                integer(name, value, 1, 100)
        checksum = flag("checksum", checksum)
        aligned = None if aligned is None else flag("aligned", aligned)
        if isinstance(images, (Image.Image, str, bytes)):
            raise InvalidInputError(
                f"encode_batch takes a list of images; found one {type(images).__name__}: use encode for one image"
            )
        pixels = [to_rgb(image) for image in sequence_of("images", images)]
        for array in pixels:
            check_image(array.shape[1], array.shape[0], aligned)
        out = [b""] * len(pixels)
        photos = self._photos(pixels, faces, aligned)
        for i, photo in photos.items():
            if max_bytes is not None:
                out[i] = layers.largest_layered(
                    self.model, photo, max_bytes, face_quality, background_quality, effort, checksum
                )
                continue
            face = quality if face_quality is None else face_quality
            if min_similarity is not None:
                face = layers.least_face_quality(self.model, photo, min_similarity, effort)
            behind = layers.background_for(face) if background_quality is None else background_quality
            out[i] = layers.layered_file(self.model, photo, face, behind, effort, checksum, self.threads)
        rest = [i for i in range(len(pixels)) if i not in photos]
        bounds = quality, max_bytes, min_similarity
        for i, blob in zip(
            rest, self._whole([pixels[i] for i in rest], *bounds, effort, aligned, checksum), strict=True
        ):
            out[i] = blob
        return out

    def _whole(
        self,
        pixels: Sequence[Pixels],
        quality: int,
        max_bytes: int | None,
        min_similarity: float | None,
        effort: int,
        aligned: bool | None,
        checksum: bool,
    ) -> list[bytes]:
        """Pictures without layers -> files."""
        model = self.model
        if max_bytes is not None:
            return [self._largest(p, max_bytes, effort, aligned, checksum) for p in pixels]
        if min_similarity is not None:
            return [rate_control.smallest_file(model, p, min_similarity, effort, aligned, checksum) for p in pixels]
        out = [b""] * len(pixels)
        for group in self._groups([p.shape[:2] for p in pixels]):
            drafts = best_drafts(model, [pixels[i] for i in group], quality, effort, aligned)
            for i, blob in zip(group, files(model, drafts, checksum, self.threads), strict=True):
                out[i] = blob
        return out

    def _largest(self, pixels: Pixels, max_bytes: int, effort: int, aligned: bool | None, checksum: bool) -> bytes:
        """A picture without layers in at most ``max_bytes``; where it does not fit as it is, at a part of its size."""
        try:
            return rate_control.largest_quality(self.model, pixels, max_bytes, effort, aligned, checksum)
        except InvalidInputError:
            if pixels.shape[0] * pixels.shape[1] <= SIDE**2:
                raise
            return layers.largest_layered(self.model, layers.Photo(pixels, []), max_bytes, None, None, 0, checksum)

    def _photos(
        self, pixels: Sequence[Pixels], faces: Faces | Sequence[Faces], aligned: bool | None
    ) -> dict[int, layers.Photo]:
        """The pictures that have layers, by index."""
        if faces is None or isinstance(faces, str):
            faces = [faces] * len(pixels)
        faces = sequence_of("faces", faces)
        if len(faces) != len(pixels):
            raise InvalidInputError(
                f"faces has {len(faces)} entries for {len(pixels)} images: give one for each, None, 'auto' or landmarks"
            )
        found = {}
        for i, (array, wanted) in enumerate(zip(pixels, faces, strict=True)):
            height, width = array.shape[:2]
            if isinstance(wanted, str):
                if wanted != "auto":
                    raise InvalidInputError(f"faces is {wanted!r}; allowed are None, 'auto' and landmarks")
                is_crop = aligned or (height, width) == (SIDE, SIDE)
                places = [] if is_crop else layers.detected_places(array, self.model.device)
            else:
                places = [] if wanted is None else layers.places_of(sequence_of("faces", wanted), width, height)
            if places:
                found[i] = layers.Photo(array, places)
        return found

    # ------------------------------------------------------------------------------------------------ decoding

    def decode(self, data: Bytes, max_pixels: int = DECODED_PIXELS) -> Image.Image:
        """Bytes -> PIL image, RGB, the size that went in. Raises ``LficError`` subclasses for anything else."""
        return self.decode_batch([data], max_pixels=max_pixels)[0]

    @overload
    def decode_batch(
        self, blobs: Sequence[Bytes], out: Literal["pil"] = "pil", max_pixels: int = DECODED_PIXELS
    ) -> list[Image.Image]: ...
    @overload
    def decode_batch(
        self, blobs: Sequence[Bytes], out: Literal["numpy"], max_pixels: int = DECODED_PIXELS
    ) -> list[NDArray[np.uint8]]: ...
    @overload
    def decode_batch(
        self, blobs: Sequence[Bytes], out: Literal["tensor"], max_pixels: int = DECODED_PIXELS
    ) -> Tensor: ...
    @undisturbed
    def decode_batch(self, blobs: Sequence[Bytes], out: str = "pil", max_pixels: int = DECODED_PIXELS) -> Any:
        """List of bytes -> list of PIL images ("pil") or ndarrays ("numpy"), or a uint8 tensor [N, 3, H, W] ("tensor").

        "tensor" needs files of one size; its result stays on the codec's device.

        Raises:
            ContainerError: no lfic file, or one that this codec's model did not write, or more than ``max_pixels``.
            CorruptStreamError: damage.
        """
        one_of("out", out, "pil", "numpy", "tensor")
        pictures = [self._read(blob, max_pixels) for blob in sequence_of("blobs", blobs)]
        sizes = {(p.height, p.width) for p in pictures}
        if out == "tensor" and len(sizes) > 1:
            raise InvalidInputError(f"out='tensor' needs files of one size; found {sorted(sizes)}")
        decoded = iter(self._streams([stream for picture in pictures for stream in picture.streams]))
        shown = [composed(picture, [next(decoded) for _ in picture.streams]) for picture in pictures]
        if out == "tensor":
            empty = torch.zeros(0, 3, 0, 0, dtype=torch.uint8, device=self.model.device)
            return torch.stack(shown) if shown else empty
        arrays = [array_of(pixels) for pixels in shown]
        return [Image.fromarray(array) for array in arrays] if out == "pil" else arrays

    @undisturbed
    def decode_faces(self, data: Bytes, max_pixels: int = DECODED_PIXELS) -> list[DecodedFace]:
        """The face layers of a file as they were coded: aligned crops, not resampled, and where they lie.

        A file of one aligned face gives that one. Whoever recognises faces in an archive needs no detector.
        """
        picture = self._read(data, max_pixels)
        if picture.plain:
            assert picture.background is not None
            if not picture.background.header.aligned:
                return []
            whole = np.array([[1.0, 0, 0], [0, 1, 0]])
            return [DecodedFace(self.decode(data, max_pixels), whole, picture.background.header.quality)]
        pixels = self._streams([layer.stream for layer in picture.layers])
        return [
            DecodedFace(
                Image.fromarray(array_of(face)),
                layer.place.matrix(picture.width, picture.height),
                layer.stream.header.quality,
            )
            for layer, face in zip(picture.layers, pixels, strict=True)
        ]

    def _read(self, data: Bytes, max_pixels: int) -> Picture:
        """A file that this codec's model wrote."""
        picture = read(data, max_pixels)
        if picture.model != self.model.number:
            raise ContainerError(
                f"the file was written by model {MODELS[picture.model]}; this codec has "
                f"{MODELS[self.model.number]}: give the weights that wrote it, --model or load_codec(PATH)"
            )
        if picture.weights not in (b"", self.model.weights):
            raise ContainerError(
                f"the file was written with the private weights {picture.weights.hex()}; this codec has "
                f"{self.model.weights.hex()} ({self.model.source}): give the weights that wrote it, --model or "
                "load_codec(PATH)"
            )
        return picture

    def _streams(self, streams: Sequence[Stream]) -> list[Tensor]:
        """Coded pictures of any sizes -> uint8 [3, H, W] each, on the device."""
        results: list[Any] = [None] * len(streams)
        for group in self._groups([(s.header.height, s.header.width) for s in streams]):
            headers = [streams[i].header for i in group]
            coded = [(streams[i].header, memoryview(streams[i].payload)) for i in group]
            pixels = self.model.reconstruct(
                decode_payloads(self.model.context, coded, self.threads),
                [h.quality for h in headers],
                [h.aligned for h in headers],
                headers[0].height,
                headers[0].width,
            )
            for i, image in zip(group, pixels, strict=True):
                results[i] = image
        return results

    # ------------------------------------------------------------------------------------------------ insight

    def probe(self, data: Bytes, max_pixels: int = DECODED_PIXELS) -> Info:
        """``Info`` of a file; decodes no pixels."""
        model = self.model

        def context(header: Header) -> ContextModel | None:
            own = header.model == model.number and header.weights in (b"", model.weights)
            return model.context if own else known_context(header)

        return inspected(data, max_pixels, context)

    @undisturbed
    def region_levels(
        self, image: ImageLike, quality: int = DEFAULT_QUALITY, aligned: bool | None = None
    ) -> NDArray[np.uint8]:
        """What RAP decides for an image: levels uint8 [ceil(h/32), ceil(w/32)]."""
        self._check_options(quality, None, None, 0)
        aligned = None if aligned is None else flag("aligned", aligned)
        return best_drafts(self.model, [to_rgb(image)], quality, 0, aligned)[0].levels

    @undisturbed
    def embed(self, images: Sequence[ImageLike]) -> Tensor:
        """Identity embeddings of images of one size: float [N, D], unit length. Needs a recogniser."""
        return self.model.embed([to_rgb(image) for image in images])

    # ------------------------------------------------------------------------------------------------ helpers

    def _groups(self, sizes: Sequence[tuple[int, ...]]) -> Iterator[list[int]]:
        """Lists of indexes of one (height, width) each, as many as the networks take at once."""
        by_size: dict[tuple[int, ...], list[int]] = {}
        for i, size in enumerate(sizes):
            by_size.setdefault(tuple(size), []).append(i)
        bound = PIXELS_AT_ONCE["cpu" if self.model.device.type == "cpu" else "cuda"]
        for (height, width), indexes in by_size.items():
            step = max(1, bound // (height * width))
            for start in range(0, len(indexes), step):
                yield indexes[start : start + step]

    def _check_options(self, quality: Any, max_bytes: Any, min_similarity: Any, effort: Any) -> None:
        integer("quality", quality, 1, 100)
        integer("effort", effort, 0, 3)
        if max_bytes is not None and min_similarity is not None:
            raise InvalidInputError("max_bytes and min_similarity exclude each other: give one")
        if max_bytes is not None:
            integer("max_bytes", max_bytes, 1)
        if min_similarity is not None:
            number("min_similarity", min_similarity, -1, 1)
            if self.model.looks_through is None:
                self.embed([])


def array_of(pixels: Tensor) -> NDArray[np.uint8]:
    """uint8 [3, H, W] -> uint8 [H, W, 3] on the CPU."""
    out: NDArray[np.uint8] = pixels.permute(1, 2, 0).contiguous().cpu().numpy()
    return out


def composed(picture: Picture, streams: Sequence[Tensor]) -> Tensor:
    """What a picture shows, uint8 [3, H, W]; its streams' pixels uint8 [3, h, w] in their order."""
    if picture.plain:
        return streams[0]
    arrays = [array_of(stream) for stream in streams]
    background = None if picture.background is None else arrays.pop(0)
    painted = [(pixels, layer.place) for pixels, layer in zip(arrays, picture.layers, strict=True)]
    shown = compose(background, picture.exponent, painted, picture.width, picture.height)
    return torch.from_numpy(shown).to(streams[0].device).permute(2, 0, 1)


def check_image(width: int, height: int, aligned: bool | None) -> None:
    """Refuse what the container can't hold."""
    check_size(width, height)
    if aligned and (width, height) != (SIDE, SIDE):
        raise InvalidInputError(f"aligned=True needs {SIDE} x {SIDE} pixels; found {width} x {height}")


_codecs: dict[tuple[str, str, str | None, int], Codec] = {}
_private: dict[bytes, Codec] = {}  # by the digest that files carry
_codecs_guard = threading.Lock()


def load_codec(
    name: str | os.PathLike[str] = DEFAULT_MODEL,
    device: str | torch.device = "cpu",
    recognizer: AnyRecognizer = "bundled",
    threads: int = 1,
) -> Codec:
    """A ``Codec`` of a bundled model or a file. Without a recogniser of the caller's it is loaded once and shared."""
    threads = integer("threads", threads, 0, 256)
    if not (recognizer is None or isinstance(recognizer, str)):
        return Codec(name, device, recognizer, threads)
    with _codecs_guard:
        key = (str(name), str(device), recognizer, threads)
        if key not in _codecs:
            codec = _codecs[key] = Codec(name, device, recognizer, threads)
            if codec.model.weights:
                _private[codec.model.weights], private_contexts[codec.model.weights] = codec, codec.model.context
        return _codecs[key]


def travelled(
    weights: str | tuple[dict[str, NDArray[Any]], dict[str, str]],
    source: str,
    device: str,
    recognizer: AnyRecognizer,
    threads: int,
) -> Codec:
    """A codec where it was sent to by pickle: of a bundled model by its name, else of the weights that came with it."""
    if isinstance(weights, str):
        return Codec(weights, device, recognizer, threads)
    codec = Codec.__new__(Codec)
    codec.model, codec.threads = made_of(*weights, source, device, recognizer), threads
    return codec


def encode(image: ImageLike, **options: Unpack[EncodeOptions]) -> bytes:
    """One image -> bytes with the default model; options as for ``Codec.encode_batch``."""
    return load_codec().encode(image, **options)


def decode(data: Bytes, max_pixels: int = DECODED_PIXELS) -> Image.Image:
    """Bytes -> PIL image, RGB, the size that went in. Files of private weights need ``load_codec`` of these before."""
    picture = read(data, max_pixels)
    if picture.model == PRIVATE:
        if picture.weights in _private:
            return _private[picture.weights].decode(data, max_pixels)
        raise ContainerError(
            f"the file was written with private weights{f', {picture.weights.hex()}' if picture.weights else ''}: "
            "decode it with load_codec(PATH OF THE WEIGHTS).decode"
        )
    return load_codec(MODELS[picture.model]).decode(data, max_pixels)
