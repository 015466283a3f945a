"""Sources and sinks by their paths."""

import glob
import pathlib
from typing import TypeAlias

from ...errors import InvalidInputError
from ...files import PathLike
from .folder import FolderSink, FolderSource
from .parquet import ParquetSource, ParquetWriter
from .rec import RecSource, RecWriter
from .record import Record, RecordSink, RecordSource, ShardWriter
from .tar import TarSource, TarWriter

Shards: TypeAlias = type[TarSource] | type[ParquetSource] | type[RecSource]

# Suffix -> (what reads shards of that kind, what writes one).
KINDS: dict[str, tuple[Shards, type[ShardWriter]]] = {
    ".tar": (TarSource, TarWriter),
    ".parquet": (ParquetSource, ParquetWriter),
    ".rec": (RecSource, RecWriter),
}
SHARD_BYTES = 256 << 20


def open_source(path: PathLike) -> RecordSource:
    """The records at a path: a folder, a shard, or a pattern with asterisks that names several of one kind.

    ``faces.tar`` stands for ``faces-00000.tar`` and those that follow as well, as ``open_sink`` writes them. A folder
    without pictures that has shards of one kind directly in it is read as those.

    Raises:
        InvalidInputError: nothing there, or a kind of file that is none of these.
    """
    text = str(path)
    if pathlib.Path(text).is_dir():
        inside = [p for p in sorted(pathlib.Path(text).iterdir()) if p.suffix in KINDS and not p.name.startswith(".")]
        if not inside or next(iter(FolderSource(text)), None) is not None:
            return FolderSource(text)
        if len({p.suffix for p in inside}) > 1:
            raise InvalidInputError(f"{text} has shards of several kinds: give a pattern such as {text}/*.tar")
        return KINDS[inside[0].suffix][0](inside)
    found = shards_at(text)
    if not found:
        raise InvalidInputError(f"there is nothing at {text}")
    suffix = pathlib.Path(text).suffix.lower()
    if suffix not in KINDS:
        raise InvalidInputError(f"{text}: a source is a folder, or files called {', '.join(KINDS)}")
    return KINDS[suffix][0](found)


def shards_at(text: str) -> list[pathlib.Path]:
    """The files that a path or pattern names, those of a numbered set in their order."""
    path = pathlib.Path(text)
    if path.is_file():
        return [path]
    numbered = glob.escape(str(path.with_suffix(""))) + "-[0-9]*" + path.suffix
    return [pathlib.Path(one) for one in sorted(glob.glob(text) or glob.glob(numbered))]


def open_sink(path: PathLike, shard_bytes: int = SHARD_BYTES, replace: bool = False) -> RecordSink:
    """What takes records and keeps them at a path: a folder, or shards where it ends in .tar, .parquet or .rec.

    Args:
        path: ``faces.tar`` becomes one file of that name where all fits in ``shard_bytes``, otherwise
            ``faces-00000.tar``, ``faces-00001.tar`` and so on.
        shard_bytes: a shard is finished with the record that reaches so many bytes of pictures.
        replace: whether files that exist are replaced.

    Raises:
        InvalidInputError: something is there and is not to be replaced, or shard_bytes is not positive.
    """
    if shard_bytes < 1:
        raise InvalidInputError(f"shard_bytes is {shard_bytes}; at least 1 is needed")
    if pathlib.Path(path).suffix.lower() in KINDS:
        return ShardedSink(path, shard_bytes, replace)
    return FolderSink(path, replace)


def shard_name(path: pathlib.Path, number: int) -> pathlib.Path:
    """faces.tar, 3 -> faces-00003.tar"""
    return path.with_name(f"{path.stem}-{number:05}{path.suffix}")


class ShardedSink(RecordSink):
    """Shards of one kind, see ``open_sink``."""

    def __init__(self, path: PathLike, shard_bytes: int = SHARD_BYTES, replace: bool = False) -> None:
        self.path, self.shard_bytes = pathlib.Path(path), shard_bytes
        self.kind = KINDS[self.path.suffix.lower()][1]
        there = shards_at(str(self.path))
        if there and not replace:
            raise InvalidInputError(f"{there[0]} exists: choose another name, or replace it")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.replaced = set(there)
        self.written: list[pathlib.Path] = []
        self.size = 0
        self.shard: ShardWriter | None = None

    def write(self, record: Record) -> None:
        if self.shard is None:
            self.shard = self.kind(shard_name(self.path, len(self.written)))
        self.shard.add(record)
        self.size += len(record.data)
        if self.size >= self.shard_bytes:
            self._finish(shard_name(self.path, len(self.written)))

    def _finish(self, path: pathlib.Path) -> None:
        if self.shard is None:
            self.shard = self.kind(path)
        self.shard.path = path
        self.shard.finish()
        self.written.append(path)
        self.shard, self.size = None, 0

    def close(self) -> None:
        if self.shard is not None or not self.written:
            self._finish(shard_name(self.path, len(self.written)) if self.written else self.path)
        for path in self.replaced - set(self.written):
            path.unlink(missing_ok=True)

    def discard(self) -> None:
        if self.shard is not None:
            self.shard.discard()
            self.shard = None
