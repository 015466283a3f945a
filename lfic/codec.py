"""The whole chain, written top to bottom, once.

image -> analysis -> region levels -> pooled symbols -> context model + range coder -> container -> bytes
bytes -> container -> range coder + context model -> dequantise, unpool -> synthesis -> image
"""

import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Unpack, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .encoder import rate_control
from .encoder.choose import best_drafts
from .encoder.draft import files
from .encoder.options import EncodeOptions
from .encoder.rate_control import DEFAULT_QUALITY
from .errors import ContainerError, InvalidInputError
from .format import container
from .format.container import MAX_PIXELS, MODELS, PRIVATE, Bytes
from .format.geometry import SIDE
from .format.payload import decode_payloads
from .format.probe import Info, probe
from .image import ImageLike, to_rgb
from .metric.identity import Recognizer
from .network.load import Model, load

DEFAULT_MODEL = "face-v1"
PIXELS_AT_ONCE = {"cpu": 16 * SIDE**2, "cuda": 512 * SIDE**2}  # of a batch; more falls out of a CPU core's cache


class Codec:
    """A loaded model's two directions. Safe to call from several threads; its state does not change.

    Args:
        name: bundled model ("face-v1") or path of a .safetensors file.
        device: where the networks run; the coder always runs on the CPU.
        recognizer: ``lfic.metric.identity.Recognizer`` for ``min_similarity``, ``embed`` and the search of higher
            efforts; None: those that need one say so.
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
        recognizer: Recognizer | None = None,
        threads: int = 1,
    ) -> None:
        self.model: Model = load(name, device, recognizer)
        self.threads = threads

    # ------------------------------------------------------------------------------------------------ encoding

    def encode(self, image: ImageLike, **options: Unpack[EncodeOptions]) -> bytes:
        """One image -> bytes; options as for ``encode_batch``."""
        return self.encode_batch([image], **options)[0]

    def encode_batch(
        self,
        images: Sequence[ImageLike],
        quality: int = DEFAULT_QUALITY,
        max_bytes: int | None = None,
        min_similarity: float | None = None,
        effort: int = 0,
        aligned: bool | None = None,
        checksum: bool = True,
    ) -> list[bytes]:
        """Images -> list of bytes.

        Args:
            images: PIL images, uint8 ndarrays [H, W, 3] or uint8 tensors [3, H, W]; sizes may differ.
            quality: 1 to 100; used where neither bound below is given.
            max_bytes: the file has at most so many bytes: the quality at which it fits while one more would not. Where
                not even quality 1 does, every region is pooled to level 2 and the search starts again.
            min_similarity: the smallest quality whose reconstruction has at least this cosine similarity of identity
                embeddings, -1 to 1; needs a recogniser.
            effort: 0 takes what the analysis network says. 1 to 3 improve it by the gradient of the loss that the
                model was trained with: 1 the features in six steps, 2 in twelve, 3 in 24, region levels and single
                symbols as well; each takes longer than the one before. Identity counts where there is a recogniser;
                without one they serve pixels alone, at some cost of likeness.
            aligned: True: the faces stand on the 112 x 112 template; False: they do not; None: of a 112 x 112 image
                that is told from what it costs, and in doubt it is coded both ways and the smaller file is kept.
            checksum: two more bytes that tell nearly all damage.

        Raises:
            InvalidInputError: an option out of range, an image that is none, a bound that can't be met.
            MissingDependencyError: an option needs a recogniser and the codec has none.
        """
        self._check_options(quality, max_bytes, min_similarity, effort)
        if isinstance(images, (Image.Image, str, bytes)):
            raise InvalidInputError(
                f"encode_batch takes a list of images; found one {type(images).__name__}: use encode for one image"
            )
        pixels = [to_rgb(image) for image in images]
        for array in pixels:
            check_image(array.shape[1], array.shape[0], aligned)
        model = self.model
        if max_bytes is not None:
            return [rate_control.largest_quality(model, p, max_bytes, effort, aligned, checksum) for p in pixels]
        if min_similarity is not None:
            return [rate_control.smallest_file(model, p, min_similarity, effort, aligned, checksum) for p in pixels]
        out = [b""] * len(pixels)
        for group in self._groups([p.shape[:2] for p in pixels]):
            drafts = best_drafts(model, [pixels[i] for i in group], quality, effort, aligned)
            for i, blob in zip(group, files(model, drafts, checksum, self.threads), strict=True):
                out[i] = blob
        return out

    # ------------------------------------------------------------------------------------------------ decoding

    def decode(self, data: Bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
        """Bytes -> PIL image, RGB, the size that went in. Raises ``LficError`` subclasses for anything else."""
        return self.decode_batch([data], max_pixels=max_pixels)[0]

    @overload
    def decode_batch(
        self, blobs: Sequence[Bytes], out: Literal["pil"] = "pil", max_pixels: int = MAX_PIXELS
    ) -> list[Image.Image]: ...
    @overload
    def decode_batch(
        self, blobs: Sequence[Bytes], out: Literal["numpy"], max_pixels: int = MAX_PIXELS
    ) -> list[NDArray[np.uint8]]: ...
    @overload
    def decode_batch(self, blobs: Sequence[Bytes], out: Literal["tensor"], max_pixels: int = MAX_PIXELS) -> Tensor: ...
    def decode_batch(self, blobs: Sequence[Bytes], out: str = "pil", max_pixels: int = MAX_PIXELS) -> Any:
        """List of bytes -> list of PIL images ("pil") or ndarrays ("numpy"), or a uint8 tensor [N, 3, H, W] ("tensor").

        "tensor" needs files of one size; its result stays on the codec's device.

        Raises:
            ContainerError: no lfic file, or one that this codec's model did not write, or more than ``max_pixels``.
            CorruptStreamError: damage.
        """
        if out not in ("pil", "numpy", "tensor"):
            raise InvalidInputError(f"out is {out!r}; allowed are 'pil', 'numpy' and 'tensor'")
        read = [container.read(blob, max_pixels) for blob in blobs]
        for header, _ in read:
            if header.model != self.model.number:
                raise ContainerError(
                    f"the file was written by model {MODELS[header.model]}; this codec has "
                    f"{MODELS[self.model.number]}: load the codec that wrote it"
                )
        sizes = {(h.height, h.width) for h, _ in read}
        if out == "tensor" and len(sizes) > 1:
            raise InvalidInputError(f"out='tensor' needs files of one size; found {sorted(sizes)}")
        results: list[Any] = [None] * len(read)
        for group in self._groups([(h.height, h.width) for h, _ in read]):
            pixels = self._pixels([read[i] for i in group])
            if out == "tensor":
                found: Sequence[Any] = list(pixels)
            else:
                found = list(pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy())
            for i, image in zip(group, found, strict=True):
                results[i] = Image.fromarray(image) if out == "pil" else image
        if out == "tensor":
            empty = torch.zeros(0, 3, 0, 0, dtype=torch.uint8, device=self.model.device)
            return torch.stack(results) if results else empty
        return results

    def _pixels(self, read: Sequence[tuple[container.Header, memoryview]]) -> Tensor:
        """Headers and payloads of files of one size -> uint8 [N, 3, H, W]."""
        headers = [header for header, _ in read]
        return self.model.reconstruct(
            decode_payloads(self.model.context, read, self.threads),
            [h.quality for h in headers],
            [h.aligned for h in headers],
            headers[0].height,
            headers[0].width,
        )

    # ------------------------------------------------------------------------------------------------ insight

    def probe(self, data: Bytes, max_pixels: int = MAX_PIXELS) -> Info:
        """``Info`` of a file; decodes no pixels."""
        return probe(data, max_pixels, self.model.context)

    def region_levels(
        self, image: ImageLike, quality: int = DEFAULT_QUALITY, aligned: bool | None = None
    ) -> NDArray[np.uint8]:
        """What RAP decides for an image: levels uint8 [ceil(h/32), ceil(w/32)]."""
        self._check_options(quality, None, None, 0)
        return best_drafts(self.model, [to_rgb(image)], quality, 0, aligned)[0].levels

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
        if not is_integer(quality) or not 1 <= quality <= 100:
            raise InvalidInputError(f"quality is {quality!r}; allowed are the integers 1 to 100")
        if not is_integer(effort) or not 0 <= effort <= 3:
            raise InvalidInputError(f"effort is {effort!r}; allowed are the integers 0 to 3")
        if max_bytes is not None and min_similarity is not None:
            raise InvalidInputError("max_bytes and min_similarity exclude each other: give one")
        if max_bytes is not None and (not is_integer(max_bytes) or max_bytes < 1):
            raise InvalidInputError(f"max_bytes is {max_bytes!r}; an integer of at least 1 is needed")
        if min_similarity is not None:
            if not isinstance(min_similarity, (int, float, np.number)) or not -1 <= min_similarity <= 1:
                raise InvalidInputError(f"min_similarity is {min_similarity!r}; allowed are -1 to 1")
            if self.model.recognizer is None:
                self.embed([])


def is_integer(value: Any) -> bool:
    """Python's and numpy's integers; not bool, which is a mistake wherever a number is meant."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def check_image(width: int, height: int, aligned: bool | None) -> None:
    """Refuse what the container can't hold."""
    if width * height > MAX_PIXELS or max(width, height) > container.MAX_SIDE:
        raise InvalidInputError(
            f"the image is {width} x {height}; allowed are {MAX_PIXELS} pixels and {container.MAX_SIDE} a side: "
            "shrink it or cut it"
        )
    if aligned and (width, height) != (SIDE, SIDE):
        raise InvalidInputError(f"aligned=True needs {SIDE} x {SIDE} pixels; found {width} x {height}")


_codecs: dict[tuple[str, str, int], Codec] = {}
_codecs_guard = threading.Lock()


def load_codec(
    name: str | os.PathLike[str] = DEFAULT_MODEL,
    device: str | torch.device = "cpu",
    recognizer: Recognizer | None = None,
    threads: int = 1,
) -> Codec:
    """A ``Codec`` of a bundled model or a file. Without a recogniser it is loaded once and shared."""
    if recognizer is not None:
        return Codec(name, device, recognizer, threads)
    with _codecs_guard:
        key = (str(name), str(device), threads)
        if key not in _codecs:
            _codecs[key] = Codec(name, device, None, threads)
        return _codecs[key]


def encode(image: ImageLike, **options: Unpack[EncodeOptions]) -> bytes:
    """One image -> bytes with the default model; options as for ``Codec.encode_batch``."""
    return load_codec().encode(image, **options)


def decode(data: Bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Bytes -> PIL image, RGB, the size that went in."""
    header, _ = container.read(data, max_pixels)
    if header.model == PRIVATE:
        raise ContainerError(
            "the file was written with private weights: decode it with load_codec(PATH OF THE WEIGHTS).decode"
        )
    return load_codec(MODELS[header.model]).decode(data, max_pixels)
