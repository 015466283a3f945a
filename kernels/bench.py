"""Microbenchmarks of the RAP operations: ``lfic bench`` or ``python -m lfic.kernels.bench``.

The dense form is timed against an eager PyTorch formulation of the same thing (average pooling and ``torch.where``), in
turn, in the same process; medians of at least 5 rounds, on the CPU.
"""
import argparse
import csv
import platform
import statistics
import sys
import time

import torch
from torch.nn import functional as F

from . import rap_quantize, rap_quantize_dense, rap_unpool

SHAPES = {"N1-C64-14x14": (1, 64, 14, 14), "N64-C64-14x14": (64, 64, 14, 14), "N8-C192-64x64": (8, 192, 64, 64)}


def case(shape, seed=0):
    """Inputs of one benchmark: y, levels (mixed), gain, step, quality."""
    count, channels, height, width = shape
    generator = torch.Generator().manual_seed(seed)
    y = torch.randn(shape, generator=generator).contiguous(memory_format=torch.channels_last)
    levels = torch.randint(0, 3, (count, -(-height // 4), -(-width // 4)), generator=generator, dtype=torch.uint8)
    gain = torch.rand(100, 3, channels, generator=generator) + 0.5
    return y, levels, gain, 1 / gain, torch.randint(0, 100, (count,), generator=generator)


def eager_dense(y, levels, gain, step, quality):
    """The same result by average pooling, up to the rounding of sums."""
    height, width = y.shape[-2:]
    cells = levels.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, None, :height, :width]
    out = torch.zeros_like(y)
    for level in range(3):
        pooled = y
        if level:
            pooled = F.interpolate(F.avg_pool2d(y, 1 << level, ceil_mode=True, count_include_pad=False), scale_factor=1 << level)
            pooled = pooled[:, :, :height, :width]
        g, s = gain[quality, level][:, :, None, None], step[quality, level][:, :, None, None]
        out = torch.where(cells == level, (pooled * g).clamp(-32767, 32767).round() * s, out)
    return out


def interleaved(functions, rounds, seconds):
    """Median seconds of each function, called in turn; every figure over at least ``rounds`` rounds."""
    for function in functions:
        function()
    times = [[] for _ in functions]
    began = time.perf_counter()
    while len(times[0]) < rounds or time.perf_counter() - began < seconds:
        for function, row in zip(functions, times):
            start = time.perf_counter()
            function()
            row.append(time.perf_counter() - start)
    return [statistics.median(row) for row in times]


def measure(rounds=5, seconds=1.0):
    """Rows of figures: operation, shape, milliseconds, eager milliseconds, ratio."""
    rows = []
    with torch.inference_mode():
        for name, shape in SHAPES.items():
            y, levels, gain, step, quality = case(shape)
            symbols, _ = rap_quantize(y, levels, gain, quality)
            ours, ragged, unpool, eager = interleaved(
                [
                    lambda: rap_quantize_dense(y, levels, gain, step, quality),
                    lambda: rap_quantize(y, levels, gain, quality),
                    lambda: rap_unpool(symbols, levels, step, quality, *shape[2:]),
                    lambda: eager_dense(y, levels, gain, step, quality),
                ],
                rounds, seconds,
            )
            for operation, value in (("dense", ours), ("quantize", ragged), ("unpool", unpool)):
                # Only the dense form does what the eager one does: the others have no ratio.
                peer = [round(eager * 1e3, 4), round(eager / value, 3)] if operation == "dense" else ["", ""]
                rows.append([operation, name, "cpu", round(value * 1e3, 4), *peer])
    return rows


def main(argv=None):
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="lfic bench", description=__doc__.split("\n")[0])
    parser.add_argument("--out", help="CSV to write as well")
    parser.add_argument("--rounds", type=int, default=5, help="at least so many rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="at least so long a shape (default 1)")
    args = parser.parse_args(argv)
    header = ["operation", "shape", "device", "ms", "eager_dense_ms", "times_faster"]
    rows = measure(args.rounds, args.seconds)
    for row in [header, *rows]:
        print("  ".join(str(v).ljust(14) for v in row))
    if args.out:
        with open(args.out, "w", newline="") as file:
            file.write(f"# {platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}; medians\n")
            csv.writer(file).writerows([header, *rows])
    return 0


if __name__ == "__main__":
    sys.exit(main())
