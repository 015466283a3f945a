"""Records by number: where each lies is found once, its bytes are read when it is asked for."""

import os
import pathlib
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from ..errors import InvalidInputError
from ..files import PathLike
from .recordio import unpack
from .records import Record, open_source
from .records.links import Links
from .records.parquet import ParquetSource, column_of, pyarrow, record_of, suffix_of
from .records.rec import RecSource, meta_of_header, names_of, next_record
from .records.record import RecordSource, is_record, split_name
from .records.tar import TarSource, forget, goes_on, meta_of, stem_of_meta, unescape

Span: TypeAlias = tuple[int, int]  # offset, bytes
# A picture in a tar: name, place, what its .json and .cls are called without that, which of them there are and where.
Member: TypeAlias = tuple[str, Span, str, tuple[tuple[str, Span], ...]]


class Index:
    """Records by number. Pickled without its open files; each process and thread opens its own."""

    def __init__(self) -> None:
        self.files: dict[tuple[int, int, str], Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "files": {}}

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, i: int) -> Record:
        raise NotImplementedError

    def opened(self, path: str, opener: Callable[[str], Any]) -> Any:
        """A file of this process and thread."""
        key = os.getpid(), threading.get_ident(), path
        if key not in self.files:
            self.files[key] = opener(path)
        return self.files[key]


def open_bytes(path: str) -> BinaryIO:
    """A file that stays open as long as its index."""
    return open(path, "rb")


class FilesIndex(Index):
    """Records that are files: their names are held."""

    def __init__(self, source: RecordSource) -> None:
        super().__init__()
        self.records = [record for record in source.records() if record.error is None]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, i: int) -> Record:
        return self.records[i]


class TarIndex(Index):
    """Records of plain tar files: where their bytes lie, and those of what else is known."""

    def __init__(self, paths: Sequence[pathlib.Path]) -> None:
        super().__init__()
        self.paths = [os.fspath(path) for path in paths]
        self.members = [(number, *found) for number, path in enumerate(self.paths) for found in members(path)]

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, i: int) -> Record:
        number, name, place, of_meta, others = self.members[i]
        stem, suffix = split_name(name)
        known = {of_meta + ending: self._bytes(number, where) for ending, where in others}
        meta, error = meta_of(known, of_meta)
        return Record(unescape(stem), suffix, self._bytes(number, place), meta, error=error)

    def _bytes(self, number: int, place: Span) -> bytes:
        file = self.opened(self.paths[number], open_bytes)
        return os.pread(file.fileno(), place[1], place[0])


def members(path: str) -> Iterator[Member]:
    """Every picture and lfic file.

    Raises:
        InvalidInputError: no plain tar file.
    """
    sample: list[tuple[str, Span]] = []
    links = Links(pathlib.Path(path))
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                forget(tar)
                if member.isdir():
                    continue
                found = member if member.isfile() else links.target(member)
                if found is None:
                    continue
                if sample and not goes_on(sample, member.name):
                    yield from pictures_of(sample)
                    sample = []
                sample.append((member.name, (found.offset_data, found.size)))
    except (tarfile.TarError, OSError) as error:
        raise InvalidInputError(
            f"{path} is no plain tar file ({error}); a compressed one is read by FaceStream, or unpack it first"
        ) from None
    finally:
        links.close()
    yield from pictures_of(sample)


def pictures_of(sample: list[tuple[str, Span]]) -> Iterator[Member]:
    """The pictures among members with one key."""
    others = {name: place for name, place in sample if not is_record(name)}
    pictures = [(name, place) for name, place in sample if is_record(name)]
    for name, place in pictures:
        stem = stem_of_meta(name, len(pictures), others)
        known = tuple((ending, others[stem + ending]) for ending in (".json", ".cls") if stem + ending in others)
        yield name, place, stem, known


class ParquetIndex(Index):
    """Records of parquet files; a group of rows is read when one of them is asked for, and the last is kept."""

    def __init__(self, paths: Sequence[pathlib.Path]) -> None:
        super().__init__()
        self.paths = [os.fspath(path) for path in paths]
        self.groups: list[tuple[str, int, int]] = []  # path, group, its first row within the file
        ends = []
        for path in self.paths:
            metadata = pyarrow().parquet.read_metadata(path)
            row = 0
            for group in range(metadata.num_row_groups):
                self.groups.append((path, group, row))
                row += metadata.row_group(group).num_rows
                ends.append(metadata.row_group(group).num_rows)
        self.ends = np.cumsum(ends) if ends else np.zeros(0, np.int64)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "kept"}

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def __getitem__(self, i: int) -> Record:
        group = int(np.searchsorted(self.ends, i, "right"))
        row = i - (int(self.ends[group - 1]) if group else 0)
        path, number, first = self.groups[group]
        kept = vars(self).get("kept")
        if kept is None or kept[0] != (os.getpid(), group):
            file = self.opened(path, lambda name: pyarrow().parquet.ParquetFile(name))
            kept = (os.getpid(), group), file.read_row_group(number)
            vars(self)["kept"] = kept
        fields = kept[1].slice(row, 1).to_pylist()[0]
        column = column_of(kept[1].schema, pathlib.Path(path))
        return record_of(f"{pathlib.Path(path).stem}-{first + row:08}", fields.pop(column), fields)


class RecIndex(Index):
    """Records of .rec files, which are read once to find where they lie."""

    def __init__(self, paths: Sequence[pathlib.Path]) -> None:
        super().__init__()
        self.places: list[tuple[str, int, str | None]] = []
        for path in paths:
            names = names_of(path.with_suffix(".lst"))
            with open(path, "rb") as file:
                at = 0
                while (data := next_record(file)) is not None:
                    if unpack(data)[1]:
                        self.places.append((os.fspath(path), at, next(names, None)))
                    at = file.tell()

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, i: int) -> Record:
        path, at, name = self.places[i]
        file = self.opened(path, open_bytes)
        file.seek(at)
        data = next_record(file)
        assert data is not None
        header, image = unpack(data)
        key, suffix = split_name(name or f"{pathlib.Path(path).stem}-{i:08}{suffix_of(image)}")
        return Record(key, suffix, image, meta_of_header(header))


def index_of(source: PathLike) -> Index:
    """The records at a path by number."""
    found = open_source(source)
    if isinstance(found, TarSource):
        return TarIndex(found.paths)
    if isinstance(found, ParquetSource):
        return ParquetIndex(found.paths)
    if isinstance(found, RecSource):
        return RecIndex(found.paths)
    return FilesIndex(found)
