"""A run: records of a source go through workers to a target, in the order of the source, resumable at any moment."""

import collections
import dataclasses
import itertools
import os
import pathlib
import shutil
import time
from collections.abc import Iterator, Sequence
from typing import Any

from .. import arguments
from ..data.records import KINDS, Record, RecordSource
from ..data.records.opening import check_folder
from ..errors import InvalidInputError
from ..files import PathLike
from .log import Log
from .manifest import Manifest
from .output import FolderOutput, Output, ShardOutput
from .pool import Pool, default_jobs
from .work import Outcome, Work, size_of

PORTION_BYTES = 16 << 20  # of a source: a portion ends before its worker needs much more than this


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of one record of the source.

    Attributes:
        source: its name there.
        records: what was made of it, without their bytes: (name, bytes, meta) each.
        error, note: why it failed; what else is to be said of it; or None.
        path: of its file, where it is one. size: its bytes.
    """

    source: str
    records: tuple[tuple[str, int, dict[str, Any]], ...] = ()
    error: str | None = None
    note: str | None = None
    path: str | None = None
    size: int = 0


class Run(Iterator[Result]):
    """An iterator over the results of a run, which goes on as they are taken; ``finish`` takes them all.

    Everything is checked before the first result: a mistake in the arguments raises where the run is made.

    Args:
        source: of the records. name: what it is called in the manifest.
        work: what is done to them.
        target: folder, or shards called .tar, .parquet or .rec.
        jobs: worker processes; None: one for each core.
        resume: go on where a run that was killed left off; without one, start.
        overwrite: replace what is there, and forget an unfinished run.
        skip_existing: pass over records whose file is there (folders alone).
        strict: stop at the first record that fails.
        shard_bytes: a shard ends with the portion of records that reaches so many bytes.
        errors: file that lists the records that failed, a JSON object a line; None: TARGET.errors.jsonl. It takes the
            place of a list of an earlier run alone; with ``overwrite`` lines are added to any other file.
        lists: whether they are listed, and in TARGET.notes.jsonl what there is to say of others.
        keep: whether the manifest stays when all is done.

    Attributes:
        state: what is done so far (``manifest.State``). resumed: whether an earlier run goes on.
        seconds: since the start.

    Raises:
        LficError: an option is wrong, the target or a file of the list's name exists, or an unfinished run is there.
    """

    def __init__(
        self,
        source: RecordSource,
        name: str,
        work: Work,
        target: PathLike,
        *,
        jobs: int | None = None,
        resume: bool = False,
        overwrite: bool = False,
        skip_existing: bool = False,
        strict: bool = False,
        shard_bytes: int = 256 << 20,
        errors: PathLike | None = None,
        lists: bool = True,
        keep: bool = True,
    ) -> None:
        resume, overwrite = arguments.flag("resume", resume), arguments.flag("overwrite", overwrite)
        strict, skip_existing = arguments.flag("strict", strict), arguments.flag("skip_existing", skip_existing)
        shard_bytes = arguments.integer("shard_bytes", shard_bytes, 1)
        target = arguments.path("target", target)
        self.source, self.work, self.target = source, work, pathlib.Path(os.path.abspath(target))
        self.strict, self.skip_existing, self.keep = strict, skip_existing, keep
        self.jobs = default_jobs() if jobs is None else arguments.integer("jobs", jobs, 1)
        if resume and overwrite:
            raise InvalidInputError("resume and overwrite exclude each other: give one")
        there = self.target.exists() or self.target.suffix.lower() in KINDS
        self.output, folder = open_output(self.target, overwrite, shard_bytes)
        if skip_existing and isinstance(self.output, ShardOutput):
            raise InvalidInputError("skip_existing needs a folder as target; shards go on with resume")
        listed = self._list("errors", None if errors is None else arguments.path("errors", errors))
        settings = {"source": name, "target": str(self.target), "work": repr(work), "errors": str(listed)}
        if isinstance(self.output, ShardOutput):
            settings["shard_bytes"] = str(shard_bytes)
        self.manifest = Manifest(folder, settings, resume, overwrite)
        self.state, self.resumed = self.manifest.state, self.manifest.resumed
        self.output.replace = self.state.replace = overwrite or self.state.replace
        self.began = time.monotonic()
        self.before = self.state.records
        self.pool = Pool(work, self.jobs)
        self.errors = self.notes = Log(None)
        try:
            if not self.state.complete:
                self.errors = Log(listed if lists else None, self.state.errors, overwrite)
                self.notes = Log(self._list("notes", None) if lists else None, self.state.notes, overwrite)
                self.output.begin(self.manifest)
                portions = self._portions()
                ahead = list(itertools.islice(portions, self.jobs))  # a source that has changed is noticed here
                self.pool.jobs = max(1, len(ahead))
                self.pool.start()  # and a wrong option here
                for log in (self.errors, self.notes):
                    log.begin()
                self.state.errors, self.state.notes = self.errors.length, self.notes.length
                if not self.resumed:
                    self.manifest.save()
                self.results = self._results(itertools.chain(ahead, portions))
            else:
                self._check_count()
                self.results = iter(())
        except BaseException:
            self.close()
            if not self.manifest.path.exists():  # nothing was begun: nothing is left
                shutil.rmtree(folder)
                if not there:
                    self.target.rmdir()
            raise

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self.began

    def __iter__(self) -> "Run":
        return self

    def __next__(self) -> Result:
        return next(self.results)

    def finish(self) -> "Run":
        """Take all results."""
        collections.deque(self, maxlen=0)
        return self

    def close(self) -> None:
        """End the workers; what is done stays done."""
        self.pool.__exit__(None, None, None)
        self.output.close()
        if not self.manifest.lock.closed:
            self.manifest.close(self.keep)

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_count(self) -> None:
        """A complete run has nothing left to do, unless there is more in the source than it saw."""
        count = self.source.count()
        if count is not None and count != self.state.records:
            raise InvalidInputError(
                f"the source has changed: it has {count} records, the run that is complete had {self.state.records}: "
                "start afresh with --overwrite, or with --skip-existing where the target is a folder"
            )

    def _list(self, kind: str, path: PathLike | None) -> pathlib.Path:
        """The file that lists what failed, or what there is to say."""
        return (
            self.target.with_name(f"{self.target.name}.{kind}.jsonl")
            if path is None
            else pathlib.Path(os.path.abspath(path))
        )

    # --- from the source to the workers ---

    def _portions(self) -> Iterator[list[Record]]:
        """Records in portions that do not depend on where the run began."""
        most = self.work.at_once()
        portion: list[Record] = []
        size = 0
        for record in self._from(self.state.records):
            portion.append(record)
            size += self.work.weight(record)
            if len(portion) >= most or size >= PORTION_BYTES:
                yield portion
                portion, size = [], 0
        if portion:
            yield portion

    def _from(self, start: int) -> Iterator[Record]:
        """The source's records from a number on, after a look at the one before."""
        if not start:
            yield from self.source.records()
            return
        records = self.source.records(start - 1)
        before = next(records, None)
        if before is None or before.key != self.state.last:
            found = "ends before it" if before is None else f"has {before.key!r} there"
            raise InvalidInputError(
                f"the source has changed: the run to resume had {self.state.last!r} as its record {start}, the source "
                f"{found}: start afresh with --overwrite"
            )
        yield from records

    # --- from the workers to the target ---

    def _results(self, portions: Iterator[list[Record]]) -> Iterator[Result]:
        """Results, each given out after its portion is on disk for good."""
        try:
            given: collections.deque[tuple[list[Record], list[Record]]] = collections.deque()
            for outcomes in self.pool.run(self._handed_out(portions, given)):
                yield from self._commit(*given.popleft(), outcomes)
            self.output.finish(self.manifest)
            self.state.complete = True
            self.manifest.save()
        finally:
            self.close()

    def _handed_out(
        self, portions: Iterator[list[Record]], given: collections.deque[tuple[list[Record], list[Record]]]
    ) -> Iterator[list[Record]]:
        """Portions without what is there already; ``given`` keeps both until they come back."""
        for portion in portions:
            missing = [record for record in portion if not self._is_there(record)]
            given.append((portion, missing))
            yield missing

    def _is_there(self, record: Record) -> bool:
        if not self.skip_existing:
            return False
        name = self.work.target(record)
        return name is not None and self.output.has(name, self.state)

    def _commit(self, portion: Sequence[Record], worked: Sequence[Record], outcomes: Sequence[Outcome]) -> list[Result]:
        """Write what came of a portion, of which ``worked`` went to the workers; then the manifest."""
        state = self.state
        made = [record for outcome in outcomes for record in outcome.records]
        why = iter(self.output.add(made, self.manifest))
        results = []
        for record, outcome in zip(worked, outcomes, strict=True):
            refused = [reason for reason in (next(why) for _ in outcome.records) if reason]
            error = outcome.error or (refused[0] if refused else None)
            kept = () if refused else outcome.records
            made_of_it = tuple((one.name, len(one.data), one.meta) for one in kept)
            results.append(Result(record.origin, made_of_it, error, outcome.note, record.path, size_of(record)))
            state.written += len(kept)
            state.bytes += sum(size for _, size, _ in made_of_it)
            state.failed += error is not None
            state.noted += outcome.note is not None
        failed = [result for result in results if result.error]
        if failed and self.strict:
            raise InvalidInputError(f"{failed[0].source}: {failed[0].error} (strict: the run stops here)")
        self.errors.add([{"source": result.source, "error": result.error} for result in failed])
        self.notes.add([{"source": result.source, "note": result.note} for result in results if result.note])
        state.errors, state.notes = self.errors.length, self.notes.length
        state.skipped += len(portion) - len(worked)
        state.records += len(portion)
        state.last = portion[-1].key
        state.creating = []
        self.manifest.save()
        self.output.committed(self.manifest)
        return results


def open_output(target: pathlib.Path, replace: bool, shard_bytes: int) -> tuple[Output, pathlib.Path]:
    """(the output, the folder of its manifest) for a target."""
    if target.suffix.lower() in KINDS and not target.is_dir():
        return ShardOutput(target, replace, shard_bytes), target.with_name(f".{target.name}.lfic-run")
    if target.exists() and not target.is_dir():
        raise InvalidInputError(f"{target} is a file; a target is a folder, or ends in {', '.join(KINDS)}")
    check_folder(target)
    return FolderOutput(target, replace), target / ".lfic-run"
