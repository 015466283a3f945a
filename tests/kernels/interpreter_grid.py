"""Run with TRITON_INTERPRET=1, in a process of its own: every kernel against the specification, exactly.

python interpreter_grid.py NAME: prints one line a case; any difference raises.
"""
import os
import sys

import torch

from lfic.kernels import cpu, reference
from lfic.kernels.offsets import rap_offsets
from lfic.kernels.rap_dense import rap_dense, rap_dense_backward
from lfic.kernels.rap_quantize import rap_quantize
from lfic.kernels.rap_unpool import rap_unpool, rap_unpool_backward
from lfic.kernels.registration import nhwc, table_sums

SHAPES = [(2, 16, 14, 14), (1, 48, 16, 16), (3, 1, 5, 3), (2, 16, 1, 1), (1, 192, 9, 6)]
QUALITIES = 5
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def case(shape, dtype, mix):
    """Features (with halves, huge values and not-a-number), levels, gain, quality, indexes."""
    count, channels, height, width = shape
    generator = torch.Generator().manual_seed(sum(shape))
    y = torch.randn(shape, generator=generator) * 3
    y.view(-1)[:: 7 * channels + 3] = 0.5
    levels = torch.randint(0, 3, (count, -(-height // 4), -(-width // 4)), generator=generator, dtype=torch.uint8)
    if mix != "mixed":
        levels.fill_(int(mix))
    gain = torch.rand(QUALITIES, 3, channels, generator=generator) * 3 + 0.1
    gain[0] = 1
    quality = torch.randint(0, QUALITIES, (count,), generator=generator)
    quality[0] = 0
    indexes = torch.randint(0, 320, gain.shape, generator=generator, dtype=torch.int16)
    return y.to(dtype), levels, gain, quality, indexes


def same(ours, expected, what):
    if not torch.equal(ours, expected):
        raise AssertionError(f"{what}: {int((ours != expected).sum())} of {expected.numel()} values differ")


def ragged(shape, dtype, mix):
    y, levels, gain, quality, indexes = case(shape, dtype, mix)
    y.view(-1)[0], y.view(-1)[-1] = float("nan"), 3e4
    height, width = shape[2:]
    starts, counts = rap_offsets(levels, height, width)
    expected = reference.rap_offsets(levels, height, width)
    same(starts.long(), expected[0], "starts")
    same(counts, expected[1], "counts")
    for index in (indexes, None):
        symbols, counts, tables = rap_quantize(nhwc(y), levels, gain, quality, index)
        expected = reference.rap_quantize(y, levels, gain, quality, index)
        same(symbols, expected[0], "symbols")
        same(counts, expected[1], "counts of symbols")
        if index is not None:
            same(tables, expected[2], "table indexes")
    step = 1 / gain
    for out in DTYPES:
        features = rap_unpool(symbols, levels, step, quality, height, width, out)
        same(features, reference.rap_unpool(symbols, levels, step, quality, height, width).to(out), f"features {out}")
    grad = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    to_step = rap_unpool_backward(nhwc(grad), symbols, levels, quality, QUALITIES)
    torch.testing.assert_close(to_step, cpu.rap_unpool_backward(grad, symbols, levels), rtol=1e-5, atol=1e-2)
    kept = int(counts.max()) // 2 // shape[1] * shape[1]
    if kept:  # a row that is too short: what is missing counts as 0
        short = symbols[:, :kept].contiguous()
        whole = torch.cat([short, torch.zeros_like(symbols[:, kept:])], 1)
        same(rap_unpool(short, levels, step, quality, height, width, torch.float32), rap_unpool(whole, levels, step, quality, height, width, torch.float32), "short rows")


def dense(shape, dtype, mix):
    y, levels, gain, quality, _ = case(shape, dtype, mix)
    seed = torch.tensor([0x1234567890ABCDEF])
    generator = torch.Generator().manual_seed(5)
    given = (torch.rand(shape, generator=generator) - 0.5).to(dtype)
    grads = [torch.randn(shape, generator=generator).to(dtype) for _ in range(2)]
    for name, noise, key in (("rounded", None, None), ("noise", given, None), ("seed", None, seed)):
        drawn = reference.uniform_noise(shape, int(seed)) if key is not None else noise
        features, symbols = rap_dense(nhwc(y), levels, gain, 1 / gain, quality, nhwc(noise), key, dtype)
        leaves = [t.detach().clone().float().requires_grad_(True) for t in (y, gain, 1 / gain)]
        expected = reference.rap_dense(leaves[0], levels, leaves[1], leaves[2], quality, drawn)
        same(features, expected[0].detach().to(dtype), f"{name} features")
        same(symbols, expected[1].detach().to(dtype), f"{name} symbols")
        (expected[0] * grads[0].float()).sum().add((expected[1] * grads[1].float()).sum()).backward()
        grad_y, to_gain, to_step = rap_dense_backward(nhwc(grads[0]), nhwc(grads[1]), nhwc(y), levels, gain, 1 / gain, quality, nhwc(noise), key, True)
        tolerance = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}[dtype]
        torch.testing.assert_close(grad_y.float(), leaves[0].grad, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(table_sums(to_gain, levels, quality, gain), leaves[1].grad, rtol=1e-4, atol=2e-3)
        torch.testing.assert_close(table_sums(to_step, levels, quality, gain), leaves[2].grad, rtol=1e-4, atol=2e-3)
        alone = rap_dense_backward(nhwc(grads[0]), None, nhwc(y), levels, gain, 1 / gain, quality, nhwc(noise), key, False)[0]
        both = rap_dense_backward(nhwc(grads[0]), torch.zeros_like(nhwc(grads[1])), nhwc(y), levels, gain, 1 / gain, quality, nhwc(noise), key, False)[0]
        same(alone, both, "gradient without one at the symbols")


if __name__ == "__main__":
    assert os.environ.get("TRITON_INTERPRET") == "1", "set TRITON_INTERPRET=1 before Python starts"
    run = {"ragged": ragged, "dense": dense}[sys.argv[1]]
    for shape in SHAPES:
        for dtype in DTYPES:
            for mix in ("mixed", "0", "1", "2") if shape == SHAPES[0] and dtype == torch.float16 else ("mixed",):
                run(shape, dtype, mix)
                print(f"same {sys.argv[1]} N{shape[0]}-C{shape[1]}-{shape[2]}x{shape[3]} {dtype} levels {mix}", flush=True)
