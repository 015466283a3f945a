"""Where the time of a batch goes: stages report to a clock, if there is one."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:  # where it is not used it need not be there
    import torch


class StageClock:
    """Seconds by stage, of all threads.

    Args:
        synchronize: the device to wait for at the end of each stage, so that a stage's time is that of its work and not
            of its launch; nothing overlaps then. None: what the host sees.
    """

    def __init__(self, synchronize: Optional["torch.device"] = None) -> None:
        self.synchronize, self.seconds = synchronize, dict[str, float]()
        self.guard = threading.Lock()

    def wait(self) -> None:
        if self.synchronize is not None and self.synchronize.type == "cuda":
            import torch

            torch.cuda.synchronize(self.synchronize)

    def add(self, name: str, seconds: float) -> None:
        with self.guard:
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds


_clock: StageClock | None = None


@contextlib.contextmanager
def clocked(clock: StageClock) -> Iterator[StageClock]:
    """All stages of the process report to ``clock`` inside."""
    global _clock
    before, _clock = _clock, clock
    try:
        yield clock
    finally:
        _clock = before


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """The time inside is that of stage ``name``."""
    clock = _clock
    if clock is None:
        yield
        return
    start = time.perf_counter()
    try:
        yield
    finally:
        clock.wait()
        clock.add(name, time.perf_counter() - start)
