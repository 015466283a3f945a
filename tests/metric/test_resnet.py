"""The recogniser that ships: what it is, that it sees people, that gradients pass, that damage is told."""

import numpy as np
import pytest
import torch
from PIL import Image

from lfic import WeightsError
from lfic.metric import load_bundled, load_recognizer
from lfic.metric.identity import similarity
from lfic.metric.resnet import FaceResNet, eight_bits, load_resnet


def unit(pixels):
    return torch.from_numpy(np.asarray(pixels)).permute(2, 0, 1)[None].float() / 255


def test_it_is_dlibs_network():
    network = FaceResNet()
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 29 and sum(p.numel() for p in network.parameters()) == 5_607_488
    assert [len(network.blocks), network.out.weight.shape] == [14, (128, 256)]
    # The corners of its own crop, 150 x 150 of the template with 40 pixels around it, in grid_sample's units.
    corners = network.grid[0, [0, -1], [0, -1]].tolist()
    assert corners[0] == pytest.approx([-0.5067, -0.3506], abs=2e-4)
    assert corners[1] == pytest.approx([0.4984, 0.6544], abs=2e-4)


def test_likeness(face):
    recognizer = load_bundled()
    assert recognizer is load_recognizer("bundled") and recognizer.name == "dlib-resnet"
    blurred = np.asarray(Image.fromarray(face).reduce(3).resize((112, 112), Image.Resampling.BICUBIC))
    noise = np.random.default_rng(0).integers(0, 256, face.shape, np.uint8)
    with torch.inference_mode():
        target, again, soft, other = (recognizer(unit(p)) for p in (face, face, blurred, noise))
        values = [float(similarity(recognizer, e, target)) for e in (again, soft, other)]
    assert values[0] == pytest.approx(1, abs=1e-4) and 0.4 < values[1] < 0.99 and values[2] < 0.2
    assert float(target.norm()) == pytest.approx(1, abs=1e-5) and target.shape == (1, 128)


def test_a_gradient_passes(face):
    pixels = unit(face).requires_grad_()
    load_bundled()(pixels)[0, 0].backward()
    assert torch.isfinite(pixels.grad).all() and float(pixels.grad.abs().sum()) > 0


def test_eight_bits_are_close():
    weight = np.random.default_rng(1).normal(size=(5, 7, 3, 3)).astype(np.float32)
    stored = eight_bits(weight)
    back = stored[".low"] + stored[".step"] * stored[""].astype(np.float32)
    assert stored[""].dtype == np.uint8 and np.abs(back - weight).max() <= stored[".step"].max() * 0.51
    flat = eight_bits(np.zeros((2, 4), np.float32))
    assert (flat[".low"] + flat[".step"] * flat[""] == 0).all()


def test_damage_is_told(tmp_path):
    from lfic.format.weights import FOLDER

    data = bytearray((FOLDER / "dlib-resnet.safetensors").read_bytes())
    data[-1000] ^= 1
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(WeightsError, match="is damaged; install lfic anew"):
        load_resnet(tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match="can't be read"):
        load_resnet(tmp_path / "none.safetensors")
