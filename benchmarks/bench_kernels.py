"""The RAP operations against eager PyTorch and torch.compile; on a GPU if there is one, on one thread of the CPU
otherwise.

    python -m pytest benchmarks/bench_kernels.py --benchmark-only

Results: benchmarks/results/kernels.csv, to which every row is appended as it is measured, and a picture for each device
beside it. What is measured and how stands in kernels/bench/bench.py; ``lfic bench kernels`` runs the same without
pytest. In the table of pytest-benchmark stands the time of one call of lfic with the host's own share; percentiles,
bytes, GB/s and baselines are in extra_info.
"""

import functools

import pytest
import torch
from common import RESULTS

from lfic.kernels.bench import bench

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CASES = [
    (operation, name, dtype)
    for name in (bench.SHAPES if DEVICE == "cuda" else bench.CPU_SHAPES)
    for dtype in (bench.DTYPES if DEVICE == "cuda" else ("fp32",))
    for operation in bench.OPERATIONS
]


@pytest.fixture(scope="session", autouse=True)
def pictures():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    bench.plot(RESULTS / "kernels.png", bench.read(RESULTS / "kernels.csv"))


@pytest.mark.parametrize(("operation", "name", "dtype"), CASES, ids=map("-".join, CASES))
def test_operation(benchmark, operation, name, dtype):
    torch.compiler.reset()
    seconds = 1.0 if DEVICE == "cpu" else 0.1
    found = bench.measure(operation, name, dtype, DEVICE, bench.compilations(), rounds=7, seconds=seconds)
    bench.append(RESULTS / "kernels.csv", found)
    benchmark.extra_info.update({row["what"]: {k: row[k] for k in bench.FIELDS[5:]} for row in found})
    (arguments,) = bench.arguments(operation, bench.shape_of(name), bench.DTYPES[dtype], DEVICE)
    call = functools.partial(bench.forms(operation, bench.DTYPES[dtype], {})["lfic"], *arguments)

    def once():
        call()
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    with torch.no_grad():
        benchmark(once)
