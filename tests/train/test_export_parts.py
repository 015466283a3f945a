"""lfic export: a part of a checkpoint joins other weights."""

import pytest
from train_faces import config, make_pack, make_recognizer

from lfic.errors import WeightsError
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
