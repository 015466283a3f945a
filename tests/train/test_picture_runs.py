"""Runs on crops and pictures with drawn recognisers: resumed, shared by processes, validated, saved by the clock."""

import csv
import os
import pathlib
import subprocess
import sys

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from train_faces import column, make_recognizer, settings, write_toml
from train_pictures import make_picture_packs, picture_config

from lfic.errors import InvalidInputError
from lfic.metric.identity import RecognizerEnsemble, identity_distance, load_recognizer
from lfic.train.checkpoint import load_tensors
from lfic.train.drawn import DrawnIdentity
from lfic.train.identity import TargetEmbeddings
from lfic.train.loop import run, train
from lfic.train.state import Trainer
from lfic.train.world import World

SUPPORT = pathlib.Path(__file__).parents[1] / "support"


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    return make_picture_packs(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def recognizers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recognisers")
    return [str(make_recognizer(folder / f"{seed}.pt", seed)) for seed in (5, 6)]


def test_one_recognizer_drawn_is_an_unbiased_estimate(recognizers):
    found = [load_recognizer(name, "cpu") for name in recognizers]
    drawn = DrawnIdentity([TargetEmbeddings(one, 4) for one in found], [1.0, 3.0], [2.0, 1.0])
    torch.manual_seed(1)
    counts = torch.stack([drawn.draw(8).bincount(minlength=2) for _ in range(300)])
    assert set(counts[:, 0].tolist()) == {5, 6} and counts[:, 0].float().mean() == pytest.approx(16 / 3, abs=0.1)
    shown, original = torch.rand(2, 6, 3, 112, 112)
    with torch.no_grad():
        joint = RecognizerEnsemble(found, [1.0, 3.0])
        expected = identity_distance(joint(shown), joint(original))
        mean = 0
        for k, share in enumerate(drawn.shares.tolist()):
            which = torch.full((6,), k)
            mean = mean + share * drawn.factors[k] * drawn(shown, which, lambda one, rows: found[one](original[rows]))
    assert torch.allclose(mean, expected, atol=1e-6)


def test_a_run_with_pictures_is_resumed_where_it_was(packs, recognizers, tmp_path):
    """Legs of one step give the curve of one run, and so do batches that workers make ahead."""
    legs = picture_config(packs, recognizers, tmp_path / "legs")
    while run(legs, seconds=0).step < legs.schedule.steps:
        pass
    run(picture_config(packs, recognizers, tmp_path / "whole"))
    run(picture_config(packs, recognizers, tmp_path / "ahead", workers=1))
    for name in ("loss", "picture_loss", "picture_cos", "norm"):
        found = [list(map(str, column(tmp_path / leg, name).values())) for leg in ("legs", "whole", "ahead")]
        assert found[0] == found[1] == found[2] and len(found[0]) == 6, name


def test_pictures_move_the_network_and_one_recognizer_will_do(packs, recognizers, tmp_path):
    one = {"recognizer_weights": [], "recognizer_shares": [], "steps": 2}
    with_pictures = run(picture_config(packs, recognizers[0], tmp_path / "one", **one))
    without = run(picture_config(packs, recognizers[0], tmp_path / "none", **one, pictures=""))
    assert any(not torch.equal(a, b) for a, b in zip(with_pictures.parameters, without.parameters))
    assert "picture_loss" not in (tmp_path / "none" / "log.csv").read_text()


def test_decoded_pictures_are_coded_again(packs, recognizers, tmp_path):
    one = {"recognizer_weights": [], "recognizer_shares": [], "steps": 2}
    again = run(picture_config(packs, recognizers[0], tmp_path / "again", **one, generation_weight=5.0))
    without = run(picture_config(packs, recognizers[0], tmp_path / "none", **one))
    for name in ("generation", "picture_generation"):
        assert len(found := column(tmp_path / "again", name)) == 2 and min(found.values()) > 0
    same = dict(zip(again.names, [torch.equal(a, b) for a, b in zip(again.parameters, without.parameters)]))
    assert not all(equal for name, equal in same.items() if name.startswith("analysis."))


def test_pictures_without_a_recognizer(packs, tmp_path):
    run(picture_config(packs, "", tmp_path / "blind", recognizer_weights=[], recognizer_shares=[], steps=1))
    assert str(column(tmp_path / "blind", "picture_cos")[1]) == "nan"


def test_a_line_of_the_log_leaves_out_steps_that_measured_nothing(packs, recognizers, tmp_path):
    """Means of the steps that saw a face: every step's own line has that, or nan."""
    run(picture_config(packs, recognizers, tmp_path / "each"))
    run(picture_config(packs, recognizers, tmp_path / "all", log_every=6))
    each = torch.tensor(list(column(tmp_path / "each", "picture_cos").values()))
    assert each.isnan().any() and not each.isnan().all()
    assert column(tmp_path / "all", "picture_cos")[6] == pytest.approx(each.nanmean().item(), abs=1e-4)


def test_validation_sets(packs, recognizers, tmp_path):
    looking = {"validation_sets": packs[1:], "validation_recognizer": recognizers[0]}
    looking |= {"validate_every": 2, "sample_every": 2}
    run(picture_config(packs, recognizers, tmp_path / "seen", steps=2, **looking))
    with open(tmp_path / "seen" / "validation-sets.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0"] * 20 + ["2"] * 20
    assert len({row["set"] for row in rows}) == 5 and all(float(row["bytes"]) > 0 for row in rows)
    assert all(row["similarity"] for row in rows if row["set"].endswith("crops"))
    assert Image.open(tmp_path / "seen" / "samples" / "0000002-pictures.png").size == (5 * 160, 2 * 160)
    run(picture_config(packs, recognizers, tmp_path / "unseen", steps=2))
    assert column(tmp_path / "unseen") == column(tmp_path / "seen")  # looking on changes nothing


@pytest.mark.parametrize(
    "values, found",
    [
        (
            {"recognizer_shares": [1.0], "recognizer": "one"},
            r"\[loss\] recognizer_shares is \[1.0\]; needed is a number",
        ),
        ({"recognizer_shares": [1, 0], "recognizer": ["a", "b"]}, "recognizer_shares.*above 0"),
        ({"recognizer_shares": [1, 1], "recognizer": ["a", "b"], "feature_weight": 1.0}, "recognizer_shares.*features"),
        ({"pictures": "a", "levels_only": True, "start": "x"}, r"pictures is 'a'.*found were \[schedule\] levels_only"),
        ({"learns": ["synthesis."], "entropy_from": 0.5}, r"learns is \['synthesis.'\]; levels_only and entropy_from"),
        ({"pictures": "a", "picture_batch": 0}, r"\[data\] picture_batch is 0"),
        ({"picture_sides": [8]}, r"\[data\] picture_sides is \[8\]"),
        ({"chroma_weight": -1}, r"\[loss\] chroma_weight is -1"),
        ({"save_seconds": -1}, r"\[run\] save_seconds is -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values, found):
    with pytest.raises(InvalidInputError, match=found):
        settings(**values)


def test_pictures_that_cannot_be_shared_are_refused(packs, recognizers, tmp_path):
    with pytest.raises(InvalidInputError, match="picture_batch is 3: 2 processes"):
        train(picture_config(packs, recognizers, tmp_path / "odd"), World(size=2), None)


def test_two_processes_give_the_gradient_of_one(packs, recognizers, tmp_path):
    """Crops, pictures, who sees whom and the measured levels: all as one process would have drawn them."""
    sizes = {"batch": 4, "picture_batch": 4, "level_faces": 2}
    config = picture_config(packs, recognizers, tmp_path / "two", hard_from=1.0, optimizer="adam", **sizes)
    torchrun = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    toml = write_toml(tmp_path / "run.toml", config)
    command = [*torchrun, str(SUPPORT / "ddp_gradient.py"), str(toml), str(tmp_path), "2"]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300)
    one, two = load_file(tmp_path / "alone.safetensors"), load_file(tmp_path / "shared.safetensors")
    assert two["loss"].item() == pytest.approx(one["loss"].item(), rel=1e-5)
    for name, gradient in one.items():
        assert torch.allclose(two[name], gradient, rtol=1e-3, atol=1e-5 * gradient.abs().max().item()), name


def test_checkpoints_by_the_clock(packs, recognizers, tmp_path, monkeypatch):
    """Where a step takes longer than ``save_seconds``, every step is saved."""
    often = {"save_every": 100, "save_seconds": 1e-9, "log_every": 100}
    saved, save = [], Trainer.save
    monkeypatch.setattr(Trainer, "save", lambda self: (saved.append(self.step), save(self)))
    run(picture_config(packs, recognizers, tmp_path / "clock", steps=2, **often))
    assert saved == [1, 2]


def test_the_entropy_model_learns_from_pictures_as_well(packs, recognizers, tmp_path):
    """``entropy_from``: rates of crops and pictures alone, and the transforms stay."""
    start = run(picture_config(packs, recognizers, tmp_path / "start", steps=1, optimizer="adam"))
    chosen = {"start": str(start.out / "checkpoint"), "entropy_from": 0.001, "steps": 2, "optimizer": "adam"}
    trainer = run(picture_config(packs, recognizers, tmp_path / "entropy", **chosen))
    assert all(column(tmp_path / "entropy", "picture_bytes").values())
    before = load_tensors(start.out / "checkpoint", "average")
    moved = {n for n, p in zip(trainer.names, trainer.parameters) if not torch.equal(p, before[n])}
    assert moved and all(name.startswith("entropy.") for name in moved)


def test_only_what_is_named_learns(packs, recognizers, tmp_path):
    start = run(picture_config(packs, recognizers, tmp_path / "start", steps=1, optimizer="adam"))
    chosen = {"start": str(start.out / "checkpoint"), "steps": 2, "optimizer": "soap"}
    trainer = run(picture_config(packs, recognizers, tmp_path / "part", learns=["synthesis."], **chosen))
    before = load_tensors(start.out / "checkpoint", "average")
    moved = {n for n, p in zip(trainer.names, trainer.parameters) if not torch.equal(p, before[n])}
    assert moved and all(name.startswith("synthesis.") for name in moved)
    with pytest.raises(InvalidInputError, match=r"learns has 'decoder': no parameter's name begins so; \['analysis.'"):
        run(picture_config(packs, recognizers, tmp_path / "none", learns=["decoder"], **chosen))
