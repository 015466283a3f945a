"""On a real CUDA device: the same grid as under the interpreter, no symbol apart from the CPU's, and what only a device
can show.

    python -m pytest tests/kernels/test_gpu.py -m gpu [-n 12]

LFIC_PLAIN_MEMORY=1 leaves out deterministic algorithms and poisoned memory: the library as users run it.
For memory errors: compute-sanitizer --tool memcheck python -m pytest tests/kernels/test_gpu.py -k exact (a test runs it
as well where the tool is installed).
"""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from lfic.kernels import rap_offsets, rap_quantize, rap_quantize_dense, rap_unpool
from lfic.kernels.bench.bench import case as bench_case
from lfic.kernels.graphs import Graphed

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
GRIDS, CHANNELS = [(14, 14), (16, 16), (5, 3), (1, 1)], [192, 48, 16, 1]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
COUNT = QUALITIES = 5
PLAIN = os.environ.get("LFIC_PLAIN_MEMORY") == "1"
OPS = torch.ops.lfic


def case(channels, grid, dtype, count=COUNT):
    generator = torch.Generator().manual_seed(channels + sum(grid))
    y = torch.randn(count, channels, *grid, generator=generator) * 3
    y.view(-1)[:: 7 * channels + 3] = 0.5
    levels = torch.randint(0, 3, (count, -(-grid[0] // 4), -(-grid[1] // 4)), generator=generator, dtype=torch.uint8)
    for level in range(min(count, 3)):
        levels[level] = level
    gain = torch.rand(QUALITIES, 3, channels, generator=generator) * 3 + 0.1
    gain[0] = 1
    return y.to(dtype), levels, gain, torch.arange(count) % QUALITIES


def on(device, *tensors):
    return [t.to(device) for t in tensors]


@pytest.fixture(autouse=True)
def poisoned():
    """Memory that kernels get holds not-a-number and wrong symbols: what is not written shows."""
    if PLAIN:
        yield
        return
    before = torch.utils.deterministic.fill_uninitialized_memory, torch.are_deterministic_algorithms_enabled()
    torch.utils.deterministic.fill_uninitialized_memory = True
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.utils.deterministic.fill_uninitialized_memory = before[0]
    torch.use_deterministic_algorithms(before[1])


@pytest.mark.skipif(PLAIN, reason="memory is left as it is")
def test_memory_really_is_poisoned():
    assert torch.empty(1000, device="cuda").isnan().all()


@pytest.mark.parametrize("count", [1, 70])
def test_sums_for_tables_are_the_same_in_every_run(count):
    """Programs of one and of several tiles, images that share a quality, rows that no image has."""
    y, levels, gain, _ = case(48, (30, 22), torch.float32, count)
    quality = torch.arange(count) % 3
    inputs = (y, levels, gain, 1 / gain, quality)
    expected = OPS.rap_dense_backward(y, y, *inputs, None, None, True, True, True)
    found = [OPS.rap_dense_backward(*on("cuda", y, y, *inputs), None, None, True, True, True) for _ in range(2)]
    assert torch.equal(found[0][0].cpu(), expected[0])
    for one, again, whole in zip(found[0][1:], found[1][1:], expected[1:]):
        assert torch.equal(one, again) and not one[3:].any()
        torch.testing.assert_close(one.cpu(), whole, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(
    "wanted", [(True, False, False), (False, True, False), (False, False, True), (True, True, False)]
)
def test_only_gradients_that_are_asked_for(wanted):
    y, levels, gain, quality = case(16, (14, 14), torch.float16)
    inputs = (y, y, y, levels, gain, 1 / gain, quality)
    found = OPS.rap_dense_backward(*on("cuda", *inputs), None, None, *wanted)
    for a, b, asked in zip(found, OPS.rap_dense_backward(*inputs, None, None, *wanted), wanted):
        assert a.shape == b.shape and bool(a.numel()) == asked
        torch.testing.assert_close(a.cpu(), b, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("grid", [(14, 14), (5, 3), (70, 66)], ids=str)
def test_symbols_without_a_tail(grid):
    y, levels, gain, quality = case(48, grid, torch.float16)
    symbols, counts = rap_quantize(*on("cuda", y, levels, gain, quality), tail=False)
    expected, kept = rap_quantize(y, levels, gain, quality)
    assert torch.equal(counts.cpu(), kept)
    for a, b, n in zip(symbols.cpu(), expected, kept):
        assert torch.equal(a[:n], b[:n])
    features = rap_unpool(symbols, *on("cuda", levels, 1 / gain, quality), *grid)
    assert torch.equal(features.cpu(), rap_unpool(expected, levels, 1 / gain, quality, *grid))


def test_large_grids_of_many_tiles():
    """257 x 131 cells: more regions than a program counts at once."""
    y, levels, gain, quality = case(16, (257, 131), torch.bfloat16, 2)
    found, expected = rap_quantize(*on("cuda", y, levels, gain, quality)), rap_quantize(y, levels, gain, quality)
    assert torch.equal(found[0].cpu(), expected[0]) and torch.equal(found[1].cpu(), expected[1])
    features = rap_unpool(found[0], *on("cuda", levels, 1 / gain, quality), 257, 131)
    assert torch.equal(features.cpu(), rap_unpool(expected[0], levels, 1 / gain, quality, 257, 131))


def test_what_would_read_outside_a_tensor_is_refused():
    y, levels, gain, quality = on("cuda", *case(16, (14, 14), torch.float32))
    for call in (
        lambda: OPS.rap_offsets(levels, 15, 17),
        lambda: OPS.rap_quantize(y, levels[:1], gain, quality, None),
        lambda: OPS.rap_quantize(y, levels, gain[:, :, :3], quality, None),
        lambda: OPS.rap_dense(y, levels, gain, gain[:2], quality, None, None, False, y.dtype),
        lambda: OPS.rap_dense(y, levels, gain, gain, quality, y[:1], None, False, y.dtype),
        lambda: OPS.rap_dense_backward(y[:1], None, y, levels, gain, gain, quality, None, None, True, True, True),
        lambda: OPS.rap_unpool(levels.flatten(1).short(), levels[:1], gain, quality, 14, 14, y.dtype),
        lambda: OPS.rap_quantize(y, levels, gain[:0], quality, None),
        lambda: OPS.rap_dense(y, levels, gain[:0], gain[:0], quality, None, None, False, y.dtype),
        lambda: OPS.rap_quantize(y[:, :0], levels, gain[:, :, :0], quality, None),
        lambda: OPS.rap_quantize(y, levels.cpu(), gain, quality, None),
        lambda: OPS.rap_quantize(y, levels, gain.cpu(), quality, None),
        lambda: OPS.rap_dense(y, levels, gain, gain, quality, y.cpu(), None, False, y.dtype),
        lambda: OPS.rap_dense_backward(y.cpu(), None, y, levels, gain, gain, quality, None, None, True, True, True),
    ):
        with pytest.raises(ValueError):
            call()


def test_pictures_of_many_sizes_share_their_code():
    from lfic.kernels.quantize import rap_quantize_kernel

    device = torch.cuda.current_device()

    def variants():
        return len(rap_quantize_kernel.device_caches[device][0])

    gain = torch.ones(1, 3, 16, device="cuda")
    before = None
    for height, width in ((33, 34), (35, 38), (37, 41), (45, 33), (34, 65)):
        y = torch.randn(1, 16, height, width, device="cuda").contiguous(memory_format=torch.channels_last)
        rap_quantize(y, torch.zeros(1, -(-height // 4), -(-width // 4), dtype=torch.uint8, device="cuda"), gain, 0)
        before = before or variants()
    assert variants() <= before + 2  # a tile is smaller where a grid has few regions


def test_two_streams_may_share_a_graph():
    gain = torch.rand(100, 3, 48, generator=torch.Generator().manual_seed(0)) + 0.5
    device_gain = gain.cuda()
    encode = Graphed(lambda y, levels, quality: rap_quantize(y, levels, device_gain, quality), largest=8)
    batches = [bench_case((8, 48, 14, 14), seed=seed) for seed in range(8)]
    inputs = [on("cuda", y, levels, quality) for y, levels, _, _, quality in batches]
    encode(*inputs[0])
    torch.cuda.synchronize()
    streams, found = [torch.cuda.Stream() for _ in range(2)], []
    for i, given in enumerate(inputs * 4):
        with torch.cuda.stream(streams[i % 2]):
            found.append(encode(*given)[0])
    torch.cuda.synchronize()
    for i, symbols in enumerate(found):
        y, levels, _, _, quality = batches[i % 8]
        assert torch.equal(symbols.cpu(), rap_quantize(y, levels, gain, quality)[0])


def test_gradient_of_unpool():
    y, levels, gain, quality = case(48, (14, 14), torch.float32)
    symbols, _ = rap_quantize(y, levels, gain, quality)
    grads = []
    for device in ("cuda", "cpu"):
        step = (1 / gain).to(device).requires_grad_(True)
        rap_unpool(symbols.to(device), levels.to(device), step, quality.to(device), 14, 14).backward(
            torch.ones_like(y).cumsum(1).to(device)
        )
        grads.append(step.grad.cpu())
    torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-2)


def test_gradients_of_turned_tables():
    """Dense tables whose rows do not follow each other."""
    y, levels, gain, quality = case(48, (14, 14), torch.float32)
    symbols, _ = rap_quantize(y, levels, gain, quality)
    device = on("cuda", y, symbols, levels, 1 / gain, quality)
    turned = device[3].transpose(0, 1).contiguous().transpose(0, 1)
    plain = OPS.rap_unpool_backward(*device)
    assert torch.equal(OPS.rap_unpool_backward(*device[:3], turned, device[4]), plain)
    torch.testing.assert_close(
        plain.cpu(), OPS.rap_unpool_backward(y, symbols, levels, 1 / gain, quality), rtol=1e-4, atol=1e-2
    )
    tail = (None, None, True, True, True)
    dense = (device[0], device[0], device[0], device[2])
    found = OPS.rap_dense_backward(*dense, turned, turned, device[4], *tail)
    for a, b in zip(found, OPS.rap_dense_backward(*dense, device[3], device[3], device[4], *tail)):
        assert torch.equal(a, b) and a.stride() == b.stride()


def test_values_out_of_range_are_clamped_without_reading_outside():
    y, levels, gain, quality = case(16, (14, 14), torch.float32)
    wild = rap_quantize(y.cuda(), torch.full_like(levels, 255).cuda(), gain.cuda(), (quality + 1000).cuda())
    tame = rap_quantize(y, torch.full_like(levels, 2), gain, torch.full_like(quality, QUALITIES - 1))
    assert torch.equal(wild[0].cpu(), tame[0]) and torch.equal(wild[1].cpu(), tame[1])


def test_no_call_waits_for_the_device():
    y, levels, gain, quality = on("cuda", *case(48, (14, 14), torch.float16))
    leaf = y.clone().requires_grad_(True)
    symbols, _ = rap_quantize(y, levels, gain, quality)  # kernels compile first
    rap_quantize_dense(leaf, levels, gain, 1 / gain, quality)[0].sum().backward()
    torch.cuda.synchronize()
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        symbols, _ = rap_quantize(y, levels, gain, quality)
        rap_unpool(symbols, levels, 1 / gain, quality, 14, 14)
        rap_offsets(levels, 14, 14)
        rap_quantize_dense(leaf, levels, gain, 1 / gain, quality)[0].sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode(before)


@pytest.mark.parametrize("count", [1, 3, 8, 19])
def test_graphs_replay_the_same(count):
    gain = torch.rand(100, 3, 48, generator=torch.Generator().manual_seed(0)) + 0.5
    device_gain = gain.cuda()
    encode = Graphed(lambda y, levels, quality: rap_quantize(y, levels, device_gain, quality), largest=8)
    decode = Graphed(
        lambda symbols, levels, quality: rap_unpool(symbols, levels, 1 / device_gain, quality, 14, 14), largest=8
    )
    for seed in range(3):  # the first call captures, the others replay with other values
        y, levels, _, _, quality = bench_case((count, 48, 14, 14), seed=seed)
        symbols, counts = encode(*on("cuda", y, levels, quality))
        expected = rap_quantize(y, levels, gain, quality)
        assert torch.equal(symbols.cpu(), expected[0]) and torch.equal(counts.cpu(), expected[1])
        features = decode(symbols, *on("cuda", levels, quality))
        torch.testing.assert_close(
            features.cpu(), rap_unpool(expected[0], levels, 1 / gain, quality, 14, 14), rtol=1e-6, atol=0
        )


def test_a_captured_draw_changes_with_its_seed():
    y, levels, gain, quality = on("cuda", *case(16, (14, 14), torch.float32))
    seed = torch.tensor([1], device="cuda")
    rap_quantize_dense(y, levels, gain, 1 / gain, quality, seed=seed)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        symbols = rap_quantize_dense(y, levels, gain, 1 / gain, quality, seed=seed)[1]
    drawn = []
    for value in (1, 2):
        seed.fill_(value)
        graph.replay()
        drawn.append(symbols.cpu().clone())
        plain = rap_quantize_dense(
            y.cpu(), levels.cpu(), gain.cpu(), 1 / gain.cpu(), quality.cpu(), seed=torch.tensor([value])
        )[1]
        assert torch.equal(drawn[-1], plain)
    assert not torch.equal(*drawn)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs a second CUDA device")
def test_second_device():
    y, levels, gain, quality = case(48, (14, 14), torch.float16)
    expected = rap_quantize(y, levels, gain, quality)
    with torch.cuda.device(0):
        found = rap_quantize(*on("cuda:1", y, levels, gain, quality))
    assert found[0].device.index == 1 and torch.equal(found[0].cpu(), expected[0])
    with pytest.raises(ValueError, match="one device"):
        rap_quantize(y.to("cuda:0"), *on("cuda:1", levels, gain, quality))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_exact_symbols_and_features(grid, channels, dtype):
    y, levels, gain, quality = case(channels, grid, dtype)
    y.view(-1)[0], y.view(-1)[-1] = float("nan"), 3e4
    indexes = torch.randint(0, 320, gain.shape, dtype=torch.int16)
    expected = rap_quantize(y, levels, gain, quality, indexes)
    found = rap_quantize(*on("cuda", y, levels, gain, quality, indexes))
    for a, b in zip(found, expected):
        assert torch.equal(a.cpu(), b)
    for a, b in zip(rap_offsets(levels.cuda(), *grid), rap_offsets(levels, *grid)):
        assert torch.equal(a.cpu(), b)
    for out in DTYPES:
        features = rap_unpool(found[0], *on("cuda", levels, 1 / gain, quality), *grid, out)
        assert torch.equal(features.cpu(), rap_unpool(expected[0], levels, 1 / gain, quality, *grid, out))


@pytest.mark.parametrize("form", ["rounded", "noise", "seed", "mixed"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_exact_training_form_and_its_gradients(grid, channels, dtype, form):
    y, levels, gain, quality = case(channels, grid, dtype)
    noise = (
        (torch.rand(y.shape, generator=torch.Generator().manual_seed(1)) - 0.5).to(dtype) if form == "noise" else None
    )
    seed = torch.tensor([0x1234567890ABCDEF]) if form in ("seed", "mixed") else None
    weights = torch.randn(2, *y.shape, generator=torch.Generator().manual_seed(2)).to(dtype)
    results = []
    for device in ("cuda", "cpu"):
        leaves = [t.detach().clone().to(device).requires_grad_(True) for t in (y, gain, 1 / gain)]
        extra = [None if t is None else t.to(device) for t in (noise, seed)]
        outputs = rap_quantize_dense(
            leaves[0],
            levels.to(device),
            leaves[1],
            leaves[2],
            quality.to(device),
            *extra,
            dtype=dtype,
            mixed=form == "mixed",
        )
        torch.autograd.backward(outputs, list(weights.to(device)))
        results.append([t.detach().cpu() for t in (*outputs, *(leaf.grad for leaf in leaves))])
    for a, b in zip(results[0][:3], results[1][:3]):  # features, symbols, gradient of y
        assert torch.equal(a, b)
    for a, b in zip(results[0][3:], results[1][3:]):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-3)


def test_more_than_two_to_the_31_elements():
    shape = (171, 192, 256, 256)  # 2 ** 31 + 4 * 10 ** 6
    if torch.cuda.mem_get_info()[0] < 24e9:
        pytest.skip("needs 24 GB of free device memory")
    y = torch.empty(shape, dtype=torch.bfloat16, device="cuda", memory_format=torch.channels_last).normal_()
    levels = torch.randint(0, 3, (shape[0], 64, 64), dtype=torch.uint8, device="cuda")
    gain, quality = torch.ones(1, 3, 192, device="cuda"), torch.zeros(shape[0], dtype=torch.int64, device="cuda")
    symbols, counts = rap_quantize(y, levels, gain, quality)
    for n in (0, shape[0] - 1):
        one = slice(n, n + 1)
        expected = rap_quantize(*(t.cpu() for t in (y[one], levels[one], gain, quality[one])))
        assert torch.equal(symbols[one].cpu(), expected[0]) and torch.equal(counts[one].cpu(), expected[1])
    step = torch.full_like(gain, 2.0)
    features, dense = rap_quantize_dense(y, levels, gain, step, quality, dtype=torch.bfloat16)
    grad_y, to_gain, to_step = OPS.rap_dense_backward(
        features, None, y, levels, gain, step, quality, None, None, True, False, False
    )
    one = slice(shape[0] - 1, shape[0])
    few = [t.cpu() for t in (y[one], levels[one], gain, step, quality[one])]
    for a, b in zip((features, dense), rap_quantize_dense(*few, dtype=torch.bfloat16)):
        assert torch.equal(a[one].cpu(), b)
    alone = OPS.rap_dense_backward(features[one].cpu(), None, *few, None, None, True, False, False)[0]
    assert torch.equal(grad_y[one].cpu(), alone)
    del y, features, dense, grad_y
    features = rap_unpool(symbols, levels, gain, quality, 256, 256, torch.bfloat16)
    assert torch.equal(
        features[-1:].cpu(),
        rap_unpool(expected[0], levels[-1:].cpu(), gain.cpu(), quality[-1:].cpu(), 256, 256, torch.bfloat16),
    )


@pytest.mark.skipif(shutil.which("compute-sanitizer") is None, reason="compute-sanitizer is not installed")
def test_sanitizer_finds_nothing():
    environment = os.environ | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}  # so that every tensor has bounds of its own
    command = [
        "compute-sanitizer",
        "--tool",
        "memcheck",
        "--error-exitcode",
        "9",
        sys.executable,
        "-m",
        "pytest",
        "-q",
        __file__,
        "-k",
        "exact and (5 or 192)",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1800)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
