"""Tables of results: flat rows, a dict each, in CSV files whose first lines say on which machine they were measured."""

import csv
import io
import os
import pathlib
import platform
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..errors import InvalidInputError
from ..files import write_atomically

Row: TypeAlias = dict[str, Any]
TEXT = {  # columns that hold no numbers
    "codec",
    "setting",
    "recognizer",
    "loss",
    "encoder",
    "protocol",
    "group",
    "measure",
    "anchor",
}
NEEDED = {  # of a table of figures (``figures.summarize``)
    "codec",
    "setting",
    "recognizer",
    "faces",
    "bytes",
    "bytes_without_header",
    "psnr_db",
    "similarity",
    "protocol",
}


def machine() -> str:
    """One line for the head of a table: processor, cores, GPU if any, versions."""
    import PIL
    import torch

    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{processor}, {os.cpu_count()} cores{gpu}; Python {platform.python_version()}, numpy {np.__version__}, "
        f"torch {torch.__version__}, Pillow {PIL.__version__}"
    )


def write_csv(path: str | os.PathLike[str], rows: Sequence[Row], note: str = "", digits: int = 6) -> None:
    """Rows to a CSV file, written whole or not at all.

    Args:
        note: its lines follow the machine's as comments (#).
        digits: of a float. None becomes an empty field.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO(newline="")
    for line in [machine(), *filter(None, note.splitlines())]:
        text.write(f"# {line}\n")
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: f"{v:.{digits}g}" if isinstance(v, (float, np.floating)) else v for k, v in row.items()})
    write_atomically(path, text.getvalue().encode())


def read_csv(path: str | os.PathLike[str]) -> list[Row]:
    """Rows of a file that ``write_csv`` wrote, numbers as floats but in the columns of ``TEXT``."""

    def number(text: str) -> float | str:
        try:
            return float(text)
        except ValueError:
            return text

    with open(path, newline="", encoding="utf-8") as file:
        return [
            {k: v if k in TEXT else number(v) for k, v in row.items()}
            for row in csv.DictReader(line for line in file if not line.startswith("#"))
        ]


def earlier_rows(
    path: str | os.PathLike[str], codecs: Iterable[str], recognizers: Iterable[str], faces: int
) -> list[Row]:
    """Figures of an earlier run for codecs that this one does not measure.

    Args:
        path: the table that it wrote.
        codecs: names of those that are measured: their rows are left out.
        recognizers: names of those that judge: rows of others are left out.
        faces: how many this run has.

    Raises:
        InvalidInputError: the table can't be read, lacks columns, or is of another number of faces.
    """
    measured, judging = {"uncompressed", *codecs}, set(recognizers)
    try:
        rows = read_csv(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"--earlier {path} can't be read: {error}") from None
    lacking = NEEDED - set(rows[0] if rows else ())
    if lacking:
        raise InvalidInputError(f"{path} is no table of an evaluation: it lacks {', '.join(sorted(lacking))}")
    rows = [row for row in rows if row["codec"] not in measured and row["recognizer"] in judging]
    if any(row["faces"] != faces for row in rows):
        raise InvalidInputError(
            f"{path} was measured on {rows[0]['faces']:.0f} faces, this run has {faces}: they can't be compared"
        )
    return rows
