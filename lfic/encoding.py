"""Picture -> bytes without effort, by integers alone: the same bytes on every machine, with numpy and Pillow and
nothing else. What integers can't do, efforts and bounds of likeness, goes to the codec, which needs torch.

picture -> csrc/network: analysis, region levels, pooling -> context model + range coder -> container -> bytes
"""

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any, Unpack, cast

import numpy as np

from . import decoder
from .arguments import flag, integer
from .batch.cores import cores
from .batch.rows import written
from .encoder import layers, rate_control
from .encoder.integers import Integers
from .encoder.options import (
    DEFAULT_MODEL,
    EncodeOptions,
    Faces,
    Resolution,
    SharedOptions,
    check_bounds,
    check_image,
    check_resolution,
)
from .encoder.rate_control import DEFAULT_QUALITY, in_rows
from .encoder.resolution import all_reduced, as_reduced, largest_reduced, reduced
from .errors import InvalidInputError
from .extras import needed
from .files import FileState, file_state
from .format import bare
from .format.bare import Container
from .format.container import PRIVATE
from .format.geometry import SIDE
from .format.grey import is_grey
from .format.integers import PREFIX
from .format.layers import as_grey
from .format.weights import private_contexts, weights_path
from .image import ImageLike, to_rgb

WORDS = frozenset(EncodeOptions.__annotations__) | frozenset(SharedOptions.__annotations__)
NEITHER = "integers encode without effort and min_similarity: lfic.load_codec() has both"


@dataclasses.dataclass(frozen=True, eq=False)
class Encoder(Integers):
    """A model without torch: ``encode`` at effort 0, and all that ``lfic.decoder.Decoder`` does."""

    def encode(
        self,
        image: ImageLike,
        *,
        quality: int | None = None,
        max_bytes: int | None = None,
        min_similarity: float | None = None,
        effort: int = 0,
        aligned: bool | None = None,
        checksum: bool = True,
        faces: Faces = None,
        face_quality: int | None = None,
        background_quality: int | None = None,
        container: Container = "file",
        resolution: Resolution = "auto",
    ) -> bytes:
        """One image -> bytes, those of ``Codec.encode``, whose options these are.

        Raises:
            InvalidInputError: an option out of range, an image that is none, a bound that can't be met, an effort or a
                bound of likeness.
        """
        check_bounds(quality, max_bytes, min_similarity, effort, face_quality, background_quality)
        bare.check_form(container)
        check_resolution(resolution)
        if effort or min_similarity is not None:
            raise InvalidInputError(NEITHER)
        short = container == "bare"
        checksum = flag("checksum", checksum) and not short
        aligned = None if aligned is None else flag("aligned", aligned)
        pixels = to_rgb(image)
        height, width = pixels.shape[:2]
        check_image(width, height, aligned)
        wanted = DEFAULT_QUALITY if quality is None else integer("quality", quality, 1, 100)
        photo = layers.Photo(pixels, layers.chosen_places(faces, lambda: pixels, (height, width), aligned))
        auto = resolution == "auto"
        data = self._coded(photo, wanted, max_bytes, aligned, checksum, face_quality, background_quality, short, auto)
        return as_grey(data) if is_grey(pixels) else data

    def encode_batch(
        self, images: Sequence[ImageLike], *, threads: int = 1, **options: Unpack[EncodeOptions]
    ) -> list[bytes]:
        """Images -> the file that ``encode`` makes of each; those of one size go through the networks together, which
        takes two thirds of the time. threads: 1 to 256, or 0 for one a core."""
        if not serves(options):
            raise InvalidInputError(NEITHER)
        integer("threads", threads, 0, 256)
        resolution = options.get("resolution", "auto")
        check_resolution(resolution)
        if unknown := sorted(set(options) - WORDS):
            raise TypeError(f"encode_batch() got an unexpected keyword argument '{unknown[0]}'")
        plain = {"quality", "aligned", "checksum", "effort", "min_similarity", "resolution"}
        if any(value is not None for name, value in options.items() if name not in plain):
            if not images:  # options are checked all the same
                bare.check_form(options.get("container", "file"))
            return [self.encode(image, **options) for image in images]
        wanted = options.get("quality")
        quality = DEFAULT_QUALITY if wanted is None else integer("quality", wanted, 1, 100)
        aligned, checksum = options.get("aligned"), flag("checksum", options.get("checksum", True))
        aligned = None if aligned is None else flag("aligned", aligned)
        pixels = [to_rgb(image) for image in images]
        for array in pixels:
            check_image(array.shape[1], array.shape[0], aligned)
        shrinking = dict(enumerate(pixels)) if resolution == "auto" else {}
        small = all_reduced(shrinking, [quality] * len(pixels), threads or cores())
        kinds: dict[tuple[tuple[int, ...], int, bool], list[int]] = {}  # by size, quality, and whether smaller
        for i, array in enumerate(pixels):
            one = small.get(i)
            kind = (array.shape, quality, False) if one is None else (one.pixels.shape, one.quality, True)
            kinds.setdefault(kind, []).append(i)
        files = [b""] * len(pixels)
        for (_, own, smaller), members in kinds.items():
            shown = [small[i].pixels if smaller else pixels[i] for i in members]
            found = self.plain(shown, own, False if smaller else aligned, checksum, False, threads)
            for i, data in zip(members, found, strict=True):
                data = as_reduced(data, small[i]) if smaller else data
                files[i] = as_grey(data) if is_grey(pixels[i]) else data
        return files

    def _coded(
        self,
        photo: layers.Photo,
        wanted: int,
        max_bytes: int | None,
        aligned: bool | None,
        checksum: bool,
        face_quality: int | None,
        background_quality: int | None,
        short: bool,
        auto: bool,
    ) -> bytes:
        """A photo's file, with layers or without, by options that have been checked."""
        pixels = photo.pixels
        if photo.places:
            if max_bytes is not None:
                return layers.largest_layered(self, photo, max_bytes, face_quality, background_quality, 0, checksum)
            face = wanted if face_quality is None else face_quality
            behind = layers.background_for(face) if background_quality is None else background_quality
            return layers.layered_file(self, photo, face, behind, 0, checksum)
        if max_bytes is None:
            small = reduced(pixels, wanted, 0) if auto else None
            if small is None:
                return self.plain([pixels], wanted, aligned, checksum, short, 0)[0]
            return as_reduced(self.plain([small.pixels], small.quality, False, checksum, False, 0)[0], small)

        def smaller(picture: int, quality: int) -> bytes | None:
            return largest_reduced(self, pixels, quality, max_bytes, manner) if auto else None

        manner = rate_control.Manner(0, aligned, checksum, bare=short)
        (best,) = rate_control.largest_files(self, self.tensor([pixels]), max_bytes, manner, instead=smaller)
        return layers.fitting(self, lambda: pixels, best, max_bytes, checksum, auto)

    def plain(
        self,
        pixels: Sequence[decoder.Pixels],
        quality: int,
        aligned: bool | None,
        checksum: bool,
        bare: bool,
        threads: int,
    ) -> list[bytes]:
        """Pictures uint8 [H, W, 3] of one size at one quality; aligned None: where the template's positions help."""
        first = aligned is not False and pixels[0].shape[:2] == (SIDE, SIDE)
        said = checksum, bare, threads
        files, beside = self.one_way(pixels, quality, first, aligned is None and first, *said)
        if beside:
            others, _ = self.one_way([pixels[i] for i in beside], quality, False, False, *said)
            for i, other in zip(beside, others, strict=True):
                files[i] = other
        return files

    def one_way(
        self,
        pixels: Sequence[decoder.Pixels],
        quality: int,
        aligned: bool,
        decide: bool,
        checksum: bool,
        bare: bool,
        threads: int,
    ) -> tuple[list[bytes], list[int]]:
        """(files, indexes of those that ``decide`` says to be off the template)."""
        part = self.of(aligned)
        coded = part.network.encode([(image, quality, aligned) for image in pixels], threads)
        rows, levels = in_rows([symbols for symbols, _ in coded]), np.stack([levels for _, levels in coded])
        size = pixels[0].shape[0], pixels[0].shape[1]
        qualities = np.full(len(pixels), quality, np.int64)
        return written(part, rows, levels, qualities, size, aligned, decide, checksum, threads, bare)


def load(name: str) -> Encoder | None:
    """A bundled model by name, or a weights file; None where it holds no integer analysis. Files by private weights can
    be decoded from then on.

    Raises:
        WeightsError: no such model, or a damaged file.
    """
    return loaded(name, file_state(weights_path(name)))


@functools.lru_cache(maxsize=4)
def loaded(name: str, state: FileState) -> Encoder | None:
    """``load`` of a file in this state."""
    found = decoder.read(name, PREFIX, load)
    if found is None or not found.network.has_analysis:
        return None
    template, former = cast("Encoder | None", found.template), cast("Encoder | None", found.former)  # of ``load``
    made = Encoder(found.context, found.network, found.number, found.weights, template, former)
    if made.number == PRIVATE:
        decoder.private.setdefault(made.weights, made)
        private_contexts.setdefault(made.weights, made.context)
    return made


def serves(options: Mapping[str, Any]) -> bool:
    """Whether integers do what a call of ``encode`` asks for. Errors as ``check_bounds``."""
    effort, likeness = options.get("effort", 0), options.get("min_similarity")
    check_bounds(options.get("quality"), options.get("max_bytes"), likeness, effort)
    return likeness is None and not effort


def encode_with(name: str | os.PathLike[str], image: ImageLike, **options: Unpack[EncodeOptions]) -> bytes:
    """``encode`` with a bundled model by name, or a weights file."""
    model = load(os.fspath(name)) if serves(options) else None
    if model is not None:
        return model.encode(image, **options)
    with needed():
        from .codec import load_codec
    return load_codec(name).encode(image, **options)


def encode(image: ImageLike, **options: Unpack[EncodeOptions]) -> bytes:
    """One image -> bytes with the default model; options as for ``Codec.encode_batch``. At effort 0 and without
    ``min_similarity`` it needs no torch.

    Raises:
        MissingDependencyError: what is asked for needs torch, and that is not installed.
    """
    return encode_with(DEFAULT_MODEL, image, **options)
