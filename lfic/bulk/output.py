"""Where a run's records go, so that nothing is lost and nothing is there twice whenever the process is killed."""

import abc
import errno
import json
import os
import pathlib
import struct
from collections.abc import Iterator, Sequence

from ..data.records import KINDS, Record
from ..data.records.folder import FolderSink, files_of, holds
from ..data.records.opening import remove_shards, shard_name, shards_of, taken_by
from ..data.records.parquet import pyarrow
from ..errors import InvalidInputError
from ..files import naming, write_atomically
from .manifest import Manifest, State
from .names import Names
from .work import reason

SPOOLED = struct.Struct("<IQ")  # bytes of the JSON that says key, suffix and meta; bytes of the picture


# What the next record would meet as well: a full or failing disk.
NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


class Output(abc.ABC):
    """Takes the records of one portion after the other. ``manifest`` is saved by the caller after each.

    Attributes:
        replace: whether what exists is replaced.
    """

    def __init__(self, target: pathlib.Path, replace: bool) -> None:
        self.target, self.replace = target, replace

    @abc.abstractmethod
    def begin(self, manifest: Manifest) -> None:
        """Bring what is on disk to the state that the manifest says.

        Raises:
            InvalidInputError: something is there that is not to be replaced.
        """

    @abc.abstractmethod
    def has(self, name: str, state: State) -> bool:
        """Whether a file of that name is there, of another run than this."""

    @abc.abstractmethod
    def add(self, records: Sequence[Record], manifest: Manifest) -> list[str | None]:
        """Write a portion's records; why each failed, or None."""

    @abc.abstractmethod
    def committed(self, manifest: Manifest) -> None:
        """The manifest has been saved after ``add``."""

    @abc.abstractmethod
    def finish(self, manifest: Manifest) -> None:
        """All records are there."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of files that are open."""


class FolderOutput(Output):
    """A file for each record, and one for what else is known of it. Names are in the manifest before the files are
    made: what a killed run has made is known. Of records with one name the first alone is written."""

    names: Names | None = None

    def begin(self, manifest: Manifest) -> None:
        self.sink = FolderSink(self.target)
        self.mine = set(manifest.state.creating)
        self.names = Names(manifest.folder, manifest.state.records)

    def has(self, name: str, state: State) -> bool:
        assert self.names is not None
        return name not in self.mine and os.path.exists(self._path(name)) and name not in self.names

    def _path(self, name: str) -> pathlib.Path:
        return self.target.joinpath(*name.split("/"))

    def add(self, records: Sequence[Record], manifest: Manifest) -> list[str | None]:
        assert self.names is not None
        errors: list[str | None] = []
        files = [files_of(record) for record in records]
        there = [None if self.replace else self._in_the_way(made) for made in files]
        manifest.state.creating = sorted({name for made, found in zip(files, there) if not found for name in made})
        manifest.save()
        for made, found in zip(files, there, strict=True):
            try:
                for name in made:
                    self.sink.path_of(name)
                self._refuse_twice(made)
                if found is not None:
                    raise InvalidInputError(f"{found} exists: give --overwrite, --skip-existing or another folder")
                self._write(made, manifest.folder)
                self.names.add(made, manifest.state.records)
                errors.append(None)
            except (InvalidInputError, OSError) as error:
                if isinstance(error, OSError) and error.errno in NO_PLACE:
                    raise
                errors.append(reason(error))
        self.names.commit()
        self.mine = set()
        return errors

    def _in_the_way(self, made: dict[str, bytes]) -> pathlib.Path | None:
        """A file that is not this run's, under one of the names of a record."""
        for number, (name, data) in enumerate(made.items()):
            path = self._path(name)
            if name not in self.mine and os.path.exists(path) and not (number and holds(path, data)):
                return path
        return None

    def _refuse_twice(self, made: dict[str, bytes]) -> None:
        """InvalidInputError where another record of this run has a name; two may share a JSON file that says the
        same."""
        assert self.names is not None
        for number, (name, data) in enumerate(made.items()):
            path = self._path(name)
            if name in self.names and not (number and holds(path, data)):
                raise InvalidInputError(f"the name {name} comes twice, and the first has it: rename one of the two")

    def _write(self, made: dict[str, bytes], temporary: pathlib.Path) -> None:
        for name, data in reversed(made.items()):  # the JSON first: whoever sees the file sees what is said of it
            target = self.sink.path_of(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, data, temporary)

    def close(self) -> None:
        if self.names is not None:
            self.names.close()

    def committed(self, manifest: Manifest) -> None:
        """Every file is complete already."""

    def finish(self, manifest: Manifest) -> None:
        """Every file is complete already."""


class ShardOutput(Output):
    """Shards. Records wait in the spool until there are enough for one; it is made beside it and moved into its place.

    A shard ends with the portion that reaches its bytes, so that shards do not depend on where a run was killed.
    """

    def __init__(self, target: pathlib.Path, replace: bool, shard_bytes: int) -> None:
        super().__init__(target, replace)
        self.shard_bytes = shard_bytes
        self.kind = KINDS[target.suffix.lower()][1]
        if target.suffix.lower() == ".parquet":
            pyarrow()  # that it is missing is told before anything is coded

    def begin(self, manifest: Manifest) -> None:
        self.spool = manifest.folder / "spool"
        if not manifest.resumed and not self.replace and (there := taken_by(self.target)):
            raise InvalidInputError(f"{there[0]} exists: choose another name, or give --overwrite")
        self.spool.touch()
        length = manifest.state.spool
        if self.spool.stat().st_size < length:
            raise InvalidInputError(
                f"{self.spool} has {self.spool.stat().st_size} bytes; the manifest says {length}: it was damaged, "
                "start afresh with --overwrite"
            )
        os.truncate(self.spool, length)
        self.committed(manifest)

    def has(self, name: str, state: State) -> bool:
        return False

    def add(self, records: Sequence[Record], manifest: Manifest) -> list[str | None]:
        state, errors = manifest.state, []
        with naming(self.spool), open(self.spool, "ab") as file:
            for record in records:
                meta = dict(record.meta)
                if self.target.suffix.lower() == ".rec":
                    folder = record.key.rpartition("/")[0]
                    if folder != state.folder:
                        state.folder, state.labels = folder, state.labels + (state.folder is not None)
                    meta.setdefault("label", state.labels)
                why = self.kind.refusal(Record(record.key, record.suffix, meta=meta), state.key)
                errors.append(why)
                if why:
                    continue
                state.key = record.key
                head = json.dumps([record.key, record.suffix, meta]).encode()
                file.write(SPOOLED.pack(len(head), len(record.data)) + head)
                file.write(record.data)
                state.pending += len(record.data)
            file.flush()
            os.fsync(file.fileno())
            state.spool = file.tell()
        return errors

    def close(self) -> None:
        """None is open."""

    def committed(self, manifest: Manifest) -> None:
        if manifest.state.pending >= self.shard_bytes:
            self._shard(shard_name(self.target, manifest.state.shards), manifest)

    def _shard(self, path: pathlib.Path, manifest: Manifest) -> None:
        """The spool becomes a shard; the manifest says so."""
        writer = self.kind(manifest.folder / path.name)
        try:
            with naming(path):
                for record in spooled(self.spool, manifest.state.spool):
                    writer.add(record)
                writer.finish()
        except BaseException:
            writer.discard()
            raise
        path.parent.mkdir(parents=True, exist_ok=True)
        companions = [
            one for one in manifest.folder.iterdir() if one.stem == path.stem and one.suffix in (".idx", ".lst")
        ]
        for made in (*companions, manifest.folder / path.name):
            os.replace(made, path.with_name(made.name))
        manifest.state.shards += 1
        manifest.state.spool = manifest.state.pending = 0
        manifest.save()
        os.truncate(self.spool, 0)

    def finish(self, manifest: Manifest) -> None:
        state = manifest.state
        if state.spool or not state.shards:
            state.plain = not state.shards
            self._shard(self.target if state.plain else shard_name(self.target, state.shards), manifest)
        if self.replace:
            mine = {self.target} if state.plain else {shard_name(self.target, i) for i in range(state.shards)}
            remove_shards([path for path in shards_of(self.target) if path not in mine])


def spooled(path: pathlib.Path, length: int) -> Iterator[Record]:
    """The records in the first bytes of a spool."""
    with open(path, "rb") as file:
        while file.tell() < length:
            head, size = SPOOLED.unpack(file.read(SPOOLED.size))
            key, suffix, meta = json.loads(file.read(head))
            yield Record(key, suffix, file.read(size), meta)
