"""Fills the caches of Triton and torch.compile with what the benchmarks run, on all cores at once.

    python -m lfic.kernels.bench.warm --seconds 60

A kernel takes about a second to compile and a baseline of torch.compile up to ten, one after the other in the process
that measures. Here a pool of processes makes the same calls once each; the measuring process then finds their code on
disk (TRITON_CACHE_DIR, TORCHINDUCTOR_CACHE_DIR).
"""

import argparse
import concurrent.futures
import itertools
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from . import bench

Job = tuple[str, str, str, str, str]  # operation, shape, dtype, device, what (with its blanks, as bench.forms has them)


def jobs(
    device: str, shapes: Sequence[str], dtypes: Sequence[str], operations: Sequence[str], baselines: bool
) -> list[Job]:
    """What to call: lfic's own kernels, or the compiled baselines, dtype by dtype."""
    names = bench.COMPILED if baselines else {}
    found = []
    for dtype, shape, operation in itertools.product(dtypes, shapes, operations):
        for what in bench.forms(operation, bench.DTYPES[dtype], names):
            if ("compile" in what) if baselines else (what == "lfic"):
                found.append((operation, shape, dtype, device, what))
    return found


def call(job: Job) -> float:
    """Seconds of one call of one form in this process."""
    operation, name, dtype, device, what = job
    began = time.perf_counter()
    compiled = bench.compilations() if "compile" in what else {}
    form = bench.forms(operation, bench.DTYPES[dtype], compiled)[what]
    with torch.no_grad():
        # Two sets, so that slices of a batch are seen, as in the benchmark.
        for given in bench.arguments(operation, bench.shape_of(name), bench.DTYPES[dtype], device, 2):
            form(*given)
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    return time.perf_counter() - began


def alone() -> None:
    """A worker compiles in its own process."""
    torch.set_num_threads(1)
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"


def in_pool(
    function: Callable[[Any], Any], todo: Sequence[Any], workers: int, seconds: float
) -> Iterable[tuple[Any, Any]]:
    """(job, its result or what it raised) as they finish; after ``seconds`` the workers are ended."""
    deadline = time.monotonic() + seconds
    context = multiprocessing.get_context("spawn")  # a fork of a process that used CUDA cannot use it
    pool = concurrent.futures.ProcessPoolExecutor(max(1, min(workers, len(todo))), context, alone)
    running = {pool.submit(function, job): job for job in todo}
    left = None if deadline == float("inf") else max(0.0, deadline - time.monotonic())
    try:
        for done in concurrent.futures.as_completed(running, timeout=left):
            error = done.exception()
            yield running[done], done.result() if error is None else error
    except concurrent.futures.TimeoutError:
        undone = sum(not future.done() for future in running)
        print(f"# no time left for {undone} of {len(todo)}", file=sys.stderr, flush=True)
    finally:
        workers_ = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in workers_:
            process.kill()


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m lfic.kernels.bench.warm", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--shape", nargs="+", default=bench.SHAPES)
    parser.add_argument("--dtype", nargs="+", choices=list(bench.DTYPES), default=list(bench.DTYPES))
    parser.add_argument("--ops", nargs="+", choices=bench.OPERATIONS, default=bench.OPERATIONS)
    parser.add_argument("--baselines", action="store_true", help="torch.compile's instead of lfic's own kernels")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=60.0, help="end after so long (default 60)")
    args = parser.parse_args(argv)
    todo = jobs(args.device, args.shape, args.dtype, args.ops, args.baselines)
    failed = 0
    for job, result in in_pool(call, todo, args.workers, args.seconds):
        if isinstance(result, BaseException):
            failed += 1
            result = f"{type(result).__name__}: {str(result).splitlines()[0][:120] if str(result) else ''}"
        else:
            result = f"{result:.1f} s"
        print(*job[:3], job[4].strip(), result, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
