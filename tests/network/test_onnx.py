"""analysis.onnx and synthesis.onnx in onnxruntime, against the networks in torch."""

import dataclasses

import numpy as np
import onnxruntime
import pytest
import torch

import lfic
from lfic.cli import main

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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["face-v1", "face-v2"])
def test_the_shipped_networks(name, photo, tmp_path):
    """face-v2's code what stands on no template."""
    assert main(["export", name, "--onnx", str(tmp_path)]) == 0
    model = lfic.load_codec(name, recognizer=None).model
    for shape in SHAPES:
        if name == "face-v1" or not shape[-1]:
            check(model, *sessions(tmp_path), photo, *shape)


def test_the_command_says_what_it_takes(tmp_path, capsys):
    for args in (["face-v1"], ["face-v1", "out.safetensors"], ["face-v1", "out.safetensors", "--onnx", str(tmp_path)]):
        with pytest.raises(SystemExit):
            main(["export", *args])
        assert "--onnx" in capsys.readouterr().err
