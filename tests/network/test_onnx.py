"""analysis.onnx and synthesis.onnx in onnxruntime, against the networks in torch."""

import dataclasses

import numpy as np
import onnxruntime
import pytest
import torch

from lfic.cli import main
from lfic.network import onnx
from lfic.network.net import CodecNet, CodecNetConfig

SHAPES = [(1, 112, 112, True), (2, 112, 112, False), (2, 50, 83, False), (1, 1, 1, False), (1, 100, 217, False)]


def sessions(folder):
    return [onnxruntime.InferenceSession(folder / f"{name}.onnx") for name in ("analysis", "synthesis")]


def check(model, analysis, synthesis, photo, count, height, width, aligned):
    floats = dataclasses.replace(model, integers=None, unit=None)
    images = np.stack([np.roll(photo(height, width), i, 0) for i in range(count)])
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    q, a = torch.tensor([40, 93][:count]), torch.full((count,), aligned)
    said = {"quality": q.numpy(), "aligned": a.numpy()}
    features, levels, symbols, counts = analysis.run(None, {"pixels": pixels.numpy()} | said)
    with torch.inference_mode():
        y = model.net.analyze(pixels, q, a)
        chosen = model.net.region_levels(y, q, a)
    np.testing.assert_allclose(features, y, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(levels, chosen)
    for k, expected in enumerate(floats.pooled([torch.from_numpy(features)], levels, q.tolist())):
        np.testing.assert_array_equal(symbols[k, : counts[k]], expected)
    grid = np.zeros(features.shape[2:], np.uint8)
    (shown,) = synthesis.run(None, {"symbols": symbols, "levels": levels, "grid": grid} | said)
    expected = floats.shown(torch.from_numpy(symbols), torch.from_numpy(levels), q, a, height, width).numpy()
    found = np.rint(shown[:, :, :height, :width] * 255)
    assert np.abs(found - expected).max() <= 1 and (found != expected).mean() < 1e-3


@pytest.fixture(scope="module")
def small(codec, tmp_path_factory):
    """A network of few channels, all of whose layers count, and its files."""
    torch.manual_seed(0)
    net = CodecNet(CodecNetConfig(16, (16, 16, 16), (1, 1, 1), (1, 1, 1), 1, 16, 16)).eval()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith(("position", "quality", "level", "project.weight", "detail.weight", "out.weight")):
                parameter.normal_(std=0.3)
        net.requires_grad_(False)
        model = dataclasses.replace(
            codec.model, net=net, gain=net.gain.contiguous(), step=net.step.contiguous(), integers=None, unit=None
        )
    folder = tmp_path_factory.mktemp("onnx")
    onnx.write(model, folder)
    return model, *sessions(folder)


@pytest.mark.parametrize("shape", SHAPES)
def test_any_size_and_number(small, photo, shape):
    check(*small, photo, *shape)


@pytest.mark.slow
def test_the_shipped_networks(codec, photo, tmp_path):
    assert main(["export", "face-v1", "--onnx", str(tmp_path)]) == 0
    for shape in SHAPES:
        check(codec.model, *sessions(tmp_path), photo, *shape)


def test_the_command_says_what_it_takes(tmp_path, capsys):
    for args in (["face-v1"], ["face-v1", "out.safetensors"], ["face-v1", "out.safetensors", "--onnx", str(tmp_path)]):
        with pytest.raises(SystemExit):
            main(["export", *args])
        assert "--onnx" in capsys.readouterr().err
