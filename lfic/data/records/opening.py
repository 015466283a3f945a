"""Sources and sinks by their paths."""

import glob
import itertools
import pathlib
import re
from collections.abc import Sequence
from typing import TypeAlias

from ... import arguments
from ...errors import InvalidInputError
from ...files import PathLike, naming
from .folder import FilesSource, FolderSink, FolderSource, SeveralSources
from .parquet import ParquetSource, ParquetWriter
from .rec import RecSource, RecWriter
from .record import Record, RecordSink, RecordSource, ShardWriter, is_record
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


def open_sources(paths: Sequence[PathLike]) -> RecordSource:
    """The records at several paths, as a shell expands them: one source, shards of one kind, or files and folders.

    Keys are relative to the folder that holds all files; those of a folder among several begin with its name.

    Raises:
        InvalidInputError: as ``open_source``; or shards among other things, or two folders of one name.
    """
    found = [pathlib.Path(path) for path in paths]
    if len(found) == 1 and not is_record(found[0].name):
        return open_source(found[0])
    kinds = {path.suffix.lower() for path in found if path.suffix.lower() in KINDS and not path.is_dir()}
    if kinds:
        if len(kinds) > 1 or any(path.suffix.lower() not in kinds or path.is_dir() for path in found):
            raise InvalidInputError("shards go with shards of their kind alone: give one kind at a time")
        missing = [path for path in found if not path.is_file()]
        if missing:
            raise InvalidInputError(f"there is nothing at {missing[0]}")
        return KINDS[kinds.pop()][0](found)
    folders = [path for path in found if path.is_dir()]
    files = FilesSource([path for path in found if not path.is_dir()])
    return files if not folders else SeveralSources(files, folders)


# What nobody calls a folder.
FILES = {
    *(".zip", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".lfic", ".png", ".jpg", ".jpeg", ".webp", ".avif"),
    *(".txt", ".csv", ".json", ".jsonl", ".idx", ".bin"),
}


def shards_at(text: str) -> list[pathlib.Path]:
    """The files that a path or pattern names, those of a numbered set in their order.

    Raises:
        InvalidInputError: of a numbered set one is missing.
    """
    path = pathlib.Path(text)
    if path.is_file():
        return [path]
    if found := numbered_shards(path):
        refuse_gap(path, len(found))
        return found
    matching = [pathlib.Path(one) for one in sorted(glob.glob(text))]
    if not matching and path.suffix.lower() in KINDS:
        refuse_gap(path, 0)
    return matching


def shards_of(path: pathlib.Path) -> list[pathlib.Path]:
    """What a sink of that very path has written: the file, and the numbered ones."""
    return [*([path] if path.exists() else []), *numbered_shards(path)]


def numbered_shards(path: pathlib.Path) -> list[pathlib.Path]:
    """faces.tar -> faces-00000.tar, faces-00001.tar and so on, up to the first that is not there: faces-20240101.tar
    is somebody's else."""
    return list(itertools.takewhile(pathlib.Path.exists, (shard_name(path, number) for number in itertools.count())))


def taken_by(path: pathlib.Path) -> list[pathlib.Path]:
    """What a sink of that path might replace: the file, and all that have a number of five digits, which is no date."""
    name = re.compile(re.escape(path.stem) + r"-\d{5}" + re.escape(path.suffix))
    numbered = (one for one in path.parent.iterdir() if name.fullmatch(one.name)) if path.parent.is_dir() else ()
    return [*([path] if path.exists() else []), *sorted(numbered)]


def refuse_gap(path: pathlib.Path, count: int) -> None:
    """InvalidInputError where behind so many shards one is missing."""
    behind = [one.name for one in taken_by(path) if one != path][count:]
    if behind:
        raise InvalidInputError(
            f"{shard_name(path, count)} is missing, {behind[0]} is there: a pattern such as "
            f"{path.with_name(path.stem)}-*{path.suffix} reads what there is"
        )


def remove_shards(paths: Sequence[pathlib.Path]) -> None:
    """Remove numbered shards, the last first, so that those that are left when this is killed have no gap."""
    for path in reversed(paths):
        for suffix in (".lst", ".idx", path.suffix) if path.suffix == ".rec" else (path.suffix,):
            path.with_suffix(suffix).unlink(missing_ok=True)


def open_sink(path: PathLike, shard_bytes: int = SHARD_BYTES, replace: bool = False) -> RecordSink:
    """What takes records and keeps them at a path: a folder, or shards where it ends in .tar, .parquet or .rec.

    Args:
        path: ``faces.tar`` becomes one file of that name where all fits in ``shard_bytes``, otherwise
            ``faces-00000.tar``, ``faces-00001.tar`` and so on.
        shard_bytes: a shard is finished with the record that reaches so many bytes of pictures.
        replace: whether files that exist are replaced.

    Raises:
        InvalidInputError: something is there and is not to be replaced, shard_bytes is not positive, or the path is one
            of a file of another kind.
    """
    shard_bytes, replace = arguments.integer("shard_bytes", shard_bytes, 1), arguments.flag("replace", replace)
    place = pathlib.Path(arguments.path("path", path))
    if place.suffix.lower() in KINDS:
        return ShardedSink(path, shard_bytes, replace)
    check_folder(place)
    return FolderSink(path, replace)


def check_folder(path: pathlib.Path) -> None:
    """InvalidInputError where a target that names no shards is the path of a file of another kind, or "-"."""
    if path.name == "-" or (path.suffix.lower() in FILES and not path.is_dir()):
        raise InvalidInputError(
            f"{path} is no target of records: give a folder, or a name that ends in {', '.join(KINDS)}"
        )


def shard_name(path: pathlib.Path, number: int) -> pathlib.Path:
    """faces.tar, 3 -> faces-00003.tar"""
    return path.with_name(f"{path.stem}-{number:05}{path.suffix}")


class ShardedSink(RecordSink):
    """Shards of one kind, see ``open_sink``."""

    def __init__(self, path: PathLike, shard_bytes: int = SHARD_BYTES, replace: bool = False) -> None:
        self.path, self.shard_bytes = pathlib.Path(path), shard_bytes
        self.kind = KINDS[self.path.suffix.lower()][1]
        if not replace and (taken := taken_by(self.path)):
            raise InvalidInputError(f"{taken[0]} exists: choose another name, or replace it")
        there = shards_of(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.replaced = there
        self.written: list[pathlib.Path] = []
        self.size = 0
        self.shard: ShardWriter | None = None

    def write(self, record: Record) -> None:
        if self.shard is None:
            self.shard = self.kind(shard_name(self.path, len(self.written)))
        with naming(self.path):
            self.shard.add(record)
        self.size += len(record.data)
        if self.size >= self.shard_bytes:
            self._finish(shard_name(self.path, len(self.written)))

    def _finish(self, path: pathlib.Path) -> None:
        if self.shard is None:
            self.shard = self.kind(path)
        self.shard.path = path
        try:
            with naming(path):
                self.shard.finish()
        except BaseException:
            self.discard()
            raise
        self.written.append(path)
        self.shard, self.size = None, 0

    def close(self) -> None:
        if self.shard is not None or not self.written:
            self._finish(shard_name(self.path, len(self.written)) if self.written else self.path)
        remove_shards([path for path in self.replaced if path not in set(self.written)])

    def discard(self) -> None:
        if self.shard is not None:
            self.shard.discard()
            self.shard = None
