"""log.csv: means of a run's figures, a line every so many steps."""

import csv
import datetime
import pathlib
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from .loss import Figures
from .state import Trainer


class Log:
    """Means of the figures since the last line, over all processes; the first process writes them to log.csv.

    Args:
        faces: of a step, over all processes.

    ``row``: the newest line. ``count``: steps since then.
    """

    def __init__(self, trainer: Trainer, faces: int):
        self.trainer, self.faces, self.path = trainer, faces, trainer.out / "log.csv"
        self.row: dict[str, Any] = {}
        self.names: list[str] = []
        self.restart()

    def restart(self) -> None:
        """Begin the next line."""
        self.sums: Tensor | None = None  # float64 [2, figures]: sums, and of how many steps
        self.count, self.began, self.waited = 0, time.perf_counter(), 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A context whose time counts as waiting for data."""
        began = time.perf_counter()
        yield
        self.waited += time.perf_counter() - began

    def add(self, figures: Figures) -> None:
        """One step's figures, 0-d tensors; they stay on the device."""
        self.names = list(figures)
        values = torch.stack([figure.detach().double() for figure in figures.values()])
        known = ~values.isnan()  # some steps have nothing to measure
        found = torch.stack([values.nan_to_num(0.0), known.double()])
        self.sums = found if self.sums is None else self.sums + found
        self.count += 1

    def write(self, rate: float) -> None:
        """A line in the file and on the screen; there must have been a step."""
        assert self.sums is not None
        trainer = self.trainer
        sums, known = trainer.world.mean(self.sums)
        means = (sums / known).tolist()
        elapsed = time.perf_counter() - self.began
        trainer.seconds += elapsed
        self.row = {"step": trainer.step, **{name: round(mean, 5) for name, mean in zip(self.names, means)}, "lr": rate}
        self.row |= {"faces_per_s": round(self.count * self.faces / elapsed, 2), "seconds": round(trainer.seconds, 1)}
        self.row["wait"] = round(self.waited / elapsed, 4)
        if trainer.world.first:
            left = datetime.timedelta(seconds=round((trainer.schedule.steps - trainer.step) * elapsed / self.count))
            tqdm.write(" ".join(f"{k}={v}" for k, v in self.row.items()) + f" left={left}")
            sys.stdout.flush()  # into a file lines would wait for a full buffer
            append_row(self.path, self.row)
        self.restart()


def append_row(path: pathlib.Path, row: Mapping[str, Any]) -> None:
    """Add a row; a file with other columns, from an earlier version or other settings, is kept under another name."""
    if path.exists():
        with open(path, newline="") as file:
            if next(csv.reader(file), None) != list(row):
                path.rename(path.with_name(f"log-before-{row['step']}.csv"))
    fresh = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, row.keys())
        if fresh:
            writer.writeheader()
        writer.writerow(row)
