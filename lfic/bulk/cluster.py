"""The same work on a Ray cluster, as one dataset of Ray Data: ``pip install "lfic[ray]"``.

    read_datasource            map_batches                 write_datasink
    a task a part       ->     actors that hold the   ->   a task a shard
    (parts.py)                 codec (work.py)             (ledger.py)

Records stream: Ray holds back readers while workers are busy, does again what a lost worker had, and replaces it. What
is done stands in the ledger, so that a run that was killed goes on where it was. Sources and targets are paths that
every node sees.
"""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import pickle
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..arguments import integer
from ..data.records import KINDS, Record
from ..data.records.folder import FolderSink
from ..errors import InvalidInputError, MissingDependencyError
from ..files import PathLike
from .ledger import Entry, Ledger, digest_of
from .log import Log
from .parts import Interval, Part, digest, intervals, left, parts_of
from .work import Work

LIGHT = 0.05  # of a CPU: what tasks ask for that read and write; the actors do the work
ACTORS_TO_A_READER = 8  # an actor takes some 100 records a second, a reader gives thousands
SHARD_ROWS = 10_000  # of a folder as target: what a task writes


@dataclasses.dataclass(frozen=True)
class Summary:
    """How a run ended.

    Attributes:
        written, failed, noted: records that came out, that failed, of which there is something to say.
        bytes: of records. seconds: of this run.
        resumed: whether an earlier run went on.
        errors, notes: files that list them; None where there is nothing to list.
    """

    written: int
    failed: int
    noted: int
    bytes: int
    seconds: float
    resumed: bool
    errors: pathlib.Path | None
    notes: pathlib.Path | None


def run_on_ray(
    source: PathLike,
    work: Work,
    target: PathLike,
    *,
    address: str | None = "local",
    jobs: int | None = None,
    gpus: float = 0,
    resume: bool = False,
    overwrite: bool = False,
    strict: bool = False,
    shard_bytes: int = 256 << 20,
    errors: PathLike | None = None,
) -> Summary:
    """Records of a source through ``work`` to a target, on a cluster.

    Args:
        source: a folder, or shards (``lfic.data.open_source``).
        work: what is done to them; it is pickled.
        target: a folder, or a name that ends in .tar or .parquet.
        address: of the cluster; "local": this machine; None: what ``ray.init`` has joined already.
        jobs: actors; None: as many as the cluster has CPUs, or GPUs where ``gpus`` is not 0.
        gpus: GPUs of an actor, a part of one or several; its work then has device "cuda".
        resume: go on where a run that was killed left off; without one, start.
        overwrite: replace what is there, and forget an unfinished run.
        strict: stop at the first record that fails.
        shard_bytes: a shard has at least so many bytes of records, but the last.
        errors: file that lists the records that failed, a JSON object a line; None: TARGET.errors.jsonl. What is there
            is treated as ``lfic.bulk.Run`` does.

    Raises:
        MissingDependencyError: Ray is not installed.
        InvalidInputError: an option is wrong, the target or a file of the list's name exists, an unfinished run is
            there, or with ``strict`` a record failed.
    """
    began = time.monotonic()
    target = pathlib.Path(os.path.abspath(target))
    if target.suffix.lower() == ".rec":
        raise InvalidInputError(
            f"{target.name}: a .rec file numbers people in the order of their folders, which a cluster has none of: "
            "write .parquet, and lfic transcode that to .rec"
        )
    shard_bytes = integer("shard_bytes", shard_bytes, 1)
    jobs = None if jobs is None else integer("jobs", jobs, 1)
    if resume and overwrite:
        raise InvalidInputError("resume and overwrite exclude each other: give one")
    package()
    parts = parts_of(source)
    paths = [list_path(target, "errors", errors), list_path(target, "notes")]
    logs = [Log(path, replace=overwrite or resume) for path in paths]  # what is there gets lines added, and loses none
    ledger = Ledger(target)
    settings = {"source": os.path.abspath(source), "parts": digest(parts), "work": repr(work)}
    resumed = ledger.begin(settings, resume, overwrite)
    try:
        if not ledger.state["complete"]:
            pickle.loads(pickle.dumps(work)).prepare()  # a wrong option is told here; what is loaded does not travel
            with joined_cluster(address) as ray:
                pipeline(ray, parts, work, ledger, jobs, gpus, strict, shard_bytes)
            refuse_missing(parts, ledger)
            figures = listed(ledger, *logs)
            ledger.finish(**figures)
        written, failed, noted, size = (int(ledger.state[name]) for name in ("written", "failed", "noted", "bytes"))
    finally:
        ledger.close()
    there = [path if count and path.exists() else None for path, count in zip(paths, (failed, noted))]
    return Summary(written, failed, noted, size, time.monotonic() - began, resumed, *there)


def package() -> Any:
    """Ray, with its data module.

    Raises:
        MissingDependencyError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    try:
        import ray
        import ray.data
    except ImportError:
        raise MissingDependencyError('a cluster needs Ray: pip install "lfic[ray]"') from None
    return ray


@contextlib.contextmanager
def joined_cluster(address: str | None) -> Iterator[Any]:
    """Ray, joined to a cluster, which is left again where it was joined here."""
    ray = package()
    if address is None or ray.is_initialized():
        if not ray.is_initialized():
            raise InvalidInputError("address is None, and ray.init has joined no cluster: call it, or give an address")
        yield ray
        return
    try:
        here = {"include_dashboard": False} if address == "local" else {}
        ray.init(address, log_to_driver=False, logging_level="warning", **here)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InvalidInputError(f"there is no Ray cluster at {address!r}: {str(error).splitlines()[0]}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def pipeline(
    ray: Any,
    parts: Sequence[Part],
    work: Work,
    ledger: Ledger,
    jobs: int | None,
    gpus: float,
    strict: bool,
    shard_bytes: int,
) -> None:
    """Read, work, write: until nothing is left to do."""
    source = datasource(parts, ledger, work.at_once())
    tasks = source.get_read_tasks()
    if not tasks:
        return
    resources = ray.cluster_resources()
    if gpus and resources.get("GPU", 0) < gpus:
        raise InvalidInputError(f"an actor is to have {gpus} GPUs; the cluster has {resources.get('GPU', 0):g}")
    jobs = jobs or max(1, int(resources.get("GPU", 0) / gpus if gpus else resources.get("CPU", 1)))
    light = max(1, jobs // ACTORS_TO_A_READER)
    dataset = ray.data.read_datasource(source, override_num_blocks=len(tasks), concurrency=light, num_cpus=LIGHT)
    dataset = dataset.map_batches(
        Actor,
        fn_constructor_args=(work,),
        batch_size=work.at_once(),
        batch_format="pyarrow",
        zero_copy_batch=True,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=jobs),
        num_cpus=0.9,  # room for the tasks that read and write
        num_gpus=gpus or None,
    )
    try:
        dataset.write_datasink(
            datasink(ledger, strict, shard_bytes), concurrency=light, ray_remote_args={"num_cpus": LIGHT}
        )
    except ray.exceptions.RayError as error:
        text = str(error).strip() or type(error).__name__
        own = re.findall(r"lfic\.errors\.\w+: (.+)", text)  # what a task raised; Ray's words stand around it
        raise InvalidInputError(f"the run stopped: {own[-1] if own else text.splitlines()[-1]}") from None


def refuse_missing(parts: Sequence[Part], ledger: Ledger) -> None:
    """Every row of every part is done once: ``Ledger.rows`` refuses those that are there twice.

    Raises:
        InvalidInputError: some are not.
    """
    done, counts = ledger.rows(), ledger.counts()
    for number in range(len(parts)):
        if not is_done(done.get(number, []), counts.get(number)):
            raise InvalidInputError(
                f"of part {number} of the source, {counts.get(number)} rows, are done {done.get(number, [])}: run it "
                "again with --resume"
            )


# --- reading ---------------------------------------------------------------------------------------------------------


def datasource(parts: Sequence[Part], ledger: Ledger, rows: int) -> Any:
    """What Ray reads: a task for each part of which something is left; rows: of a block."""
    from ray.data.block import BlockMetadata
    from ray.data.datasource import ReadTask

    done, counts = ledger.rows(), ledger.counts()
    tasks = [
        ReadTask(
            functools.partial(blocks_of, number, part, done.get(number, []), rows, ledger.target),
            BlockMetadata(None, None, None),
        )
        for number, part in enumerate(parts)
        if not is_done(done.get(number, []), counts.get(number))
    ]
    # Ray is no dependency, and not typed: a class statement would need its base when this file is read.
    methods = {"estimate_inmemory_data_size": lambda self: None, "get_read_tasks": lambda self, *_, **__: tasks}
    return type("Records", (package().data.Datasource,), methods)()


def is_done(done: Sequence[Interval], count: int | None) -> bool:
    """Whether joined intervals hold all of so many rows."""
    return count is not None and (list(done) == [(0, count)] or count == 0)


BLOCK = ("part", "int32"), ("row", "int64"), ("head", "binary"), ("content", "large_binary")
# said: of a record's first row alone.
RESULT = ("part", "int32"), ("row", "int64"), ("said", "binary"), ("head", "binary"), ("data", "large_binary")


def table(fields: Sequence[tuple[str, str]], rows: Sequence[tuple[Any, ...]]) -> Any:
    """A pyarrow table of rows."""
    import pyarrow

    schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in fields])
    columns = list(zip(*rows)) if rows else [()] * len(fields)
    return pyarrow.table([pyarrow.array(c, field.type) for c, field in zip(columns, schema)], schema)


def blocks_of(number: int, part: Part, done: Sequence[Interval], rows: int, target: pathlib.Path) -> Iterator[Any]:
    """Blocks of what of a part is left, at least one; in the end the ledger knows how many rows the part has."""
    block: list[tuple[Any, ...]] = []
    count = done[-1][1] if done else 0
    for row, record in left(part, done):
        head = json.dumps([record.key, record.suffix, record.meta, record.path, record.error]).encode()
        block.append((number, row, head, record.content))
        count = max(count, row + 1)
        if len(block) == rows:
            yield table(BLOCK, block)
            block = []
    Ledger(target).counted(number, count)
    yield table(BLOCK, block)


# --- work ------------------------------------------------------------------------------------------------------------


class Actor:
    """Holds what ``work`` has loaded; a table of records in, one of what came of them out."""

    def __init__(self, work: Work) -> None:
        import torch

        torch.set_num_threads(1)  # the actors are the parallelism
        work.prepare()
        self.work = work

    def __call__(self, found: Any) -> Any:
        records = []
        for head, content in zip(found["head"], found["content"]):
            key, suffix, meta, path, error = json.loads(head.as_py())
            records.append(Record(key, suffix, content.as_py(), meta, path, error))
        rows: list[tuple[Any, ...]] = []
        for part, row, record, outcome in zip(
            found["part"].to_pylist(), found["row"].to_pylist(), records, self.work(records), strict=True
        ):
            said: bytes | None = json.dumps([record.origin, outcome.error, outcome.note]).encode()
            for one in outcome.records or (None,):
                head = None if one is None else json.dumps([one.key, one.suffix, one.meta]).encode()
                rows.append((part, row, said, head, None if one is None else one.data))
                said = None
        return table(RESULT, rows)


# --- writing ---------------------------------------------------------------------------------------------------------


def datasink(ledger: Ledger, strict: bool, shard_bytes: int) -> Any:
    """What Ray writes: a task for each shard."""
    target, sharded = ledger.target, ledger.sharded
    methods = {
        "write": lambda self, blocks, ctx: write_shard(blocks, target, strict),
        "min_bytes_per_write": property(lambda self: shard_bytes if sharded else None),
        "min_rows_per_write": property(lambda self: None if sharded else SHARD_ROWS),
        "get_name": lambda self: "lfic",
    }
    return type("Shards", (package().data.Datasink,), methods)()


def write_shard(blocks: Iterable[Any], target: pathlib.Path, strict: bool) -> None:
    """One task: the blocks of a shard, then its entry.

    Raises:
        InvalidInputError: a record failed, and ``strict``.
    """
    ledger = Ledger(target)
    tables = [block for block in blocks if len(block)]
    if not tables:
        return
    rows: dict[int, set[int]] = {}
    for table in tables:
        for part, row in zip(table["part"].to_pylist(), table["row"].to_pylist()):
            rows.setdefault(part, set()).add(row)
    spans = {part: intervals(found) for part, found in sorted(rows.items())}
    said = Said(strict)
    if ledger.sharded:
        name = f"{digest_of(spans)}{target.suffix.lower()}"
        written, size = to_shard(tables, ledger.shards / name, said)
    else:
        name, (written, size) = "", to_files(tables, FolderSink(target, replace=True), said)
    ledger.commit(Entry(spans, written, size, said.errors, said.notes, name if written else ""))


class Said:
    """What failed and what there is to say, of one task."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.errors: list[dict[str, str]] = []
        self.notes: list[dict[str, str]] = []

    def add(self, source: str, error: str | None, note: str | None) -> None:
        if error is not None:
            if self.strict:
                raise InvalidInputError(f"{source}: {error} (strict: the run stops here)")
            self.errors.append({"source": source, "error": error})
        if note is not None:
            self.notes.append({"source": source, "note": note})


def records_of(tables: Sequence[Any], said: Said) -> Iterator[Record]:
    """The records of a shard; what is said of their sources goes to ``said``."""
    for table in tables:
        for text, head, data in zip(table["said"], table["head"], table["data"]):
            if text.is_valid:
                said.add(*json.loads(text.as_py()))
            if head.is_valid:
                key, suffix, meta = json.loads(head.as_py())
                yield Record(key, suffix, data.as_py(), meta)


def to_shard(tables: Sequence[Any], path: pathlib.Path, said: Said) -> tuple[int, int]:
    """(records, their bytes) written to a shard."""
    kind = KINDS[path.suffix][1]
    writer = kind(path)
    written = size = 0
    last: str | None = None
    try:
        for record in records_of(tables, said):
            if why := kind.refusal(record, last):
                said.add(record.name, why, None)
                continue
            writer.add(record)
            last, written, size = record.key, written + 1, size + len(record.data)
        if not written:
            writer.discard()
            return 0, 0
        writer.finish()
    except BaseException:
        writer.discard()
        raise
    return written, size


def to_files(tables: Sequence[Any], sink: FolderSink, said: Said) -> tuple[int, int]:
    """(records, their bytes) written to a folder."""
    written = size = 0
    for record in records_of(tables, said):
        try:
            sink.write(record)
        except (InvalidInputError, OSError) as error:
            said.add(record.name, str(error), None)
            continue
        written, size = written + 1, size + len(record.data)
    return written, size


# --- the end ---------------------------------------------------------------------------------------------------------


def list_path(target: pathlib.Path, kind: str, path: PathLike | None = None) -> pathlib.Path:
    """The file that lists what failed, or what there is to say."""
    return target.with_name(f"{target.name}.{kind}.jsonl") if path is None else pathlib.Path(path)


def listed(ledger: Ledger, errors: Log, notes: Log) -> dict[str, float]:
    """Write both lists; the figures of all entries."""
    figures: dict[str, float] = dict.fromkeys(("written", "failed", "noted", "bytes"), 0)
    rows: list[list[dict[str, str]]] = [[], []]
    for entry in ledger.entries():
        figures["written"] += entry.written
        figures["bytes"] += entry.bytes
        figures["failed"] += len(entry.errors)
        figures["noted"] += len(entry.notes)
        for found, said in zip(rows, (entry.errors, entry.notes)):
            found += map(dict, said)
    for log, found in ((errors, rows[0]), (notes, rows[1])):
        log.begin()
        log.add(sorted(found, key=json.dumps))
    return figures
