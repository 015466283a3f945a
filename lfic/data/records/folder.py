"""Records of a folder: picture and .lfic files at any depth, NAME.json beside NAME.jpg with what else is known."""

import dataclasses
import itertools
import json
import os
import pathlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ... import arguments
from ...errors import InvalidInputError
from ...files import PathLike, write_atomically
from .meta import NO_TEXT, is_text, meta_from
from .record import Record, RecordSink, RecordSource, is_record, split_name

LONGEST_NAME = 255  # bytes, on the usual file systems


class FolderSource(RecordSource):
    """The files of a folder in the order of their names, the folders in it where their names stand.

    Files of one folder whose names differ in the suffix alone keep it in their key: "a.gif" and "a.webp". Names that
    begin with a dot are passed over, and so are links back to a folder that they lie in. What is no file, such as a
    pipe, is never opened, and counted in ``ignored``. Memory: the names of one folder.

    Args:
        path: the folder.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = pathlib.Path(path)
        if not self.path.is_dir():
            raise InvalidInputError(f"there is no folder {path}")
        self.done, self.total = 0, -1

    def records(self, start: int = 0) -> Iterator[Record]:
        self.done = self.ignored = 0
        for record in self._walk(os.fspath(self.path), "", ()):
            self.done += 1
            if self.done > start:
                yield record

    def count(self) -> int:
        """Files, counted without reading any."""
        if self.total < 0:
            self.total = sum(1 for _ in self._walk(os.fspath(self.path), "", ()))
        return self.total

    def progress(self) -> float:
        return self.done / max(1, self.count())

    def _walk(self, folder: str, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[Record]:
        """Records of a folder whose names begin with ``prefix``; above: the folders that it lies in, as (device,
        number)."""
        try:
            found = os.stat(folder)
            here = found.st_dev, found.st_ino
            if here in above:
                return
            with os.scandir(folder) as entries:
                files, folders = [], set()
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if is_folder(entry):
                        folders.add(entry.name)
                    elif is_special(entry):
                        self.ignored += 1
                    else:
                        files.append(entry.name)
        except OSError as error:
            yield Record(prefix.rstrip("/") or ".", "", error=f"{folder} can't be read: {error.strerror}", path=folder)
            return
        wanted = [name for name in files if is_record(name)]
        labels = {name for name in files if name.endswith(".json")}
        self.ignored += len(files) - len(wanted) - len(labels)
        keys = distinct_keys(wanted)
        for name in sorted([*wanted, *folders]):
            path = os.path.join(folder, name)
            if name in folders:
                yield from self._walk(path, f"{prefix}{name}/", (*above, here))
                continue
            stem, suffix = split_name(name)
            label = f"{stem}.json"
            meta, wrong = read_meta(os.path.join(folder, label)) if label in labels else ({}, None)
            yield Record(prefix + keys[name], suffix, meta=meta, path=path, error=wrong)


class FilesSource(RecordSource):
    """Picture and .lfic files by their paths, in the order given. Keys are relative to the folder that all lie in.

    Args:
        paths: the files; whether they are there is noticed when they are read.

    Raises:
        InvalidInputError: one text in the place of a list, or something else than a path in it.
    """

    def __init__(self, paths: Iterable[PathLike]) -> None:
        self.paths = [
            os.fspath(arguments.path("one of the paths", path)) for path in arguments.sequence_of("paths", paths)
        ]
        found = [os.path.abspath(path) for path in self.paths]
        common = os.path.commonpath([os.path.dirname(path) for path in found]) if found else ""
        names = [path[len(common) :].lstrip(os.sep).replace(os.sep, "/") for path in found]
        if len(set(names)) < len(names):
            twice = next(name for name, times in Counter(names).items() if times > 1)
            raise InvalidInputError(f"{twice} is among the files twice")
        self.keys = list(distinct_keys(names).values())
        self.done = 0

    def records(self, start: int = 0) -> Iterator[Record]:
        self.done = start
        for path, key in zip(self.paths[start:], self.keys[start:], strict=True):
            self.done += 1
            yield Record(key, split_name(path)[1] or pathlib.Path(path).suffix.lower(), path=path)

    def count(self) -> int:
        return len(self.paths)

    def progress(self) -> float:
        return self.done / max(1, len(self.paths))


class SeveralSources(RecordSource):
    """Files, then folders one after the other; the keys of a folder's records begin with its name.

    Raises:
        InvalidInputError: two folders have one name.
    """

    def __init__(self, files: FilesSource, folders: Sequence[pathlib.Path]) -> None:
        names = [path.resolve().name for path in folders]
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise InvalidInputError(f"two folders are called {twice[0]}: give the folder that holds both")
        self.parts: list[tuple[str, RecordSource]] = [("", files)]
        self.parts += [(f"{name}/", FolderSource(path)) for name, path in zip(names, folders, strict=True)]

    def records(self, start: int = 0) -> Iterator[Record]:
        everything = (
            dataclasses.replace(record, key=prefix + record.key)
            for prefix, source in self.parts
            for record in source.records()
        )
        yield from itertools.islice(everything, start, None)
        self.ignored = sum(source.ignored for _, source in self.parts)

    def count(self) -> int:
        return sum(source.count() or 0 for _, source in self.parts)

    def progress(self) -> float:
        return sum(source.progress() * (source.count() or 0) for _, source in self.parts) / max(1, self.count())


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry is a folder, links followed; a link that leads nowhere is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_special(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry that is no folder is a pipe, a device or a socket, links followed. A link that leads nowhere is
    none of them: it is told when it is read."""
    try:
        return not entry.is_file() and (not entry.is_symlink() or os.path.exists(entry.path))
    except OSError:
        return False


def distinct_keys(names: list[str]) -> dict[str, str]:
    """Key of each file name of one folder: without its suffix, or the whole name where two would be the same."""
    keys = {name: split_name(name)[0] for name in names}
    while True:
        counts = Counter(keys.values())
        twice = [name for name, key in keys.items() if counts[key] > 1 and key != name]
        if not twice:
            return keys
        keys |= {name: name for name in twice}


def read_meta(path: PathLike) -> tuple[dict[str, Any], str | None]:
    """(what a JSON file says, None), or ({}, why it can't be read)."""
    try:
        return meta_from(pathlib.Path(path).read_bytes()), None
    except OSError as error:
        return {}, f"{path} can't be read: {error.strerror}"
    except ValueError as error:
        return {}, f"{path} {error}"


def files_of(record: Record) -> dict[str, bytes]:
    """The files of a record by their names: its own, then KEY.json with what else is known where there is such."""
    files = {record.name: record.data}
    if record.meta:
        folder, slash, base = record.name.rpartition("/")
        files[f"{folder}{slash}{split_name(base)[0]}.json"] = json.dumps(record.meta).encode()
    return files


def holds(path: pathlib.Path, data: bytes) -> bool:
    """Whether a file has these bytes."""
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


class FolderSink(RecordSink):
    """A file for each record, KEY.json beside it where there is more to say, in folders as the keys have them.

    Args:
        path: the folder; it is made where it is not there.
        replace: whether files that exist are replaced.
    """

    def __init__(self, path: PathLike, replace: bool = False) -> None:
        self.path, self.replace = pathlib.Path(path), replace
        if self.path.exists() and not self.path.is_dir():
            raise InvalidInputError(f"{path} is a file; a folder is needed")
        self.path.mkdir(parents=True, exist_ok=True)

    def target(self, record: Record) -> pathlib.Path:
        """Where a record goes.

        Raises:
            InvalidInputError: its key leads out of the folder.
        """
        return self.path_of(record.name)

    def path_of(self, name: str) -> pathlib.Path:
        """Where a file of the folder goes; errors as ``target``."""
        parts = name.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\0" in name:
            raise InvalidInputError(f"{name!r} is no name within a folder")
        if not is_text(name):
            raise InvalidInputError(NO_TEXT.format(name))
        for part in parts:
            if (size := len(os.fsencode(part))) > LONGEST_NAME:
                raise InvalidInputError(
                    f"the name {part[:40]}… would have {size} bytes; files have at most {LONGEST_NAME}: rename it, or "
                    "write to .tar, .parquet or .rec"
                )
        return self.path.joinpath(*parts)

    def write(self, record: Record) -> None:
        made = [(self.path_of(name), data) for name, data in files_of(record).items()]
        for number, (target, data) in enumerate(made):
            if not self.replace and target.exists() and not (number and holds(target, data)):
                raise InvalidInputError(f"{target} exists: two records have one name, or the folder was not empty")
        for target, data in reversed(made):  # the JSON first: whoever sees the file sees what is said of it
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, data)

    def close(self) -> None:
        """Every file is complete already."""

    def discard(self) -> None:
        """Every file is complete already."""
