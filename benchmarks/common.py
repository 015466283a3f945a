"""Where the benchmarks keep their results."""

import pathlib
from collections.abc import Sequence

from lfic.evaluate import tables

RESULTS = pathlib.Path(__file__).parent / "results"


def write_csv(name: str, rows: Sequence[tables.Row], note: str = "") -> pathlib.Path:
    """Write rows to results/NAME.csv, five digits a figure, under a line with the machine and the note -> its path."""
    path = RESULTS / f"{name}.csv"
    tables.write_csv(path, rows, note, digits=5)
    return path
