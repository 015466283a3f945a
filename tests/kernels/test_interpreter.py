"""The Triton kernels under Triton's interpreter, in their own process: symbols and features exactly as specified."""

import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent

pytest.importorskip(
    "triton", reason="triton is a dependency on Linux alone"
) if sys.platform != "linux" else __import__("triton")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ragged", "dense"])
def test_kernels_under_the_interpreter(name):
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, HERE / "interpreter_grid.py", name],
        capture_output=True,
        text=True,
        env=environment,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert done.stdout.count("same ") == 48, done.stdout
