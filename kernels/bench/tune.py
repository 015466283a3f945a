"""Measures launch shapes on the GPU at hand and prints rows for the table in configs.py.

    python -m lfic.kernels.bench.tune

Nothing is tuned while the library runs. Each operation is timed as in bench.py, on N = 64, C = 192, 64 x 64, for every
tile and number of warps that the device takes; the fastest stands in the printed row.
"""

import argparse
import functools
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence

import torch

from .. import configs
from . import bench

CANDIDATES = [
    configs.Launch(elements, warps)
    for elements in (128, 256, 512, 1024, 2048)
    for warps in (1, 2, 4, 8)
    if elements >= 32 * warps
]
SHAPE = (64, 192, 64, 64)


def call(operation: str, dtype: torch.dtype, seed: int) -> Callable[[], object]:
    """A function that launches the operation once."""
    y, levels, gain, step, quality = bench.case(SHAPE, dtype, "cuda", seed)
    ops, arguments = torch.ops.lfic, (y, levels, gain, step, quality)
    symbols, _, _ = ops.rap_quantize(y, levels, gain, quality, None)
    return {
        "quantize": lambda: ops.rap_quantize(y, levels, gain, quality, None),
        "dense": lambda: ops.rap_dense(*arguments, None, None, dtype),
        "dense_backward": lambda: ops.rap_dense_backward(y, None, *arguments, None, None, False),
        "dense_backward_tables": lambda: ops.rap_dense_backward(y, y, *arguments, None, None, True),
        "unpool": lambda: ops.rap_unpool(symbols, levels, step, quality, *SHAPE[2:], dtype),
        "unpool_backward": lambda: ops.rap_unpool_backward(y, symbols, levels, step, quality),
    }[operation]


def seconds(operation: str, dtype: torch.dtype, launch: configs.Launch, architecture: int) -> float | None:
    """Median time of one call with this launch in the table, or None where the launch does not fit the device."""
    key = architecture, operation
    before = configs.TABLE[key]
    configs.TABLE[key] = (before[0], launch) if dtype.itemsize == 4 else (launch, before[1])
    try:
        return statistics.median(bench.timed_in_graph([call(operation, dtype, seed) for seed in range(2)], replays=20))
    except RuntimeError as error:  # triton.OutOfResources is one as well
        print(f"# {operation} {launch}: {str(error).splitlines()[0]}", file=sys.stderr)
        return None
    finally:
        configs.TABLE[key] = before


def fastest(
    measure: Callable[[configs.Launch], float | None], candidates: Iterable[configs.Launch] = CANDIDATES
) -> configs.Launch:
    """Candidate with the smallest ``measure(candidate)``; those that give None do not count."""
    times = {candidate: time for candidate in candidates if (time := measure(candidate)) is not None}
    if not times:
        raise RuntimeError("no launch fits this device")
    return min(times, key=times.__getitem__)


def row(architecture: int, operation: str, pair: Iterable[configs.Launch]) -> str:
    """A line of configs.TABLE."""
    return f'    ({architecture}, "{operation}"): ({", ".join(f"Launch({c.elements}, {c.warps})" for c in pair)}),'


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    summary = (__doc__ or "").split("\n")[0]
    argparse.ArgumentParser(prog="python -m lfic.kernels.bench.tune", description=summary).parse_args(argv)
    if not torch.cuda.is_available():
        print("lfic.kernels.bench.tune: there is no CUDA device here", file=sys.stderr)
        return 1
    architecture = configs.architecture(torch.cuda.current_device())
    operations = list(dict.fromkeys(operation for _, operation in configs.TABLE))
    device = torch.device("cuda", torch.cuda.current_device())
    # A row for each operation to try candidates in: from an older architecture where this one has none.
    for operation in operations:
        pair = configs.launch(operation, device, 2), configs.launch(operation, device, 4)
        configs.TABLE[architecture, operation] = pair
    for operation in operations:
        found = [
            fastest(functools.partial(seconds, operation, dtype, architecture=architecture))
            for dtype in (torch.float16, torch.float32)
        ]
        print(row(architecture, operation, found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
