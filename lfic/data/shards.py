"""Faces from tar files in the WebDataset layout: KEY.jpg (or .png, .webp), and KEY.json with "landmarks"."""

import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from numpy.typing import ArrayLike

from ..errors import InvalidInputError
from .base import Source
from .names import is_hidden, is_image, stem_of, unread


class Span(NamedTuple):
    """Where a member's bytes lie in its tar file."""

    offset: int
    size: int


class Shards(Source):
    """Plain tar files; their headers are read at start, a face when it is asked for. ``table`` as for ``Folder``."""

    def __init__(self, paths: Sequence[str], table: Mapping[str, ArrayLike] | None = None):
        self.paths = paths
        self.files: dict[tuple[int, int], io.BufferedReader] = {}
        places: list[tuple[int, Span, Span | None]] = []  # number of the file, image, label
        names = []
        left_out: dict[str, int] = {}
        for number, path in enumerate(paths):
            found, counts = members(path)
            left_out = {suffix: left_out.get(suffix, 0) + counts.get(suffix, 0) for suffix in {**left_out, **counts}}
            for name, image, label in found:
                names.append(name)
                places.append((number, image, label))
        super().__init__(names, table, ", ".join(paths))
        self.places = [places[i] for i in self.kept]
        self.unread = left_out

    def read(self, i: int) -> tuple[bytes, ArrayLike | None]:
        number, image, label = self.places[i]
        return self._bytes(number, image), self._label(number, label).get("landmarks") if label else None

    def _label(self, number: int, span: Span) -> dict[str, Any]:
        where = f"{self.paths[number]}: the label at byte {span.offset}"
        try:
            label = json.loads(self._bytes(number, span))
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(f"{where} is no JSON: {error}") from None
        if not isinstance(label, dict):
            raise InvalidInputError(f'{where} is of type {type(label).__name__}; needed is an object with "landmarks"')
        return label

    def _bytes(self, number: int, span: Span) -> bytes:
        key = os.getpid(), number  # a descriptor for each process that reads
        if key not in self.files:
            self.files[key] = open(self.paths[number], "rb")  # noqa: SIM115  (open as long as this object lives)
        return os.pread(self.files[key].fileno(), span.size, span.offset)


def members(path: str) -> tuple[list[tuple[str, Span, Span | None]], dict[str, int]]:
    """(name, place, place of its label or None) of every image in a tar file, and how many images no package reads.

    A label belongs to the image of its whole stem; else, as WebDataset has it, to the only one whose name begins like
    that up to the first dot. What has a longer suffix than an image of the same beginning (0001.seg.png beside
    0001.png) is no face. Of a member that is there twice the last counts, as for tar itself.

    Raises:
        InvalidInputError: no plain tar file, or a label that could belong to two images.
    """
    spans: dict[str, Span] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.isfile() and not is_hidden(member.name):
                    spans.pop(member.name, None)
                    spans[member.name] = Span(member.offset_data, member.size)
    except tarfile.TarError as error:
        raise InvalidInputError(
            f"{path} is no plain tar file ({error}); compressed ones can't be read at random: unpack them first"
        ) from None
    labels = {stem_of(name): span for name, span in spans.items() if name.lower().endswith(".json")}
    images = [name for name in spans if is_image(name)]
    stems = {stem_of(name) for name in images}
    faces = [
        name for name in images if stem_of(name) in labels or begin(name) == stem_of(name) or begin(name) not in stems
    ]
    sharing: dict[str, list[str]] = {}
    for name in faces:
        sharing.setdefault(begin(name), []).append(name)
    out = []
    for name in faces:
        label = labels.get(stem_of(name))
        if label is None and begin(name) in labels:
            others = [other for other in sharing[begin(name)] if stem_of(other) not in labels]
            if len(others) > 1:
                raise InvalidInputError(
                    f"{path}: the label {begin(name)}.json could belong to {others[0]} or {others[1]}: call it by the "
                    "whole name of its image"
                )
            label = labels[begin(name)]
        out.append((name, spans[name], label))
    return out, unread(spans)


def begin(name: str) -> str:
    """A member's path up to the first dot of its last part: WebDataset's key."""
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]
