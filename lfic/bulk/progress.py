"""How far a run is: a line on a terminal, a line now and then in a log."""

import sys
import time
from typing import TextIO

from .pipeline import Result, Run

TERMINAL_SECONDS, LOG_SECONDS = 0.2, 30.0


class Progress:
    """Counts results and says how fast they come.

    Args:
        run: what is counted.
        file: where to; None: standard error.
    """

    def __init__(self, run: Run, file: TextIO | None = None) -> None:
        self.run, self.file = run, file or sys.stderr
        self.terminal = self.file.isatty()
        self.every = TERMINAL_SECONDS if self.terminal else LOG_SECONDS
        self.began = self.said = time.monotonic()
        self.start = run.source.progress()
        self.records = self.read = self.written = self.failed = 0

    def add(self, result: Result) -> None:
        """Count a result, and say so where it is time."""
        self.records += max(1, len(result.records))
        self.read += result.size
        self.written += sum(size for _, size, _ in result.records)
        self.failed += result.error is not None
        if time.monotonic() - self.said >= self.every:
            self.said = time.monotonic()
            self._say(self.text())

    def text(self) -> str:
        """Faces a second, bytes a second, time left."""
        seconds = max(1e-3, time.monotonic() - self.began)
        done = self.run.source.progress()
        left = seconds * (1 - done) / (done - self.start) if done > self.start else 0.0
        text = (
            f"{100 * done:5.1f} %  {self.run.state.records:,} done  {self.records / seconds:,.0f} faces/s  "
            f"{size_text(self.read / seconds)}/s in  {size_text(self.written / seconds)}/s out  "
            f"{clock(left)} left"
        )
        return text + (f"  {self.failed:,} failed" if self.failed else "")

    def _say(self, text: str) -> None:
        self.file.write(f"\r\x1b[2K{text}" if self.terminal else f"lfic: {text}\n")
        self.file.flush()

    def clear(self) -> None:
        """Leave the terminal's line empty."""
        if self.terminal:
            self.file.write("\r\x1b[2K")
            self.file.flush()


def size_text(size: float) -> str:
    """4321000 -> "4.3 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def clock(seconds: float) -> str:
    """3725 -> "1:02:05"."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
