"""The RAP operations against eager PyTorch and torch.compile; on a GPU if there is one, on one thread of the CPU
otherwise.

    python -m pytest benchmarks/bench_kernels.py --benchmark-only

Results: benchmarks/results/kernels.csv, and kernels.png beside it (GPU figures if there are any). What is measured and
how stands in kernels/bench/bench.py; ``lfic bench kernels`` runs the same without pytest. In the table of
pytest-benchmark stands the time of one call of lfic with the host's own share; percentiles, bytes, GB/s and baselines
are in extra_info.
"""

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


@pytest.fixture(scope="session")
def rows():
    """Collects rows; writes them, those of a GPU that is not there as "not run", when all cases were measured."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    collected, cases = [], set()
    yield collected, cases
    if cases == set(CASES):
        bench.write(RESULTS / "kernels.csv", collected + (bench.not_run() if DEVICE == "cpu" else []))
        bench.plot(RESULTS / "kernels.png", collected)
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("operation", "name", "dtype"), CASES, ids=map("-".join, CASES))
def test_operation(benchmark, rows, operation, name, dtype):
    shape = (bench.SHAPES | bench.CPU_SHAPES)[name]
    torch.compiler.reset()
    found = bench.measure(operation, name, shape, dtype, DEVICE, bench.compilations(), rounds=7, seconds=1.0)
    collected, cases = rows
    collected += found
    cases.add((operation, name, dtype))
    benchmark.extra_info.update({row["what"]: {k: row[k] for k in bench.FIELDS[5:]} for row in found})
    call = bench.calls(operation, shape, bench.DTYPES[dtype], DEVICE, 0, {})["lfic"]

    def once():
        call()
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    with torch.no_grad():
        benchmark(once)
