"""Another thread writes to an argument while C++ works without the GIL: bytes may be anything, memory is left alone.

Each case runs in a process of its own, as what is to be ruled out ends the process.
"""

import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading, time
import numpy as np
from lfic import coder
from lfic.errors import LficError

rng = np.random.default_rng(0)
tables = coder.Tables.from_frequencies([(-2, [1000, 9000, 50000, 4000, 900])] * 4)
count = 200_000
symbols = rng.integers(-3, 4, count).astype(np.int16)


def context_model():
    from lfic.format import weights
    return weights.context_model(weights.load_arrays("face-v1")[0])


def stream(dtype, call):
    indexes = np.zeros(count, dtype)
    wild = np.iinfo(dtype).max
    data = coder.encode(symbols, indexes, tables)
    return [(indexes, wild)], lambda: call(data, indexes)


def batch(dtype, call):
    indexes = np.zeros((16, count // 16), dtype)
    few = symbols.reshape(16, -1)
    blobs = coder.encode_batch(list(few), list(indexes), tables)
    return [(indexes, np.iinfo(dtype).max)], lambda: call(few, blobs, indexes)


def face(call):
    model = context_model()
    levels = np.zeros((15, 15), np.uint8)
    values = rng.integers(-3, 4, 60 * 60 * model.channels).astype(np.int16)
    return [(levels, 255), (values, 30000)], lambda: call(model, values, levels)


def kernel(name):
    import torch
    from lfic import kernels
    y = torch.randn(4, 16, 64, 64)
    levels, quality = torch.zeros(4, 16, 16, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64)
    gain = torch.ones(3, 3, 16)
    out = torch.zeros(4, 64 * 64 * 16, dtype=torch.int16)
    leaf = y.clone().requires_grad_(True)

    def dense():
        features, coded = kernels.rap_quantize_dense(leaf, levels, gain.requires_grad_(True), gain, quality)
        (features.sum() + coded.sum()).backward()

    call = {
        "quantize": lambda: kernels.rap_quantize(y, levels, gain, quality),
        "unpool": lambda: kernels.rap_unpool(out, levels, gain, quality, 64, 64),
        "offsets": lambda: kernels.rap_offsets(levels, 64, 64),
        "dense": dense,
    }[name]
    return [(levels.numpy(), 255), (quality.numpy(), 1 << 40)], call


CASES = {
    "encode-u8": lambda: stream(np.uint8, lambda data, x: coder.encode(symbols, x, tables)),
    "encode-i32": lambda: stream(np.int32, lambda data, x: coder.encode(symbols, x, tables)),
    "decode-i32": lambda: stream(np.int32, lambda data, x: coder.decode(data, x, tables)),
    "encode-batch": lambda: batch(np.int32, lambda few, blobs, x: coder.encode_batch(list(few), list(x), tables, 2)),
    "decode-batch": lambda: batch(np.uint8, lambda few, blobs, x: coder.decode_batch(blobs, list(x), tables, 2)),
    "packed": lambda: batch(
        np.int16, lambda few, blobs, x: coder.decode_packed(*coder.encode_packed(few, x, tables, 2), x, tables, 2)
    ),
    "writer": lambda: stream(np.int32, lambda data, x: coder.RangeEncoder().encode(symbols, x, tables)),
    "context-encode": lambda: face(lambda m, s, l: m.encode(s, l, 60, 60, 40, False, coded_levels=True)),
    "context-predict": lambda: face(lambda m, s, l: m.predict(s, l, 60, 60, 40, False)),
    "context-cost": lambda: face(lambda m, s, l: m.cost(s, l, 60, 60, 40, False)),
    "context-decode": lambda: face(lambda m, s, l: m.decode(bytes(2000), 60, 60, 40, False, l)),
    **{f"rap-{name}": lambda name=name: kernel(name) for name in ("quantize", "unpool", "offsets", "dense")},
}

arrays, call = CASES[sys.argv[1]]()
over = False


def change():
    while not over:
        for array, wild in arrays:
            array.flat[:: max(1, array.size // 97)] = wild
        for array, wild in arrays:
            array[...] = 0


threads = [threading.Thread(target=change) for _ in range(2)]
sys.setswitchinterval(1e-5)
for thread in threads:
    thread.start()
end, done = time.monotonic() + 0.5, 0
while time.monotonic() < end or done < 5:
    try:
        call()
    except (LficError, ValueError):
        pass
    done += 1
over = True
for thread in threads:
    thread.join()
print(done)
"""

CODER = ["encode-u8", "encode-i32", "decode-i32", "encode-batch", "decode-batch", "packed", "writer"]
OTHERS = ["context-encode", "context-predict", "context-cost", "context-decode"]
RAP = ["rap-quantize", "rap-unpool", "rap-offsets", "rap-dense"]


def run(case):
    done = subprocess.run([sys.executable, "-c", PROGRAM, case], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{case}: exit status {done.returncode}\n{done.stderr}"
    assert int(done.stdout) >= 5


@pytest.mark.parametrize("case", ["decode-i32", "context-encode"])
def test_inputs_that_change_meanwhile(case):
    run(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", [*CODER[:2], *CODER[3:], *OTHERS[1:], *RAP])
def test_every_function_with_inputs_that_change(case):
    run(case)
