"""Worker processes: portions of records go out, outcomes come back in the order of the portions.

A worker that dies is replaced, and what it had in hand is done again. A portion that kills its worker twice is done
record by record; a record that does so is given up, and its outcome says why. Memory is that of a few portions.
"""

import collections
import contextlib
import dataclasses
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

from ..data.records import Record
from ..errors import LficError
from .work import Outcome, Work
from .worker import read_frame, write_frame

IN_HAND = 2  # portions that a worker has: the one it works on, and the next
TRIES = 2
MOST_FAILED_STARTS = 3


class WorkerError(LficError, RuntimeError):
    """Worker processes can't be started."""


@dataclasses.dataclass(eq=False)
class Task:
    """Records of a portion, by their places in it."""

    portion: int
    places: Sequence[int]
    records: Sequence[Record]
    tries: int = 0


class Process:
    """One worker: its program, the thread that reads its answers, what it has in hand."""

    def __init__(self, work: Work, events: "queue.SimpleQueue[tuple[Process, Any]]") -> None:
        if not sys.executable:
            raise WorkerError("this Python does not know its own program (sys.executable is empty): start it as one")
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; from lfic.bulk.worker import main; main({os.getpid()})"  # as here
        )
        self.program = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")},
        )
        self.hand: collections.deque[Task] = collections.deque()
        self.ready = False
        self.reader = threading.Thread(target=self._read, args=(events,), daemon=True)
        self.reader.start()
        self.send(work)

    def _read(self, events: "queue.SimpleQueue[tuple[Process, Any]]") -> None:
        assert self.program.stdout is not None
        with contextlib.suppress(EOFError, OSError, ValueError):
            while True:
                events.put((self, read_frame(self.program.stdout)))
        events.put((self, None))

    def send(self, value: Any) -> None:
        """To the worker; where it has died, its reader says so."""
        assert self.program.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            write_frame(self.program.stdin, value)

    def end(self) -> None:
        """Kill it and wait until it has gone."""
        self.program.kill()
        self.program.wait()
        self.reader.join()
        for pipe in (self.program.stdin, self.program.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()


class Pool:
    """Worker processes for one kind of work; a context manager, whose end is theirs.

    Args:
        work: what they do.
        jobs: how many.
    """

    def __init__(self, work: Work, jobs: int) -> None:
        self.work, self.jobs = work, jobs
        self.events: queue.SimpleQueue[tuple[Process, Any]] = queue.SimpleQueue()
        self.processes: list[Process] = []
        self.failed_starts = 0
        self.todo: collections.deque[Task] = collections.deque()

    def __enter__(self) -> "Pool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            process.end()
        self.processes = []

    def start(self) -> None:
        """Start the workers and wait for the first that is ready.

        Raises:
            LficError: an option is wrong.
            WorkerError: they die as they start.
        """
        while len(self.processes) < self.jobs:
            self.processes.append(Process(self.work, self.events))
        while not any(process.ready for process in self.processes):
            self._take(*self.events.get())

    def run(self, portions: Iterator[Sequence[Record]]) -> Iterator[list[Outcome]]:
        """Outcomes of each portion, in order."""
        if not any(process.ready for process in self.processes):
            self.start()
        done: dict[int, list[Outcome | None]] = {}
        given, taken, more = 0, 0, True
        while True:
            while more and given - taken < (IN_HAND + 1) * self.jobs:
                portion = next(portions, None)
                if portion is None:
                    more = False
                    break
                done[given] = [None] * len(portion)
                if portion:
                    self.todo.append(Task(given, range(len(portion)), portion))
                given += 1
            self._hand_out()
            while taken in done and all(outcome is not None for outcome in done[taken]):
                yield [outcome for outcome in done.pop(taken) if outcome is not None]
                taken += 1
            if not more and taken == given:
                return
            if not self.todo and not any(process.hand for process in self.processes):
                continue  # empty portions
            for task, outcomes in self._take(*self.events.get()):
                for place, outcome in zip(task.places, outcomes, strict=True):
                    done[task.portion][place] = outcome

    def _hand_out(self) -> None:
        """To the workers with least in hand first."""
        while self.todo:
            open_ones = [process for process in self.processes if process.ready and len(process.hand) < IN_HAND]
            if not open_ones:
                return
            process = min(open_ones, key=lambda one: len(one.hand))
            task = self.todo.popleft()
            process.hand.append(task)
            process.send((task.portion, task.records))

    def _take(self, process: Process, answer: Any) -> list[tuple[Task, Sequence[Outcome]]]:
        """What a worker says -> tasks that are done."""
        if process not in self.processes:
            return []
        if answer is None:
            return self._replace(process)
        kind, value = answer
        if kind == "failed":
            raise value
        if kind == "ready":
            process.ready, self.failed_starts = True, 0
            return []
        return [(process.hand.popleft(), value)]

    def _replace(self, process: Process) -> list[tuple[Task, Sequence[Outcome]]]:
        """A worker has died: start another, and do again what it had in hand."""
        code = process.program.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        process.end()
        self.processes.remove(process)
        if not process.ready:
            self.failed_starts += 1
            if self.failed_starts >= MOST_FAILED_STARTS:
                raise WorkerError(
                    f"{self.failed_starts} worker processes in a row died as they started; the last {how}: see what "
                    "they printed, or give fewer jobs if memory is short"
                )
        lost = list(process.hand)
        given_up: list[tuple[Task, Sequence[Outcome]]] = []
        if lost:
            first = lost[0]
            first.tries += 1
            if first.tries >= TRIES:
                lost.pop(0)
                if len(first.records) > 1:
                    lost[:0] = [
                        Task(first.portion, [place], [record])
                        for place, record in zip(first.places, first.records, strict=True)
                    ]
                else:
                    text = f"the process that worked on it {how}, twice: is there enough memory?"
                    given_up.append((first, [Outcome(error=text)]))
        self.todo.extendleft(reversed(lost))
        self.processes.append(Process(self.work, self.events))
        return given_up


def default_jobs() -> int:
    """A process for each core that this one may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
