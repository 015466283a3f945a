"""The gradients of the training form in one pass and in two: y alone, the tables alone, both at once.

    python benchmarks/gpu_passes.py [--device cuda] [--out FILE] [--seconds S] [--profile FILE]
    python benchmarks/gpu_passes.py --warm N
    python benchmarks/gpu_passes.py --once

A line per shape and dtype with medians in microseconds: forward; rounded features with noisy symbols in one call and in
two; backward to y, to the tables, to both; what a call keeps the host busy for. What had no time left, and what failed,
gets a line whose note says so. ``--profile`` then writes what torch.profiler sees of forward and backward at N = 1 and
256: the kernels of the device, and what the host does. ``--warm`` makes each call once, in N processes, so that its
code is on disk when it is timed. ``--once`` calls forward, backward and decoding once, for ncu.
"""

import argparse
import csv
import functools
import itertools
import math
import pathlib
import statistics
import sys
import time

import torch
from torch.profiler import ProfilerActivity, profile

import lfic.kernels  # noqa: F401  registers the operations
from lfic.kernels.bench import bench, warm

FIELDS = ("device", "shape", "dtype", "call", "p50_us", "host_us", "note")
NAMES = ("N1-C192-14x14", "N256-C192-14x14", "N64-C192-64x64")
DTYPES = ("fp16", "fp32")
PROFILED = ("N1-C192-14x14", "N256-C192-14x14")
CALLS = (
    "rounded",
    "noise from a seed",
    "mixed from a seed",
    "rounded, then noise",
    "backward to y",
    "backward to tables",
    "backward to y and tables",
)


def calls(name, dtype, device, sets):
    """{call: functions over buffers of their own}, keys as CALLS."""
    shape = bench.shape_of(name)
    count, ops = shape[0], torch.ops.lfic
    y, levels, gain, step, quality = bench.case((count * sets, *shape[1:]), dtype, device)
    seed = torch.tensor([1], device=device)
    found = {}
    for i in range(sets):
        own = slice(i * count, (i + 1) * count)
        inputs = (y[own], levels[own], gain, step, quality[own])

        def add(call, function, *arguments):
            found.setdefault(call, []).append(functools.partial(function, *arguments))

        def twice(*inputs):
            ops.rap_dense(*inputs, None, None, False, dtype)
            return ops.rap_dense(*inputs, None, seed, False, dtype)

        add("rounded", ops.rap_dense, *inputs, None, None, False, dtype)
        add("noise from a seed", ops.rap_dense, *inputs, None, seed, False, dtype)
        add("mixed from a seed", ops.rap_dense, *inputs, None, seed, True, dtype)
        add("rounded, then noise", twice, *inputs)
        for call, wanted in (("y", (1, 0, 0)), ("tables", (0, 1, 1)), ("y and tables", (1, 1, 1))):
            wanted = tuple(map(bool, wanted))
            add(f"backward to {call}", ops.rap_dense_backward, y[own], y[own], *inputs, None, None, *wanted)
    return found


def report(path, *line):
    """One line, on the screen and at the end of a CSV."""
    print(*line[1:], flush=True)
    if path:
        with open(path, "a", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if not file.tell():
                writer.writerow(FIELDS)
            writer.writerow(line)


def measure(device, names, path, seconds):
    """Every call at every shape and dtype; nothing is begun after so many seconds."""
    until, on = time.monotonic() + seconds, bench.device_name(device)
    for name in names:
        for dtype in DTYPES:
            if time.monotonic() > until:
                for call in CALLS:
                    report(path, on, name, dtype, call, "", "", bench.NO_TIME)
                continue
            size = math.prod(bench.shape_of(name)) * bench.DTYPES[dtype].itemsize * 3
            sets = bench.sets_for(size, "cuda") if device == "cuda" else 1
            with torch.no_grad():
                for call, functions in calls(name, bench.DTYPES[dtype], device, sets).items():
                    if time.monotonic() > until:
                        report(path, on, name, dtype, call, "", "", bench.NO_TIME)
                        continue
                    try:
                        if device == "cuda":
                            times, host = bench.timed_in_graph(functions), bench.host_time(functions)
                        else:
                            times = bench.timed_on_cpu({"x": functions[0]}, 3, 0.0)["x"]
                            host = statistics.median(times)
                    except RuntimeError as error:
                        note = f"not run: {str(error).splitlines()[0][:80]}"
                        report(path, on, name, dtype, call, "", "", note)
                        continue
                    p50 = statistics.median(times)
                    report(path, on, name, dtype, call, f"{p50 * 1e6:.5g}", f"{host * 1e6:.4g}", "")


def training(name, device):
    """Forward and backward at half precision, as a call without arguments."""
    dtype = torch.float16
    (given,) = bench.arguments("train", bench.shape_of(name), dtype, device)
    return functools.partial(bench.forms("train", dtype, {})["lfic"], *given)


def listed(name, device, rounds=20):
    """What torch.profiler sees of one call, as text: kernels by time on the device, the host's work by its own."""
    work = training(name, device)
    work()
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device == "cuda" else [])
    with profile(activities=activities) as found:
        for _ in range(rounds):
            work()
        if device == "cuda":
            torch.cuda.synchronize()
    text = ""
    for where, key in (("device", "self_device_time_total"), ("host", "self_cpu_time_total")):
        events = sorted(found.key_averages(), key=lambda event: -getattr(event, key))
        events = [event for event in events if getattr(event, key) > 0]
        total = sum(getattr(event, key) for event in events) / rounds
        text += f"{name} fp16, forward and backward, {where}: {total:.1f} us a call; us, calls, what\n"
        for event in events[:25]:
            text += f"{getattr(event, key) / rounds:10.2f} {event.count / rounds:6.1f}  {event.key[:140]}\n"
    return text


def compiled(job):
    """Seconds of one call, in a process of its own."""
    name, dtype, device, call = job
    began = time.perf_counter()
    with torch.no_grad():
        # Two sets, so that slices of a batch are seen, as where they are timed.
        for function in calls(name, bench.DTYPES[dtype], device, 2)[call]:
            function()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    return time.perf_counter() - began


def once(name, device):
    """Each kernel that ncu looks at, once."""
    shape, dtype = bench.shape_of(name), torch.float16
    training(name, device)()
    (given,) = bench.arguments("unpool", shape, dtype, device)
    bench.forms("unpool", dtype, {})["lfic"](*given)
    if device == "cuda":
        torch.cuda.synchronize()


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--out", help="CSV to append every line to as it is measured")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="begin nothing after so long; half of it with --profile"
    )
    parser.add_argument("--profile", type=pathlib.Path, help="write torch.profiler's lists of training to this file")
    parser.add_argument("--warm", type=int, metavar="N", help="call everything once, in N processes, and end")
    parser.add_argument("--once", action="store_true", help="call three kernels once, for a profiler around this")
    args = parser.parse_args(argv)
    small = args.device == "cpu"
    names = ("N1-C16-8x8",) if small else NAMES
    if args.once:
        once("N2-C16-8x8" if small else PROFILED[-1], args.device)
    elif args.warm is not None:
        failed = False
        todo = [(name, dtype, args.device, call) for name, dtype, call in itertools.product(names, DTYPES, CALLS)]
        for job, result in warm.in_pool(compiled, todo, args.warm, args.seconds):
            failed |= isinstance(result, BaseException)
            print(*job, repr(result) if isinstance(result, BaseException) else f"{result:.1f} s", flush=True)
        return int(failed)
    else:
        measure(args.device, names, args.out, args.seconds / 2 if args.profile else args.seconds)
        if args.profile:
            names = ("N1-C16-8x8", "N2-C16-8x8") if small else PROFILED
            args.profile.write_text("\n".join(listed(name, args.device) for name in names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
