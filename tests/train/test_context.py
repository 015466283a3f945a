"""A larger entropy model for template crops: grown, fitted, rounded, joined to weights."""

import numpy as np
import pytest
import torch

from lfic.errors import InvalidInputError
from lfic.format import weights
from lfic.network.load import entropy_of, load_model
from lfic.train import context
from lfic.train.symbols import USUAL_LEVEL, draw, drawn_levels, joined


class Faces:
    """The shipped face, moved about."""

    names = tuple(map(str, range(16)))
    source = np.zeros(16, np.int64)

    def __init__(self, face):
        self.faces = [np.roll(face, i, i % 2) for i in range(16)]

    def __len__(self):
        return len(self.faces)

    def face(self, i):
        return self.faces[i]


@pytest.fixture(scope="module")
def net():
    return load_model("face-v1")[0]


@pytest.fixture
def faces(face, monkeypatch):
    monkeypatch.setattr(context, "open_faces", lambda names: Faces(face))


def run(folder, name, *options):
    out = folder / f"{name}.safetensors"
    size = "--hidden", "136", "68", "--batch", "4", "--epochs", "2", "--threads", "1"
    context.main([str(out), "--data", "faces.tar", "--run", str(folder / name), *size, *options])
    return weights.load_arrays(out)


def test_levels_are_mostly_the_usual_one():
    levels = drawn_levels(1000, np.random.default_rng(0))
    usual = (levels == USUAL_LEVEL).all((1, 2)).mean()
    assert 0.85 < usual < 0.95 and set(np.unique(levels)) == {0, 1, 2}


def test_symbols_are_drawn_again_alike_and_every_other_time_mirrored(net, face):
    first, again = (joined(list(draw(net, Faces(face), range(4), 2, batch=3))) for _ in range(2))
    assert len(first) == 8
    assert all((a == b).all() for a, b in zip(first.symbols, again.symbols, strict=True))
    assert (first.quality[:4] != first.quality[4:]).any()
    features, levels, quality = first.batch([0, 5], net.step)
    assert features.shape == (2, 96, 14, 14) and levels.shape == (2, 4, 4) and quality.shape == (2,)


def test_what_is_grown_costs_at_first_what_it_grew_from(net, face):
    data = joined(list(draw(net, Faces(face), range(8), 1)))
    torch.manual_seed(0)
    entropy = context.grown(net.entropy, 136, 68)
    entropy.integers = True
    before, after = (context.all_bits(model, data, net.step) for model in (net.entropy, entropy))
    assert (before - after).abs().max() < 0.01 * before.min()
    with pytest.raises(InvalidInputError, match="at least 128 and 64"):
        context.grown(net.entropy, 128, 63)


def test_a_run_goes_on_where_it_stood_and_joins_the_weights(faces, net, tmp_path, capsys, monkeypatch):
    whole, told = run(tmp_path, "whole", "--steps", "6")
    assert "crops held out" in capsys.readouterr().out
    learn = context.Fit.learn

    def stopped(self, loss, steps):
        if self.step == 3:
            raise KeyboardInterrupt
        learn(self, loss, steps)

    monkeypatch.setattr(context, "SAVE_SECONDS", 0.0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(context.Fit, "learn", stopped)
        run(tmp_path, "again", "--steps", "6")
    with pytest.raises(InvalidInputError, match="has another steps: give those that it began with"):
        run(tmp_path, "again", "--steps", "8")
    again, _ = run(tmp_path, "again", "--steps", "6")
    before = weights.load_arrays("face-v2")[0]
    assert whole.keys() == again.keys() == before.keys() and told["format"] == weights.FORMAT
    for name, array in before.items():
        assert name.startswith(weights.TEMPLATE) or (whole[name] == array).all()
        assert (whole[name] == again[name]).all()
    arrays = weights.context_arrays(weights.template_part(whole))
    assert arrays["W1"].shape == (136, 4 * 96) and entropy_of(arrays, net.entropy).hidden2 == 68


def test_it_is_for_models_that_have_such_a_part(faces, tmp_path):
    with pytest.raises(InvalidInputError, match="face-v1 codes template crops as it does all others"):
        run(tmp_path, "none", "--model", "face-v1")
