"""Checkpoint folders: whole after any number of kills, and damage is told."""

import itertools
import json
import os
import pathlib
import random
import shutil
import stat

import pytest
import torch

from lfic.errors import InvalidInputError, WeightsError
from lfic.train import checkpoint
from lfic.train.checkpoint import load_tensors, newest, read_state, save_tensors, write_checkpoint
from lfic.train.soap import Soap

STEPS = 12  # places at which a save can be killed, and more than it has


class Killed(BaseException):
    """What no code of ours expects: the process ends here."""


def save(out, step, die_at=None, monkeypatch=None):
    """A save of a checkpoint of one tensor, killed before its ``die_at``-th change of the disk; whether it ended."""
    count = itertools.count()

    def dying(function):
        def call(*args, **options):
            if next(count) == die_at:
                if function is shutil.rmtree and os.path.isdir(args[0]):  # half of it is gone
                    for path in sorted(pathlib.Path(args[0]).iterdir())[:1]:
                        path.unlink()
                raise Killed
            return function(*args, **options)

        return call

    def fill(folder):
        for part in ("net", "average"):
            save_tensors({"x": torch.full((3,), float(step))}, folder, part)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.os, "fsync", lambda _: None)  # a killed process loses nothing that it wrote
        patch.setattr(checkpoint.os, "rename", dying(os.rename))
        patch.setattr(checkpoint.shutil, "rmtree", dying(shutil.rmtree))
        patch.setattr(checkpoint, "write_durably", dying(checkpoint.write_durably))
        try:
            write_checkpoint(out, fill, {"step": step, "seconds": 1.0, "config": {}})
        except Killed:
            return False
    return True


def test_any_number_of_kills_leaves_a_whole_checkpoint(tmp_path, monkeypatch):
    pairs = itertools.product(range(STEPS), repeat=2)
    for kills in [*pairs, *(random.Random(k).choices(range(STEPS), k=5) for k in range(40))]:
        out = tmp_path / "-".join(map(str, kills))
        out.mkdir()
        assert save(out, 1, None, monkeypatch)
        ended = 1
        for step, kill in enumerate(kills, 2):
            if save(out, step, kill, monkeypatch):
                ended = step
            place = newest(out)
            state = read_state(place)
            assert ended <= state["step"] <= step
            ended = state["step"]
            assert load_tensors(place, "net")["x"].tolist() == [ended] * 3
        shutil.rmtree(out)


def test_a_first_save_that_is_killed_leaves_nothing_to_go_on_from(tmp_path, monkeypatch):
    assert newest(tmp_path) is None
    assert not save(tmp_path, 1, 2, monkeypatch) and newest(tmp_path) is None
    assert save(tmp_path, 2, None, monkeypatch) and newest(tmp_path) == tmp_path / "checkpoint"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("name", ["net.safetensors", "average.safetensors"])
def test_a_flipped_bit_and_a_missing_file_are_told(tmp_path, monkeypatch, name):
    save(tmp_path, 1, None, monkeypatch)
    place = tmp_path / "checkpoint"
    data = bytearray((place / name).read_bytes())
    data[-1] ^= 1
    (place / name).write_bytes(data)
    with pytest.raises(WeightsError, match=f"{name} is damaged: its digest .* begin anew"):
        read_state(place)
    (place / name).unlink()
    with pytest.raises(WeightsError, match=f"{name} is damaged: it is missing"):
        read_state(place)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"step": "3", "seconds": 1, "config": {}}', "\x00\xff"])
def test_a_damaged_state_is_told(tmp_path, monkeypatch, text):
    save(tmp_path, 1, None, monkeypatch)
    (tmp_path / "checkpoint" / "state.json").write_text(text, encoding="latin-1")
    with pytest.raises(WeightsError, match=r"state.json is damaged"):
        read_state(tmp_path / "checkpoint")
    with pytest.raises(WeightsError, match="no state.json"):
        read_state(tmp_path)


def test_tensors_that_can_not_be_read_or_do_not_suit(tmp_path):
    save_tensors({"x": torch.zeros(3)}, tmp_path, "net")
    for names, shape, text in ((["y"], 3, "y is missing"), (["x"], 4, r"x is of shape \[3\], and \[4\] is needed")):
        with pytest.raises(WeightsError, match=text):
            checkpoint.restore_parameters(tmp_path, "net", names, [torch.zeros(shape)])
    (tmp_path / "net.safetensors").write_bytes((tmp_path / "net.safetensors").read_bytes()[:40])
    with pytest.raises(WeightsError, match=r"net.safetensors is damaged"):
        load_tensors(tmp_path, "net")


def test_moments_of_another_optimizer_are_refused():
    parameter = torch.nn.Parameter(torch.zeros(9, 9))
    adam, soap = torch.optim.Adam([parameter]), Soap([parameter])
    moments = {f"x:{key}": torch.zeros(9, 9) for key in ("exp_avg", "exp_avg_sq")} | {"x:step": torch.tensor(1.0)}
    checkpoint.restore_optimizer(adam, ["x"], [parameter], moments)
    checkpoint.restore_optimizer(soap, ["x"], [parameter], moments)
    for saved in ({}, moments | {"x:left_basis": torch.eye(9)}):
        with pytest.raises(WeightsError, match=r"does not suit Adam: give \[schedule\] optimizer"):
            checkpoint.restore_optimizer(adam, ["x"], [parameter], saved)


def test_files_have_the_mode_that_the_umask_leaves(tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        save(tmp_path, 1, None, monkeypatch)
    finally:
        os.umask(before)
    for path in (tmp_path / "checkpoint").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o640, path.name


def test_other_settings_than_those_of_the_checkpoint_are_named(tmp_path):
    from train_faces import SETTINGS, settings

    from lfic.train.state import Trainer

    trainer = Trainer(settings(**SETTINGS, out=str(tmp_path)))
    for parameter in trainer.parameters:
        parameter.grad = torch.zeros_like(parameter)
    trainer.optimizer.step()
    trainer.step = 1
    trainer.save()
    assert Trainer(settings(**SETTINGS, out=str(tmp_path))).resume()
    other = "soap" if trainer.schedule.optimizer == "adam" else "adam"
    for name, value in (("channels", 16), ("hidden1", 16), ("analysis_blocks", [1, 2, 1]), ("optimizer", other)):
        with pytest.raises(InvalidInputError, match=f"{name} is .*checkpoint was written with"):
            Trainer(settings(**{**SETTINGS, name: value}, out=str(tmp_path))).resume()
    state = json.loads((tmp_path / "checkpoint" / "state.json").read_text())
    assert set(state["files"]) >= {"net.safetensors", "average.safetensors", "optimizer.safetensors"}
    (tmp_path / "checkpoint" / "optimizer.safetensors").unlink()
    with pytest.raises(WeightsError, match="it is missing"):
        Trainer(settings(**SETTINGS, out=str(tmp_path))).resume()
