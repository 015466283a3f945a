"""Packing, training, a kill at any moment, resuming, exporting: on faces made here, with a tiny network."""

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from train_faces import column, config, flat, make_pack, make_recognizer, write_toml
from train_faces import settings as settings_of

import lfic
from lfic.align import TEMPLATE_112, similarity_transform
from lfic.data.facepack import FacePack
from lfic.encoder.draft import estimate_bits, first_drafts
from lfic.errors import InvalidInputError, LficError, MissingDependencyError, WeightsError
from lfic.format.weights import load_arrays
from lfic.network.net import CodecNetConfig
from lfic.train.checkpoint import load_tensors, save_tensors
from lfic.train.config import TrainConfig
from lfic.train.export import load_checkpoint
from lfic.train.export import main as export
from lfic.train.loop import run
from lfic.train.loss import beta, pixel_weights
from lfic.train.schedule import learning_rate
from lfic.train.sections import LossConfig, RunConfig, ScheduleConfig
from lfic.train.state import network_config


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return make_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory):
    return make_recognizer(tmp_path_factory.mktemp("recogniser") / "tiny.pt")


def test_pack_aligns_and_leaves_out_people_of_the_pairs(pack):
    faces = FacePack(pack)
    assert len(faces) == 6 and faces.pixels.shape == (6, 128, 128, 3) and faces.pixels.dtype == np.uint8
    assert not any(name.startswith("Somebody_3") for name in faces.names)


def test_alignment_puts_landmarks_on_the_template():
    rng = np.random.default_rng(1)
    angle, scale = 0.3, 1.7
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = TEMPLATE_112 @ turn.T + rng.normal(size=2) * 9
    matrix = similarity_transform(moved, TEMPLATE_112)
    np.testing.assert_allclose(moved @ matrix[:, :2].T + matrix[:, 2], TEMPLATE_112, atol=1e-9)


def test_schedules():
    c = ScheduleConfig(steps=1000, warmup=10)
    assert learning_rate(0, c) == pytest.approx(c.learning_rate / 10)
    assert learning_rate(10, c) == pytest.approx(c.learning_rate)
    assert learning_rate(1000, c) == pytest.approx(c.final_learning_rate)
    weights = LossConfig()
    ends = beta(torch.tensor([1, 100]), weights)
    assert ends.tolist() == pytest.approx([weights.beta_low, weights.beta_high], rel=1e-5)
    quality = torch.tensor([1, 50, 100])
    for low, high, expected in (
        (30.0, 0.0, [30, 30, 30]),
        (0.0, 0.0, [0, 0, 0]),
        (10.0, 40.0, [10, 10 * 4 ** (49 / 99), 40]),
    ):
        assert pixel_weights(quality, LossConfig(pixel_weight=low, pixel_weight_high=high)).tolist() == pytest.approx(
            expected
        )


def test_the_same_seed_gives_the_same_curve(pack, recognizer, tmp_path):
    whole = config(pack, tmp_path / "whole", recognizer=str(recognizer), identity_from=1)
    run(whole)
    run(config(pack, tmp_path / "parts", recognizer=str(recognizer), identity_from=1))  # the same again: the same curve
    assert column(whole.run.out) == column(tmp_path / "parts") and len(column(whole.run.out)) == 6


def test_a_killed_run_goes_on_with_the_same_losses(pack, tmp_path):
    """SIGKILL between two checkpoints: what follows is the curve of the run that was left in peace."""
    settings = config(pack, tmp_path / "killed", steps=12)
    toml = write_toml(tmp_path / "run.toml", settings)
    command = [sys.executable, "-W", "ignore", "-m", "lfic.train", str(toml)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    log = pathlib.Path(settings.run.out) / "log.csv"
    deadline = time.monotonic() + 120
    while not (log.exists() and len(log.read_text().splitlines()) > 3):
        assert process.poll() is None and time.monotonic() < deadline, "the run did not get going"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = column(settings.run.out)
    assert max(before) < 12
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    with open(log) as file:
        rows = [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)]
    again = dict(rows[len(before) :])
    assert max(again) == 12 and min(again) <= max(before) + 1
    peaceful = config(pack, tmp_path / "peaceful", steps=12)
    run(peaceful)
    expected = column(peaceful.run.out)
    assert before == {step: expected[step] for step in before}
    assert again == {step: expected[step] for step in again}


def test_exported_checkpoint_is_a_working_codec(pack, tmp_path):
    settings = config(pack, tmp_path / "run", validation=str(pack), recognizer="")
    run(settings)
    state = json.loads((tmp_path / "run" / "checkpoint" / "state.json").read_text())
    state["config"]["network"]["start"] = str(tmp_path / "other" / "checkpoint")
    state["config"]["data"]["faces"] = [str(pack), f"{tmp_path}/faces.tar:{tmp_path}/landmarks.npz"]
    (tmp_path / "run" / "checkpoint" / "state.json").write_text(json.dumps(state))
    weights = tmp_path / "tiny.safetensors"
    assert (
        export([str(tmp_path / "run" / "checkpoint"), str(weights), "--data", str(pack), str(pack), "--faces", "6"])
        == 0
    )
    assert b"pack.safetensors" in weights.read_bytes()
    card = load_arrays(weights)[1]["card"]
    assert (
        "6 steps" in card
        and "pack.safetensors, landmarks.npz" in card
        and "Recognisers in the loss.** none" in card
        and "term.** none" in card
    )
    assert (
        str(tmp_path).encode() not in weights.read_bytes() and str(pack.parent).encode() not in weights.read_bytes()
    )  # names, not places
    codec = lfic.Codec(weights)
    image = Image.fromarray(FacePack(pack).pixels[0, 8:120, 8:120])
    data = codec.encode(image, quality=60)
    assert codec.decode(data).size == (112, 112)
    draft = first_drafts(codec.model, [np.asarray(image)], 60, True)[0]
    payload = codec.encode(image, quality=60, aligned=True, checksum=False)
    header = 8  # with the model's number and four bytes of the weights' digest
    assert abs(len(payload) - header - estimate_bits(codec.model, draft) / 8) <= 2 + 0.01 * len(payload)
    broken = bytearray(weights.read_bytes())
    broken[-100] ^= 1
    weights.write_bytes(broken)
    with pytest.raises(WeightsError, match="damaged"):
        lfic.Codec(weights)


def test_unknown_keys_and_missing_files_are_named(tmp_path):
    (tmp_path / "bad.toml").write_text("stepps = 3\n")
    with pytest.raises(InvalidInputError, match="stepps"):
        TrainConfig.load(tmp_path / "bad.toml")
    with pytest.raises(InvalidInputError, match="no configuration"):
        TrainConfig.load(tmp_path / "none.toml")
    with pytest.raises(WeightsError, match="checkpoint folder"):
        export([str(tmp_path), str(tmp_path / "o.safetensors"), "--data", "none"])


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_batch(pack, tmp_path):
    settings = config(pack, tmp_path / "nan", beta_low=float("nan"))
    with pytest.raises(LficError, match="bad-batch"):
        run(settings)
    assert (tmp_path / "nan" / "bad-batch.safetensors").is_file()


def test_a_leg_that_ends_by_the_clock_goes_on_from_there(pack, tmp_path):
    settings = config(pack, tmp_path / "legs", save_every=100)
    assert run(settings, seconds=0).step == 1
    assert run(settings).step == 6
    whole = config(pack, tmp_path / "whole", save_every=100)
    run(whole)
    assert column(settings.run.out) == column(whole.run.out)


def test_legs_of_one_step_give_the_curve_of_one_run(pack, recognizer, tmp_path):
    """A resumed optimiser adds in the same order as one that was never stored, also after its basis has turned (step
    10)."""
    settings = config(pack, tmp_path / "legs", steps=13, recognizer=str(recognizer), identity_from=1)
    while run(settings, seconds=0).step < settings.schedule.steps:
        pass
    whole = config(pack, tmp_path / "whole", steps=13, recognizer=str(recognizer), identity_from=1)
    run(whole)
    assert column(settings.run.out) == column(whole.run.out) and len(column(whole.run.out)) == 13
    for name in ("net", "optimizer"):
        one, other = (load_file(tmp_path / leg / "checkpoint" / f"{name}.safetensors") for leg in ("legs", "whole"))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one), name


def test_validation_and_sample_sheets(pack, recognizer, tmp_path):
    settings = config(
        pack,
        tmp_path / "seen",
        steps=2,
        validation=str(pack),
        validation_recognizer=str(recognizer),
        validate_every=2,
        sample_every=2,
    )
    run(settings)
    with open(tmp_path / "seen" / "validation.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["quality"]) for row in rows] == [10, 40, 70, 100]
    sizes = [float(row["bytes"]) for row in rows]
    assert sizes == sorted(sizes) and sizes[0] > 0
    assert all(float(row["psnr"]) > 0 and -1 <= float(row["similarity"]) <= 1 for row in rows)
    assert Image.open(tmp_path / "seen" / "samples" / "0000002.png").size == (5 * 112, 4 * 112)
    # Looking on changes nothing in the curve.
    plain = config(pack, tmp_path / "unseen", steps=2)
    run(plain)
    assert column(plain.run.out) == column(settings.run.out)


def test_counts_below_one_are_refused():
    with pytest.raises(InvalidInputError, match="save_every"):
        RunConfig(save_every=0)


def test_checkpoint_files_stay_small(tmp_path):
    tensors = {f"t{i}": torch.full((100 + i,), float(i)) for i in range(9)}
    save_tensors(tensors, tmp_path, "part", limit=1000)
    files = sorted(tmp_path.glob("part*.safetensors"))
    assert len(files) > 3 and (tmp_path / "part.safetensors") in files
    assert all(sum(t.numel() * 4 for t in load_file(file).values()) <= 1000 for file in files)
    found = load_tensors(tmp_path, "part")
    assert found.keys() == tensors.keys() and all(torch.equal(found[key], tensors[key]) for key in tensors)
    assert load_tensors(tmp_path, "none") == {}


def test_checkpoints_of_before_are_read(pack, tmp_path):
    """One file for the whole optimiser, and a configuration that lacks what was added since: goes on, starts others,
    exports."""
    settings = config(pack, tmp_path / "run", steps=4, optimizer="adam")
    run(settings)
    checkpoint = tmp_path / "run" / "checkpoint"
    state = json.loads((checkpoint / "state.json").read_text())
    kept = {*vars(CodecNetConfig()), "data", "out", "recognizer", "batch"}
    state["config"] = {k: v for k, v in flat(settings).items() if k in kept}
    state["step"] = 2
    del state["files"]  # digests came later
    (checkpoint / "state.json").write_text(json.dumps(state))
    moments = load_tensors(checkpoint, "optimizer")
    for file in checkpoint.glob("optimizer*"):
        file.unlink()
    save_file(moments, checkpoint / "optimizer.safetensors")
    assert run(settings).step == 4
    assert load_checkpoint(checkpoint)[0].config == network_config(settings.network)
    assert network_config({"channels": 48}) == CodecNetConfig(channels=48)
    begun = run(
        config(pack, tmp_path / "next", steps=1, start=str(checkpoint), learning_rate=0.0, final_learning_rate=0.0)
    )
    average = load_tensors(checkpoint, "average")
    assert all(torch.equal(parameter, average[name]) for name, parameter in begun.net.named_parameters())


def test_a_log_with_other_columns_is_kept_apart(pack, tmp_path):
    settings = config(pack, tmp_path / "run", steps=2)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.csv").write_text("step,loss\n0,1\n")
    run(settings)
    assert (tmp_path / "run" / "log-before-1.csv").read_text() == "step,loss\n0,1\n"
    assert list(column(settings.run.out)) == [1, 2]
    assert all(0 <= share <= 1 for share in column(settings.run.out, "wait").values())


def test_batches_made_ahead_are_the_same_batches(pack, tmp_path):
    augmented = {"jpeg": 0.5, "jitter": 3.0, "jitter_scale": 0.05, "grey": 0.3, "generic": 0.3, "steps": 4}
    for workers in (0, 2):
        run(config(pack, tmp_path / str(workers), workers=workers, **augmented))
    assert column(tmp_path / "0") == column(tmp_path / "2")


def test_bfloat16_keeps_parameters_and_rates_in_float32(pack, recognizer, tmp_path):
    settings = {"recognizer": str(recognizer), "identity_from": 1, "steps": 3, "learning_rate": 1e-4}
    half = run(config(pack, tmp_path / "half", precision="bfloat16", **settings))
    run(config(pack, tmp_path / "full", **settings))
    assert {p.dtype for p in half.parameters} == {torch.float32}
    one, other = column(tmp_path / "half"), column(tmp_path / "full")
    assert one != other and all(one[step] == pytest.approx(other[step], rel=0.02) for step in other)


def test_settings_that_make_no_sense_are_refused(pack, tmp_path):
    for values in ({"precision": "float8"}, {"optimizer": "sgd"}, {"workers": -1}, {"jpeg_lowest": 0}):
        with pytest.raises(InvalidInputError, match=next(iter(values))):
            settings_of(**values)
    with pytest.raises(InvalidInputError, match="'cuda:N'"):
        run(config(pack, tmp_path / "a", device="abacus"))
    if not torch.cuda.is_available():
        with pytest.raises(MissingDependencyError, match="CUDA"):
            run(config(pack, tmp_path / "b", device="cuda"))


def test_a_run_says_what_it_does_from_its_first_step(pack, tmp_path, capsys):
    run(config(pack, tmp_path / "run", steps=2))
    said = capsys.readouterr().out
    assert "[schedule] " in said and "starting at step 0 of 2; 6 faces; a line every" in said
    assert "step 1 took" in said and len(said) < 2500
