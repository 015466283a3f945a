"""The operations inside PyTorch: opcheck, compile, export, autocast, vmap, layouts, empty batches, and a life without
triton."""

import copy
import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import grad, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from lfic.kernels import rap_offsets, rap_quantize, rap_quantize_dense, rap_unpool

N, C, H, W, Q = 3, 16, 14, 9, 5
OPS = torch.ops.lfic


def turned(x):
    """The same values in dense memory whose first two dimensions are the other way round."""
    return x.transpose(0, 1).contiguous().transpose(0, 1)


def case(count=N, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    y = (torch.randn(count, C, H, W, generator=generator) * 3).to(dtype)
    levels = torch.randint(0, 3, (count, -(-H // 4), -(-W // 4)), generator=generator, dtype=torch.uint8)
    gain = torch.rand(Q, 3, C, generator=generator) + 0.5
    return y, levels, gain, 1 / gain, torch.randint(0, Q, (count,), generator=generator)


def operations(count=N):
    """{name: (operation, arguments)} of every registered operation and form."""
    y, levels, gain, step, quality = case(count)
    indexes = torch.randint(0, 320, gain.shape, dtype=torch.int16)
    seed, noise, g = torch.tensor([7]), torch.rand_like(y) - 0.5, torch.randn_like(y)
    symbols, _ = rap_quantize(y, levels, gain, quality)
    leaf = [t.clone().requires_grad_(True) for t in (y, gain, step)]
    half = y.half().requires_grad_(True)
    return {
        "offsets": (OPS.rap_offsets, (levels, H, W)),
        "quantize": (OPS.rap_quantize, (y, levels, gain, quality, None)),
        "quantize-tailless": (OPS.rap_quantize, (y, levels, gain, quality, None, False)),
        "quantize-indexed": (OPS.rap_quantize, (y, levels, gain, quality, indexes)),
        "dense": (OPS.rap_dense, (leaf[0], levels, leaf[1], leaf[2], quality, None, None, False, torch.float32)),
        "dense-noise": (OPS.rap_dense, (leaf[0], levels, leaf[1], leaf[2], quality, noise, None, False, torch.float32)),
        "dense-seed": (OPS.rap_dense, (leaf[0], levels, leaf[1], leaf[2], quality, None, seed, False, torch.float32)),
        "dense-half": (OPS.rap_dense, (half, levels, gain, step, quality, None, None, False, torch.float16)),
        "dense-mixed": (OPS.rap_dense, (leaf[0], levels, leaf[1], leaf[2], quality, noise, None, True, torch.float32)),
        "dense_backward": (OPS.rap_dense_backward, (g, g, y, levels, gain, step, quality, None, None, *[True] * 3)),
        "dense_backward-y": (
            OPS.rap_dense_backward,
            (None, g, y, levels, gain, step, quality, None, seed, True, False, False),
        ),
        "dense_backward-step": (
            OPS.rap_dense_backward,
            (g, None, y, levels, gain, step, quality, noise, None, False, False, True),
        ),
        "unpool": (OPS.rap_unpool, (symbols, levels, leaf[2], quality, H, W, torch.float32)),
        "unpool_backward": (OPS.rap_unpool_backward, (g, symbols, levels, step, quality)),
        "dense_backward-turned": (
            OPS.rap_dense_backward,
            (g, g, y, levels, turned(gain), turned(step), quality, None, None, *[True] * 3),
        ),
        "unpool_backward-turned": (OPS.rap_unpool_backward, (g, symbols, levels, turned(step), quality)),
    }


@pytest.mark.parametrize("name", list(operations()))
def test_opcheck(name):
    operation, arguments = operations()[name]
    torch.library.opcheck(operation.default, arguments)


@pytest.mark.parametrize("name", list(operations()))
def test_fakes_have_the_memory_of_the_results(name):
    operation, arguments = operations()[name]
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fakes = operation(*(mode.from_tensor(a) if isinstance(a, torch.Tensor) else a for a in arguments))
    found = operation(*arguments)
    for a, b in zip(*((x if isinstance(x, tuple) else (x,)) for x in (fakes, found)), strict=True):
        assert (a.shape, a.stride(), a.dtype, a.device) == (b.shape, b.stride(), b.dtype, b.device)


class Bottleneck(nn.Module):
    """What a model does with the operations: an analysis, a quantised bottleneck, and the ragged form of the same."""

    def __init__(self):
        super().__init__()
        self.analysis = nn.Conv2d(3, C, 3, padding=1)
        self.log_gain = nn.Parameter(torch.rand(Q, 3, C, generator=torch.Generator().manual_seed(1)))

    def forward(self, pixels, levels, quality):
        y, gain = self.analysis(pixels), self.log_gain.exp()
        features, symbols = rap_quantize_dense(y, levels, gain, 1 / gain, quality)
        starts, _ = rap_offsets(levels, H, W)
        ragged, counts = rap_quantize(y.detach(), levels, gain.detach(), quality)
        again = rap_unpool(ragged, levels, 1 / gain, quality, H, W)
        return features, symbols, again, counts + starts[:, -1]


def batch(count):
    _, levels, _, _, quality = case(count, seed=count)
    return torch.randn(count, 3, H, W, generator=torch.Generator().manual_seed(count)), levels, quality


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compile_in_one_graph_with_any_batch(backend):
    torch.manual_seed(0)
    eager = Bottleneck()
    compiled = copy.deepcopy(eager)
    run = torch.compile(compiled, fullgraph=True, dynamic=True, backend=backend)
    for count in (3, 5) if backend == "inductor" else (2, 3, 7):
        expected, found = eager(*batch(count)), run(*batch(count))
        for a, b in zip(found, expected):
            torch.testing.assert_close(a, b)
        for outputs in (expected, found):
            sum((o * torch.linspace(-1, 1, o.numel()).view(o.shape)).sum() for o in outputs[:3]).backward()
    for a, b in zip(compiled.parameters(), eager.parameters()):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-4)


def test_export_with_any_batch():
    model = Bottleneck().eval()
    count = torch.export.Dim("count", min=1, max=64)
    program = torch.export.export(model, batch(3), dynamic_shapes=({0: count}, {0: count}, {0: count}))
    names = {str(node.target) for node in program.graph.nodes}
    assert {
        "lfic.rap_quantize.default",
        "lfic.rap_dense.default",
        "lfic.rap_unpool.default",
        "lfic.rap_offsets.default",
    } <= names
    for size in (1, 6):
        for a, b in zip(program.module()(*batch(size)), model(*batch(size))):
            torch.testing.assert_close(a, b)


def test_autocast_hands_on_what_the_network_made():
    model = Bottleneck()
    pixels, levels, quality = batch(2)
    with torch.autocast("cpu", torch.bfloat16):
        y = model.analysis(pixels)
        features, symbols, _, _ = model(pixels, levels, quality)
        features.square().mean().backward()
    assert y.dtype == torch.bfloat16 and features.dtype == torch.float32
    gain = model.log_gain.exp()
    expected = rap_quantize_dense(y, levels, gain, 1 / gain, quality)
    assert torch.equal(features, expected[0]) and torch.equal(symbols, expected[1])
    assert all(p.grad.dtype == torch.float32 and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("mapped", ["y", "levels", "gain", "step", "quality", "all"])
def test_vmap_is_a_loop(mapped):
    one = dict(zip(("y", "levels", "gain", "step", "quality"), case()))
    two = dict(zip(one, case(seed=1)))
    names = list(one) if mapped == "all" else [mapped]
    where = 1 if mapped == "y" else 0
    stacked = {k: torch.stack([one[k], two[k]], where) if k in names else one[k] for k in one}
    dims = tuple(where if k in names else None for k in one)

    def every(y, levels, gain, step, quality):
        symbols, counts = rap_quantize(y, levels, gain, quality)
        features = rap_unpool(symbols, levels, step, quality, H, W)
        return (
            *rap_offsets(levels, H, W),
            symbols,
            counts,
            features,
            *rap_quantize_dense(y, levels, gain, step, quality),
        )

    found = vmap(every, dims)(*stacked.values())
    expected = [every(*(pick[k] if k in names else one[k] for k in one)) for pick in (one, two)]
    for i, (a, b) in enumerate(zip(*expected)):
        assert torch.equal(found[i], torch.stack([a, b]))


@pytest.mark.parametrize("wrong", [-1, Q])
def test_vmap_over_tables_refuses_a_quality_out_of_range(wrong):
    """Tables that are mapped lie side by side: a row too many is not the first of the next one."""
    y, levels, gain, step, quality = case()
    tables, quality = torch.stack([gain, gain + 1]), torch.full_like(quality, wrong)
    with pytest.raises(ValueError, match="quality"):
        vmap(lambda gain: rap_quantize(y, levels, gain, quality))(tables)
    with pytest.raises(ValueError, match="quality"):
        vmap(lambda gain, step: rap_quantize_dense(y, levels, gain, step, quality))(tables, 1 / tables)


def test_second_derivatives_are_refused_not_zero():
    y, levels, gain, step, quality = case()
    y, step = y.requires_grad_(True), step.requires_grad_(True)
    features, _ = rap_quantize_dense(y, levels, gain, step, quality)
    (slope,) = torch.autograd.grad(features.square().sum(), y, create_graph=True)
    with pytest.raises(NotImplementedError, match="first derivatives"):
        slope.square().sum().backward()
    symbols, _ = rap_quantize(y.detach(), levels, gain, quality)
    unpooled = rap_unpool(symbols, levels, step, quality, H, W)
    (slope,) = torch.autograd.grad(unpooled.square().sum(), step, create_graph=True)
    with pytest.raises(NotImplementedError, match="first derivatives"):
        slope.square().sum().backward()

    def loss(y):
        return rap_quantize_dense(y, levels, gain, step.detach(), quality)[0].square().sum()

    with pytest.raises(NotImplementedError, match="first derivatives"):
        grad(lambda y: grad(loss)(y).square().sum())(y.detach())


def test_integers_for_quality_and_seed():
    y, levels, gain, step, quality = case()
    three = torch.full_like(quality, 3)
    for found, expected in (
        (rap_quantize(y, levels, gain, 3), rap_quantize(y, levels, gain, three)),
        (
            rap_quantize_dense(y, levels, gain, step, 3, seed=7),
            rap_quantize_dense(y, levels, gain, step, three, seed=torch.tensor([7])),
        ),
    ):
        assert all(torch.equal(a, b) for a, b in zip(found, expected))
    symbols = rap_quantize(y, levels, gain, 3)[0]
    assert torch.equal(rap_unpool(symbols, levels, step, 3, H, W), rap_unpool(symbols, levels, step, three, H, W))
    assert torch.equal(rap_quantize(y, levels, gain, np.int16(3))[0], symbols)
    assert torch.equal(
        rap_quantize_dense(y, levels, gain, step, np.uint8(3), seed=np.int64(7))[1],
        rap_quantize_dense(y, levels, gain, step, 3, seed=7)[1],
    )
    for device in ("cpu", "meta"):  # as on a GPU, nobody can look into tensors of meta
        given = [t.to(device) for t in (y, levels, gain, symbols)]
        for wrong in (-1, Q, 2**40, np.int64(Q)):
            with pytest.raises(ValueError, match=r"quality is -?\d+; allowed are 0...4, the rows of gain"):
                rap_quantize(*given[:3], wrong)
            with pytest.raises(ValueError, match="the rows of gain"):
                rap_quantize_dense(*given[:3], given[2], wrong)
            with pytest.raises(ValueError, match="the rows of step"):
                rap_unpool(given[3], given[1], given[2], wrong, H, W)
    for wrong, kind in ((3.5, "float"), (True, "bool"), (np.float32(1), "float32"), (np.True_, "bool"), ("1", "str")):
        with pytest.raises(ValueError, match=rf"quality is .*{kind}_?\); needed is an integer or an int64 tensor"):
            rap_quantize(y, levels, gain, wrong)
        with pytest.raises(ValueError, match=rf"seed is .*{kind}_?\); needed is an integer or an int64 tensor"):
            rap_quantize_dense(y, levels, gain, step, 3, seed=wrong)
    with pytest.raises(ValueError, match="what int64 holds"):
        rap_quantize_dense(y, levels, gain, step, 3, seed=1 << 63)
    with pytest.raises(ValueError, match="neither noise nor seed"):
        rap_quantize_dense(y, levels, gain, step, 3, mixed=True)
    with pytest.raises(ValueError, match="5 rows|2 rows"):
        rap_quantize_dense(y, levels, gain, step[:2], 1)


@pytest.mark.parametrize("dynamic", [False, True])
def test_integers_in_one_graph(dynamic):
    y, levels, gain, step, quality = case()

    def work(y, row):
        symbols, _ = rap_quantize(y, levels, gain, row)
        return rap_unpool(symbols, levels, step, row, H, W), rap_quantize_dense(y, levels, gain, step, row, seed=row)[1]

    run = torch.compile(work, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for row in (3, 2, 4):
        for a, b in zip(run(y, row), work(y, row)):
            assert torch.equal(a, b)


def test_gradient_of_every_image_by_vmap():
    y, levels, gain, step, quality = case()

    def loss(y, gain, levels, quality):
        features, symbols = rap_quantize_dense(y[None], levels[None], gain, step, quality[None])
        return features.square().sum() + symbols.sin().sum()

    to_y, to_gain = vmap(grad(loss, (0, 1)), (0, None, 0, 0))(y, gain, levels, quality)
    for n in range(N):
        a, b = grad(loss, (0, 1))(y[n], gain, levels[n], quality[n])
        torch.testing.assert_close(to_y[n], a)
        torch.testing.assert_close(to_gain[n], b)


def test_vmap_with_drawn_noise_asks_for_randomness():
    y, levels, gain, step, quality = case()
    stacked, seed = torch.stack([y, y]), torch.tensor([3])

    def draw(y):
        return rap_quantize_dense(y, levels, gain, step, quality, seed=seed)[1]

    with pytest.raises(RuntimeError, match="randomness"):
        vmap(draw)(stacked)
    drawn = vmap(draw, randomness="different")(stacked)
    assert not torch.equal(drawn[0], drawn[1])


@pytest.mark.skipif(sys.platform != "linux", reason="triton is for Linux alone")
def test_names_stay_functions_once_the_kernels_are_imported():
    import lfic.kernels
    from lfic.kernels.registration import triton_kernels

    modules = triton_kernels()
    assert [m.__name__.rsplit(".", 1)[1] for m in modules] == ["quantize", "dense", "unpool", "offsets"]
    for module, name in zip(modules, ("rap_quantize", "rap_dense", "rap_unpool", "rap_offsets")):
        assert callable(getattr(module, name))
    assert all(
        getattr(lfic.kernels, name) is not None and callable(getattr(lfic.kernels, name))
        for name in lfic.kernels.__all__
    )


def strided(x):
    """The same values, none of them beside another."""
    out = torch.empty(*[2 * n for n in x.shape], dtype=x.dtype)[tuple(slice(None, None, 2) for _ in x.shape)].copy_(x)
    assert not out.is_contiguous() or x.numel() < 2
    return out


def test_inputs_and_gradients_of_any_layout():
    y, levels, gain, step, quality = case()
    weights = torch.randn(3, N, C, H, W, generator=torch.Generator().manual_seed(2))

    def run(change):
        leaves = [t.clone().requires_grad_(True) for t in (y, gain, step)]
        a, b, c = (change(t) for t in leaves)
        ragged, counts = rap_quantize(a.detach(), change(levels), b.detach(), change(quality))
        outputs = (
            *rap_quantize_dense(a, change(levels), b, c, change(quality)),
            rap_unpool(change(ragged), change(levels), c, change(quality), H, W),
        )
        torch.autograd.backward(outputs, [change(w) for w in weights])
        return [ragged, counts, *(o.detach() for o in outputs)], [leaf.grad for leaf in leaves]

    expected = run(lambda t: t)
    for change in (
        strided,
        lambda t: turned(t) if t.ndim > 1 else t,
        lambda t: t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t,
    ):
        found = run(change)
        assert all(torch.equal(a, b) for a, b in zip(found[0], expected[0]))
        for a, b in zip(found[1], expected[1]):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-4)
    # A gradient without memory of its own, as sum() sends it.
    leaf = y.clone().requires_grad_(True)
    rap_quantize_dense(leaf, levels, gain, step, quality)[0].sum().backward()
    dense = y.clone().requires_grad_(True)
    rap_quantize_dense(dense, levels, gain, step, quality)[0].backward(torch.ones_like(y))
    assert torch.equal(leaf.grad, dense.grad)


def test_empty_batch_of_every_operation():
    for name, (operation, arguments) in operations(0).items():
        outputs = operation(*arguments)
        for output in outputs if isinstance(outputs, tuple) else (outputs,):
            assert output.numel() == 0 or ("backward" in name and not output.any()), name
    y, levels, gain, step, quality = case(0)
    leaves = [t.clone().requires_grad_(True) for t in (y, gain, step)]
    features, symbols = rap_quantize_dense(leaves[0], levels, leaves[1], leaves[2], quality)
    assert features.shape == symbols.shape == (0, C, H, W)
    (features.sum() + symbols.sum()).backward()
    assert leaves[0].grad.shape == y.shape and not leaves[1].grad.any() and not leaves[2].grad.any()


WITHOUT_TRITON = """
import sys
sys.modules["triton"] = None  # import triton: ModuleNotFoundError; find_spec: None
import numpy as np, torch, lfic
from lfic.kernels import rap_offsets, rap_quantize, rap_quantize_dense, rap_unpool
from lfic.kernels import _compat, bench
from lfic.kernels.registration import triton_kernels
assert not _compat.has_triton()
y, gain = torch.randn(2, 4, 6, 6, requires_grad=True), torch.ones(1, 3, 4, requires_grad=True)
levels, quality = torch.ones(2, 2, 2, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)
symbols, counts = rap_quantize(y.detach(), levels, gain.detach(), quality)
assert counts.tolist() == [36, 36] and rap_offsets(levels, 6, 6)[0].tolist() == [[0, 4, 6, 8]] * 2
assert rap_unpool(symbols, levels, gain, quality, 6, 6).shape == y.shape
rap_quantize_dense(y, levels, gain, 1 / gain, quality)[0].square().sum().backward()
assert y.grad.any() and gain.grad is not None
total = lambda y: rap_quantize_dense(y, levels, gain, 1 / gain, quality)[0].sum()
torch.compile(total, fullgraph=True, backend="aot_eager")(y.detach().requires_grad_(True)).backward()
face = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
assert lfic.decode(lfic.encode(face, quality=20)).size == (50, 40)
try:
    triton_kernels()
except ImportError as error:
    assert "triton" in str(error) and "CUDA" in str(error), error
else:
    raise AssertionError("the kernels were imported without triton")
print("whole")
"""


def test_everything_on_the_cpu_works_without_triton():
    done = subprocess.run([sys.executable, "-c", WITHOUT_TRITON], capture_output=True, text=True)
    assert done.stdout.strip() == "whole", done.stderr[-3000:]


BROKEN_TRITON = """
import torch
from lfic.kernels import rap_quantize, rap_quantize_dense
from lfic.kernels.registration import triton_kernels
y, gain = torch.randn(2, 4, 6, 6, requires_grad=True), torch.ones(1, 3, 4)
levels = torch.ones(2, 2, 2, dtype=torch.uint8)
rap_quantize(y.detach(), levels, gain, 0)
rap_quantize_dense(y, levels, gain, gain, 0)[0].sum().backward()
try:
    triton_kernels()
except ImportError as error:
    assert "cannot be imported" in str(error) and "half installed" in str(error), error
else:
    raise AssertionError("the kernels were imported with a broken triton")
print("whole")
"""


@pytest.mark.parametrize("error", ["OSError", "AttributeError", "ImportError"])
def test_a_triton_that_cannot_be_imported_breaks_cuda_alone(tmp_path, error):
    (tmp_path / "triton").mkdir()
    (tmp_path / "triton" / "__init__.py").write_text(f"raise {error}('half installed')\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", BROKEN_TRITON], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "whole", done.stderr[-3000:]


class Calls(TorchDispatchMode):
    """Names of lfic's operations, in the order of their calls."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.namespace == "lfic":
            self.names.append(function._opname)
        return function(*args, **(kwargs or {}))


def test_the_codec_and_its_training_run_these_operations(codec, face):
    with Calls() as coding:
        data = codec.encode(face, quality=30, aligned=True)
        assert coding.names == ["rap_quantize"]
        codec.decode(data)
        assert len(coding.names) == 1  # a CPU decodes by integers
        floats = copy.copy(codec)
        floats.model = dataclasses.replace(codec.model.of(True), integers=None, unit=None)
        floats.decode(data)
    assert coding.names[1:] == ["rap_unpool"]
    with Calls() as training:
        pixels = (torch.from_numpy(face).permute(2, 0, 1)[None].float() / 255).requires_grad_(True)
        codec.model.net(pixels, torch.tensor([30]), torch.tensor([True])).pixels.sum().backward()
    assert {"rap_dense", "rap_dense_backward"} == set(training.names)
