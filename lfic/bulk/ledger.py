"""What tasks of a cluster have done, on a disk that all of them see.

.faces.parquet.lfic-run/        beside the shards, or .lfic-run in the folder that is written to
    run.json                    what is done to which source; another run of these goes on with this one
    done/DIGEST.json            of each shard that is whole: which rows of which parts are in it, and what failed
    shards/DIGEST.parquet       shards until the run is complete: then they get their numbers and their place
    parts/NUMBER                how many rows a part has, once it was read to its end
    lock                        held by the process that runs it

A shard counts from the moment that its entry in done/ is there, which is the last thing that its task does. DIGEST is
that of the rows, so that a task that is run again replaces its own shard and its own entry.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from ..data.records import KINDS
from ..data.records.opening import remove_shards, shard_name, shards_of, taken_by
from ..errors import InvalidInputError
from ..files import write_atomically
from .changes import refuse_changes
from .manifest import is_unfinished
from .names import KEPT
from .parts import Interval, joined, overlap

VERSION = 1


@dataclasses.dataclass(frozen=True)
class Entry:
    """What one task wrote.

    Attributes:
        rows: intervals of each part's rows, by the part's number.
        written, bytes: records that came out.
        errors, notes: {"source": name, "error" or "note": text} each.
        shard: name of the file in shards/; empty where none was written, or single files were.
    """

    rows: Mapping[int, Sequence[Interval]]
    written: int
    bytes: int
    errors: Sequence[Mapping[str, str]] = ()
    notes: Sequence[Mapping[str, str]] = ()
    shard: str = ""

    @property
    def first(self) -> tuple[int, int]:
        """Where its first row stands: the shards' order."""
        return min((part, spans[0][0]) for part, spans in self.rows.items())


def digest_of(rows: Mapping[int, Sequence[Interval]]) -> str:
    """Of the rows that a task has."""
    return hashlib.sha256(json.dumps(sorted(rows.items())).encode()).hexdigest()[:24]


class Ledger:
    """The folder of a run.

    Args:
        target: where the records go.
    """

    def __init__(self, target: pathlib.Path) -> None:
        self.target = target
        self.sharded = target.suffix.lower() in KINDS and not target.is_dir()
        self.folder = target.with_name(f".{target.name}.lfic-run") if self.sharded else target / ".lfic-run"
        self.path = self.folder / "run.json"
        self.parts = self.folder / "parts"
        self.done, self.shards = self.folder / "done", self.folder / "shards"

    # --- the process that runs it ---

    def begin(self, settings: Mapping[str, Any], resume: bool, overwrite: bool) -> bool:
        """Make the folder, or go on with what is in it; returns whether an earlier run goes on.

        Raises:
            InvalidInputError: the target exists, an unfinished run is there and neither was asked for, it had other
                settings, or another process is at it.
        """
        self.state: dict[str, Any] = {"version": VERSION, "complete": False, "settings": dict(settings)}
        found = json.loads(self.path.read_bytes()) if self.path.exists() and not overwrite else None
        if not overwrite and is_unfinished(self.folder / "manifest.json"):
            raise InvalidInputError(
                f"an unfinished run without a cluster is in {self.folder}: go on without --ray and with --resume, or "
                "start afresh with --overwrite"
            )
        if (self.folder / "manifest.json").exists() and not overwrite and not resume and self.taken():
            raise InvalidInputError(f"{self.taken()} exists: choose another target, or give --overwrite")
        if found is not None and not resume and not found["complete"]:
            raise InvalidInputError(
                f"a run to {self.target} is not finished: go on with --resume, or start afresh with --overwrite"
            )
        if found is not None and resume:
            refuse_changes(found["settings"], self.state["settings"])
            self.state = found
        elif not overwrite and (taken := self.taken()):
            raise InvalidInputError(f"{taken} exists: choose another target, or give --overwrite")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = locked(self.folder / "lock")
        if found is None or not resume:
            self._clear(overwrite)
            self._save()
        for folder in (self.done, self.shards, self.parts):
            folder.mkdir(exist_ok=True)
        return found is not None and resume

    def _clear(self, overwrite: bool) -> None:
        """Nothing of an earlier run, nor of an earlier result, stays."""
        for path in (self.done, self.shards, self.parts):
            shutil.rmtree(path, ignore_errors=True)
        for path in [*(self.folder / name for name in ("run.json", "manifest.json", "spool", *KEPT))]:
            path.unlink(missing_ok=True)
        if self.sharded and overwrite:
            remove_shards(shards_of(self.target))

    def _save(self) -> None:
        write_atomically(self.path, json.dumps(self.state).encode())

    def taken(self) -> pathlib.Path | None:
        """Something that stands where the result is to go."""
        if self.sharded:
            return next(iter(taken_by(self.target)), None)
        if self.target.exists() and not self.target.is_dir():
            raise InvalidInputError(f"{self.target} is a file; a target is a folder, or ends in {', '.join(KINDS)}")
        inside = (path for path in self.target.iterdir() if path != self.folder) if self.target.exists() else iter(())
        return next(inside, None)

    def entries(self) -> Iterator[Entry]:
        """What is done, in no order; one at a time."""
        for path in sorted(self.done.glob("*.json")):
            if path.name.startswith("."):
                continue
            found = json.loads(path.read_bytes())
            rows = {int(part): [tuple(span) for span in spans] for part, spans in found.pop("rows").items()}
            yield Entry(rows, **found)

    def rows(self) -> dict[int, list[Interval]]:
        """Rows of each part that are done, joined.

        Raises:
            InvalidInputError: a row is there twice.
        """
        found: dict[int, list[Interval]] = {}
        for entry in self.entries():
            for part, spans in entry.rows.items():
                found.setdefault(part, []).extend(spans)
        for part, spans in found.items():
            if twice := overlap(spans):
                raise InvalidInputError(
                    f"rows {twice[0]} to {twice[1] - 1} of part {part} are in two shards of {self.folder}: start "
                    "afresh with --overwrite"
                )
        return {part: joined(spans) for part, spans in found.items()}

    def finish(self, **figures: float) -> None:
        """Give the shards their numbers and their place; figures: what to remember of the run.

        May be killed at any moment and called again.
        """
        if self.sharded:
            names = sorted((entry.first, entry.shard) for entry in self.entries() if entry.shard)
            for number, (_, name) in enumerate(names):
                target = self.target if len(names) == 1 else shard_name(self.target, number)
                if (self.shards / name).exists():
                    os.replace(self.shards / name, target)
        self.state |= {"complete": True, **figures}
        self._save()
        for path in (self.done, self.shards, self.parts):
            shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """Let go of the folder."""
        self.lock.close()

    def counts(self) -> dict[int, int]:
        """Rows of the parts that were read to their ends."""
        found = (path for path in self.parts.iterdir() if path.name.isdigit())
        return {int(path.name): int(path.read_bytes()) for path in found}

    # --- a task ---

    def counted(self, part: int, count: int) -> None:
        """How many rows a part has."""
        write_atomically(self.parts / str(part), str(count).encode())

    def commit(self, entry: Entry) -> None:
        """The entry of a shard that is whole."""
        text = json.dumps(dataclasses.asdict(entry)).encode()
        write_atomically(self.done / f"{digest_of(entry.rows)}.json", text)


def locked(path: pathlib.Path) -> IO[bytes]:
    """A file that no other process holds.

    Raises:
        InvalidInputError: another one does.
    """
    file = open(path, "wb")  # noqa: SIM115  (held until the run ends)
    with contextlib.suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise InvalidInputError(f"another process is writing there: {path} is locked") from None
    return file
