"""cpu.py against the specification: exact symbols and features, gradients against autograd of the reference."""
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
    symbols, _ = rap_quantize(y, torch.zeros(1, 1, 1, dtype=torch.uint8), torch.ones(1, 3, 8), torch.zeros(1, dtype=torch.int64))
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


@pytest.mark.parametrize("noisy", [False, True], ids=["ste", "noise"])
@pytest.mark.parametrize("shape", [(2, 16, 14, 14), (2, 3, 5, 3), (1, 4, 1, 1)], ids=shape_id)
def test_dense_form_and_its_gradients(shape, noisy):
    y, levels, gain, quality = case(shape, seed=4)
    step = 1 / gain
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(1)) - 0.5 if noisy else None
    results = []
    for function in (rap_quantize_dense, reference.rap_dense):
        leaves = [t.clone().requires_grad_(True) for t in (y, gain, step)]
        features, symbols = function(leaves[0], levels, leaves[1], leaves[2], quality, noise)
        weights = torch.randn(shape, generator=torch.Generator().manual_seed(2))
        (features * weights).sum().add((symbols * weights.flip(1)).sum()).backward()
        results.append((features.detach(), symbols.detach(), *[leaf.grad for leaf in leaves]))
    ours, expected = results
    assert torch.equal(ours[0], expected[0]) and torch.equal(ours[1], expected[1])
    for a, b in zip(ours[2:], expected[2:]):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_dense_symbols_are_the_ragged_ones():
    y, levels, gain, quality = case((2, 16, 14, 14), seed=7)
    symbols, counts = rap_quantize(y, levels, gain, quality)
    features, dense = rap_quantize_dense(y, levels, gain, 1 / gain, quality)
    torch.testing.assert_close(rap_unpool(symbols, levels, 1 / gain, quality, 14, 14), features, atol=0, rtol=0)
    for n in range(2):
        kept = torch.stack([dense[n, :, top, left] for top, left, _ in reference.kept_cells(levels[n], 14, 14)]).flatten()
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
        torch.zeros(0, 4, 6, 6), torch.zeros(0, 2, 2, dtype=torch.uint8), torch.ones(1, 3, 4), torch.zeros(0, dtype=torch.int64)
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
        "y": torch.zeros(1, 16, 14, 14), "levels": torch.zeros(1, 4, 4, dtype=torch.uint8), "gain": torch.ones(5, 3, 16),
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
    for symbols in (torch.zeros(1, 256), torch.zeros(2, 256, dtype=torch.int16), torch.zeros(1, 255, dtype=torch.int16)):
        with pytest.raises(ValueError, match="symbols"):
            rap_unpool(symbols, levels, 1 / gain, quality, 8, 8)


def test_drawn_noise_is_philox_and_the_same_in_both_forms():
    # Random123's known answer for counter 0 and key 0.
    assert reference.philox(0, 0) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    for shape, seed in (((2, 3, 5, 6), 0), ((1, 16, 4, 4), -1), ((2, 1, 1, 1), 0x7234567890ABCDEF)):
        assert torch.equal(cpu.uniform_noise(shape, torch.tensor([seed])), reference.uniform_noise(shape, seed))
