"""The operations as standard operators: onnxruntime gives what the kernels give, to the last bit."""

import numpy as np
import onnxruntime
import pytest
import torch

from lfic.kernels import rap_quantize, rap_quantize_dense, rap_unpool
from lfic.kernels.onnx import translations

ANY = torch.export.Dim.AUTO


class Operations(torch.nn.Module):
    def forward(self, y, levels, gain, step, quality):
        symbols, counts = rap_quantize(y, levels, gain, quality)
        again = rap_unpool(symbols[:, :-8], levels, step, quality, y.shape[2], y.shape[3])  # rows that end too early
        return symbols, counts, *rap_quantize_dense(y, levels, gain, step, quality), again


def inputs(count, height, width):
    draw = torch.Generator().manual_seed(count + height)
    gain = torch.rand(10, 3, 8, generator=draw) * 4
    levels = torch.randint(0, 3, (count, -(-height // 4), -(-width // 4)), generator=draw).to(torch.uint8)
    y = torch.randn(count, 8, height, width, generator=draw) * 3
    return y, levels, gain, 1 / gain, torch.randint(0, 10, (count,), generator=draw)


def exported(module, example, path, shapes):
    program = torch.onnx.export(
        module.eval(),
        example,
        dynamo=True,
        dynamic_shapes=shapes,
        custom_translation_table=translations(),
        verbose=False,
    )
    program.save(path)
    return onnxruntime.InferenceSession(path)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    shapes = {0: ANY, 2: ANY, 3: ANY}, {0: ANY, 1: ANY, 2: ANY}, None, None, {0: ANY}
    return exported(Operations(), inputs(2, 14, 11), tmp_path_factory.mktemp("onnx") / "operations.onnx", shapes)


@pytest.mark.parametrize("shape", [(1, 14, 14), (2, 14, 11), (3, 5, 7), (1, 2, 1), (2, 33, 20)])
def test_results_are_the_kernels(session, shape):
    arguments = inputs(*shape)
    found = session.run(None, {slot.name: x.numpy() for slot, x in zip(session.get_inputs(), arguments, strict=True)})
    for ours, theirs in zip(Operations()(*arguments), found, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)


def test_ties_limits_and_numbers_that_are_none(session):
    y, levels, _, _, quality = inputs(1, 8, 8)
    y.view(-1)[:8] = torch.tensor([0.5, 1.5, 2.5, -0.5, 1e9, -1e9, float("inf"), float("nan")])
    gain = torch.ones(10, 3, 8)
    arguments = y, torch.zeros_like(levels), gain, gain, quality
    found = session.run(None, {slot.name: x.numpy() for slot, x in zip(session.get_inputs(), arguments, strict=True)})
    for ours, theirs in zip(Operations()(*arguments), found, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)


def test_noise_is_refused(tmp_path):
    class Noisy(torch.nn.Module):
        def forward(self, y, levels, gain, step, quality):
            return rap_quantize_dense(y, levels, gain, step, quality, seed=torch.tensor([1]))

    with pytest.raises(Exception, match="without noise and seed"):
        exported(Noisy(), inputs(1, 8, 8), tmp_path / "noisy.onnx", None)
