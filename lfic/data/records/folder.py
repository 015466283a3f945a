"""Records of a folder: picture and .lfic files at any depth, NAME.json beside NAME.jpg with what else is known."""

import json
import os
import pathlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ...errors import InvalidInputError
from ...files import PathLike, write_atomically
from .record import Record, RecordSink, RecordSource, is_record, split_name


class FolderSource(RecordSource):
    """The files of a folder in the order of their names, the folders in it where their names stand.

    Files of one folder whose names differ in the suffix alone keep it in their key: "a.gif" and "a.webp". Names that
    begin with a dot are passed over, and so are links back to a folder that they lie in. Memory: the names of one
    folder.

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


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry is a folder, links followed; a link that leads nowhere is none."""
    try:
        return entry.is_dir()
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
        found = json.loads(pathlib.Path(path).read_bytes())
    except (OSError, ValueError) as error:
        return {}, f"{path} is no readable JSON file: {error}"
    if not isinstance(found, dict):
        return {}, f"{path} holds {type(found).__name__}; an object is needed"
    return found, None


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
        parts = record.name.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\0" in record.name:
            raise InvalidInputError(f"the key {record.key!r} is no name within a folder")
        return self.path.joinpath(*parts)

    def write(self, record: Record) -> None:
        target = self.target(record)
        if not self.replace and target.exists():
            raise InvalidInputError(f"{target} exists: two records have one name, or the folder was not empty")
        target.parent.mkdir(parents=True, exist_ok=True)
        if record.meta:  # first: whoever sees the file sees what is said of it
            write_atomically(target.with_name(f"{split_name(target.name)[0]}.json"), json.dumps(record.meta).encode())
        write_atomically(target, record.data)

    def close(self) -> None:
        """Every file is complete already."""

    def discard(self) -> None:
        """Every file is complete already."""
