"""The C++ kernel behind cpu.py against the specification, exactly; the specification's gradients against autograd."""

import os
import signal

import pytest
import torch

from lfic.kernels import cpu, rap_quantize, rap_quantize_dense, rap_unpool, reference

SHAPES = [(2, 16, 14, 14), (1, 48, 16, 16), (3, 1, 5, 3), (2, 16, 1, 1), (1, 192, 9, 6)]
QUALITIES = 5


def case(shape, dtype=torch.float32, seed=0, scale=3.0):
    count, channels, height, width = shape
    generator = torch.Generator().manual_seed(seed)
    y = (torch.randn(shape, generator=generator) * scale).to(dtype)
    levels = torch.randint(0, 3, (count, -(-height // 4), -(-width // 4)), generator=generator, dtype=torch.uint8)
    gain = torch.rand(QUALITIES, 3, channels, generator=generator) * 3 + 0.1
    quality = torch.randint(0, QUALITIES, (count,), generator=generator)
    return y, levels, gain, quality


def shape_id(shape):
    return "N{}-C{}-{}x{}".format(*shape)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=shape_id)
def test_symbols_and_features_are_exact(shape, dtype):
    for seed in range(3):
        y, levels, gain, quality = case(shape, dtype, seed)
        symbols, counts = rap_quantize(y, levels, gain, quality)
        expected, expected_counts, _ = reference.rap_quantize(y, levels, gain, quality)
        assert torch.equal(counts, expected_counts) and torch.equal(symbols, expected)
        features = rap_unpool(symbols, levels, 1 / gain, quality, *shape[2:])
        assert torch.equal(features, reference.rap_unpool(symbols, levels, 1 / gain, quality, *shape[2:]))


@pytest.mark.parametrize("level", [0, 1, 2])
def test_uniform_levels(level):
    y, levels, gain, quality = case((2, 16, 14, 14))
    levels.fill_(level)
    symbols, counts = rap_quantize(y, levels, gain, quality)
    assert counts.tolist() == [16 * {0: 196, 1: 49, 2: 16}[level]] * 2
    assert torch.equal(symbols, reference.rap_quantize(y, levels, gain, quality)[0])


def test_halves_round_to_even_and_large_values_are_clamped():
    y = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 1e9, -1e9]).reshape(1, 8, 1, 1)
    symbols, _ = rap_quantize(
        y, torch.zeros(1, 1, 1, dtype=torch.uint8), torch.ones(1, 3, 8), torch.zeros(1, dtype=torch.int64)
    )
    assert symbols[0].tolist() == [0, 2, 2, 0, -2, -2, 32767, -32767]


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "strided"])
def test_layouts_give_the_same_symbols(layout):
    y, levels, gain, quality = case((2, 16, 14, 14))
    expected = rap_quantize(y, levels, gain, quality)[0]
    if layout == "channels_last":
        y = y.contiguous(memory_format=torch.channels_last)
    elif layout == "strided":
        y = torch.stack([y, y], -1)[..., 0]
    assert torch.equal(rap_quantize(y, levels, gain, quality)[0], expected)


LAYOUTS = {
    "contiguous": lambda x: x,
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "strided": lambda x: torch.stack([x, x], -1)[..., 0],
}
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def dense_case(shape, dtype, form, layout, seed):
    """Arguments of the training form, two gradients, and the noise that it adds."""
    y, levels, gain, quality = case(shape, dtype, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    grads = [LAYOUTS[layout](torch.randn(shape, generator=generator).to(dtype)) for _ in range(2)]
    noise = (
        LAYOUTS[layout]((torch.rand(shape, generator=generator) - 0.5).to(dtype))
        if form in ("noise", "mixed")
        else None
    )
    key = torch.tensor([0x7234567890ABCDEF]) if form == "seed" else None
    drawn = reference.uniform_noise(shape, 0x7234567890ABCDEF) if form == "seed" else noise
    return (LAYOUTS[layout](y), levels, gain, 1 / gain, quality), noise, key, grads, drawn


def pairs(shift):
    """Every dtype, every layout; with the shift all of both together."""
    return [(dtype, list(LAYOUTS)[(i + shift) % 3]) for i, dtype in enumerate(DTYPES)]


@pytest.mark.parametrize("form", ["rounded", "noise", "seed", "mixed"])
@pytest.mark.parametrize("shape", [(1, 16, 10, 14), (3, 3, 5, 3), (2, 9, 1, 1), (1, 40, 4, 6)], ids=shape_id)
def test_training_form_and_its_gradients_are_exact(shape, form, monkeypatch):
    for seed, (dtype, layout) in enumerate(pairs(["rounded", "noise", "seed", "mixed"].index(form))):
        arguments, noise, key, grads, drawn = dense_case(shape, dtype, form, layout, seed)
        mixed = form == "mixed"
        dense = reference.rap_dense(*arguments, drawn, mixed)
        backward = reference.rap_dense_backward(*grads, *arguments, drawn, mixed)
        held = (None, None) if mixed else (noise, key)  # noise that the features hold, as registration.py hands it on
        alone = (None, grads[1]) if seed % 2 else (grads[0], None)
        backward_alone = reference.rap_dense_backward(
            *(torch.zeros(shape) if g is None else g for g in alone), *arguments, drawn, mixed
        )
        for portable in (False, True):
            monkeypatch.setattr(cpu, "PORTABLE", portable)
            for out in DTYPES:
                for a, b in zip(cpu.rap_dense(*arguments, noise, key, mixed, out), dense):
                    assert a.is_contiguous(memory_format=torch.channels_last) and torch.equal(a, b.to(out))
            for given, expected in ((grads, backward), (alone, backward_alone)):
                found = cpu.rap_dense_backward(*given, *arguments, *held)
                assert all(torch.equal(a, b.to(a.dtype)) for a, b in zip(found, expected))
                for wanted in ((True, False, False), (False, True, False), (False, False, True)):
                    few = cpu.rap_dense_backward(*given, *arguments, *held, *wanted)
                    for a, b, asked in zip(few, found, wanted):
                        assert torch.equal(a, b) if asked else not a.numel()


@pytest.mark.parametrize("shape", [(2, 17, 7, 13), (3, 3, 5, 3)], ids=shape_id)
def test_symbols_are_exact_in_every_layout_with_indexes_and_from_short_rows(shape, monkeypatch):
    for seed, (dtype, layout) in enumerate(pairs(shape[1])):
        y, levels, gain, quality = case(shape, dtype, seed)
        y.view(-1)[0], y.view(-1)[-1] = float("nan"), float("inf")
        indexes = torch.randint(0, 320, gain.shape, dtype=torch.int16)
        quantised = reference.rap_quantize(y, levels, gain, quality, indexes)
        symbols = quantised[0]
        short = symbols[:, : shape[2] * shape[3] // 2 * shape[1]]
        whole = torch.cat([short, torch.zeros_like(symbols[:, short.shape[1] :])], 1)
        leaf = (1 / gain).requires_grad_(True)
        unpooled = reference.rap_unpool(whole, levels, leaf, quality, *shape[2:])
        grad = LAYOUTS[layout](torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype))
        (unpooled * grad.float()).sum().backward()
        for portable in (False, True):
            monkeypatch.setattr(cpu, "PORTABLE", portable)
            assert all(
                torch.equal(a, b)
                for a, b in zip(cpu.rap_quantize(LAYOUTS[layout](y), levels, gain, quality, indexes), quantised)
            )
            for out in DTYPES:
                assert torch.equal(
                    cpu.rap_unpool(short, levels, 1 / gain, quality, *shape[2:], out), unpooled.detach().to(out)
                )
            torch.testing.assert_close(
                cpu.rap_unpool_backward(grad, short, levels, gain, quality), leaf.grad, rtol=1e-5, atol=1e-3
            )


def everything(y, levels, gain, step, quality, noise, grads):
    """Results of every operation, in one list."""
    symbols, counts, _ = cpu.rap_quantize(y, levels, gain, quality)
    features = cpu.rap_unpool(symbols, levels, step, quality, *y.shape[2:])
    backward = cpu.rap_dense_backward(*grads, y, levels, gain, step, quality, noise, None)
    return [
        symbols,
        counts,
        features,
        *cpu.rap_dense(y, levels, gain, step, quality, noise),
        *backward,
        cpu.rap_unpool_backward(grads[0], symbols, levels, step, quality),
    ]


def large(count=3):
    """Enough for four threads, of odd sizes."""
    shape = (count, 70, 75, 77)
    y, levels, gain, quality = case(shape, seed=3)
    return y, levels, gain, 1 / gain, quality, torch.rand(shape) - 0.5, [torch.randn(shape) for _ in range(2)]


def test_threads_change_nothing_and_are_gone_afterwards(monkeypatch):
    arguments = large()
    expected = everything(*arguments)
    for threads, portable in ((2, False), (4, False), (4, True)):
        monkeypatch.setattr(cpu, "run", lambda setting=(threads, portable): setting)
        assert all(torch.equal(a, b) for a, b in zip(everything(*arguments), expected))
    if hasattr(os, "fork"):  # a child of a process that used threads may use them again
        child = os.fork()
        if not child:
            signal.alarm(120)  # a child that hangs is a failure, not a run without end
            torch.set_num_threads(1)  # OpenMP's own threads, which torch.equal wakes, do not survive a fork
            os._exit(0 if all(torch.equal(a, b) for a, b in zip(everything(*arguments), expected)) else 1)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_waits_for_no_openmp_threads():
    """Every operation with tables of the codec's size, after the parent has used OpenMP."""
    y, levels, _, _ = case((2, 192, 14, 14))
    gain, quality = torch.full((100, 3, 192), 0.5), torch.tensor([3, 99])
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.ones(1 << 20).add_(1)
        child = os.fork()
        if not child:
            signal.alarm(60)
            everything(y, levels, gain, gain, quality, None, [y, y])
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        torch.set_num_threads(before)


def test_small_inputs_start_no_threads(monkeypatch):
    monkeypatch.setattr(cpu, "run", lambda: (64, False))
    arguments = case((4, 64, 14, 14))
    before = set(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else set()
    found = cpu.rap_quantize(*arguments)[0]
    monkeypatch.setattr(cpu, "run", lambda: (1, False))
    assert torch.equal(found, cpu.rap_quantize(*arguments)[0])
    assert not before or set(os.listdir("/proc/self/task")) == before


@pytest.mark.parametrize("noisy", [False, True], ids=["ste", "noise"])
@pytest.mark.parametrize("shape", [(2, 16, 14, 14), (2, 3, 5, 3), (1, 4, 1, 1)], ids=shape_id)
def test_gradients_are_those_of_autograd(shape, noisy):
    y, levels, gain, quality = case(shape, seed=4)
    step = 1 / gain
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(1)) - 0.5 if noisy else None
    weights = torch.randn(2, *shape, generator=torch.Generator().manual_seed(2))
    results = []
    for function in (rap_quantize_dense, reference.rap_dense):
        leaves = [t.clone().requires_grad_(True) for t in (y, gain, step)]
        torch.autograd.backward(function(leaves[0], levels, leaves[1], leaves[2], quality, noise), list(weights))
        results.append([leaf.grad for leaf in leaves])
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    for a, b in zip(results[0], reference.rap_dense_backward(*weights, y, levels, gain, step, quality, noise)):
        assert torch.equal(a, b)


def test_whatever_would_read_outside_a_tensor_is_refused():
    y, levels, gain, quality = case((2, 4, 8, 8))
    step, ops = 1 / gain, torch.ops.lfic
    symbols, _ = rap_quantize(y, levels, gain, quality)
    for call in (
        lambda: ops.rap_offsets(levels, 9, 8),
        lambda: ops.rap_offsets(levels + 3, 8, 8),
        lambda: ops.rap_quantize(y, levels[:1], gain, quality, None),
        lambda: ops.rap_quantize(y, levels, gain[:, :, :3], quality, None),
        lambda: ops.rap_quantize(y, levels, gain, quality[:1], None),
        lambda: ops.rap_quantize(y, levels, gain, quality + 5, None),
        lambda: ops.rap_quantize(y, levels, gain, quality, torch.zeros(5, 3, 3, dtype=torch.int16)),
        lambda: ops.rap_quantize(y.double(), levels, gain, quality, None),
        lambda: ops.rap_quantize(y, levels, gain.double(), quality, None),
        lambda: ops.rap_dense(y, levels, gain, step[:2], quality, None, None, False, y.dtype),
        lambda: ops.rap_dense(y, levels, gain, step, quality, y[:1], None, False, y.dtype),
        lambda: ops.rap_dense(y, levels, gain, step, quality, None, torch.zeros(0, dtype=torch.int64), False, y.dtype),
        lambda: ops.rap_dense_backward(y[:1], None, y, levels, gain, step, quality, None, None, *[True] * 3),
        lambda: ops.rap_dense_backward(None, y[..., :1], y, levels, gain, step, quality, None, None, *[True] * 3),
        lambda: ops.rap_dense_backward(None, None, y, levels, gain, step, quality, None, None, *[True] * 3),
        lambda: ops.rap_dense_backward(y, None, y, levels, gain, step, quality - 9, None, None, *[True] * 3),
        lambda: ops.rap_unpool(symbols[:1], levels, step, quality, 8, 8, y.dtype),
        lambda: ops.rap_unpool(symbols[:, :255], levels, step, quality, 8, 8, y.dtype),
        lambda: ops.rap_unpool_backward(y, symbols[:1], levels, step, quality),
        lambda: ops.rap_unpool_backward(y, symbols, levels, step[:, :, :3], quality),
        lambda: ops.rap_unpool_backward(y, symbols, levels, step.flatten(), quality),
    ):
        with pytest.raises(ValueError):
            call()


def test_tables_without_rows_and_grids_without_cells_are_refused():
    """A clamped row of none would be row -1."""
    y, levels, gain, quality = case((2, 4, 8, 8))
    step, ops = 1 / gain, torch.ops.lfic
    symbols, _ = rap_quantize(y, levels, gain, quality)
    for call in (
        lambda: ops.rap_quantize(y, levels, gain[:0], quality, None),
        lambda: ops.rap_quantize(y, levels, gain[:0], quality, torch.zeros(0, 3, 4, dtype=torch.int16)),
        lambda: ops.rap_dense(y, levels, gain[:0], step[:0], quality, None, None, False, y.dtype),
        lambda: ops.rap_dense_backward(y, y, y, levels, gain[:0], step[:0], quality, None, None, *[True] * 3),
        lambda: ops.rap_unpool(symbols, levels, step[:0], quality, 8, 8, y.dtype),
        lambda: ops.rap_unpool_backward(y, symbols, levels, step[:0], quality),
    ):
        with pytest.raises(ValueError, match="Q of at least 1"):
            call()
    none = gain[:, :, :0]
    for call in (
        lambda: ops.rap_quantize(y[:, :0], levels, none, quality, None),
        lambda: ops.rap_dense(y[:, :0], levels, none, none, quality, None, None, False, y.dtype),
        lambda: ops.rap_unpool(symbols, levels, none, quality, 8, 8, y.dtype),
        lambda: ops.rap_unpool(symbols, levels[:, :0], step, quality, 0, 8, y.dtype),
        lambda: ops.rap_offsets(levels[:, :, :0], 8, 0),
    ):
        with pytest.raises(ValueError, match="C, h and w of at least 1"):
            call()


@pytest.mark.parametrize("stranger", range(7))
def test_tensors_of_two_devices_are_refused(stranger):
    """Each argument in turn on a device without memory; addresses would be read that are none."""
    y, levels, gain, quality = case((2, 4, 8, 8))
    indexes = torch.zeros(gain.shape, dtype=torch.int16)

    def elsewhere(*tensors):
        return [t.to("meta") if i == stranger else t for i, t in enumerate(tensors)]

    symbols, _ = rap_quantize(y, levels, gain, quality)
    seed = torch.tensor([1])
    calls = {
        "quantize": (cpu.rap_quantize, elsewhere(y, levels, gain, quality, indexes)),
        "dense": (cpu.rap_dense, elsewhere(y, levels, gain, gain, quality, y, seed)),
        "dense_backward": (cpu.rap_dense_backward, [*elsewhere(y, y, y, levels, gain, gain, quality), None, None]),
        "unpool": (cpu.rap_unpool, [*elsewhere(symbols, levels, gain, quality), 8, 8]),
        "unpool_backward": (cpu.rap_unpool_backward, elsewhere(y, symbols, levels, gain, quality)),
    }
    for name, (call, arguments) in calls.items():
        if any(isinstance(t, torch.Tensor) and t.is_meta for t in arguments):
            with pytest.raises(ValueError, match="all must be on one device"):
                call(*arguments)
                pytest.fail(name)


def test_dense_symbols_are_the_ragged_ones():
    y, levels, gain, quality = case((2, 16, 14, 14), seed=7)
    symbols, counts = rap_quantize(y, levels, gain, quality)
    features, dense = rap_quantize_dense(y, levels, gain, 1 / gain, quality)
    torch.testing.assert_close(rap_unpool(symbols, levels, 1 / gain, quality, 14, 14), features, atol=0, rtol=0)
    for n in range(2):
        kept = torch.stack(
            [dense[n, :, top, left] for top, left, _ in reference.kept_cells(levels[n], 14, 14)]
        ).flatten()
        assert torch.equal(kept.to(torch.int16), symbols[n, : counts[n]])


def test_inference_mode_leaves_nothing_that_breaks_autograd():
    y, levels, gain, quality = case((1, 4, 13, 11))
    with torch.inference_mode():
        rap_quantize(y, levels, gain, quality)
    leaf = y.clone().requires_grad_(True)
    rap_quantize_dense(leaf, levels, gain, 1 / gain, quality)[0].sum().backward()
    assert leaf.grad.isfinite().all()


def test_empty_batch():
    symbols, counts = rap_quantize(
        torch.zeros(0, 4, 6, 6),
        torch.zeros(0, 2, 2, dtype=torch.uint8),
        torch.ones(1, 3, 4),
        torch.zeros(0, dtype=torch.int64),
    )
    assert symbols.shape == (0, 144) and counts.shape == (0,)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"levels": torch.zeros(1, 3, 4, dtype=torch.uint8)}, "levels"),
        ({"levels": torch.zeros(1, 4, 4)}, "levels"),
        ({"gain": torch.ones(5, 2, 16)}, "gain"),
        ({"gain": torch.ones(5, 3, 16, dtype=torch.float64)}, "gain"),
        ({"quality": torch.zeros(2, dtype=torch.int64)}, "quality"),
        ({"quality": torch.zeros(1)}, "quality"),
        ({"quality": torch.tensor([-1])}, "quality"),
        ({"quality": torch.tensor([5])}, "quality"),
        ({"levels": torch.full((1, 4, 4), 3, dtype=torch.uint8)}, "levels"),
        ({"y": torch.zeros(16, 14, 14)}, "y is"),
        ({"y": torch.zeros(1, 16, 14, 14, dtype=torch.int32)}, "y is"),
    ],
)
def test_wrong_arguments_are_named(change, text):
    arguments = {
        "y": torch.zeros(1, 16, 14, 14),
        "levels": torch.zeros(1, 4, 4, dtype=torch.uint8),
        "gain": torch.ones(5, 3, 16),
        "quality": torch.zeros(1, dtype=torch.int64),
    }
    with pytest.raises(ValueError, match=text):
        rap_quantize(**(arguments | change))


def test_wrong_arguments_of_the_other_forms_are_named():
    y, levels, gain, quality = case((1, 4, 8, 8))
    with pytest.raises(ValueError, match="step"):
        rap_quantize_dense(y, levels, gain, gain[:, :, :1], quality)
    with pytest.raises(ValueError, match="noise"):
        rap_quantize_dense(y, levels, gain, 1 / gain, quality, torch.zeros(1, 1, 1, 1))
    for symbols in (
        torch.zeros(1, 256),
        torch.zeros(2, 256, dtype=torch.int16),
        torch.zeros(1, 255, dtype=torch.int16),
    ):
        with pytest.raises(ValueError, match="symbols"):
            rap_unpool(symbols, levels, 1 / gain, quality, 8, 8)


def test_drawn_noise_is_philox_and_the_same_in_both_forms():
    # Random123's known answer for counter 0 and key 0.
    assert reference.philox(0, 0) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    for shape, seed in (((2, 3, 5, 6), 0), ((1, 16, 4, 4), -1), ((2, 1, 1, 1), 0x7234567890ABCDEF), ((1, 37, 3, 9), 5)):
        levels, ones = (
            torch.zeros(shape[0], -(-shape[2] // 4), -(-shape[3] // 4), dtype=torch.uint8),
            torch.ones(1, 3, shape[1]),
        )
        drawn = rap_quantize_dense(
            torch.zeros(shape), levels, ones, ones, torch.zeros(shape[0], dtype=torch.int64), seed=torch.tensor([seed])
        )[1]
        assert torch.equal(drawn, reference.uniform_noise(shape, seed))
