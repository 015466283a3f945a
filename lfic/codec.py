"""The whole chain, written top to bottom, once.

image -> analysis -> region levels -> pooled symbols -> context model + range coder -> container -> bytes
bytes -> container -> range coder + context model -> dequantise, unpool -> synthesis -> image
"""

import dataclasses
import functools
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NoReturn, TypeAlias, Unpack, cast, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .extras import needed

with needed():
    import torch
    from torch import Tensor

from .arguments import flag, images_of, integer, is_integer, one_of, sequence_of
from .batch.cores import coder_threads
from .batch.decode import Decoded, decoded
from .batch.encode import plain_files
from .batch.failures import Failures
from .batch.pictures import Pictures
from .batch.pieces import pieces
from .batch.stages import stage
from .coder import ContextModel
from .decoder import DecodedFace, bare_of, image_of, private
from .decoder import load as load_decoder
from .encoder import layers, rate_control
from .encoder.choose import best_drafts
from .encoder.draft import files
from .encoder.options import DEFAULT_MODEL as DEFAULT_MODEL
from .encoder.options import (
    BatchOptions,
    Faces,
    Resolution,
    SharedOptions,
    check_bounds,
    check_image,
    check_resolution,
)
from .encoder.rate_control import DEFAULT_QUALITY
from .encoder.resolution import TOGETHER, all_reduced, as_reduced, largest_reduced
from .errors import ContainerError, CorruptStreamError, InvalidInputError, LficError
from .files import FileState, file_state
from .format import bare
from .format.bare import Container, read_as
from .format.compose import compose, may_shrink
from .format.container import DECODED_PIXELS, MAX_PIXELS, MODELS, PRIVATE, Bytes, Header
from .format.container import usual as usual_file
from .format.geometry import SIDE
from .format.layers import Picture, Stream, as_grey
from .format.look import Look, checked_look
from .format.probe import Info, inspected, known_context
from .format.weights import load_arrays, private_contexts, weights_path
from .image import ImageLike, to_rgb
from .metric.identity import load_recognizer
from .network.arithmetic import DTYPES, Precision
from .network.load import AnyRecognizer, Model, load, made_of
from .network.surroundings import undisturbed

Images: TypeAlias = Sequence[ImageLike] | Tensor | NDArray[np.uint8]


class Codec:
    """A loaded model's two directions. Safe to call from several threads; its state does not change.

    Args:
        name: bundled model ("face-v2", "face-v1") or path of a .safetensors file.
        device: where the networks run; the coder always runs on the CPU.
        recognizer: ``lfic.metric.Recognizer`` for ``min_similarity``, ``embed`` and the search of higher efforts, or
            the path of one; "bundled": the one that ships, loaded when first needed; None: efforts serve pixels alone,
            and what needs one says so.
        threads: coder threads of a batch, 1 to 256, or 0 for one a core (one in a process whose torch was told to use
            one, as in the workers of a pool).
        precision: "float32", or "bfloat16" or "float16", in which convolutions are faster on many devices; files are
            a little other ones then, and decode as any, pixels differ by a level or two.

    Attributes: ``model`` (``lfic.network.load.Model``), ``threads``.

    Raises:
        WeightsError: no such model, or a damaged file.
        InvalidInputError: a device that torch can't use here.
    """

    def __init__(
        self,
        name: str | os.PathLike[str] = DEFAULT_MODEL,
        device: str | torch.device = "cpu",
        recognizer: AnyRecognizer | os.PathLike[str] | str = "bundled",
        threads: int = 0,
        precision: Precision = "float32",
    ) -> None:
        threads = integer("threads", threads, 0, 256)
        if isinstance(recognizer, (str, os.PathLike)) and str(recognizer) != "bundled":
            recognizer = load_recognizer(str(recognizer), device)  # a bad file is told here
        self.model: Model = load(name, device, cast(AnyRecognizer, recognizer), precision)
        self.threads = threads

    def __reduce__(self) -> tuple[Any, ...]:
        model = self.model
        weights = model.source if model.number != PRIVATE else load_arrays(model.source)
        return travelled, (weights, model.source, str(model.device), model.looks_through, self.threads, model.dtype)

    # ------------------------------------------------------------------------------------------------ encoding

    def encode(self, image: ImageLike, *, faces: Faces = None, **options: Unpack[SharedOptions]) -> bytes:
        """One image -> bytes; options as for ``encode_batch``. faces: None, "auto" or landmarks of each face."""
        return self.encode_batch([image], faces=[faces], **options)[0]

    @overload
    def encode_batch(
        self, images: Images, *, errors: Literal["return"], **options: Unpack[BatchOptions]
    ) -> list[bytes | LficError]: ...
    @overload
    def encode_batch(
        self,
        images: Images,
        quality: int | Sequence[int] | None = None,
        max_bytes: int | None = None,
        min_similarity: float | None = None,
        effort: int = 0,
        aligned: bool | None = None,
        checksum: bool = True,
        faces: Faces | Sequence[Faces] = None,
        face_quality: int | None = None,
        background_quality: int | None = None,
        container: Container = "file",
        resolution: Resolution = "auto",
        errors: Literal["raise"] = "raise",
    ) -> list[bytes]: ...
    @undisturbed
    def encode_batch(
        self,
        images: Images,
        quality: int | Sequence[int] | None = None,
        max_bytes: int | None = None,
        min_similarity: float | None = None,
        effort: int = 0,
        aligned: bool | None = None,
        checksum: bool = True,
        faces: Faces | Sequence[Faces] = None,
        face_quality: int | None = None,
        background_quality: int | None = None,
        container: Container = "file",
        resolution: Resolution = "auto",
        errors: str = "raise",
    ) -> Any:
        """Images -> list of bytes.

        Args:
            images: PIL images, uint8 ndarrays [H, W, 3] or uint8 tensors [3, H, W]; sizes may differ. Or one uint8
                tensor [N, 3, H, W] or ndarray [N, H, W, 3]. Tensors may lie on any device; those on the codec's stay.
            quality: 1 to 100, or one for each image; 40 where neither it nor a bound is given.
            max_bytes: the file has at most so many bytes: the quality at which it fits while one more would not. Where
                not even quality 1 does, every region is pooled to level 2, and then a picture larger than a face is
                coded at less and less of its size.
            min_similarity: the smallest quality at which the recogniser finds the decoded face that like the original,
                -1 to 1: 1 is the same picture, 0 another person. Of a picture with layers it is asked of every face.
            effort: 0 takes what the analysis network says. 1 to 3 improve it by the gradient of the loss that the
                model was trained with, where identity weighs more: 1 the features in six steps, 2 in twelve, 3 in 24,
                region levels and single symbols as well; each takes longer than the one before. Identity counts on
                aligned faces, through the codec's recogniser; without one they serve pixels alone, at some cost of
                likeness.
            aligned: True: the faces stand on the 112 x 112 template; False: they do not; None: of a 112 x 112 image
                that is told from what the template's positions save.
            checksum: two more bytes that tell nearly all damage.
            faces: None: pictures are coded whole. "auto": the faces that a detector finds become layers of their own
                over a coarse background (none where facenet-pytorch is not installed, or of a 112 x 112 image, which
                is a face). Or one entry an image: None, "auto", or landmarks, float [5, 2] in pixels of each face.
            face_quality, background_quality: 1 to 100, of a picture with layers; ``quality`` and what goes with it by
                default. The background's scale reaches lower than that of faces: below 63 it is coded at seven eighths
                to an eighth of its sides. A face that is larger than 112 x 112 in its picture is coded with 224
                or 448 pixels a side from quality 60 on, unless ``min_similarity`` is what is asked for. Under
                ``max_bytes`` what is not given here is found.
            container: "bare": no checksum, and 1 byte of header for an aligned face; only who knows what the bytes are
                can read them.
            resolution: of a picture without layers. "auto": below quality 63 it is coded at seven to five eighths of
                its sides, of 112 pixels at least, unless it is too sharp for that (above quality 15), and at less where
                ``max_bytes`` asks for it; decoded it has its own size again. "full": never, and never under
                ``min_similarity``.
            errors: "raise": the first picture that can't be coded ends the call; the error says which, where there are
                several. "return": the others are coded, and the list has the ``LficError`` in its place.

        One call gives the same bytes whenever it is made. Where a picture is coded with others its features may differ
        in their last bits from what they are alone or on another device, and then some symbol falls to the other side:
        a few bytes of one face in fifty, at the highest qualities. All such files decode to what they hold.

        Raises:
            InvalidInputError: an option out of range, an image that is none, a bound that can't be met.
            MissingDependencyError: an option needs a recogniser and the codec has none.
        """
        check_bounds(quality, max_bytes, min_similarity, effort, face_quality, background_quality)
        if min_similarity is not None and self.model.looks_through is None:
            self.embed([])
        bare.check_form(container)
        check_resolution(resolution)
        short = container == "bare"
        checksum = flag("checksum", checksum) and not short
        aligned = None if aligned is None else flag("aligned", aligned)
        images = images_of("encode_batch", images, "use encode for one image")
        qualities = each_quality(quality, len(images))
        failed = Failures(errors, len(images), "image")
        pictures = Pictures(
            images, self.model.device, lambda width, height: check_image(width, height, aligned), failed
        )
        out: list[bytes] = [b""] * len(pictures)
        photos = self._photos(pictures, faces, aligned, failed)
        for i, photo in photos.items():
            try:
                if max_bytes is not None:
                    out[i] = layers.largest_layered(
                        self.model, photo, max_bytes, face_quality, background_quality, effort, checksum
                    )
                    continue
                face = qualities[i] if face_quality is None else face_quality
                asked = min_similarity is not None
                if min_similarity is not None:
                    face = layers.least_face_quality(self.model, photo, min_similarity, effort)
                behind = layers.background_for(face) if background_quality is None else background_quality
                threads = coder_threads(self.threads)
                out[i] = layers.layered_file(
                    self.model, photo, face, behind, effort, checksum, threads, large=not asked
                )
            except LficError as error:
                failed(i, error)
        rest = [i for i in pictures.indexes if i not in photos and i not in failed.found]
        bounds = max_bytes, min_similarity
        if bounds == (None, None):
            small = [i for i in rest if resolution == "auto" and may_shrink(*pictures.sizes[i][::-1], qualities[i])]
            for first in range(0, len(small), TOGETHER):
                arrays = {i: pictures.array(i) for i in small[first : first + TOGETHER]}
                self._code_small(arrays, qualities, effort, checksum, out)
            rest = [i for i in rest if not out[i]]
        if bounds == (None, None) and not effort:
            plain_files(self.model, pictures, rest, qualities, aligned, checksum, self.threads, out.__setitem__, short)
        else:
            auto = resolution == "auto"
            self._searched(
                pictures, rest, qualities, *bounds, effort, aligned, checksum, short, auto, out.__setitem__, failed
            )
        with stage("grey"):
            for i in pictures.grey():
                out[i] = as_grey(out[i])
        return failed.among(out)

    def _searched(
        self,
        pictures: Pictures,
        rest: Sequence[int],
        qualities: Sequence[int],
        max_bytes: int | None,
        min_similarity: float | None,
        effort: int,
        aligned: bool | None,
        checksum: bool,
        bare: bool,
        auto: bool,
        put: Callable[[int, bytes], None],
        failed: Failures,
    ) -> None:
        """Pictures without layers whose quality has to be found, or which an effort improves."""
        model = self.model
        manner = rate_control.Manner(effort, aligned, checksum, coder_threads(self.threads), bare)
        for group in pieces(pictures.sizes, model.device, rest):
            if max_bytes is None and min_similarity is None:
                drafts = best_drafts(model, pictures.tensor(group), [qualities[i] for i in group], effort, aligned)
                for i, blob in zip(group, manner.files(model, drafts), strict=True):
                    put(i, blob)
                continue
            pixels = pictures.tensor(group)
            if max_bytes is None:
                found = rate_control.smallest_files(model, pixels, cast(float, min_similarity), manner)
                for i, result in zip(group, found, strict=True):
                    if isinstance(result, bytes):
                        put(i, result)
                    else:
                        failed(i, result)
                continue

            def smaller(
                picture: int, quality: int, group: Sequence[int] = group, max_bytes: int = max_bytes
            ) -> bytes | None:
                i = group[picture]
                if not (auto and may_shrink(*pictures.sizes[i][::-1], max(quality, 1))):
                    return None
                return largest_reduced(model, pictures.array(i), quality, max_bytes, manner)

            largest = rate_control.largest_files(model, pixels, max_bytes, manner, instead=smaller)
            for i, best in zip(group, largest, strict=True):
                try:
                    pixels_of = functools.partial(pictures.array, i)
                    put(i, layers.fitting(model, pixels_of, best, max_bytes, checksum, auto))
                except InvalidInputError as error:
                    failed(i, error)

    def _code_small(
        self,
        arrays: Mapping[int, NDArray[np.uint8]],
        quality: Sequence[int],
        effort: int,
        checksum: bool,
        out: list[bytes],
    ) -> None:
        """The files of those pictures, by index, that are coded smaller than they are."""
        found = all_reduced(arrays, quality, coder_threads(self.threads))
        if not found:
            return
        small, coded = list(found.values()), [b""] * len(found)
        pictures = Pictures([one.pixels for one in small], self.model.device, lambda width, height: None, raised)
        qualities, among = [one.quality for one in small], range(len(small))
        if not effort:
            plain_files(self.model, pictures, among, qualities, False, checksum, self.threads, coded.__setitem__)
        for group in pieces(pictures.sizes, self.model.device, among) if effort else ():
            drafts = best_drafts(self.model, pictures.tensor(group), [qualities[i] for i in group], effort, False)
            for i, data in zip(group, files(self.model, drafts, checksum, coder_threads(self.threads)), strict=True):
                coded[i] = data
        for i, data, one in zip(found, coded, small, strict=True):
            out[i] = as_reduced(data, one)

    def _photos(
        self, pictures: Pictures, faces: Faces | Sequence[Faces], aligned: bool | None, failed: Failures
    ) -> dict[int, layers.Photo]:
        """The pictures that have layers, by index."""
        if faces is None:
            return {}
        faces = [faces] * len(pictures) if isinstance(faces, str) else sequence_of("faces", faces)
        if len(faces) != len(pictures):
            raise InvalidInputError(
                f"faces has {len(faces)} entries for {len(pictures)} images: give one for each, None, 'auto' or "
                "landmarks"
            )
        found = {}
        for i in pictures.indexes:
            try:
                places = layers.chosen_places(
                    faces[i],
                    functools.partial(pictures.array, i),
                    pictures.sizes[i],
                    aligned,
                    str(self.model.device),
                )
            except LficError as error:
                failed(i, error)
                continue
            if places:
                found[i] = layers.Photo(pictures.array(i), places)
        return found

    # ------------------------------------------------------------------------------------------------ decoding

    def decode(
        self,
        data: Bytes,
        max_pixels: int = DECODED_PIXELS,
        container: Container = "file",
        look: Look = "faithful",
    ) -> Image.Image:
        """Bytes -> PIL image, RGB, or L of a grey picture, the size that went in. look as for ``decode_batch``. Raises
        ``LficError`` subclasses for anything else."""
        return self.decode_batch([data], max_pixels=max_pixels, container=container, look=look)[0]

    @overload
    def decode_batch(
        self,
        blobs: Sequence[Bytes],
        out: Literal["pil"] = "pil",
        max_pixels: int = DECODED_PIXELS,
        errors: Literal["raise"] = "raise",
        container: Container = "file",
        look: Look = "faithful",
    ) -> list[Image.Image]: ...
    @overload
    def decode_batch(
        self,
        blobs: Sequence[Bytes],
        out: Literal["numpy"],
        max_pixels: int = DECODED_PIXELS,
        errors: Literal["raise"] = "raise",
        container: Container = "file",
        look: Look = "faithful",
    ) -> list[NDArray[np.uint8]]: ...
    @overload
    def decode_batch(
        self,
        blobs: Sequence[Bytes],
        out: Literal["tensor"],
        max_pixels: int = DECODED_PIXELS,
        errors: Literal["raise"] = "raise",
        container: Container = "file",
        look: Look = "faithful",
    ) -> Tensor: ...
    @overload
    def decode_batch(
        self,
        blobs: Sequence[Bytes],
        out: Literal["pil"] = "pil",
        max_pixels: int = DECODED_PIXELS,
        *,
        errors: Literal["return"],
        container: Container = "file",
        look: Look = "faithful",
    ) -> list[Image.Image | LficError]: ...
    @overload
    def decode_batch(
        self,
        blobs: Sequence[Bytes],
        out: Literal["numpy"],
        max_pixels: int = DECODED_PIXELS,
        *,
        errors: Literal["return"],
        container: Container = "file",
        look: Look = "faithful",
    ) -> list[NDArray[np.uint8] | LficError]: ...
    @overload
    def decode_batch(
        self,
        blobs: Sequence[Bytes],
        out: Literal["tensor"],
        max_pixels: int = DECODED_PIXELS,
        *,
        errors: Literal["return"],
        container: Container = "file",
        look: Look = "faithful",
    ) -> list[Tensor | LficError]: ...
    @undisturbed
    def decode_batch(
        self,
        blobs: Sequence[Bytes],
        out: str = "pil",
        max_pixels: int = DECODED_PIXELS,
        errors: str = "raise",
        container: Container = "file",
        look: Look = "faithful",
    ) -> Any:
        """List of bytes -> list of PIL images ("pil") or ndarrays ("numpy"), or a uint8 tensor [N, 3, H, W] ("tensor").

        "tensor" needs files of one size; its result stays on the codec's device. errors: "raise": the first bad file
        ends the call; the error says which, where there are several. "return": the others are decoded, and the list has
        the ``LficError`` in its place; "tensor" then gives a list of tensors [3, H, W] of any sizes. container: "bare"
        for bare streams; files are read then as well. look: "vivid": by another synthesis, which is sharper and invents
        detail, for people who look and never for recognisers; a CPU computes it, in integers, whatever the device.

        Raises:
            WeightsError: weights without that look.
            ContainerError: no lfic file, or one that this codec's model did not write, or more than ``max_pixels``.
            CorruptStreamError: damage.
        """
        one_of("out", out, "pil", "numpy", "tensor")
        model = self.model if checked_look(look) == "faithful" else self._vivid
        blobs = sequence_of("blobs", blobs)
        failed = Failures(errors, len(blobs), "file")
        pictures: dict[int, Picture] = {}  # those of several streams
        streams: list[tuple[Header, Bytes]] = []
        owners: list[int] = []
        sizes: set[tuple[int, int]] = set()
        with stage("headers"):
            for i, blob in enumerate(blobs):
                try:
                    usual = usual_file(blob, max_pixels)
                    if usual is not None and usual[0].model in self.model.numbers:
                        streams.append(usual)
                        owners.append(i)
                        sizes.add((SIDE, SIDE))
                        continue
                    picture = self._read(blob, max_pixels, container)
                except LficError as error:
                    failed(i, error)
                    continue
                if not picture.plain:
                    pictures[i] = picture
                sizes.add((picture.height, picture.width))
                streams += [(stream.header, stream.payload) for stream in picture.streams]
                owners += [i] * len(picture.streams)
        whole = out == "tensor" and errors == "raise"
        if whole and len(sizes) > 1:
            raise InvalidInputError(f"out='tensor' needs files of one size; found {sorted(sizes)}")
        batch = torch.empty(
            (len(blobs), 3, *(next(iter(sizes)) if sizes else (0, 0))) if whole else (0, 3, 0, 0),
            dtype=torch.uint8,
            device=self.model.device,
        )
        shown: list[Any] = [None] * len(blobs)
        parts: dict[int, dict[int, Tensor]] = {i: {} for i in pictures}
        for piece in decoded(model, streams, self.threads):
            for k, reason in piece.wrong.items():
                failed(owners[piece.indexes[k]], CorruptStreamError(reason))
            if pictures:
                for stream, pixels in zip(piece.indexes, piece.pixels, strict=True):
                    if owners[stream] in parts:
                        parts[owners[stream]][stream] = pixels
            if piece.pixels.device != self.model.device:
                piece = dataclasses.replace(piece, pixels=piece.pixels.to(self.model.device))
            with stage("result"):
                keep(piece, owners, parts, batch if whole else None, shown, out)
        for i, picture in pictures.items():
            if i in failed.found:
                continue
            pixels = composed(picture, [found for _, found in sorted(parts[i].items())], self.model.device)
            if whole:
                batch[i] = pixels
            else:
                shown[i] = as_wanted(pixels, out, picture.grey)
        return batch if whole else failed.among(shown)

    @functools.cached_property
    def _vivid(self) -> Model:
        """The model with the synthesis of the other look, in integers."""
        shown, template, former = load_decoder(self.model.source, "vivid"), self.model.template, self.model.former
        cpu = torch.device("cpu")
        if template is None or former is None or shown.former is None:
            return dataclasses.replace(self.model, integers=shown.network, device=cpu)
        template, former = (
            dataclasses.replace(part, integers=shown.former.network, device=cpu) for part in (template, former)
        )
        return dataclasses.replace(self.model, template=template, former=former)

    @undisturbed
    def decode_faces(
        self, data: Bytes, max_pixels: int = DECODED_PIXELS, container: Container = "file"
    ) -> list[DecodedFace]:
        """The face layers of a file as they were coded: aligned crops, not resampled, and where they lie.

        A file of one aligned face gives that one. Whoever recognises faces in an archive needs no detector.
        """
        picture = self._read(data, max_pixels, container)
        if picture.plain:
            assert picture.background is not None
            if not picture.background.header.aligned:
                return []
            whole = np.array([[1.0, 0, 0], [0, 1, 0]])
            shown = self.decode(data, max_pixels, container).convert("RGB")
            return [DecodedFace(shown, whole, picture.background.header.quality)]
        pixels = self._streams([layer.stream for layer in picture.layers])
        return [
            DecodedFace(
                Image.fromarray(array_of(face)),
                layer.place.matrix(picture.width, picture.height, layer.size),
                layer.stream.header.quality,
            )
            for layer, face in zip(picture.layers, pixels, strict=True)
        ]

    def to_bare(self, data: Bytes, container: Container = "file") -> bytes:
        """A file -> the bare stream of the same symbols: it decodes to the same picture. A bare stream stays as it is.

        Raises:
            ContainerError, CorruptStreamError: as ``decode``.
        """
        picture = self._read(data, MAX_PIXELS, container)
        return bare_of(picture, self.model.part(picture.streams[0].header).context)

    def _read(self, data: Bytes, max_pixels: int, container: Container) -> Picture:
        """A file, or a bare stream, that this codec's model wrote."""
        picture = read_as(data, max_pixels, container)
        if picture.model not in self.model.numbers:
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
        for piece in decoded(self.model, [(s.header, s.payload) for s in streams], self.threads):
            for k, reason in piece.wrong.items():
                raise CorruptStreamError(f"layer {piece.indexes[k]}: {reason}")
            for i, image in zip(piece.indexes, piece.pixels, strict=True):
                results[i] = image
        return results

    # ------------------------------------------------------------------------------------------------ insight

    def probe(self, data: Bytes, max_pixels: int = DECODED_PIXELS, container: Container = "file") -> Info:
        """``Info`` of a file; decodes no pixels."""
        model = self.model

        def context(header: Header) -> ContextModel | None:
            own = header.model in model.numbers and header.weights in (b"", model.weights)
            return model.part(header).context if own else known_context(header)

        return inspected(data, max_pixels, context, container)

    @undisturbed
    def region_levels(
        self, image: ImageLike, quality: int = DEFAULT_QUALITY, aligned: bool | None = None
    ) -> NDArray[np.uint8]:
        """What RAP decides for an image that is coded at its own size: levels uint8 [ceil(h/32), ceil(w/32)]."""
        quality = integer("quality", quality, 1, 100)
        aligned = None if aligned is None else flag("aligned", aligned)
        return best_drafts(self.model, [to_rgb(image)], quality, 0, aligned)[0].levels

    @undisturbed
    def embed(self, images: Sequence[ImageLike]) -> Tensor:
        """Identity embeddings of images of one size: float [N, D], unit length. Needs a recogniser.

        Raises:
            InvalidInputError: one image, none, or images of several sizes.
        """
        pixels = [to_rgb(image) for image in images_of("embed", images, "give [image]")]
        sizes = sorted({array.shape[1::-1] for array in pixels})
        if len(sizes) != 1 and self.model.recognizer is not None:  # without one it is that which is said
            found = (
                f"the images have {len(sizes)} sizes, {sizes[0]} and {sizes[-1]} among them"
                if sizes
                else "there are none"
            )
            raise InvalidInputError(f"embed takes one image or more of one size; {found}")
        return self.model.embed(pixels)


def raised(index: int, error: LficError) -> NoReturn:
    """Of pictures that can all be coded."""
    raise error


def keep(
    piece: Decoded,
    owners: Sequence[int],
    layered: Mapping[int, Any],
    batch: Tensor | None,
    shown: list[Any],
    out: str,
) -> None:
    """Plain files' pixels go to their rows of ``batch``, or to their places in ``shown``."""
    rows = [k for k, stream in enumerate(piece.indexes) if owners[stream] not in layered and k not in piece.wrong]
    places = [owners[piece.indexes[k]] for k in rows]
    if not rows:
        return
    if batch is not None:
        if len(rows) == len(piece.indexes) == places[-1] + 1 - places[0]:
            batch[places[0] : places[-1] + 1] = piece.pixels
        else:
            batch[torch.tensor(places, device=batch.device)] = piece.pixels[torch.tensor(rows, device=batch.device)]
        return
    pixels = piece.pixels
    if out != "tensor":
        pixels = pixels.permute(0, 2, 3, 1).contiguous().cpu()
    for k, place in zip(rows, places, strict=True):
        if out == "tensor":
            shown[place] = pixels[k]
        else:
            array = pixels[k].numpy()
            shown[place] = image_of(array, k in piece.grey) if out == "pil" else array.copy()


def as_wanted(pixels: Tensor, out: str, grey: bool) -> Any:
    """uint8 [3, H, W] -> PIL image, ndarray or tensor."""
    if out == "tensor":
        return pixels
    return image_of(array_of(pixels), grey) if out == "pil" else array_of(pixels)


def array_of(pixels: Tensor) -> NDArray[np.uint8]:
    """uint8 [3, H, W] -> uint8 [H, W, 3] on the CPU."""
    out: NDArray[np.uint8] = pixels.permute(1, 2, 0).contiguous().cpu().numpy()
    return out


def composed(picture: Picture, streams: Sequence[Tensor], device: torch.device) -> Tensor:
    """What a picture with layers shows, uint8 [3, H, W] on a device; its streams' pixels uint8 [3, h, w] in order."""
    arrays = [array_of(stream) for stream in streams]
    background = None if picture.background is None else arrays.pop(0)
    painted = [(pixels, layer.place) for pixels, layer in zip(arrays, picture.layers, strict=True)]
    shown = compose(background, picture.reduction, painted, picture.width, picture.height)
    return torch.from_numpy(shown).to(device).permute(2, 0, 1)


def each_quality(quality: int | Sequence[int] | None, count: int) -> list[int]:
    """The quality of each of ``count`` images."""
    if quality is None:
        return [DEFAULT_QUALITY] * count
    if is_integer(quality):
        return [integer("quality", quality, 1, 100)] * count
    found = [int(q) for q in cast(Sequence[int], quality)]
    if len(found) != count:
        raise InvalidInputError(f"quality has {len(found)} entries for {count} images: give one, or one for each")
    return found


# Real path of the weights, device, recogniser, threads, precision -> the file's state, and what was loaded from it.
_codecs: dict[tuple[str, str, str | None, int, str], tuple[FileState, Codec]] = {}
_codecs_guard = threading.Lock()


def load_codec(
    name: str | os.PathLike[str] = DEFAULT_MODEL,
    device: str | torch.device = "cpu",
    recognizer: AnyRecognizer | os.PathLike[str] | str = "bundled",
    threads: int = 0,
    precision: Precision = "float32",
) -> Codec:
    """A ``Codec`` of a bundled model or a file. Without a recogniser of the caller's it is loaded once and shared, as
    long as the file stays what it is."""
    threads = integer("threads", threads, 0, 256)
    precision = cast(Precision, one_of("precision", precision, *DTYPES))
    if not (recognizer is None or (isinstance(recognizer, str) and recognizer == "bundled")):
        return Codec(name, device, recognizer, threads, precision)
    with _codecs_guard:
        state = file_state(weights_path(name))
        key = (state[0], str(device), recognizer, threads, precision)
        if key not in _codecs or _codecs[key][0] != state:
            codec = Codec(name, device, recognizer, threads, precision)
            _codecs[key] = state, codec
            if codec.model.weights:
                private[codec.model.weights], private_contexts[codec.model.weights] = codec, codec.model.context
        return _codecs[key][1]


def travelled(
    weights: str | tuple[dict[str, NDArray[Any]], dict[str, str]],
    source: str,
    device: str,
    recognizer: AnyRecognizer,
    threads: int,
    dtype: torch.dtype,
) -> Codec:
    """A codec where it was sent to by pickle: of a bundled model by its name, else of the weights that came with it."""
    if isinstance(weights, str):
        precision: Precision = next(name for name in DTYPES if DTYPES[name] == dtype)
        return Codec(weights, device, recognizer, threads, precision)
    codec = Codec.__new__(Codec)
    codec.model, codec.threads = made_of(*weights, source, device, recognizer, dtype), threads
    return codec
