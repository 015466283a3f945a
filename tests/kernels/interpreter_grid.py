"""Run with TRITON_INTERPRET=1, in a process of its own: every kernel against the specification, exactly.

python interpreter_grid.py ragged|dense: prints one line a case; any difference raises. An operation of the interpreter
costs the same whatever its size, so each case is one batch that holds every mix of levels and every row of the tables.
"""

import itertools
import os
import sys

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lfic.kernels import cpu, reference
from lfic.kernels.dense import rap_dense, rap_dense_backward
from lfic.kernels.offsets import rap_offsets
from lfic.kernels.quantize import rap_quantize
from lfic.kernels.registration import nhwc
from lfic.kernels.unpool import rap_unpool, rap_unpool_backward

GRIDS = [(14, 14), (16, 16), (5, 3), (1, 1)]
CHANNELS = [1, 16, 48, 192]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
COUNT, QUALITIES = 2, 5  # image 0 has all levels, image 1 one throughout; each has a quality of its own


class NoWordToTheHost(TorchDispatchMode):
    """Refuses what would make the host wait for a device: a launch must need no tensor's values."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function in (
            torch.ops.aten._local_scalar_dense.default,
            torch.ops.aten.nonzero.default,
            torch.ops.aten.equal.default,
        ):
            raise AssertionError(f"{function} in a launch")
        return function(*args, **(kwargs or {}))


def launched(function):
    def call(*args):
        with NoWordToTheHost():
            return function(*args)

    return call


rap_offsets, rap_quantize, rap_unpool, rap_unpool_backward = map(
    launched, (rap_offsets, rap_quantize, rap_unpool, rap_unpool_backward)
)
rap_dense, rap_dense_backward = map(launched, (rap_dense, rap_dense_backward))


def case(shape, dtype, turn):
    """Features (with exact halves), levels, gain, quality, indexes."""
    count, channels, height, width = shape
    generator = torch.Generator().manual_seed(sum(shape))
    y = torch.randn(shape, generator=generator) * 3
    y.view(-1)[:: 7 * channels + 3] = 0.5
    levels = torch.randint(0, 3, (count, -(-height // 4), -(-width // 4)), generator=generator, dtype=torch.uint8)
    levels[1] = turn % 3
    gain = torch.rand(QUALITIES, 3, channels, generator=generator) * 3 + 0.1
    gain[0] = 1
    quality = (torch.arange(count) * 2 + channels + turn) % QUALITIES
    indexes = torch.randint(0, 320, gain.shape, generator=generator, dtype=torch.int16)
    return y.to(dtype), levels, gain, quality, indexes


def same(ours, expected, what):
    if not torch.equal(ours, expected):
        raise AssertionError(f"{what}: {int((ours != expected).sum())} of {expected.numel()} values differ")


def ragged(shape, dtype, turn):
    """Offsets, quantise, unpool and its backward; ``turn`` picks the dtype that unpool writes and whether indexes are
    asked for."""
    y, levels, gain, quality, indexes = case(shape, dtype, turn)
    y.view(-1)[0], y.view(-1)[-1] = float("nan"), 3e4
    height, width = shape[2:]
    index = indexes if turn % 2 else None
    symbols, counts, tables = rap_quantize(nhwc(y), levels, gain, quality, index)
    expected = reference.rap_quantize(y, levels, gain, quality, index)
    same(symbols, expected[0], "symbols")
    same(counts, expected[1], "counts of symbols")
    if index is not None:
        same(tables, expected[2], "table indexes")
    step = 1 / gain
    out = DTYPES[turn % 3]
    features = rap_unpool(symbols, levels, step, quality, height, width, out)
    same(features, reference.rap_unpool(symbols, levels, step, quality, height, width).to(out), f"features {out}")
    if dtype != torch.float32:
        return
    tailless(y, levels, gain, quality, index, expected)
    starts, counts = rap_offsets(levels, height, width)
    expected = reference.rap_offsets(levels, height, width)
    same(starts.long(), expected[0], "starts")
    same(counts, expected[1], "counts")
    leaf = step.clone().requires_grad_(True)
    grad = torch.randn(shape, generator=torch.Generator().manual_seed(3)).to(out)
    for n in range(shape[0]):
        one = slice(n, n + 1)
        (
            reference.rap_unpool(symbols[one], levels[one], leaf, quality[one], height, width) * grad[one].float()
        ).sum().backward()
    to_step = rap_unpool_backward(nhwc(grad), symbols, levels, step, quality)
    torch.testing.assert_close(to_step, leaf.grad, rtol=1e-5, atol=2e-3)
    turned = step.transpose(0, 1).contiguous().transpose(0, 1)  # dense, but its rows do not follow each other
    same(rap_unpool_backward(nhwc(grad), symbols, levels, turned, quality), to_step, "gradient of a turned table")
    room = height * width // 2 * shape[1]
    if room:  # a row that is too short: what is missing counts as 0
        short = symbols[:, :room].contiguous()
        whole = torch.cat([short, torch.zeros_like(symbols[:, room:])], 1)
        same(
            rap_unpool(short, levels, step, quality, height, width, out),
            reference.rap_unpool(whole, levels, step, quality, height, width).to(out),
            "short rows",
        )


def tailless(y, levels, gain, quality, index, expected):
    """Symbols as expected, and nothing written behind them: memory begins as the largest integer."""
    poison = torch.iinfo(torch.int16).max
    torch.use_deterministic_algorithms(True)
    try:
        found = rap_quantize(nhwc(y), levels, gain, quality, index, False)
    finally:
        torch.use_deterministic_algorithms(False)
    same(found[1], expected[1], "counts without a tail")
    for what, a, b in (
        ("symbols", found[0], expected[0]),
        ("table indexes", found[2], expected[2] if index is not None else None),
    ):
        if b is None:
            continue
        for ours, whole, kept in zip(a, b, found[1].tolist()):
            same(ours[:kept], whole[:kept], f"{what} without a tail")
            same(ours[kept:], torch.full_like(ours[kept:], poison), f"what lies behind the {what}")


def dense(shape, dtype, turn):
    """The training form: rounded, with given noise or with drawn noise, by ``turn``, the noise in the symbols alone in
    every second case; with gradients."""
    mixed = turn % 2 == 1 and turn % 3 > 0
    y, levels, gain, quality, _ = case(shape, dtype, turn)
    generator = torch.Generator().manual_seed(5)
    given = (torch.rand(shape, generator=generator) - 0.5).to(dtype)
    grads = [torch.randn(shape, generator=generator).to(dtype) for _ in range(2)]
    seed = torch.tensor([0x1234567890ABCDEF])
    name, noise, key = [("rounded", None, None), ("noise", given, None), ("seed", None, seed)][turn % 3]
    drawn = (
        noise
        if key is None
        else cpu.rap_dense(
            torch.zeros(shape), torch.zeros_like(levels), torch.ones_like(gain), gain, quality, seed=key
        )[1]
    )
    leaves = [t.detach().clone().float().requires_grad_(True) for t in (y, gain, 1 / gain)]
    features, symbols = rap_dense(nhwc(y), levels, gain, 1 / gain, quality, nhwc(noise), key, mixed, dtype)
    for n in range(shape[0]):
        one = slice(n, n + 1)
        expected = reference.rap_dense(
            leaves[0][one],
            levels[one],
            leaves[1],
            leaves[2],
            quality[one],
            None if drawn is None else drawn[one],
            mixed,
        )
        same(features[one], expected[0].detach().to(dtype), f"{name} features")
        same(symbols[one], expected[1].detach().to(dtype), f"{name} symbols")
        (expected[0] * grads[0][one].float()).sum().add((expected[1] * grads[1][one].float()).sum()).backward()
    if name == "seed":  # rounded as well, so that each grid and C is seen rounded in two dtypes
        rounded = rap_dense(nhwc(y), levels, gain, 1 / gain, quality, None, None, False, dtype)
        expected = reference.rap_dense(y, levels, gain, 1 / gain, quality)
        same(rounded[0], expected[0].to(dtype), "rounded features")
        same(rounded[1], expected[1].to(dtype), "rounded symbols")
    backward = (nhwc(y), levels, gain, 1 / gain, quality, *((None, None) if mixed else (nhwc(noise), key)))
    grad_y, to_gain, to_step = rap_dense_backward(nhwc(grads[0]), nhwc(grads[1]), *backward, True, True, True)
    tolerance = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}[dtype]
    torch.testing.assert_close(grad_y.float(), leaves[0].grad, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(to_gain, leaves[1].grad, rtol=1e-4, atol=2e-3)
    torch.testing.assert_close(to_step, leaves[2].grad, rtol=1e-4, atol=2e-3)
    if shape[1] == 16:  # one gradient alone, and none for the tables
        alone = rap_dense_backward(nhwc(grads[0]), None, *backward, True, False, False)[0]
        same(
            alone,
            cpu.rap_dense_backward(grads[0], None, y, *backward[1:], True, False, False)[0],
            "gradient without one at the symbols",
        )
        alone = rap_dense_backward(None, nhwc(grads[1]), *backward, True, False, False)[0]
        same(
            alone,
            cpu.rap_dense_backward(None, grads[1], y, *backward[1:], True, False, False)[0],
            "gradient without one at the features",
        )
        for k, wanted in enumerate(((False, True, False), (False, False, True), (True, True, False))):
            given = (grads[0], None) if (turn + k) % 2 else (None, grads[1])  # each grid meets both, dtype by dtype
            found = rap_dense_backward(*map(nhwc, given), *backward, *wanted)
            expected = cpu.rap_dense_backward(*given, y, *backward[1:], *wanted)
            what = f"gradients at y, gain, step {wanted} of features, symbols {[g is not None for g in given]}"
            same(found[0], expected[0], what)
            for a, b in zip(found[1:], expected[1:]):
                torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-3, msg=lambda text, what=what: f"{what}: {text}")


if __name__ == "__main__":
    if os.environ.get("TRITON_INTERPRET") != "1":
        sys.exit("set TRITON_INTERPRET=1 before Python starts")
    run = {"ragged": ragged, "dense": dense}[sys.argv[1]]
    for turn, (grid, channels) in enumerate(itertools.product(GRIDS, CHANNELS)):
        for shift, dtype in enumerate(DTYPES):  # every grid and C meets every turn in one of the dtypes
            run((COUNT, channels, *grid), dtype, turn + shift)
            print(f"same {sys.argv[1]} N{COUNT}-C{channels}-{grid[0]}x{grid[1]} {dtype}", flush=True)
