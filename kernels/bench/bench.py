"""Microbenchmarks of the RAP operations.

    lfic bench kernels
    python -m lfic.kernels.bench

On a GPU every figure is the time of one call inside a CUDA graph of many, whose calls go through enough sets of inputs
and results that together they are four times the L2 cache, whatever N is (eager PyTorch, whose calls are dozens of
kernels, through at most 64 sets); percentiles are over replays. Baselines run in the same process: eager PyTorch, the
plain formulation compiled, and the fastest of the formulations written for torch.compile. ``copy`` is the device's own
copy of the same bytes, the yardstick of ``percent_of_copy``. ``host_us`` is what a call keeps the host busy for outside
a graph, ``peak_mb`` the memory that one call takes beyond its inputs. On the CPU calls are timed in turn. Every row
says on which machine, with which versions and clock it was measured, and is appended to ``--out`` at once. Rows for a
GPU that is not there say "not run", those behind a deadline "not run: no time left". ``--interpret`` runs every Triton
kernel under Triton's interpreter against the CPU's results, without figures.
"""

import argparse
import csv
import datetime
import functools
import importlib.metadata
import itertools
import os
import pathlib
import platform
import re
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

SHAPES = ("N256-C192-14x14", "N64-C192-64x64", "N1-C192-14x14")
CPU_SHAPES = ("N1-C64-14x14", "N64-C64-14x14", "N4-C192-64x64")
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
OPERATIONS = ("dense", "backward", "train", "quantize", "unpool")
WHATS = ("lfic", "copy", "eager", "naive compile", "best compile")
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
    "host_us",
    "peak_mb",
    "check",
    "clock_mhz",
    "machine",
    "torch",
    "triton",
    "when",
    "note",
)
L2_FACTOR = 4  # inputs and results together, in units of the L2 cache
MOST_SETS = 8192  # calls in a graph; one picture of SHAPES needs 3,600 of them where the L2 cache has 128 MiB
EAGER_SETS = 64  # an eager call is dozens of kernels: a graph of fewer calls
COPY_SIZES = (1 << 18, 1 << 22, 1 << 25, 1 << 28, 1 << 31)  # bytes read and written together
NO_TIME = "not run: no time left"
CHECKED = 2  # images that --refcheck computes on the CPU as well


def shape_of(name: str) -> Shape:
    """ "N256-C192-14x14" -> (256, 192, 14, 14)."""
    found = re.fullmatch(r"N(\d+)-C(\d+)-(\d+)x(\d+)", name)
    if not found or "0" in found.groups():
        raise ValueError(f"shape is {name!r}; needed is N<images>-C<channels>-<height>x<width>, as N256-C192-14x14")
    count, channels, height, width = map(int, found.groups())
    return count, channels, height, width


def case(
    shape: Shape, dtype: torch.dtype = torch.float32, device: str = "cpu", seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Inputs of one call: y (channels-last), levels (mixed), gain, step, quality. They are drawn where they are used: a
    CPU and a GPU draw different ones."""
    count, channels, height, width = shape
    generator = torch.Generator(device).manual_seed(seed)
    draw = functools.partial(torch.randint, generator=generator, device=device)
    y = torch.empty(shape, dtype=dtype, device=device, memory_format=torch.channels_last)
    y.copy_(torch.randn(shape, generator=generator, device=device))
    levels = draw(0, LEVELS, (count, *regions(height, width)), dtype=torch.uint8)
    gain = torch.rand(100, LEVELS, channels, generator=generator, device=device) + 0.5
    return y, levels, gain, 1 / gain, draw(0, 100, (count,))


def moved(operation: str, shape: Shape, dtype: torch.dtype) -> int:
    """Bytes that a call must read and write: features once each way, symbols of the whole capacity."""
    count, channels, height, width = shape
    cells = count * channels * height * width
    features = {"dense": 3, "backward": 2, "train": 7, "quantize": 1, "unpool": 1}[operation]
    return cells * (features * dtype.itemsize + (2 if operation in ("quantize", "unpool") else 0))


def forms(operation: str, dtype: torch.dtype, compiled: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    """{what: function of the operation's arguments}; ``compiled``: {formulation: compiled function}.

    Names that differ in blanks are forms of one baseline: the fastest counts.
    """
    training: dict[str, Any] = {
        "lfic": functools.partial(rap_quantize_dense, dtype=dtype),
        "eager": baselines.pooled_by_layers,
        "eager ": eager.rap_dense,
        "naive compile": compiled.get("layers"),
        "best compile": compiled.get("regions"),
        "best compile ": compiled.get("tree"),
    }
    if operation == "train":
        return {what: functools.partial(trained, form) for what, form in training.items() if form}
    every: dict[str, dict[str, Any]] = {
        "dense": training,
        "quantize": {
            "lfic": rap_quantize,
            "eager": baselines.encoded_by_scatter,
            "eager ": eager.rap_quantize,
            "best compile": compiled.get("scatter"),
        },
        "unpool": {"lfic": rap_unpool, "eager": eager.rap_unpool, "best compile": compiled.get("unpool")},
        # From the features, to y, as a codec's frozen tables have it.
        "backward": {"lfic": torch.ops.lfic.rap_dense_backward},
    }
    return {what: form for what, form in every[operation].items() if form}


def trained(form: Callable[..., Any], grads: tuple[Tensor, ...], *arguments: Any) -> Any:
    """Forward and backward of a training form, gradients at y, gain and step."""
    with torch.enable_grad():
        leaves = [arguments[i] for i in (0, 2, 3)]
        return torch.autograd.grad(form(*arguments), leaves, grads)


def arguments(operation: str, shape: Shape, dtype: torch.dtype, device: str, sets: int = 1) -> list[tuple[Any, ...]]:
    """What the forms of an operation are called with, ``sets`` times: slices of the images of one large batch."""
    count, _, height, width = shape
    y, levels, gain, step, quality = case((count * sets, *shape[1:]), dtype, device)
    if operation == "unpool":
        symbols = rap_quantize(y, levels, gain, quality)[0]
    if operation in ("backward", "train"):
        grads = [torch.randn_like(y) for _ in range(2 if operation == "train" else 1)]
    if operation == "train":
        gain.requires_grad_(True), step.requires_grad_(True)
    found: list[tuple[Any, ...]] = []
    for i in range(sets):
        own = slice(i * count, (i + 1) * count)
        if operation == "dense":
            found.append((y[own], levels[own], gain, step, quality[own]))
        elif operation == "quantize":
            found.append((y[own], levels[own], gain, quality[own]))
        elif operation == "unpool":
            found.append((symbols[own], levels[own], step, quality[own], height, width, dtype))
        elif operation == "backward":
            inputs = (y[own], levels[own], gain, step, quality[own])
            found.append((grads[0][own], None, *inputs, None, None, True, False, False))
        else:
            inputs = (y[own].detach().requires_grad_(True), levels[own], gain, step, quality[own])
            found.append((tuple(g[own] for g in grads), *inputs))
    return found


COMPILED: dict[str, Callable[..., Any]] = {
    "layers": baselines.pooled_by_layers,
    "regions": baselines.pooled_by_regions,
    "tree": eager.rap_dense,
    "scatter": baselines.encoded_by_scatter,
    "unpool": eager.rap_unpool,
}


def compilations() -> dict[str, Callable[..., Any]]:
    """The formulations that torch.compile gets, compiled."""
    return {name: torch.compile(form, dynamic=False) for name, form in COMPILED.items()}


# --- times -----------------------------------------------------------------------------------------------------------


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
    while len(next(iter(times.values()))) < rounds or time.perf_counter() - began < seconds:
        for what, function in functions.items():
            start = time.perf_counter()
            function()
            times[what].append(time.perf_counter() - start)
    return times


def timed_in_graph(functions: Sequence[Call], seconds: float = 0.1, milliseconds: float = 2.0) -> list[float]:
    """Seconds of one call: the functions (the same over other buffers) captured in turn, as often as fills
    ``milliseconds``, replayed for about ``seconds``.

    All results of a round stay alive until it is over, so that no call writes where the one before it did.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for function in list(functions[:8]) * (3 if len(functions) == 1 else 1):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for function in functions[:8]:
        function()
    end.record()
    end.synchronize()
    one_round = max(start.elapsed_time(end), 1e-3) * len(functions) / len(functions[:8])
    rounds = max(1, round(milliseconds / one_round))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(rounds):
            alive = [function() for function in functions]
            del alive
    graph.replay()
    torch.cuda.synchronize()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 5 or (time.perf_counter() - began < seconds and len(times) < 200):
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1e-3 / (rounds * len(functions)))
    return times


def host_time(functions: Sequence[Call], calls: int = 40) -> float:
    """Seconds that one call keeps the host busy for, the device left to itself."""
    torch.cuda.synchronize()
    spent = []
    for function in itertools.islice(itertools.cycle(functions), calls):
        began = time.perf_counter()
        function()
        spent.append(time.perf_counter() - began)
    torch.cuda.synchronize()
    return statistics.median(spent)


def peak(function: Call) -> float:
    """Megabytes that a call takes at its peak, its results included, its inputs not."""
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    function()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 1e6


@functools.cache
def copy_time(size: int, device: str, sets: int) -> tuple[float, ...]:
    """Seconds of the device's copy that reads and writes ``size`` bytes together."""
    half = max(16, size // 2 // 16 * 16)
    source = torch.randint(0, 255, (sets, half), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return tuple(timed_in_graph([functools.partial(b.copy_, a) for a, b in zip(source, target)]))


def sets_for(size: int, device: str) -> int:
    """How many sets of buffers of ``size`` bytes are L2_FACTOR times the cache."""
    cache = torch.cuda.get_device_properties(device).L2_cache_size
    return max(1, min(MOST_SETS, -(-L2_FACTOR * cache // size)))


def checked(operation: str, shape: Shape, dtype: torch.dtype, device: str) -> str:
    """The operation on ``device`` against the CPU on a few images: "exact", or by how many values they differ."""
    few = (min(shape[0], CHECKED), *shape[1:])
    (given,) = arguments(operation, few, dtype, device)

    def to_cpu(x: Any) -> Any:
        if isinstance(x, tuple):
            return tuple(map(to_cpu, x))
        return x.detach().cpu().requires_grad_(x.requires_grad) if isinstance(x, Tensor) else x

    own = forms(operation, dtype, {})["lfic"]
    found, expected = own(*given), own(*map(to_cpu, given))
    if isinstance(found, Tensor):
        found, expected = (found,), (expected,)
    differing = 0
    for i, (a, b) in enumerate(zip(found, expected)):
        a, b = a.detach().cpu(), b.detach()
        if operation == "train" and i:  # sums for the tables: another order of addition
            differing += int((~torch.isclose(a, b, rtol=1e-3, atol=1e-2 * float(b.abs().max() + 1e-9))).sum())
        else:
            differing += int((a != b).sum())
    return "exact" if not differing else f"{differing} differ"


# --- rows ------------------------------------------------------------------------------------------------------------


@functools.cache
def surroundings(device: str) -> Row:
    """What is the same for every row of a run."""

    def version(name: str) -> str:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return "none"

    return {
        "device": device_name(device),
        "machine": f"{platform.machine()} {os.cpu_count()} cores",
        "torch": torch.__version__,
        "triton": version("triton"),
    }


def device_name(device: str) -> str:
    return "cpu" if device == "cpu" else torch.cuda.get_device_name(device)


def clock(device: str) -> int | str:
    """Megahertz of the multiprocessors as they are, "" where nobody says."""
    if device == "cpu":
        return ""
    try:
        return torch.cuda.clock_rate(device)
    except Exception:  # NVML is not there, or does not say: no reason to lose a figure
        return ""


def row(operation: str, name: str, dtype: str, device: str, what: str, times: Sequence[float], **more: Any) -> Row:
    """One line: times in seconds, or none with a note that says why."""
    found: Row = dict.fromkeys(FIELDS, "") | surroundings(device)
    size = more.pop("bytes", None) or moved(operation, shape_of(name), DTYPES[dtype])
    found |= {"operation": operation, "shape": name, "dtype": dtype, "what": what, "bytes": size}
    if times:
        p20, p50, p80 = percentiles(list(times))
        found |= {"p20_us": p20 * 1e6, "p50_us": p50 * 1e6, "p80_us": p80 * 1e6, "gb_per_s": size / p50 / 1e9}
        found["clock_mhz"] = clock(device)
    found["when"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return found | more


def related(rows: Sequence[Row]) -> list[Row]:
    """Rows of one operation, shape and dtype: of several forms of one baseline the fastest, shares of the copy and
    multiples of lfic filled in."""
    best: dict[str, Row] = {}
    for one in rows:
        label = one["what"].strip()
        known = best.get(label)
        if known is None or known["p50_us"] == "" or (one["p50_us"] != "" and one["p50_us"] < known["p50_us"]):
            best[label] = one | {"what": label}
    for one in best.values():
        if one["p50_us"] != "":
            for field, other in (("percent_of_copy", "copy"), ("times_lfic", "lfic")):
                if other in best and best[other]["p50_us"] != "":
                    ratio = one["p50_us"] / best[other]["p50_us"]
                    one[field] = ratio if other == "lfic" else 100 / ratio
    return list(best.values())


def measure(
    operation: str,
    name: str,
    dtype_name: str,
    device: str,
    compiled: Mapping[str, Callable[..., Any]],
    whats: Sequence[str] = WHATS,
    rounds: int = 5,
    seconds: float = 1.0,
    refcheck: bool = False,
) -> list[Row]:
    """Rows of one operation, shape and dtype: lfic, its baselines and, on a GPU, the copy. What fails says so in its
    row."""
    shape, dtype = shape_of(name), DTYPES[dtype_name]
    new = functools.partial(row, operation, name, dtype_name, device)
    chosen = {w: f for w, f in forms(operation, dtype, compiled).items() if w.strip() in whats}
    found: list[Row] = []
    more = {"check": checked(operation, shape, dtype, device)} if refcheck else {}
    with torch.no_grad():
        if device == "cpu":
            (given,) = arguments(operation, shape, dtype, device)
            calls = {what: functools.partial(form, *given) for what, form in chosen.items()}
            times = timed_on_cpu(calls, rounds, seconds)
            found = [new(what, t, **(more if what == "lfic" else {})) for what, t in times.items()]
        else:
            size = moved(operation, shape, dtype)
            sets = sets_for(size, device)
            every = arguments(operation, shape, dtype, device, sets)
            for what, form in chosen.items():
                calls_ = [functools.partial(form, *given) for given in every]
                if "eager" in what:
                    calls_ = calls_[:EAGER_SETS]
                try:
                    took = timed_in_graph(calls_, seconds)
                    extra = {"host_us": host_time(calls_) * 1e6, "peak_mb": peak(calls_[0])}
                    found.append(new(what, took, **extra, **(more if what == "lfic" else {})))
                except RuntimeError as error:  # a baseline that asks the host cannot be captured
                    recovered()
                    found.append(new(what, (), note=f"not run: {str(error).splitlines()[0][:80]}"))
            if "copy" in whats:
                found.append(new("copy", copy_time(size, device, sets)))
    if not compiled and operation != "backward" and "best compile" in whats:
        found.append(new("best compile", (), note="not run"))
    return related(found)


def copies(device: str, seconds: float = 0.1) -> list[Row]:
    """Rows of the device's copy by itself, at COPY_SIZES."""
    found = []
    for size in COPY_SIZES if device != "cpu" else COPY_SIZES[:2]:
        if device == "cpu":
            a, b = (torch.zeros(size // 2, dtype=torch.uint8) for _ in range(2))
            times = timed_on_cpu({"copy": functools.partial(b.copy_, a)}, 5, seconds)["copy"]
        else:
            times = list(copy_time(size, device, sets_for(size, device)))
        found.append(row("copy", f"N1-C1-1x{size // 2}", "uint8", device, "copy", times, bytes=size))
    return found


def recovered() -> None:
    """What is left of graphs and of captures that failed is given back."""
    torch.cuda.synchronize()
    torch.cuda.empty_cache()


def missed(
    operation: str, name: str, dtype: str, device: str, whats: Sequence[str], compile: bool, note: str
) -> list[Row]:
    """Rows in place of those of ``measure``, without figures, with a note that says why."""
    there = [what.strip() for what in forms(operation, DTYPES[dtype], COMPILED if compile else {})]
    there += ["copy"] if device != "cpu" else []
    return [row(operation, name, dtype, device, what, (), note=note) for what in whats if what in there]


def not_run() -> list[Row]:
    """Rows in place of a GPU's figures."""
    return [
        dict.fromkeys(FIELDS, "")
        | {
            "device": "cuda",
            "operation": operation,
            "shape": name,
            "dtype": dtype,
            "what": "lfic",
            "bytes": moved(operation, shape_of(name), DTYPES[dtype]),
            "note": "not run",
        }
        for name in SHAPES
        for dtype in DTYPES
        for operation in OPERATIONS
    ]


def written(found: Row) -> Row:
    """As the file has it: five digits."""
    return {k: f"{v:.5g}" if isinstance(v, float) else v for k, v in found.items()}


def append(path: str | os.PathLike[str], found: Iterable[Row]) -> None:
    """Rows at the end of a CSV, on disk when this returns; a new file gets its header first."""
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if not file.tell():
            writer.writeheader()
        writer.writerows(map(written, found))
        file.flush()
        os.fsync(file.fileno())


def read(path: str | os.PathLike[str]) -> list[Row]:
    """Rows of a CSV, figures as numbers; of rows that were measured more than once the last. One that was not run takes
    no figure's place."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    last: dict[tuple[str, ...], Row] = {}
    for one in rows:
        figures = {k: float(v) for k, v in one.items() if v and k in FIELDS[5:14]}
        if not one["p50_us"] and last.get(key(one), one)["p50_us"] != "":
            continue
        last[key(one)] = dict.fromkeys(FIELDS, "") | one | figures
    return list(last.values())


def key(one: Row) -> tuple[str, ...]:
    return tuple(one[k] for k in FIELDS[:5])


def compared(found: Iterable[Row], before: Iterable[Row]) -> list[str]:
    """A line for each row that both have, with how many times as long it takes as before."""
    known = {key(one): one for one in before if one["p50_us"] != ""}
    lines = []
    for one in found:
        if one["p50_us"] != "" and key(one) in known:
            old = known[key(one)]["p50_us"]
            lines.append(
                f"{' '.join(key(one)[1:]):48} {old:10.1f} -> {one['p50_us']:10.1f} us  {one['p50_us'] / old:.3f}"
            )
    return lines


def plot(path: str | os.PathLike[str], found: Sequence[Row]) -> list[pathlib.Path]:
    """Bars of GB/s, lfic beside its baselines and the copy; needs matplotlib.

    A picture for each device, its name behind the stem where there are several. Returns what was written.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    measured = [r for r in found if r["p50_us"] != ""]
    if not measured:
        raise ValueError("nothing was measured, so there is nothing to plot")
    devices = list(dict.fromkeys(r["device"] for r in measured))
    pictures = []
    for device in devices:
        rows = [r for r in measured if r["device"] == device]
        groups = list(dict.fromkeys((r["operation"], r["shape"], r["dtype"]) for r in rows))
        kinds = list(dict.fromkeys(r["what"] for r in rows))
        figure, axes = pyplot.subplots(figsize=(max(6, 0.7 * len(groups)), 5))
        for i, kind in enumerate(kinds):
            of_kind = {(r["operation"], r["shape"], r["dtype"]): r["gb_per_s"] for r in rows if r["what"] == kind}
            axes.bar(
                [groups.index(g) + (i - len(kinds) / 2) * 0.8 / len(kinds) for g in of_kind],
                list(of_kind.values()),
                0.8 / len(kinds),
                label=kind,
            )
        axes.set_xticks(range(len(groups)), [" ".join(g) for g in groups], rotation=60, ha="right", fontsize=7)
        axes.set_ylabel("GB/s")
        axes.set_title(device)
        axes.legend()
        figure.tight_layout()
        plain = pathlib.Path(path)
        suffix = "-" + re.sub(r"\W+", "-", device).strip("-").lower() if len(devices) > 1 else ""
        pictures.append(plain.with_name(plain.stem + suffix + plain.suffix))
        figure.savefig(pictures[-1], dpi=120)
        pyplot.close(figure)
    return pictures


# --- the interpreter --------------------------------------------------------------------------------------------------


def interpreted() -> int:
    """Exit code: every Triton kernel under the interpreter, in this process, on a small case against cpu.py."""
    from ..dense import rap_dense, rap_dense_backward
    from ..offsets import rap_offsets
    from ..quantize import rap_quantize as quantize
    from ..unpool import rap_unpool as unpool
    from ..unpool import rap_unpool_backward

    y, levels, gain, step, quality = case((2, 16, 14, 14))
    symbols, counts, _ = cpu.rap_quantize(y, levels, gain, quality)
    dense = (levels, gain, step, quality, None, None)
    wanted = (True, True, True)
    checks: dict[str, tuple[Callable[[], Any], Any]] = {
        "offsets": (lambda: rap_offsets(levels, 14, 14), cpu.rap_offsets(levels, 14, 14)),
        "quantize": (lambda: quantize(y, levels, gain, quality)[:2], (symbols, counts)),
        "unpool": (
            lambda: unpool(symbols, levels, step, quality, 14, 14, torch.float32),
            cpu.rap_unpool(symbols, levels, step, quality, 14, 14),
        ),
        "unpool backward": (
            lambda: rap_unpool_backward(y, symbols, levels, step, quality),
            cpu.rap_unpool_backward(y, symbols, levels, step, quality),
        ),
        "dense": (lambda: rap_dense(y, *dense, False, torch.float32), cpu.rap_dense(y, *dense)),
        "dense backward": (
            lambda: rap_dense_backward(y, y, y, *dense, *wanted),
            cpu.rap_dense_backward(y, y, y, *dense, *wanted),
        ),
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


# --- command line ----------------------------------------------------------------------------------------------------


def run(
    device: str,
    rounds: int = 5,
    seconds: float | None = None,
    compile: bool = True,
    shapes: Sequence[str] | None = None,
    dtypes: Sequence[str] | None = None,
    operations: Sequence[str] = OPERATIONS,
    whats: Sequence[str] = WHATS,
    refcheck: bool = False,
    deadline: float = float("inf"),
    report: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """All rows for one device, "cpu" or "cuda"; nothing is begun after ``deadline`` seconds. A measurement that fails,
    or that had no time left, becomes rows that say so."""
    began = time.monotonic()
    seconds = seconds if seconds is not None else 1.0 if device == "cpu" else 0.1
    found = []
    compile = compile and any("compile" in what for what in whats)
    late = False
    for dtype, name, operation in itertools.product(
        dtypes or (("fp32",) if device == "cpu" else tuple(DTYPES)),
        shapes or (CPU_SHAPES if device == "cpu" else SHAPES),
        operations,
    ):
        if late or time.monotonic() - began > deadline:
            late = True
            for one in missed(operation, name, dtype, device, whats, compile, NO_TIME):
                report(one)
                found.append(one)
            continue
        if compile:  # its compiler takes seconds to import
            torch.compiler.reset()
        compiled = compilations() if compile else {}
        try:
            rows = measure(operation, name, dtype, device, compiled, whats, rounds, seconds, refcheck)
        except (RuntimeError, MemoryError) as error:  # out of memory, a kernel that does not fit
            note = f"not run: {type(error).__name__}: {str(error).splitlines()[0][:80]}"
            rows = [row(operation, name, dtype, device, "lfic", (), note=note)]
        if device != "cpu":
            recovered()
        for one in rows:
            report(one)
            found.append(one)
    return found


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(prog="lfic bench", description=(__doc__ or "").split("\n")[0])
    out.add_argument("what", nargs="?", choices=["kernels"], default="kernels", help="what to measure")
    out.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda where there is one, else cpu")
    out.add_argument(
        "--interpret", action="store_true", help="a smoke test of the Triton kernels on the CPU instead of figures"
    )
    out.add_argument("--no-compile", action="store_true", help="leave torch.compile's baselines out of it")
    out.add_argument(
        "--ops", nargs="+", choices=OPERATIONS, default=OPERATIONS, metavar="OP", help=" ".join(OPERATIONS)
    )
    out.add_argument("--shape", nargs="+", help="as N256-C192-14x14, any sizes (default: three of them)")
    out.add_argument("--dtype", nargs="+", choices=list(DTYPES), help="default: fp32 on the CPU, all on a GPU")
    out.add_argument("--baselines", nargs="*", choices=WHATS[1:], help="what to measure beside lfic (default: all)")
    out.add_argument("--copy", action="store_true", help="measure the device's copy at five sizes first")
    out.add_argument("--only-copy", action="store_true", help="as --copy, and nothing else")
    out.add_argument("--rounds", type=int, default=5, help="on the CPU, at least so many rounds (default 5)")
    out.add_argument("--seconds", type=float, help="for each measurement (default 1 on the CPU, 0.1 on a GPU)")
    out.add_argument("--deadline", type=float, default=float("inf"), help="begin nothing after so many seconds")
    out.add_argument("--refcheck", action="store_true", help="compare results with the CPU's before they are timed")
    out.add_argument("--compare", help="CSV of an earlier run: print how many times as long each call takes")
    out.add_argument("--out", help="CSV to append every row to as it is measured")
    out.add_argument("--plot", help="PNG to write as well")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code, 1 where a result differs from the CPU's."""
    command = parser()
    args = command.parse_args(argv)
    if args.interpret:
        if os.environ.get("TRITON_INTERPRET") == "1":
            return interpreted()
        # Triton looks at the variable when it is imported: a process of its own.
        return subprocess.run(
            [sys.executable, "-m", "lfic.kernels.bench", "--interpret"], env=os.environ | {"TRITON_INTERPRET": "1"}
        ).returncode
    if args.device == "cuda" and not torch.cuda.is_available():
        command.error("there is no CUDA device here; leave --device away, or take --device cpu or --interpret")
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        for name in args.shape or ():
            shape_of(name)
    except ValueError as error:
        command.error(str(error))

    def report(one: Row) -> None:
        figures = one["note"]
        if not figures:
            figures = f"{one['p50_us']:10.1f} us  {one['gb_per_s']:8.1f} GB/s"
            figures += f"  {one['times_lfic']:6.2f} x lfic" if one["times_lfic"] != "" else ""
            figures += f"  {one['percent_of_copy']:.0f} % of copy" if one["percent_of_copy"] != "" else ""
            figures += f"  {one['check']}"
        print(f"{one['operation']:9} {one['shape']:16} {one['dtype']:5} {one['what']:14} {figures}", flush=True)
        if args.out:
            append(args.out, [one])

    for one in copies(device) if args.copy or args.only_copy else ():
        report(one)
    if args.only_copy:
        return 0
    found = run(
        device,
        args.rounds,
        args.seconds,
        not args.no_compile,
        args.shape,
        args.dtype,
        args.ops,
        WHATS if args.baselines is None else ("lfic", *args.baselines),
        args.refcheck,
        args.deadline,
        report,
    )
    if device == "cpu" and args.out and not args.shape:
        append(args.out, not_run())
    if args.compare:
        print("\n".join(compared(found, read(args.compare))))
    if args.plot:
        plot(args.plot, found)
    return 1 if any("differ" in str(one["check"]) for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
