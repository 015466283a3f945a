"""lfic export: a part of a checkpoint joins other weights."""

import json

import pytest
from train_faces import config, make_pack, make_recognizer

from lfic.errors import InvalidInputError, WeightsError
from lfic.network.load import load_model
from lfic.train import export
from lfic.train.loop import run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A pack, and the checkpoint of a run."""
    folder = tmp_path_factory.mktemp("run")
    pack, recognizer = make_pack(folder), str(make_recognizer(folder / "tiny.pt"))
    run(config(pack, folder / "out", steps=1, recognizer=recognizer, identity_from=0, optimizer="adam"))
    return str(pack), str(folder / "out" / "checkpoint")


@pytest.mark.parametrize("option, part", [("--for-crops", "crops"), ("--for-pictures", "pictures")])
def test_the_option_says_what_the_analysis_is_for(trained, tmp_path, monkeypatch, option, part):
    pack, checkpoint = trained
    asked = []
    monkeypatch.setattr(export, "add_analysis", lambda *args: asked.append(args))
    out = str(tmp_path / "out.safetensors")
    assert export.main([checkpoint, out, "--data", pack, option, "face-v1", "--measure", "0"]) == 0
    ((name, net, told, where, faces, photos, card, found),) = asked
    assert (name, where, card, found) == ("face-v1", out, None, part) and told["step"] == 1 and not photos
    assert len(faces) == 6 and net.config.channels == 8


@pytest.mark.parametrize("option", ["--for-crops", "--for-pictures"])
def test_other_sizes_do_not_join(trained, tmp_path, option):
    pack, checkpoint = trained
    out = tmp_path / "out.safetensors"
    with pytest.raises(WeightsError, match="channels of the checkpoint is 8, of face-v1 96: they must be equal"):
        export.main([checkpoint, str(out), "--data", pack, option, "face-v1"])
    with pytest.raises(WeightsError):  # a name that is empty, as of a variable that is not set
        export.main([checkpoint, str(out), "--data", pack, option, ""])
    assert not out.exists()


def test_one_part_at_a_time_and_of_a_checkpoint(trained, tmp_path, capsys):
    pack, checkpoint = trained
    chosen = [str(tmp_path / "out.safetensors"), "--data", pack, "--for-crops", "face-v1"]
    with pytest.raises(SystemExit):
        export.main([checkpoint, *chosen, "--for-pictures", "face-v1"])
    assert "--for-crops and --for-pictures exclude each other: give one" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        export.main(["other.safetensors", *chosen])
    assert "--for-crops takes a checkpoint folder, not weights" in capsys.readouterr().err


def test_a_head_that_prefers_to_pool(trained, tmp_path, capsys):
    """Level 2 gains off the template and on it, most at quality 1; nothing changes from quality 30 on."""
    pack, checkpoint = trained
    heads = []
    for nats in ("0", "2"):
        out = str(tmp_path / f"{nats}.safetensors")
        assert export.main([checkpoint, out, "--data", pack, "--measure", "0", "--prefer-coarse", nats]) == 0
        net, _, told = load_model(out)
        heads.append(net.level_head.anchors.table(net.level_head.quality))
        assert json.loads(told["training"]).get("prefer_coarse", 0) == float(nats)
    gained = heads[1] - heads[0]
    assert gained[:, :2].abs().max() == 0 and gained[0, 2] == pytest.approx(2, abs=0.01)
    assert (gained[1:, 2] <= gained[:-1, 2]).all() and gained[33:, 2].abs().max() == 0
    with pytest.raises(InvalidInputError, match="allowed are 0 to 100"):
        export.main([checkpoint, out, "--data", pack, "--prefer-coarse", "nan"])
    with pytest.raises(SystemExit):
        export.main(["other.safetensors", out, "--data", pack, "--prefer-coarse", "1"])
    with pytest.raises(SystemExit):
        export.main([checkpoint, out, "--data", pack, "--for-crops", "face-v1", "--prefer-coarse", "1"])
    assert "takes a checkpoint folder, and no --for-crops" in capsys.readouterr().err
