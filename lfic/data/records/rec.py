"""Records of MXNet's and InsightFace's .rec files: an image and its label each; names stand in a .lst beside it.

A .lst file is MXNet's list: "NUMBER<tab>LABEL<tab>NAME" a line. Of what else is known a .rec file keeps nothing.
"""

import contextlib
import math
import os
import pathlib
import secrets
import struct
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from ...arguments import shown
from ...errors import InvalidInputError
from ..recordio import (
    FIRST,
    LAST,
    LONGEST,
    MAGIC,
    MAGIC_BYTES,
    MIDDLE,
    MOST_LABELS,
    PART,
    WHOLE,
    Header,
    RecordWriter,
    pack,
    unpack,
)
from .meta import NO_TEXT, is_text
from .parquet import suffix_of
from .record import Record, RecordSource, ShardWriter, split_name


class RecSource(RecordSource):
    """.rec files, one after the other, in the order of their bytes. Records without an image, such as those that
    InsightFace's data sets begin and end with, are passed over. ``meta`` has the label: a number, or a list of them;
    None where the file has none, but NaN or an infinite one.

    Args:
        paths: the files.
    """

    def __init__(self, paths: Sequence[pathlib.Path]) -> None:
        self.paths = list(paths)
        self.sizes = [path.stat().st_size for path in self.paths]
        self.done = 0

    def records(self, start: int = 0) -> Iterator[Record]:
        number = self.ignored = 0
        for index, path in enumerate(self.paths):
            before = sum(self.sizes[:index])
            for record, position in self._of(path):
                self.done = before + position
                number += 1
                if number > start:
                    yield record

    def progress(self) -> float:
        return self.done / max(1, sum(self.sizes))

    def _of(self, path: pathlib.Path) -> Iterator[tuple[Record, int]]:
        """(record, where it ends) of one file; a damaged file gives a record that says so."""
        number = 0
        names = names_of(path.with_suffix(".lst"))
        with open(path, "rb") as file:
            try:
                while (data := next_record(file)) is not None:
                    header, image = unpack(data)
                    if not image:
                        self.ignored += 1
                        continue
                    name = next(names, f"{path.stem}-{number:08}{suffix_of(image)}")
                    key, suffix = split_name(name)
                    yield Record(key, suffix, image, meta_of_header(header)), file.tell()
                    number += 1
            except (InvalidInputError, OSError, ValueError, OverflowError) as error:
                text = f"{path} is damaged behind its image {number}: {error}"
                yield Record(path.name, "", error=text, path=os.fspath(path)), os.path.getsize(path)


def next_record(file: BinaryIO) -> bytes | None:
    """The next record of a .rec file; None at its end.

    Raises:
        InvalidInputError: something else stands there.
    """
    parts: list[bytes] = []
    while True:
        at = file.tell()
        head = file.read(PART.size)
        if not head and not parts:
            return None
        magic, word = PART.unpack(head) if len(head) == PART.size else (0, 0)
        kind, length = word >> 29, word & LONGEST
        if magic != MAGIC or kind not in ((MIDDLE, LAST) if parts else (WHOLE, FIRST)):
            raise InvalidInputError(f"byte {at} is not where a record begins")
        parts.append(file.read(length))
        if len(parts[-1]) < length:
            raise InvalidInputError(f"the file ends within the {length} bytes at byte {at}")
        file.seek(-length % 4, os.SEEK_CUR)
        if kind in (WHOLE, LAST):
            return MAGIC_BYTES.join(parts)


def meta_of_header(header: Header) -> dict[str, Any]:
    """What is known of a record by its header: its label."""
    labels = [
        None if not math.isfinite(label) else int(label) if label == int(label) else label for label in header.labels
    ]
    return {"label": labels if len(labels) > 1 else labels[0]}


def names_of(path: pathlib.Path) -> Iterator[str]:
    """The names in a .lst file, in its order; none where there is no file."""
    if path.is_file():
        with open(path, encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                yield line.rstrip("\n").rpartition("\t")[2]


def labels_of(record: Record) -> list[Any]:
    """The label of ``meta`` as a list; [0] where there is none."""
    found = record.meta.get("label", 0)
    return found if isinstance(found, list) else [found]


def is_kept(label: float) -> bool:
    """Whether a label is finite as float32, and the same if it is an integer."""
    try:
        value = struct.unpack("<f", struct.pack("<f", float(label)))[0]
    except OverflowError:
        return False
    return math.isfinite(value) and (value == label or label != int(label))


class RecWriter(ShardWriter):
    """A .rec file with its .idx, and a .lst with the names. Keys count from 0; the label is ``meta``'s, or 0. It is a
    float32: integers that it does not hold are refused, fractions have its 24 bits."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path, self.number = path, 0
        self.writer = RecordWriter(path)
        self.list_path = path.with_name(f".lfic-{secrets.token_hex(6)}")
        self.list = open(  # noqa: SIM115  (closed by ``finish``)
            self.list_path, "x", encoding="utf-8", errors="surrogateescape"
        )

    @staticmethod
    def refusal(record: Record, before: str | None) -> str | None:
        labels = labels_of(record)
        if not labels or not all(isinstance(label, (int, float)) for label in labels):
            return f"{record.name} has the label {shown(record.meta['label'])}; a .rec file keeps numbers"
        if len(labels) > MOST_LABELS:
            return f"{record.name} has {len(labels)} labels; a .rec file keeps at most {MOST_LABELS} of a record"
        lost = [label for label in labels if not is_kept(label)]
        if lost:
            return (
                f"{record.name} has the label {shown(lost[0])}, which is no number that a float32 of a .rec file holds"
            )
        if any(sign in record.name for sign in "\n\r\t"):
            return f"the name {record.name!r} has a tab or a new line, which a .lst file can't hold"
        return None if is_text(record.name) else NO_TEXT.format(record.name)

    def add(self, record: Record) -> None:
        if why := self.refusal(record, None):
            raise InvalidInputError(why)
        labels = labels_of(record)
        self.writer.write(self.number, pack(Header(tuple(map(float, labels)), self.number), record.data))
        self.list.write(f"{self.number}\t" + "\t".join(f"{label:.9g}" for label in labels) + f"\t{record.name}\n")
        self.number += 1

    def finish(self) -> None:
        self.list.close()
        os.replace(self.list_path, self.path.with_suffix(".lst"))
        self.writer.path = self.path
        self.writer.close()

    def discard(self) -> None:
        with contextlib.suppress(OSError):  # a full disk does not take its end either
            self.list.close()
        self.list_path.unlink(missing_ok=True)
        self.writer.discard()
