"""What a run has done, on disk: a process that is killed at any moment leaves what another needs to go on.

.faces.parquet.lfic-run/        beside the shards, or .lfic-run in the folder that is written to
    manifest.json               replaced as a whole after every portion of records
    spool                       records of the shard that is not finished; bytes behind the manifest's count are
                                those of a portion that was not
    names.db                    of the files that were made, where the target is a folder
    lock                        held by the process that writes
"""

import contextlib
import dataclasses
import json
import pathlib
import shutil
from typing import IO, Any

from ..errors import InvalidInputError, LficError
from ..files import write_atomically
from .changes import refuse_changes
from .names import KEPT

VERSION = 1


@dataclasses.dataclass
class State:
    """What is done for good.

    Attributes:
        settings: what decides the result: source, target, options. Another run of these goes on with this one.
        records: of the source. last: the key of the last of them.
        written, failed, skipped: records that came out, that failed, and that were there already.
        bytes: written, of records.
        noted: records of which there is something to say.
        shards: that are finished. spool: bytes of records for the next. pending: of them, those of pictures.
        plain: whether the only shard has the target's very name. key: of the last record in a shard or the spool.
        labels: folders seen so far, which number the people of a .rec file. folder: the last one.
        errors, notes: bytes of the files that list them.
        replace: whether what was there before the run is replaced.
        creating: files of a folder that a portion is about to make.
        complete: nothing is left to do.
    """

    settings: dict[str, Any]
    version: int = VERSION
    records: int = 0
    last: str = ""
    written: int = 0
    failed: int = 0
    skipped: int = 0
    noted: int = 0
    bytes: int = 0
    shards: int = 0
    spool: int = 0
    pending: int = 0
    plain: bool = False
    key: str | None = None
    labels: int = 0
    folder: str | None = None
    errors: int = 0
    notes: int = 0
    replace: bool = False
    creating: list[str] = dataclasses.field(default_factory=list)
    complete: bool = False


class Manifest:
    """The state of a run in its folder.

    Args:
        folder: where it is kept.
        settings: of this run.
        resume: go on with an unfinished run.
        overwrite: forget one.

    Raises:
        InvalidInputError: an unfinished run is there and neither was asked for, it was one on a cluster, it had other
            settings, its file is damaged, or another process is at it.
    """

    def __init__(self, folder: pathlib.Path, settings: dict[str, Any], resume: bool, overwrite: bool) -> None:
        self.folder, self.path = folder, folder / "manifest.json"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = self._locked()
        try:
            self.state, self.resumed = self._begin(settings, resume, overwrite)
        except LficError:
            self.lock.close()
            raise
        kept = {"manifest.json", "lock"} | ({"spool", *KEPT} if self.resumed else set())
        for path in self.folder.iterdir():  # what a killed process left half done
            if path.name not in kept:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def _locked(self) -> IO[bytes]:
        file = open(self.folder / "lock", "wb")  # noqa: SIM115  (held until the run ends)
        with contextlib.suppress(ImportError):
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
                raise InvalidInputError(f"another process is writing there: {self.folder} is locked") from None
        return file

    def _begin(self, settings: dict[str, Any], resume: bool, overwrite: bool) -> tuple[State, bool]:
        """(the state to start from, whether it is that of a run before)."""
        if overwrite:
            return State(settings), False
        if is_unfinished(self.folder / "run.json"):
            raise InvalidInputError(
                f"an unfinished run of a Ray cluster is in {self.folder}: go on with --ray and --resume, or start "
                "afresh with --overwrite"
            )
        if not self.path.exists():
            return State(settings), False
        try:
            found = json.loads(self.path.read_bytes())
            if found["version"] != VERSION:
                raise ValueError(f"version {found['version']}")
            state = State(**found)
        except (ValueError, TypeError, KeyError, OSError) as error:
            raise InvalidInputError(
                f"{self.path} is damaged or of another lfic ({error}): start afresh with --overwrite"
            ) from None
        if not resume:
            if state.complete:
                return State(settings), False
            raise InvalidInputError(
                f"a run that wrote {state.written} records to {settings['target']} is not finished: go on with "
                "--resume, or start afresh with --overwrite"
            )
        refuse_changes(state.settings, json.loads(json.dumps(settings)))
        return state, True

    def save(self) -> None:
        """Replace the file."""
        write_atomically(self.path, json.dumps(dataclasses.asdict(self.state)).encode())

    def close(self, keep: bool = True) -> None:
        """Let go of the folder; where the run is complete its manifest alone stays, or nothing without ``keep``."""
        if self.state.complete:
            if keep:
                for path in self.folder.iterdir():
                    if path != self.path:
                        path.unlink()
            else:
                shutil.rmtree(self.folder)
        self.lock.close()


def is_unfinished(path: pathlib.Path) -> bool:
    """Whether a file is there that speaks of a run, and does not say that it is complete."""
    try:
        return not json.loads(path.read_bytes())["complete"]
    except FileNotFoundError:
        return False
    except (ValueError, TypeError, KeyError, OSError):
        return True
