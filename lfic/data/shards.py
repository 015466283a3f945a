"""Faces from tar files in the WebDataset layout: KEY.jpg (or .png, .webp), and KEY.json with "landmarks"."""

import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from numpy.typing import ArrayLike

from ..errors import InvalidInputError
from .base import SUFFIXES, Source


class Span(NamedTuple):
    """Where a member's bytes lie in its tar file."""

    offset: int
    size: int


class Shards(Source):
    """Plain tar files; their headers are read at start, a face when it is asked for. ``table`` as for ``Folder``."""

    def __init__(self, paths: Sequence[str], table: Mapping[str, ArrayLike] | None = None):
        self.paths = paths
        self.files: dict[tuple[int, int], io.BufferedReader] = {}
        self.places: list[tuple[int, Span, Span | None]] = []  # number of the file, image, label
        names = []
        for number, path in enumerate(paths):
            for name, image, label in members(path):
                if table is None or name in table:
                    names.append(name)
                    self.places.append((number, image, label))
        super().__init__(names, table)

    def read(self, i: int) -> tuple[bytes, ArrayLike | None]:
        number, image, label = self.places[i]
        landmarks = json.loads(self._bytes(number, label)).get("landmarks") if label else None
        return self._bytes(number, image), landmarks

    def _bytes(self, number: int, span: Span) -> bytes:
        key = os.getpid(), number  # a descriptor for each process that reads
        if key not in self.files:
            self.files[key] = open(self.paths[number], "rb")  # noqa: SIM115  (open as long as this object lives)
        return os.pread(self.files[key].fileno(), span.size, span.offset)


def members(path: str) -> list[tuple[str, Span, Span | None]]:
    """(name, place, place of its label or None) of every image in a tar file."""
    labels: dict[str, Span] = {}
    images: list[tuple[str, str, Span]] = []
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                folder, base = os.path.split(member.name)
                key, suffix = os.path.join(folder, base.partition(".")[0]), os.path.splitext(base)[1].lower()
                span = Span(member.offset_data, member.size)
                if suffix == ".json":
                    labels[key] = span
                elif member.isfile() and suffix in SUFFIXES:
                    images.append((member.name, key, span))
    except tarfile.TarError as error:
        raise InvalidInputError(
            f"{path} is no plain tar file ({error}); compressed ones can't be read at random: unpack them first"
        ) from None
    return [(name, span, labels.get(key)) for name, key, span in images]
