"""The integers of a weights file: written anew, and their cost told."""

import dataclasses
import json

import numpy as np
import pytest
import torch

import lfic
from lfic import decoder
from lfic.errors import InvalidInputError, WeightsError
from lfic.format.integers import PREFIX
from lfic.format.weights import load_arrays
from lfic.network.integers import with_analysis
from lfic.network.load import load, load_model
from lfic.network.net import CodecNet
from lfic.network.restored import restored
from lfic.train.integers import add_analysis, add_integers, costs, photo_files, report, write_look


class Faces:
    """The shipped face and its mirror image."""

    names = ("face", "mirrored")
    source = np.zeros(2, np.int64)

    def __init__(self, face):
        self.faces = [face, np.ascontiguousarray(face[:, ::-1])]

    def __len__(self):
        return 2

    def face(self, i):
        return self.faces[i]


def test_a_weights_file_gets_new_integers(face, tmp_path, monkeypatch):
    monkeypatch.setattr("lfic.network.integers.CALIBRATED", (40,))
    out = tmp_path / "again.safetensors"
    add_integers("face-v1", out, Faces(face))
    before, told = load_arrays("face-v1")
    after, metadata = load_arrays(out)
    assert before.keys() == after.keys() and metadata["config"] == told["config"]
    floats, again = restored(before), restored(after)
    for name, array in floats.items():
        if not name.startswith(PREFIX):
            np.testing.assert_allclose(again[name], array, rtol=0, atol=1e-3 * np.abs(array).max())
    (cost,) = costs(load(out, recognizer=None), Faces(face).faces, [40])
    assert cost.psnr > 55 and cost.symbols < 0.01 and cost.levels < 0.1 and abs(cost.bits) < 0.01
    assert "40" in report([cost]) and np.isnan(cost.likeness_integers)


def test_an_analysis_for_pictures_joins_weights_whose_decoder_stays(face, tmp_path, monkeypatch):
    monkeypatch.setattr("lfic.network.integers.CALIBRATED", (40,))
    net, out = with_analysis(load_model("face-v1")[0], load_model("face-v1")[0].analysis), tmp_path / "more.safetensors"
    with torch.no_grad():
        net.analysis.out.bias += 0.25
        net.level_head.quality += torch.tensor([0.0, 0.0, 99.0])
    add_analysis("face-v1", net, {"step": 7}, out, Faces(face))
    before, told = load_arrays("face-v1")
    after, metadata = load_arrays(out)
    for name, array in before.items():
        if not name.startswith(("net.pictures", f"{PREFIX}pictures")):
            np.testing.assert_array_equal(after[name], array)
    assert json.loads(metadata["config"])["pictures"] and json.loads(metadata["training"])["pictures"] == {"step": 7}
    assert json.loads(metadata["training"])["config"] == json.loads(told["training"])["config"]
    old, new = (load(name, recognizer=None) for name in ("face-v1", out))
    for aligned in (True, False):
        plain = dataclasses.replace(new, integers=None, unit=None)
        ours, floats, theirs = (m.drafted(m.tensor([face]), [40], aligned)[0][0] for m in (new, plain, old))
        assert (ours - floats).abs().max() < 0.05
        assert torch.equal(ours, theirs) == aligned
        assert (new.drafted(new.tensor([face]), [40], aligned)[1] == 2).all() == (not aligned)
    with torch.no_grad():
        net.synthesis.lapped.bias += 1
    with pytest.raises(WeightsError, match="of the checkpoint is not as in face-v1"):
        add_analysis("face-v1", net, {}, out, Faces(face))


def test_an_analysis_for_crops_joins_weights_whose_decoder_and_pictures_stay(face, tmp_path, monkeypatch):
    monkeypatch.setattr("lfic.network.integers.CALIBRATED", (40,))
    net, base, out = load_model("face-v1")[0], tmp_path / "two.safetensors", tmp_path / "more.safetensors"
    add_analysis("face-v1", net, {"step": 6}, base, Faces(face), part="pictures")
    with torch.no_grad():
        net.analysis.out.bias += 0.25
        net.level_head.quality += torch.tensor([0.0, 0.0, 99.0])
    add_analysis(base, net, {"step": 7}, out, Faces(face), part="crops")
    before, after = load_arrays(base)[0], load_arrays(out)[0]
    assert before.keys() == after.keys()
    for name, array in before.items():
        if not name.startswith(tuple(f"{x}{part}." for x in ("net.", PREFIX) for part in ("analysis", "level_head"))):
            np.testing.assert_array_equal(after[name], array)
    np.testing.assert_array_equal(before[f"{PREFIX}analysis.unit"], after[f"{PREFIX}analysis.unit"])
    assert json.loads(load_arrays(out)[1]["training"])["crops"] == {"step": 7}
    old, new = (load(name, recognizer=None) for name in (base, out))
    for aligned in (True, False):
        plain = dataclasses.replace(new, integers=None, unit=None)
        ours, floats, theirs = (m.drafted(m.tensor([face]), [40], aligned)[0][0] for m in (new, plain, old))
        assert (ours - floats).abs().max() < 0.05
        assert torch.equal(ours, theirs) == (not aligned)
    other = CodecNet(dataclasses.replace(net.config, analysis_blocks=(1, 2, 6)))
    with pytest.raises(WeightsError, match="analysis_blocks of the checkpoint is .*6.*, of face-v1 "):
        add_analysis("face-v1", other, {}, out, Faces(face), part="crops")


def test_a_look_is_what_decoding_takes_with_another_synthesis(face, tmp_path, monkeypatch):
    monkeypatch.setattr("lfic.network.integers.CALIBRATED", (40,))
    net, out = load_model("face-v1")[0], tmp_path / "face-v1-vivid.safetensors"
    with torch.no_grad():
        net.synthesis.lapped.bias += 0.1  # brighter, by some 13 levels
        net.analysis.down.bias += 0.01  # a look is of files, whatever analysis wrote them
    write_look("face-v1", net, {"step": 7}, out, Faces(face), card="it invents nothing")
    look, plain = decoder.load(out), decoder.load("face-v1")
    assert look.number == plain.number == 0
    data = lfic.load_codec("face-v1").encode(face, quality=60)
    brighter = np.asarray(look.decode(data), float) - np.asarray(plain.decode(data), float)
    assert 9 < np.median(brighter) < 16
    assert load_arrays(out)[1]["card"] == "it invents nothing" and load_arrays(out)[1]["look"] == "vivid"
    assert not [key for key in load_arrays(out)[0] if key.startswith(("net.", f"{PREFIX}analysis."))]
    with torch.no_grad():
        next(net.gains.parameters()).add_(1)
    with pytest.raises(WeightsError, match="gains.log_gain of the checkpoint is not as in face-v1"):
        write_look("face-v1", net, {}, out, Faces(face))


def test_photos_are_found_or_missed(tmp_path):
    assert photo_files(None) == []
    with pytest.raises(InvalidInputError, match="no pictures"):
        photo_files(str(tmp_path))
