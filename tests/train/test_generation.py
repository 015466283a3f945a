"""Decoded pictures that are coded again: how far their symbols are from those that they came from."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from train_faces import column, config, make_pack, make_recognizer

from lfic.network.net import CodecNet, CodecNetConfig
from lfic.network.rap import pooled_symbols
from lfic.train.generation import MARGIN, generation_error
from lfic.train.loop import run

SMALL = CodecNetConfig(8, (16, 16, 16), (1, 1, 1), (1, 1, 1), 4, 32, 16)
QUALITY, ALIGNED = torch.tensor([70, 30, 90]), torch.ones(3, dtype=torch.bool)


@pytest.fixture
def net():
    torch.manual_seed(1)
    return CodecNet(SMALL)


def coded(net, level):
    torch.manual_seed(2)
    faces = torch.nn.functional.interpolate(torch.rand(3, 3, 7, 7), (112, 112), mode="bicubic").clamp(0, 1)
    return net(faces, QUALITY, ALIGNED, uniform_level=torch.full((3,), level))


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_kept_cell_counts_once_and_beyond_the_margin(net, level, monkeypatch):
    out = coded(net, level)
    shift = torch.linspace(0, 2, 8)[:, None, None] / net.gain[QUALITY[0] - 1, level].detach()[:, None, None]
    moved = (out.features.detach() + shift).requires_grad_(True)
    monkeypatch.setattr(net, "analyze", lambda pixels, quality, aligned: moved[: len(pixels)])
    found = generation_error(net, out, QUALITY, ALIGNED, 2)
    size = 1 << level
    for i in range(2):
        gain = net.gain[QUALITY[i] - 1, level].detach()[:, None, None]
        y = torch.nn.functional.avg_pool2d(out.features[i].detach(), size, ceil_mode=True)
        off = (((y + shift) * gain - (y * gain).round()).abs() - MARGIN).clamp(min=0)
        wanted = torch.where(off < 0.5, off.square(), off - 0.25).mean()
        assert (off > 0.5).any() and (off < 0.5).any()
        torch.testing.assert_close(found[i].detach(), wanted, rtol=1e-4, atol=1e-6)
    assert found.shape == (2,)


def test_maps_of_several_levels_count_kept_cells(net, monkeypatch):
    out = coded(net, 0)
    levels = torch.tensor([[0, 1, 2, 0], [1, 2, 0, 1], [2, 0, 1, 2], [0, 1, 2, 0]], dtype=torch.uint8)
    out = dataclasses.replace(out, levels=levels.expand(3, -1, -1).contiguous())
    features = out.features.detach()
    monkeypatch.setattr(net, "analyze", lambda pixels, quality, aligned: features[:1] + 0.3)
    found = generation_error(net, out, QUALITY, ALIGNED, 1)
    gain = net.gain.detach()
    errors = []
    for top, left in np.ndindex(4, 4):  # regions of 4 x 4 cells, the last ones of two
        level = int(levels[top, left])
        cells = features[0, :, 4 * top : 4 * top + 4, 4 * left : 4 * left + 4]
        scale = gain[QUALITY[0] - 1, level][:, None, None]
        kept = torch.nn.functional.avg_pool2d(cells, 1 << level, ceil_mode=True)
        off = (((kept + 0.3) * scale - (kept * scale).round()).abs() - MARGIN).clamp(min=0)
        errors.append(torch.where(off < 0.5, off.square(), off - 0.25).flatten())
    torch.testing.assert_close(found[0], torch.cat(errors).mean(), rtol=1e-4, atol=1e-6)


def test_what_is_coded_again_is_what_a_file_shows(net, monkeypatch):
    """In 8 bits, and within their range."""
    out, seen = coded(net, 1), []
    out = dataclasses.replace(out, pixels=out.pixels * 3 - 1)

    def look(pixels, quality, aligned):
        seen.append((pixels, quality, aligned))
        return out.features[: len(pixels)]

    monkeypatch.setattr(net, "analyze", look)
    generation_error(net, out, QUALITY, ALIGNED, 2)
    ((pixels, quality, aligned),) = seen
    assert out.pixels.min() < 0 and pixels.min() == 0 and pixels.max() <= 1 and len(pixels) == 2
    torch.testing.assert_close(pixels * 255, (pixels * 255).round(), rtol=0, atol=1e-4)
    assert quality.tolist() == [70, 30] and aligned.all()


def test_the_gradient_reaches_the_analysis_alone(net):
    out = coded(net, 1)
    generation_error(net, out, QUALITY, ALIGNED, 3).sum().backward()
    moved = {
        name.split(".")[0] for name, value in net.named_parameters() if value.grad is not None and value.grad.any()
    }
    assert moved == {"analysis"}


def test_a_picture_whose_symbols_come_back_costs_nothing(net, monkeypatch):
    """With an analysis that finds what it is to find, whatever it costs to code."""
    out = coded(net, 1)
    assert any(row.any() for row in pooled_symbols(out.features.detach(), out.levels, net.gain.detach(), QUALITY))
    gain = net.gain.detach()[QUALITY - 1, 1][:, :, None, None]
    symbols = (torch.nn.functional.avg_pool2d(out.features.detach(), 2) * gain).round()
    exact = (symbols / gain).repeat_interleave(2, 2).repeat_interleave(2, 3)
    monkeypatch.setattr(net, "analyze", lambda pixels, quality, aligned: exact)
    assert generation_error(net, out, QUALITY, ALIGNED, 3).max() == 0


def test_runs_log_it_and_learn_from_it(tmp_path):
    pack, recognizer = make_pack(tmp_path), str(make_recognizer(tmp_path / "tiny.pt"))
    settings = {"steps": 3, "recognizer": recognizer, "identity_from": 0, "optimizer": "adam"}
    ends = []
    for weight in (0.0, 5.0):
        chosen = config(pack, tmp_path / str(weight), **settings, generation_weight=weight, generation_faces=1)
        ends.append(run(chosen).net.state_dict())
        if weight:
            logged = column(chosen.run.out, "generation")
            assert len(logged) == 3 and all(0 < value < math.inf for value in logged.values())
    assert any(not torch.equal(ends[0][name], ends[1][name]) for name in ends[0] if name.startswith("analysis."))
