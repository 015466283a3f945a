"""Packing, training, a kill at any moment, resuming, exporting: on faces made here, with a tiny network."""
import csv
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import lfic
from lfic.errors import InvalidInputError, LficError, WeightsError
from lfic.train import pack as packing
from lfic.train.config import TrainConfig
from lfic.train.data import FacePack
from lfic.train.export import main as export
from lfic.train.loop import beta, learning_rate, run

SETTINGS = {
    "channels": 8, "width": 16, "inner": 16, "batch": 2, "threads": 1, "warmup": 2, "log_every": 1, "save_every": 2,
    "explore_until": 2, "hard_from": 0.5, "integers_from": 0.5,
}


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """Eight soft blobs with the five landmarks of a face each, packed by the project's own command."""
    folder = tmp_path_factory.mktemp("pack")
    rng = np.random.default_rng(0)
    names, landmarks = [], []
    with tarfile.open(folder / "faces.tar", "w") as tar:
        for i in range(8):
            coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
            buffer = io.BytesIO()
            coarse.resize((160, 150), Image.Resampling.BICUBIC).save(buffer, "PNG")
            member = tarfile.TarInfo(f"Somebody_{i // 2}_{i % 2:04d}.png")
            member.size = len(buffer.getvalue())
            tar.addfile(member, io.BytesIO(buffer.getvalue()))
            names.append(member.name)
            landmarks.append(packing.TEMPLATE_112 * 1.1 + [15 + i, 10])
    np.savez(folder / "landmarks.npz", names=np.array(names), landmarks=np.array(landmarks, np.float32))
    (folder / "pairs.txt").write_text("1\t1\nSomebody_3\t0\t1\nSomebody_3\t0\tNobody\t1\n")
    out = folder / "pack.safetensors"
    assert packing.main([str(out), f"{folder}/faces.tar:{folder}/landmarks.npz", "--exclude-pairs", str(folder / "pairs.txt")]) == 0
    return out


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory):
    """A small frozen network in the place of a recogniser."""
    torch.manual_seed(5)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 8, stride=8), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 14 * 14, 16)
    ).eval()
    path = tmp_path_factory.mktemp("recogniser") / "tiny.pt"
    torch.jit.trace(network, torch.zeros(1, 3, 112, 112)).save(str(path))
    return path


def config(pack, out, **changes):
    return TrainConfig(**{**SETTINGS, "data": str(pack), "out": str(out), "steps": 6, **changes})


def losses(out):
    with open(pathlib.Path(out) / "log.csv") as file:
        return {int(row["step"]): float(row["loss"]) for row in csv.DictReader(file)}


def test_pack_aligns_and_leaves_out_people_of_the_pairs(pack):
    faces = FacePack(pack)
    assert len(faces) == 6 and faces.pixels.shape == (6, 128, 128, 3) and faces.pixels.dtype == np.uint8
    assert not any(name.startswith("Somebody_3") for name in faces.names)


def test_alignment_puts_landmarks_on_the_template():
    rng = np.random.default_rng(1)
    angle, scale = 0.3, 1.7
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = packing.TEMPLATE_112 @ turn.T + rng.normal(size=2) * 9
    matrix = packing.similarity_transform(moved, packing.TEMPLATE_112)
    np.testing.assert_allclose(moved @ matrix[:, :2].T + matrix[:, 2], packing.TEMPLATE_112, atol=1e-9)


def test_schedules():
    c = TrainConfig(steps=1000, warmup=10)
    assert learning_rate(0, c) == pytest.approx(c.learning_rate / 10)
    assert learning_rate(10, c) == pytest.approx(c.learning_rate)
    assert learning_rate(1000, c) == pytest.approx(c.final_learning_rate)
    ends = beta(torch.tensor([1, 100]), c)
    assert ends.tolist() == pytest.approx([c.beta_low, c.beta_high], rel=1e-5)


def test_the_same_seed_gives_the_same_curve(pack, recognizer, tmp_path):
    whole = config(pack, tmp_path / "whole", recognizer=str(recognizer), identity_from=1)
    run(whole)
    run(config(pack, tmp_path / "parts", recognizer=str(recognizer), identity_from=1))  # the same again: the same curve
    assert losses(whole.out) == losses(tmp_path / "parts") and len(losses(whole.out)) == 6


def test_a_killed_run_goes_on_with_the_same_losses(pack, tmp_path):
    """SIGKILL between two checkpoints: what follows is the curve of the run that was left in peace."""
    settings = config(pack, tmp_path / "killed", steps=12)
    toml = tmp_path / "run.toml"
    toml.write_text("\n".join(f"{k} = {json.dumps(v)}" for k, v in {**SETTINGS, "data": str(pack), "out": settings.out, "steps": 12}.items()))
    command = [sys.executable, "-W", "ignore", "-m", "lfic.train", str(toml)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    log = pathlib.Path(settings.out) / "log.csv"
    deadline = time.monotonic() + 120
    while not (log.exists() and len(log.read_text().splitlines()) > 3):
        assert process.poll() is None and time.monotonic() < deadline, "the run did not get going"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = losses(settings.out)
    assert max(before) < 12
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    with open(log) as file:
        rows = [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)]
    again = dict(rows[len(before):])
    assert max(again) == 12 and min(again) <= max(before) + 1
    peaceful = config(pack, tmp_path / "peaceful", steps=12)
    run(peaceful)
    expected = losses(peaceful.out)
    assert before == {step: expected[step] for step in before}
    assert again == {step: expected[step] for step in again}


def test_exported_checkpoint_is_a_working_codec(pack, tmp_path):
    settings = config(pack, tmp_path / "run")
    run(settings)
    weights = tmp_path / "tiny.safetensors"
    assert export([str(tmp_path / "run" / "checkpoint"), str(weights), "--data", str(pack), "--faces", "6"]) == 0
    codec = lfic.Codec(weights)
    image = Image.fromarray(FacePack(pack).pixels[0, 8:120, 8:120])
    data = codec.encode(image, quality=60)
    assert codec.decode(data).size == (112, 112)
    draft = codec.draft([np.asarray(image)], 60, True)[0]
    payload = codec.encode(image, quality=60, aligned=True, checksum=False)
    assert abs(len(payload) - 3 - codec.estimate_bits(draft) / 8) <= 2 + 0.01 * len(payload)
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
    assert losses(settings.out) == losses(whole.out)


def test_legs_of_one_step_give_the_curve_of_one_run(pack, recognizer, tmp_path):
    """A resumed optimiser adds in the same order as one that was never stored, also after its basis has turned (step 10)."""
    settings = config(pack, tmp_path / "legs", steps=13, recognizer=str(recognizer), identity_from=1)
    while run(settings, seconds=0).step < settings.steps:
        pass
    whole = config(pack, tmp_path / "whole", steps=13, recognizer=str(recognizer), identity_from=1)
    run(whole)
    assert losses(settings.out) == losses(whole.out) and len(losses(whole.out)) == 13
    for name in ("net", "optimizer"):
        one, other = (load_file(tmp_path / leg / "checkpoint" / f"{name}.safetensors") for leg in ("legs", "whole"))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one), name


def test_validation_and_sample_sheets(pack, recognizer, tmp_path):
    settings = config(
        pack, tmp_path / "seen", steps=2, validation=str(pack), validation_recognizer=str(recognizer), validate_every=2, sample_every=2
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
    assert losses(plain.out) == losses(settings.out)


def test_counts_below_one_are_refused():
    with pytest.raises(InvalidInputError, match="save_every"):
        TrainConfig(save_every=0)
