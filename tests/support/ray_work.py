"""Work for the actors of a cluster that goes wrong in ways that a test asks for."""

import dataclasses
import os
import pathlib
import signal

from lfic.bulk.work import Outcome
from lfic.data.records import Record


@dataclasses.dataclass
class Copying:
    """Passes records on; its actor is killed at the record ``killed_at``, once: ``mark`` is a file that says so."""

    killed_at: str = ""
    mark: str = ""

    def prepare(self) -> None:
        """Nothing is needed."""

    def at_once(self) -> int:
        return 8

    def target(self, record):
        return record.name

    def __call__(self, records):
        if self.killed_at in [record.key for record in records] and not os.path.exists(self.mark):
            pathlib.Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [self.outcome(record) for record in records]

    def outcome(self, record):
        if record.error is not None:
            return Outcome(error=record.error)
        if record.data.startswith(b"bad"):
            return Outcome(error=f"{record.name} is bad")
        if record.data.startswith(b"none"):
            return Outcome(note="no face")
        made = [
            Record(f"{record.key}{part}", ".png", record.data, record.meta) for part in "ab"[: 1 + len(record.data) % 2]
        ]
        return Outcome(tuple(made))
