"""The gradients of the training form in one pass and in two: y alone, the tables alone, both at once.

    python benchmarks/gpu_passes.py [--device cuda] [--out FILE]

A line per shape and dtype with medians in microseconds: forward; rounded features with noisy symbols in one call and in
two; backward to y, to the tables, to both; what a call keeps the host busy for.
"""

import argparse
import csv
import functools
import math
import statistics

import torch

import lfic.kernels  # noqa: F401  registers the operations
from lfic.kernels.bench import bench

FIELDS = ("device", "shape", "dtype", "call", "p50_us", "host_us")


def calls(name, dtype, device, sets):
    """{call: functions over buffers of their own}."""
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--out")
    args = parser.parse_args()
    names = ("N1-C192-14x14", "N256-C192-14x14", "N64-C192-64x64") if args.device == "cuda" else ("N1-C16-8x8",)
    for name in names:
        for dtype in ("fp16", "fp32"):
            size = math.prod(bench.shape_of(name)) * bench.DTYPES[dtype].itemsize * 3
            sets = bench.sets_for(size, "cuda") if args.device == "cuda" else 1
            with torch.no_grad():
                for call, functions in calls(name, bench.DTYPES[dtype], args.device, sets).items():
                    try:
                        if args.device == "cuda":
                            times, host = bench.timed_in_graph(functions), bench.host_time(functions)
                        else:
                            times = bench.timed_on_cpu({"x": functions[0]}, 3, 0.0)["x"]
                            host = statistics.median(times)
                    except RuntimeError as error:
                        print(name, dtype, call, str(error).splitlines()[0], flush=True)
                        continue
                    line = [name, dtype, call, f"{statistics.median(times) * 1e6:.5g}", f"{host * 1e6:.4g}"]
                    print(*line, flush=True)
                    if args.out:
                        with open(args.out, "a", newline="") as file:
                            writer = csv.writer(file, lineterminator="\n")
                            if not file.tell():
                                writer.writerow(FIELDS)
                            writer.writerow([bench.device_name(args.device), *line])


if __name__ == "__main__":
    main()
