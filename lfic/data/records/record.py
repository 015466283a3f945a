"""A record, and what reads and writes them."""

import abc
import dataclasses
import os
import pathlib
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from ...errors import InvalidInputError
from ..names import SUFFIXES

LFIC = ".lfic"
# Formats that Pillow reads, some by a plugin; beside those of faces for training.
PICTURES = frozenset(
    (*SUFFIXES, ".jpe", ".jfif", ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif", ".hif", ".jp2", ".jxl", ".pgm",
     ".tga", ".dng", ".mpo")
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One picture or lfic file.

    Attributes:
        key: its name within the source, without the format's suffix: "people/ann/0001". No other has it.
        suffix: of its format, with the dot, lower case: ".jpg", ".lfic".
        content: its bytes; None: they are those of ``path``, read when ``data`` is asked for.
        meta: what else is known of it, as JSON has it: label, landmarks, box.
        path: of the file that holds it alone; None where it lies in a shard.
        error: why it can't be read; ``data`` raises it.
    """

    key: str
    suffix: str
    content: bytes | None = None
    meta: dict[str, Any] = dataclasses.field(default_factory=dict)
    path: str | None = None
    error: str | None = None

    @property
    def name(self) -> str:
        """What a file of it is called, "/" between folders."""
        return self.key + self.suffix

    @property
    def origin(self) -> str:
        """What it is called in its source: ``name``, but a file's own spelling of its suffix."""
        if self.path is None or not self.suffix:
            return self.name
        folder, slash, _ = self.key.rpartition("/")
        return folder + slash + os.path.basename(self.path)

    @property
    def is_lfic(self) -> bool:
        """By its suffix."""
        return self.suffix == LFIC

    @property
    def data(self) -> bytes:
        """The picture's or lfic file's bytes.

        Raises:
            InvalidInputError: it can't be read.
        """
        if self.error is not None:
            raise InvalidInputError(self.error)
        if self.content is not None:
            return self.content
        assert self.path is not None
        try:
            return pathlib.Path(self.path).read_bytes()
        except OSError as error:
            raise InvalidInputError(f"{self.path} can't be read: {error.strerror}") from None


class RecordSource(abc.ABC):
    """Records in an order that is the same whenever it is read.

    Attributes:
        ignored: files or columns passed over so far that are no pictures.
    """

    ignored = 0

    @abc.abstractmethod
    def records(self, start: int = 0) -> Iterator[Record]:
        """The records from number ``start`` on. One that can't be read has ``error``; the others go on."""

    @abc.abstractmethod
    def progress(self) -> float:
        """How much of the source ``records`` has given out, 0 to 1."""

    def count(self) -> int | None:
        """How many records there are; None where only reading all of them tells."""
        return None

    def __iter__(self) -> Iterator[Record]:
        return self.records()


class RecordSink(abc.ABC):
    """Takes records. Files appear under their names when they are whole; ``close`` finishes the last.

    A context manager: where its block raises, what is unfinished is dropped.
    """

    @abc.abstractmethod
    def write(self, record: Record) -> None:
        """Add one record.

        Raises:
            InvalidInputError: it has a key that can't be kept apart from that of another record.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Finish: what was written is complete."""

    @abc.abstractmethod
    def discard(self) -> None:
        """Drop what is unfinished."""

    def __enter__(self) -> "RecordSink":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()


class ShardWriter(abc.ABC):
    """One shard: a file (perhaps with companions) that appears under the name ``path`` when it is finished."""

    path: pathlib.Path

    @abc.abstractmethod
    def __init__(self, path: pathlib.Path) -> None: ...

    @staticmethod
    def refusal(record: Record, before: str | None) -> str | None:
        """Why this kind of file can't hold a record after that of the key ``before``; None: it can."""
        return None

    @abc.abstractmethod
    def add(self, record: Record) -> None:
        """Add one record.

        Raises:
            InvalidInputError: for the reason that ``refusal`` gives.
        """

    @abc.abstractmethod
    def finish(self) -> None:
        """Complete the file and give it its name."""

    @abc.abstractmethod
    def discard(self) -> None:
        """Leave nothing."""


def split_name(name: str) -> tuple[str, str]:
    """("people/a.b", ".jpg") of "people/a.b.JPG"; the suffix is empty where it is none of a picture's or lfic's."""
    stem, dot, suffix = name.rpartition(".")
    found = f".{suffix.lower()}"
    if not dot or not stem or stem.endswith("/") or (found not in PICTURES and found != LFIC):
        return name, ""
    return stem, found


def is_record(name: str) -> bool:
    """Whether a file is a picture or an lfic file, by its name; what begins with a dot is none (macOS's ._a.jpg)."""
    return not name.rpartition("/")[2].startswith(".") and split_name(name)[1] != ""
