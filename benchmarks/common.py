"""What the benchmarks share: where they keep their results, and how they draw pictures."""

import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from lfic.evaluate import tables

RESULTS = pathlib.Path(__file__).parent / "results"


def write_csv(name: str, rows: Sequence[tables.Row], note: str = "") -> pathlib.Path:
    """Write rows to results/NAME.csv, five digits a figure, under a line with the machine and the note -> its path."""
    path = RESULTS / f"{name}.csv"
    tables.write_csv(path, rows, note, digits=5)
    return path


def drawn(count: int, seed: int) -> Callable[[list[str]], list[str]]:
    """What ``load_faces`` chooses by: so many of the names, the same in every run."""
    return lambda names: [names[i] for i in np.random.default_rng(seed).permutation(len(names))[:count]]
