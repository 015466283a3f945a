"""Measures launch shapes on the GPU at hand and prints rows for the table in configs.py.

    python -m lfic.kernels.bench.tune [--shape N256-C192-14x14 ...] [--ops dense ...] [--seconds 120] [--out FILE]

Nothing is tuned while the library runs. Each operation is timed as in bench.py for every tile, number of warps and
bound on registers that the device takes; they are compiled by a pool of processes first. The fastest over all shapes
(by the product of its times) stands in the printed row; every measurement is appended to ``--out`` as it is made.
"""

import argparse
import csv
import functools
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch

from .. import configs
from . import bench, warm

CANDIDATES = [
    configs.Launch(elements, warps, registers)
    for elements in (64, 128, 256, 512, 1024, 2048)
    for warps in (1, 2, 4, 8)
    for registers in (None, 128)
    if 64 * warps <= elements <= (512 if registers is None else 256) * warps and (registers is None or elements >= 512)
]
SHAPES = ("N64-C192-64x64", "N256-C192-14x14", "N1-C192-14x14")
FIELDS = ("operation", "shape", "dtype", "elements", "warps", "registers", "fill", "p50_us", "note")
OPERATIONS = tuple(dict.fromkeys(operation for _, operation in configs.TABLE))
Job = tuple[str, str, str, configs.Launch]  # operation, shape, dtype, launch


def calls(operation: str, name: str, dtype: torch.dtype, device: str, sets: int) -> list[Callable[[], object]]:
    """Functions that launch the operation once, over buffers of their own."""
    count, _, height, width = bench.shape_of(name)
    y, levels, gain, step, quality = bench.case((count * sets, *bench.shape_of(name)[1:]), dtype, device)
    ops = torch.ops.lfic
    symbols = ops.rap_quantize(y, levels, gain, quality, None)[0] if "unpool" in operation else levels.flatten(1)
    found: list[Callable[[], object]] = []
    for i in range(sets):
        own = slice(i * count, (i + 1) * count)
        a, b, q, s = y[own], levels[own], quality[own], symbols[own]
        inputs = (a, b, gain, step, q)
        form, arguments = {
            "quantize": (ops.rap_quantize, (a, b, gain, q, None)),
            "dense": (ops.rap_dense, (*inputs, None, None, False, dtype)),
            "dense_backward": (ops.rap_dense_backward, (a, None, *inputs, None, None, True, False, False)),
            "dense_backward_tables": (ops.rap_dense_backward, (a, a, *inputs, None, None, True, True, True)),
            "unpool": (ops.rap_unpool, (s, b, step, q, height, width, dtype)),
            "unpool_backward": (ops.rap_unpool_backward, (a, s, b, step, q)),
        }[operation]
        found.append(functools.partial(form, *arguments))
    return found


class Placed:
    """The table with another launch in it, for as long as the context lasts; no tile is made smaller to fill the
    device."""

    def __init__(self, operation: str, launch: configs.Launch, fill: int = 0) -> None:
        self.operation, self.launch, self.fill = operation, launch, fill

    def __enter__(self) -> None:
        self.before = dict(configs.TABLE), configs.FILL
        for key in configs.TABLE:
            if key[1] == self.operation:
                configs.TABLE[key] = (self.launch, self.launch)
        configs.FILL = self.fill
        configs.spread.cache_clear()

    def __exit__(self, *_: object) -> None:
        table, configs.FILL = self.before
        configs.TABLE.update(table)
        configs.spread.cache_clear()


def compiled(job: Job) -> None:
    """One call, in a worker: its code is on disk afterwards."""
    operation, name, dtype, launch = job
    with Placed(operation, launch):
        calls(operation, name, bench.DTYPES[dtype], "cuda", 1)[0]()
    torch.cuda.synchronize()


def seconds(job: Job) -> float:
    """Median time of one call with this launch."""
    operation, name, dtype, launch = job
    shape = bench.shape_of(name)
    size = math.prod(shape) * bench.DTYPES[dtype].itemsize * 2
    with Placed(operation, launch):
        every = calls(operation, name, bench.DTYPES[dtype], "cuda", bench.sets_for(size, "cuda"))
        return statistics.median(bench.timed_in_graph(every, 0.05))


def fastest(
    times: Mapping[configs.Launch, Sequence[float | None]],
) -> configs.Launch:
    """Launch with the smallest product of its times; those that have none of one shape do not count."""
    whole = {launch: math.prod(found) for launch, found in times.items() if found and None not in found}  # type: ignore[arg-type]
    if not whole:
        raise RuntimeError("no launch fits this device")
    return min(whole, key=whole.__getitem__)


def row(architecture: int, operation: str, pair: Iterable[configs.Launch]) -> str:
    """A line of configs.TABLE."""

    def text(launch: configs.Launch) -> str:
        more = "" if launch.registers is None else f", {launch.registers}"
        return f"Launch({launch.elements}, {launch.warps}{more})"

    return f'    ({architecture}, "{operation}"): ({", ".join(map(text, pair))}),'


def append(path: str | None, found: Mapping[str, object]) -> None:
    """One measurement at the end of a CSV."""
    if path:
        with open(path, "a", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            if not file.tell():
                writer.writeheader()
            writer.writerow(found)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    summary = (__doc__ or "").split("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m lfic.kernels.bench.tune", description=summary)
    parser.add_argument("--shape", nargs="+", default=SHAPES)
    parser.add_argument("--ops", nargs="+", choices=OPERATIONS, default=OPERATIONS)
    parser.add_argument("--dtype", nargs="+", choices=list(bench.DTYPES), default=["fp16", "fp32"])
    parser.add_argument("--seconds", type=float, default=600.0, help="begin nothing after so long (default 600)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", help="CSV to append every measurement to")
    args = parser.parse_args(argv)
    if not torch.cuda.is_available():
        print("lfic.kernels.bench.tune: there is no CUDA device here", file=sys.stderr)
        return 1
    began = time.monotonic()
    jobs: list[Job] = [
        (operation, name, dtype, launch)
        for dtype in args.dtype
        for name in args.shape
        for operation in args.ops
        for launch in CANDIDATES
    ]
    for job, error in warm.in_pool(compiled, jobs, args.workers, args.seconds / 2):
        if isinstance(error, BaseException):
            print(f"# {job}: {str(error).splitlines()[0]}", file=sys.stderr)
    times: dict[Job, float] = {}
    late = False
    for job in jobs:
        late = late or time.monotonic() - began > args.seconds
        operation, name, dtype, launch = job
        line: dict[str, object] = {"operation": operation, "shape": name, "dtype": dtype, "fill": 0}
        line |= {"elements": launch.elements, "warps": launch.warps, "registers": launch.registers or ""}
        if late:
            append(args.out, line | {"p50_us": "", "note": bench.NO_TIME})
            continue
        try:
            times[job] = seconds(job)
            line |= {"p50_us": f"{times[job] * 1e6:.5g}", "note": ""}
        except RuntimeError as error:  # triton.OutOfResources is one as well
            line |= {"p50_us": "", "note": str(error).splitlines()[0][:80]}
            bench.recovered()
        append(args.out, line)
    architecture = configs.architecture(torch.cuda.current_device())
    for operation in args.ops:
        pair = []
        for dtype in args.dtype:
            found = {c: [times.get((operation, name, dtype, c)) for name in args.shape] for c in CANDIDATES}
            try:
                pair.append(fastest(found))
            except RuntimeError:
                continue
        if pair:
            print(row(architecture, operation, pair), f" # {' '.join(args.dtype)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
