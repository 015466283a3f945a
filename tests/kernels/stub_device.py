"""Runs in a process of its own without TRITON_INTERPRET: every launch as a GPU would see it, compiled and not executed.

    python tests/kernels/stub_device.py

A stand-in for the driver says that there is an sm_90 device. Launches go through Triton's own specialisation of their
arguments, which compiling from a signature leaves out. Prints JSON: the kernels that each operation launches, and how
many variants pictures of many sizes make.
"""

import json
import os
import sys
import tempfile

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

TARGET = GPUTarget("cuda", 90, 32)


class Stub:
    """What JITFunction.run asks of a driver before it would launch."""

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0

    def get_current_target(self):
        return TARGET

    def get_active_torch_device(self):
        return torch.device("cpu")


def main():
    if os.environ.get("TRITON_INTERPRET", "0") == "1":
        sys.exit("unset TRITON_INTERPRET: the interpreter compiles nothing")
    from lfic.kernels import configs
    from lfic.kernels.dense import rap_dense, rap_dense_backward
    from lfic.kernels.offsets import rap_offsets
    from lfic.kernels.quantize import rap_quantize
    from lfic.kernels.unpool import rap_unpool, rap_unpool_backward

    driver.set_active(Stub())
    launched, compiled, run = [], set(), JITFunction.run

    def warm(self, *args, grid, warmup, **kwargs):
        kernel = run(self, *args, grid=grid, warmup=True, **kwargs)
        launched.append(self.fn.__name__)
        compiled.add((self.fn.__name__, kernel.hash))
        return kernel

    JITFunction.run = warm
    configs.launch = lambda operation, device, size: configs.TABLE[90, operation][size == 4]

    def case(count, channels, height, width, dtype=torch.float16):
        y = torch.empty(count, channels, height, width, dtype=dtype).contiguous(memory_format=torch.channels_last)
        levels = torch.zeros(count, -(-height // 4), -(-width // 4), dtype=torch.uint8)
        gain = torch.empty(5, 3, channels)
        return y, levels, gain, torch.zeros(count, dtype=torch.int64)

    def names(function):
        launched.clear()
        function()
        return list(launched)

    y, levels, gain, quality = case(64, 192, 14, 14)
    inputs, seed = (y, levels, gain, gain, quality), torch.zeros(1, dtype=torch.int64)
    symbols = torch.zeros(64, 14 * 14 * 192, dtype=torch.int16)
    indexes = torch.zeros(gain.shape, dtype=torch.int16)
    found = {
        "offsets": names(lambda: rap_offsets(levels, 14, 14)),
        "quantize": names(lambda: rap_quantize(y, levels, gain, quality)),
        "quantize with indexes": names(lambda: rap_quantize(y, levels, gain, quality, indexes, False)),
        "unpool": names(lambda: rap_unpool(symbols, levels, gain, quality, 14, 14, y.dtype)),
        "unpool, backward": names(lambda: rap_unpool_backward(y, symbols, levels, gain, quality)),
        "dense": names(lambda: rap_dense(*inputs, None, None, False, y.dtype)),
        "dense, mixed": names(lambda: rap_dense(*inputs, None, seed, True, torch.float32)),
        "dense, backward to y": names(lambda: rap_dense_backward(y, None, *inputs, None, None, True, False, False)),
        "dense, backward to all": names(lambda: rap_dense_backward(y, y, *inputs, None, seed, True, True, True)),
        "dense, backward to step": names(lambda: rap_dense_backward(y, None, *inputs, y, None, False, False, True)),
    }
    small = case(1, 192, 14, 14)
    found["dense, one image"] = names(lambda: rap_dense(small[0], *small[1:3], *small[2:], None, None, False, y.dtype))
    compiled.clear()
    for height, width in ((112, 97), (113, 98), (120, 160), (161, 119), (240, 111), (99, 333), (101, 102), (160, 121)):
        y, levels, gain, quality = case(1, 64, height, width)
        rap_quantize(y, levels, gain, quality)
    # Slices of a batch do not begin where 16 bytes do.
    y, levels, gain, quality = case(3, 64, 113, 98)
    for i in range(3):
        rap_quantize(y[i : i + 1], levels[i : i + 1], gain, quality[i : i + 1])
    print(json.dumps({"triton": triton.__version__, "launches": found, "variants of sizes": len(compiled)}, indent=1))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TRITON_CACHE_DIR"] = cache
        main()
