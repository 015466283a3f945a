"""Microbenchmarks of the RAP operations.

    lfic bench kernels
    python -m lfic.kernels.bench

On a GPU every figure is the time of one call inside a CUDA graph of many, whose calls go through enough sets of buffers
that the L2 cache answers none of them; percentiles are over replays. Baselines run in the same process: eager PyTorch,
the plain formulation compiled, and the fastest of the formulations written for torch.compile. ``copy`` is the device's
own copy of the same bytes, the yardstick of ``percent_of_copy``. On the CPU calls are timed in turn. Rows for a GPU
that is not there say "not run". ``--interpret`` runs every Triton kernel under Triton's interpreter against the CPU's
results, without figures.
"""

import argparse
import csv
import functools
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import cpu, rap_quantize, rap_quantize_dense, rap_unpool
from .._grid import LEVELS, regions
from . import baselines, eager

Shape = tuple[int, int, int, int]
Call = Callable[[], object]
Row = dict[str, Any]  # a line of the CSV, keys as in FIELDS

SHAPES: dict[str, Shape] = {
    "N256-C192-14x14": (256, 192, 14, 14),
    "N64-C192-64x64": (64, 192, 64, 64),
    "N1-C192-14x14": (1, 192, 14, 14),
}
CPU_SHAPES: dict[str, Shape] = {
    "N1-C64-14x14": (1, 64, 14, 14),
    "N64-C64-14x14": (64, 64, 14, 14),
    "N4-C192-64x64": (4, 192, 64, 64),
}
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
OPERATIONS = ("dense", "backward", "train", "encode", "decode")
FIELDS = (
    "device",
    "operation",
    "shape",
    "dtype",
    "what",
    "p20_us",
    "p50_us",
    "p80_us",
    "bytes",
    "gb_per_s",
    "percent_of_copy",
    "times_lfic",
    "note",
)
L2_FACTOR = 4  # buffers together, in units of the L2 cache


def case(
    shape: Shape, dtype: torch.dtype = torch.float32, device: str = "cpu", seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Inputs of one call: y (channels-last), levels (mixed), gain, step, quality."""
    count, channels, height, width = shape
    generator = torch.Generator().manual_seed(seed)
    y = torch.randn(shape, generator=generator).contiguous(memory_format=torch.channels_last)
    levels = torch.randint(0, LEVELS, (count, *regions(height, width)), generator=generator, dtype=torch.uint8)
    gain = torch.rand(100, LEVELS, channels, generator=generator) + 0.5
    quality = torch.randint(0, 100, (count,), generator=generator)
    return y.to(device, dtype), levels.to(device), gain.to(device), (1 / gain).to(device), quality.to(device)


def moved(operation: str, shape: Shape, dtype: torch.dtype) -> int:
    """Bytes that a call must read and write: features once each way, symbols of the whole capacity."""
    count, channels, height, width = shape
    cells = count * channels * height * width
    features = {"dense": 3, "backward": 2, "train": 7, "encode": 1, "decode": 1}[operation]
    return cells * (features * dtype.itemsize + (2 if operation in ("encode", "decode") else 0))


def calls(
    operation: str, shape: Shape, dtype: torch.dtype, device: str, seed: int, compiled: Mapping[str, Callable[..., Any]]
) -> dict[str, Call]:
    """{what: function without arguments} over buffers of their own; ``compiled``: {formulation: compiled function}.

    Names that differ in blanks are forms of one baseline: the fastest counts.
    """
    y, levels, gain, step, quality = case(shape, dtype, device, seed)
    arguments: tuple[Any, ...] = (y, levels, gain, step, quality)
    forms: dict[str, Callable[..., Any] | None]
    training: dict[str, Callable[..., Any] | None] = {
        "lfic": functools.partial(rap_quantize_dense, dtype=dtype),
        "eager": baselines.pooled_by_layers,
        "eager ": eager.rap_dense,
        "naive compile": compiled.get("layers"),
        "best compile": compiled.get("regions"),
        "best compile ": compiled.get("tree"),
    }
    if operation == "dense":
        forms = training
    elif operation == "encode":
        arguments = (y, levels, gain, quality)
        forms = {
            "lfic": rap_quantize,
            "eager": baselines.encoded_by_scatter,
            "eager ": eager.rap_quantize,
            "best compile": compiled.get("scatter"),
        }
    elif operation == "decode":
        arguments = (rap_quantize(y, levels, gain, quality)[0], levels, step, quality, *shape[2:], dtype)
        forms = {"lfic": rap_unpool, "eager": eager.rap_unpool, "best compile": compiled.get("unpool")}
    elif operation == "backward":  # from the features, to y, as a codec's frozen tables have it
        arguments = (torch.randn_like(y), None, *arguments, None, None, False)
        forms = {"lfic": torch.ops.lfic.rap_dense_backward}
    else:
        grads = tuple(torch.randn_like(y) for _ in range(2))
        leaves = [t.requires_grad_(True) for t in (y, gain, step)]

        def train(form: Callable[..., Any]) -> Callable[..., Any]:
            def forward_and_backward(*a: Any) -> Any:
                with torch.enable_grad():
                    return torch.autograd.grad(form(*a), leaves, grads)

            return forward_and_backward

        forms = {what: train(form) for what, form in training.items() if form}
    return {what: functools.partial(form, *arguments) for what, form in forms.items() if form}


def compilations() -> dict[str, Callable[..., Any]]:
    """The formulations that torch.compile gets, compiled."""
    forms: dict[str, Callable[..., Any]] = {
        "layers": baselines.pooled_by_layers,
        "regions": baselines.pooled_by_regions,
        "tree": eager.rap_dense,
        "scatter": baselines.encoded_by_scatter,
        "unpool": eager.rap_unpool,
    }
    return {name: torch.compile(form, dynamic=False) for name, form in forms.items()}


def percentiles(times: list[float]) -> tuple[float, float, float]:
    """(p20, p50, p80) of a list."""
    at = statistics.quantiles(times, n=10) if len(times) > 1 else times * 9
    return at[1], statistics.median(times), at[7]


def timed_on_cpu(functions: Mapping[str, Call], rounds: int, seconds: float) -> dict[str, list[float]]:
    """{what: seconds of every call}, called in turn."""
    for function in functions.values():
        function()
    times: dict[str, list[float]] = {what: [] for what in functions}
    began = time.perf_counter()
    while len(times["lfic"]) < rounds or time.perf_counter() - began < seconds:
        for what, function in functions.items():
            start = time.perf_counter()
            function()
            times[what].append(time.perf_counter() - start)
    return times


def timed_in_graph(functions: list[Call], replays: int = 50, milliseconds: float = 2.0) -> list[float]:
    """Seconds of one call: the functions (the same over other buffers) captured in turn, as often as fills
    ``milliseconds``."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for function in functions * (3 if len(functions) == 1 else 1):
            function()
    torch.cuda.synchronize()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for function in functions:
        function()
    end.record()
    end.synchronize()
    rounds = max(1, round(milliseconds / max(start.elapsed_time(end), 1e-3)))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(rounds):
            for function in functions:
                function()
    graph.replay()
    times = []
    for _ in range(replays):
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1e-3 / (rounds * len(functions)))
    return times


def copy_time(size: int, device: str, sets: int) -> list[float]:
    """Seconds of the device's copy that reads and writes ``size`` bytes together."""
    buffer = functools.partial(torch.zeros, size // 2, dtype=torch.uint8, device=device)
    return timed_in_graph([functools.partial(buffer().copy_, buffer()) for _ in range(sets)])


def measure(
    operation: str,
    name: str,
    shape: Shape,
    dtype_name: str,
    device: str,
    compiled: Mapping[str, Callable[..., Any]],
    rounds: int = 5,
    seconds: float = 1.0,
) -> list[Row]:
    """Rows of one operation, shape and dtype: lfic, its baselines and, on a GPU, the copy."""
    dtype, size = DTYPES[dtype_name], moved(operation, shape, DTYPES[dtype_name])
    notes = {} if compiled or operation == "backward" else {"best compile": "not run"}
    with torch.no_grad():
        if device == "cpu":
            times = timed_on_cpu(calls(operation, shape, dtype, device, 0, compiled), rounds, seconds)
        else:
            l2 = torch.cuda.get_device_properties(device).L2_cache_size
            sets = max(1, min(64, -(-L2_FACTOR * l2 // size)))
            every = [calls(operation, shape, dtype, device, seed, compiled) for seed in range(sets)]
            times = {}
            for what in every[0]:
                try:
                    times[what] = timed_in_graph([one[what] for one in every])
                except RuntimeError as error:  # a baseline that asks the host cannot be captured
                    torch.cuda.synchronize()
                    if what == "lfic":
                        raise
                    notes[what] = f"not run: {str(error).splitlines()[0][:80]}"
            times["copy"] = copy_time(size, device, sets)
    return rows(operation, name, dtype_name, device, size, times, notes)


def rows(
    operation: str,
    name: str,
    dtype: str,
    device: str,
    size: int,
    times: Mapping[str, list[float]],
    notes: Mapping[str, str],
) -> list[Row]:
    """Rows for the CSV; of several forms of one baseline the fastest stays."""
    best: dict[str, list[float]] = {}
    for what, row in times.items():
        label = what.strip()
        if label not in best or statistics.median(row) < statistics.median(best[label]):
            best[label] = row
    common = {"device": device_name(device), "operation": operation, "shape": name, "dtype": dtype}
    out: list[Row] = []
    for what, row in best.items():
        low, middle, high = percentiles(row)
        figures = {
            "what": what,
            "p20_us": low * 1e6,
            "p50_us": middle * 1e6,
            "p80_us": high * 1e6,
            "bytes": size,
            "gb_per_s": size / middle / 1e9,
            "percent_of_copy": 100 * statistics.median(best["copy"]) / middle if "copy" in best else "",
            "times_lfic": middle / statistics.median(best["lfic"]),
            "note": "",
        }
        out.append(common | figures)
    for what, note in notes.items():
        if what.strip() not in best:
            out.append(dict.fromkeys(FIELDS, "") | common | {"what": what.strip(), "note": note})
    return out


def device_name(device: str) -> str:
    return "cpu" if device == "cpu" else torch.cuda.get_device_name(device)


def not_run() -> list[Row]:
    """Rows in place of a GPU's figures."""
    empty = dict.fromkeys(FIELDS, "")
    return [
        empty
        | {
            "device": "cuda",
            "operation": operation,
            "shape": name,
            "dtype": dtype,
            "what": "lfic",
            "bytes": moved(operation, shape, DTYPES[dtype]),
            "note": "not run",
        }
        for name, shape in SHAPES.items()
        for dtype in DTYPES
        for operation in OPERATIONS
    ]


def interpreted() -> int:
    """Exit code: every Triton kernel under the interpreter, in this process, on a small case against cpu.py."""
    from ..dense import rap_dense, rap_dense_backward
    from ..offsets import rap_offsets
    from ..quantize import rap_quantize as quantize
    from ..registration import nhwc, table_sums
    from ..unpool import rap_unpool as unpool
    from ..unpool import rap_unpool_backward

    y, levels, gain, step, quality = case((2, 16, 14, 14))
    symbols, counts, _ = cpu.rap_quantize(y, levels, gain, quality)
    dense = (levels, gain, step, quality, None, None)

    def sums(per_region: Tensor) -> Tensor:
        return table_sums(per_region, levels, quality, gain)

    def backward() -> tuple[Tensor, ...]:
        grad_y, to_gain, to_step = rap_dense_backward(nhwc(y), nhwc(y), y, *dense, True)
        assert to_gain is not None and to_step is not None
        return grad_y, sums(to_gain), sums(to_step)

    checks: dict[str, tuple[Callable[[], Any], Any]] = {
        "offsets": (lambda: rap_offsets(levels, 14, 14), cpu.rap_offsets(levels, 14, 14)),
        "encode": (lambda: quantize(y, levels, gain, quality)[:2], (symbols, counts)),
        "decode": (
            lambda: unpool(symbols, levels, step, quality, 14, 14, torch.float32),
            cpu.rap_unpool(symbols, levels, step, quality, 14, 14),
        ),
        "decode backward": (
            lambda: sums(rap_unpool_backward(y, symbols, levels, quality, 100)),
            cpu.rap_unpool_backward(y, symbols, levels, step, quality),
        ),
        "dense": (lambda: rap_dense(y, *dense, torch.float32), cpu.rap_dense(y, *dense)),
        "dense backward": (backward, cpu.rap_dense_backward(y, y, y, *dense, True)),
    }
    failed = 0
    for name, (function, expected) in checks.items():
        began = time.perf_counter()
        found = function()
        seconds = time.perf_counter() - began
        pairs = zip(found, expected) if isinstance(found, tuple) else [(found, expected)]
        good = all(torch.allclose(a.double(), b.double(), rtol=1e-5, atol=1e-4) for a, b in pairs)
        failed += not good
        print(
            f"{name:16} {'same as on the CPU' if good else 'DIFFERS from the CPU'}  ({seconds:.2f} s in the "
            "interpreter: no measure of speed)",
            flush=True,
        )
    return 1 if failed else 0


def write(path: str | os.PathLike[str], found: Iterable[Row]) -> None:
    """Rows as CSV with the machine in a first line."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"
    with open(path, "w", newline="") as file:
        file.write(
            f"# {platform.machine()}, {torch.get_num_threads()} threads{gpu}, torch {torch.__version__}; times of "
            "one call\n"
        )
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()} for row in found)


def plot(path: str | os.PathLike[str], found: Sequence[Row]) -> None:
    """Bars of GB/s, lfic beside its baselines and the copy; needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    measured = [r for r in found if r["p50_us"] != ""]
    if not measured:
        raise ValueError("nothing was measured, so there is nothing to plot")
    groups = list(dict.fromkeys((r["operation"], r["shape"], r["dtype"]) for r in measured))
    kinds = list(dict.fromkeys(r["what"] for r in measured))
    figure, axes = pyplot.subplots(figsize=(max(6, 0.7 * len(groups)), 5))
    for i, kind in enumerate(kinds):
        of_kind = {(r["operation"], r["shape"], r["dtype"]): r["gb_per_s"] for r in measured if r["what"] == kind}
        axes.bar(
            [groups.index(g) + (i - len(kinds) / 2) * 0.8 / len(kinds) for g in of_kind],
            list(of_kind.values()),
            0.8 / len(kinds),
            label=kind,
        )
    axes.set_xticks(range(len(groups)), [" ".join(g) for g in groups], rotation=60, ha="right", fontsize=7)
    axes.set_ylabel("GB/s")
    axes.set_title(measured[0]["device"])
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def run(
    device: str,
    rounds: int = 5,
    seconds: float = 1.0,
    compile: bool = True,
    shapes: Mapping[str, Shape] | None = None,
    dtypes: Sequence[str] | None = None,
    operations: Sequence[str] = OPERATIONS,
    report: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """All rows for one device, "cpu" or "cuda"."""
    shapes = shapes or (CPU_SHAPES if device == "cpu" else SHAPES)
    found = []
    for name, shape in shapes.items():
        for dtype in dtypes or (("fp32",) if device == "cpu" else tuple(DTYPES)):
            for operation in operations:
                torch.compiler.reset()
                for row in measure(
                    operation, name, shape, dtype, device, compilations() if compile else {}, rounds, seconds
                ):
                    report(row)
                    found.append(row)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="lfic bench", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "what", nargs="?", choices=["kernels"], default="kernels", help="what to measure (default kernels)"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda where there is one, else cpu")
    parser.add_argument(
        "--interpret", action="store_true", help="a smoke test of the Triton kernels on the CPU instead of figures"
    )
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile's baselines out of it")
    parser.add_argument("--operations", nargs="+", choices=OPERATIONS, default=OPERATIONS)
    parser.add_argument("--shape", action="append", help="one of the shapes' names, may be repeated (default: all)")
    parser.add_argument("--out", help="CSV to write as well")
    parser.add_argument("--plot", help="PNG to write as well")
    parser.add_argument("--rounds", type=int, default=5, help="on the CPU, at least so many rounds (default 5)")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="on the CPU, at least so long for each operation (default 1)"
    )
    args = parser.parse_args(argv)
    if args.interpret:
        if os.environ.get("TRITON_INTERPRET") == "1":
            return interpreted()
        # Triton looks at the variable when it is imported: a process of its own.
        return subprocess.run(
            [sys.executable, "-m", "lfic.kernels.bench", "--interpret"], env=os.environ | {"TRITON_INTERPRET": "1"}
        ).returncode
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device here; leave --device away, or take --device cpu or --interpret")
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    known = CPU_SHAPES if device == "cpu" else SHAPES
    if unknown := set(args.shape or ()) - set(known):
        parser.error(f"no shape {', '.join(sorted(unknown))}; on {device} there are {', '.join(known)}")
    shapes = {k: v for k, v in known.items() if not args.shape or k in args.shape}

    def report(row: Row) -> None:
        figures = (
            row["note"] or f"{row['p50_us']:10.1f} us  {row['gb_per_s']:8.1f} GB/s  {row['times_lfic']:6.2f} x lfic"
        )
        share = f"  {row['percent_of_copy']:.0f} % of copy" if row["percent_of_copy"] != "" else ""
        print(f"{row['operation']:9} {row['shape']:16} {row['dtype']:5} {row['what']:14} {figures}{share}", flush=True)

    found = run(device, args.rounds, args.seconds, not args.no_compile, shapes, None, args.operations, report)
    if device == "cpu":
        found += not_run()
    if args.out:
        write(args.out, found)
    if args.plot:
        plot(args.plot, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
