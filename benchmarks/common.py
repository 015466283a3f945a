"""What the benchmarks share: the machine in one line, and CSV files of results."""

import csv
import os
import pathlib
import platform

RESULTS = pathlib.Path(__file__).parent / "results"


def machine():
    """One line: processor, cores, GPU if any, versions."""
    import numpy
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
        f"{processor}, {os.cpu_count()} cores{gpu}; Python {platform.python_version()}, torch {torch.__version__}, "
        f"numpy {numpy.__version__}, Pillow {PIL.__version__}"
    )


def write_csv(name, rows, note=""):
    """Write rows (list of dicts) to results/NAME.csv, whole or not at all; # lines give the machine and a note."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.csv"
    temporary = path.with_suffix(".tmp")
    fields = list(dict.fromkeys(key for row in rows for key in row))
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        file.writelines(f"# {line}\n" for line in filter(None, [machine(), *note.splitlines()]))
        writer = csv.DictWriter(file, fields, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()})
    os.replace(temporary, path)
    return path
