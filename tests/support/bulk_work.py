"""Work for the machinery of bulk runs that needs no codec, and a program that runs it."""

import dataclasses
import os
import pathlib
import signal
import sys
import time

from lfic.bulk.pipeline import Run
from lfic.bulk.work import Outcome, Work
from lfic.data.records import Record, open_source
from lfic.errors import InvalidInputError


@dataclasses.dataclass
class Reversing(Work):
    """Turns bytes round. Records called "bad" fail, those called "deadly" kill their process; "once" only while the
    file ``marker`` is there, which they take away."""

    seconds: float = 0.0
    marker: str = ""
    portion: int = 8

    def prepare(self):
        if self.portion < 1:
            raise InvalidInputError(f"portion is {self.portion}; at least 1 is needed")

    def at_once(self):
        return self.portion

    def target(self, record):
        return f"{record.key}.lfic"

    def __call__(self, records):
        return [self.one(record) for record in records]

    def one(self, record):
        time.sleep(self.seconds)
        name = record.key.rpartition("/")[2]
        if name.startswith("bad"):
            return Outcome(error="it is bad")
        if name.startswith("deadly"):
            os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith("once") and os.path.exists(self.marker):
            os.unlink(self.marker)
            os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith("note"):
            return Outcome((Record(record.key, ".lfic", record.data[::-1]),), note="noted")
        return Outcome((Record(record.key, ".lfic", record.data[::-1], record.meta),))


def run(source, target, **options):
    """A run of ``Reversing``."""
    work = options.pop("work", Reversing())
    return Run(open_source(source), str(source), work, target, **options)


def contents(target):
    """Every file of a target by its name; not what a run keeps for itself."""
    target = pathlib.Path(target)
    folder = target if target.is_dir() else target.parent
    paths = folder.rglob("*") if target.is_dir() else folder.glob(f"{target.stem}*")
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in paths
        if path.is_file() and ".lfic-run" not in str(path)
    } | {
        path.name: path.read_bytes() for path in target.parent.glob(f"{target.name}.*.jsonl")
    }  # fmt: skip


def workers_of(process):
    """Numbers of the worker processes that a process has started and that live."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes()
        except OSError:
            continue
        if f"worker import main; main({process})".encode() in text:
            found.append(int(path.parent.name))
    return found


def main():
    """The program: SOURCE TARGET."""
    run(sys.argv[1], sys.argv[2], work=Reversing(0.002), jobs=2, resume=True, shard_bytes=4000).finish()
