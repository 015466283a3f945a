"""A source in parts that tasks read on their own, and what of each part is done.

A part is a shard, or some files of a folder. A record is known by its part and its row in it, so that what is done are
intervals of rows: little to keep, whatever the count of records.
"""

import dataclasses
import hashlib
import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence

from ..data.records import KINDS, Record, RecordSource, open_source
from ..data.records.folder import FolderSource
from ..data.records.parquet import ParquetSource
from ..data.records.rec import RecSource
from ..data.records.tar import TarSource
from ..errors import LficError

FILES_OF_A_PART = 256

Interval = tuple[int, int]  # rows from the first up to, but not with, the second


@dataclasses.dataclass(frozen=True)
class Part:
    """A shard's path, or the records of some files, whose bytes are not read."""

    path: str | None = None
    files: tuple[Record, ...] = ()

    def records(self, start: int = 0) -> Iterator[Record]:
        """Its records from row ``start`` on."""
        if self.path is None:
            return iter(self.files[start:])
        return self._of_shard(pathlib.Path(self.path), start)

    def _of_shard(self, path: pathlib.Path, start: int) -> Iterator[Record]:
        try:
            yield from KINDS[path.suffix.lower()][0]([path]).records(start)
        except (LficError, OSError) as error:  # it was whole when the run began
            yield Record(path.name, "", error=f"{path} can't be read: {error}", path=os.fspath(path))

    def name(self) -> str:
        """What tells it from another part: a shard's path and bytes, or the names of its files."""
        if self.path is not None:
            return f"{self.path} {os.path.getsize(self.path)}"
        return "\n".join(record.name for record in self.files)


def parts_of(source: str | os.PathLike[str]) -> list[Part]:
    """The parts of what is at a path, see ``lfic.data.open_source``. Of a folder the names alone are held.

    Raises:
        InvalidInputError: as ``open_source``.
    """
    found: RecordSource = open_source(source)
    if isinstance(found, FolderSource):
        records = found.records()
        return [Part(files=some) for some in iter(lambda: tuple(itertools.islice(records, FILES_OF_A_PART)), ())]
    assert isinstance(found, (TarSource, ParquetSource, RecSource))
    return [Part(os.path.abspath(path)) for path in found.paths]


def digest(parts: Iterable[Part]) -> str:
    """Hex SHA-256 over the names of parts: another one says that the source has changed."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part.name().encode("utf-8", "surrogateescape") + b"\0")
    return sha.hexdigest()


def intervals(rows: Iterable[int]) -> list[Interval]:
    """Rows, each once, in any order -> the fewest intervals that hold them."""
    out: list[Interval] = []
    for row in sorted(rows):
        if out and out[-1][1] == row:
            out[-1] = out[-1][0], row + 1
        else:
            out.append((row, row + 1))
    return out


def joined(found: Iterable[Interval]) -> list[Interval]:
    """Intervals in any order -> the fewest that hold the same rows."""
    out: list[Interval] = []
    for start, end in sorted(found):
        if out and start <= out[-1][1]:
            out[-1] = out[-1][0], max(out[-1][1], end)
        else:
            out.append((start, end))
    return out


def overlap(found: Iterable[Interval]) -> Interval | None:
    """The first rows that two intervals hold both."""
    last = 0
    for start, end in sorted(found):
        if start < last:
            return start, min(last, end)
        last = end
    return None


def left(part: Part, done: Sequence[Interval]) -> Iterator[tuple[int, Record]]:
    """(row, record) of what of a part is not done; done: joined intervals."""
    first = done[0][1] if done and done[0][0] == 0 else 0
    rest = iter([interval for interval in done if interval[0] >= first])
    skipped = next(rest, None)
    for row, record in enumerate(part.records(first), first):
        while skipped is not None and row >= skipped[1]:
            skipped = next(rest, None)
        if skipped is None or row < skipped[0]:
            yield row, record
