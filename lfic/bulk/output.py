"""Where a run's records go, so that nothing is lost and nothing is there twice whenever the process is killed."""

import abc
import errno
import json
import os
import pathlib
import struct
from collections.abc import Iterator, Sequence

from ..data.records import KINDS, Record
from ..data.records.folder import FolderSink
from ..data.records.opening import numbered_shards, shard_name
from ..data.records.parquet import pyarrow
from ..data.records.record import split_name
from ..errors import InvalidInputError
from ..files import write_atomically
from .manifest import Manifest, State
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


class FolderOutput(Output):
    """A file for each record. Its name is in the manifest before it is made: what a killed run has made is known."""

    def begin(self, manifest: Manifest) -> None:
        self.sink = FolderSink(self.target)
        self.mine = set(manifest.state.creating)

    def has(self, name: str, state: State) -> bool:
        return name not in self.mine and os.path.exists(self.target.joinpath(*name.split("/")))

    def add(self, records: Sequence[Record], manifest: Manifest) -> list[str | None]:
        errors: list[str | None] = []
        allowed = set()
        for record in records:
            if self.replace or not self.has(record.name, manifest.state):
                allowed.add(record.name)
        manifest.state.creating = sorted(allowed)
        manifest.save()
        for record in records:
            try:
                if record.name not in allowed:
                    raise InvalidInputError(
                        f"{self.target / record.name} exists: give --overwrite, --skip-existing or another folder"
                    )
                allowed.discard(record.name)
                self._write(record, manifest.folder)
                errors.append(None)
            except (InvalidInputError, OSError) as error:
                if isinstance(error, OSError) and error.errno in NO_PLACE:
                    raise
                errors.append(reason(error))
        self.mine = set()
        return errors

    def _write(self, record: Record, temporary: pathlib.Path) -> None:
        target = self.sink.target(record)
        target.parent.mkdir(parents=True, exist_ok=True)
        if record.meta:
            text = json.dumps(record.meta).encode()
            write_atomically(target.with_name(f"{split_name(target.name)[0]}.json"), text, temporary)
        write_atomically(target, record.data, temporary)

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
        if shard_bytes < 1:
            raise InvalidInputError(f"shard_bytes is {shard_bytes}; at least 1 is needed")
        self.shard_bytes = shard_bytes
        self.kind = KINDS[target.suffix.lower()][1]
        if target.suffix.lower() == ".parquet":
            pyarrow()  # that it is missing is told before anything is coded

    def begin(self, manifest: Manifest) -> None:
        self.spool = manifest.folder / "spool"
        if not manifest.resumed and not self.replace and (there := self._there()):
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

    def _there(self) -> list[pathlib.Path]:
        """Shards of the target's name."""
        return [*([self.target] if self.target.exists() else []), *numbered_shards(self.target)]

    def has(self, name: str, state: State) -> bool:
        return False

    def add(self, records: Sequence[Record], manifest: Manifest) -> list[str | None]:
        state, errors = manifest.state, []
        with open(self.spool, "ab") as file:
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

    def committed(self, manifest: Manifest) -> None:
        if manifest.state.pending >= self.shard_bytes:
            self._shard(shard_name(self.target, manifest.state.shards), manifest)

    def _shard(self, path: pathlib.Path, manifest: Manifest) -> None:
        """The spool becomes a shard; the manifest says so."""
        writer = self.kind(manifest.folder / path.name)
        try:
            for record in spooled(self.spool, manifest.state.spool):
                writer.add(record)
            writer.finish()
        except BaseException:
            writer.discard()
            raise
        path.parent.mkdir(parents=True, exist_ok=True)
        companions = [one for one in manifest.folder.glob(path.stem + ".*") if one.suffix != path.suffix]
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
            for path in set(self._there()) - mine:
                for suffix in (".lst", ".idx", ".rec") if path.suffix == ".rec" else (path.suffix,):
                    path.with_suffix(suffix).unlink(missing_ok=True)


def spooled(path: pathlib.Path, length: int) -> Iterator[Record]:
    """The records in the first bytes of a spool."""
    with open(path, "rb") as file:
        while file.tell() < length:
            head, size = SPOOLED.unpack(file.read(SPOOLED.size))
            key, suffix, meta = json.loads(file.read(head))
            yield Record(key, suffix, file.read(size), meta)
