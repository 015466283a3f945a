"""Two processes, started by torchrun and joined by gloo, train as one would."""

import os
import pathlib
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from train_faces import column, config, make_pack, make_recognizer, write_toml

from lfic.errors import InvalidInputError
from lfic.train.loop import run, train
from lfic.train.world import World

SUPPORT = pathlib.Path(__file__).parents[1] / "support"


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Settings with everything random (levels, noise, augmentation, who the recogniser sees), a folder for results."""
    folder = tmp_path_factory.mktemp("distributed")
    recognizer = make_recognizer(folder / "tiny.pt")
    more = {
        "recognizer": str(recognizer),
        "batch": 8,
        "identity_from": 0,
        "generic": 0.3,
        "hard_from": 1.0,
        "jpeg": 0.3,
        "explore": 0.3,
    }
    return config(make_pack(folder), folder / "two", steps=3, optimizer="adam", **more), folder


def torchrun(processes, *command):
    subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            str(processes),
            *map(str, command),
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=300,
    )


def test_two_processes_give_the_gradient_of_one(settings):
    settings, folder = settings
    toml = write_toml(folder / "gradient.toml", settings)
    torchrun(2, SUPPORT / "ddp_gradient.py", toml, folder, 2)
    one, two = load_file(folder / "alone.safetensors"), load_file(folder / "shared.safetensors")
    assert one.keys() == two.keys() and two["loss"].item() == pytest.approx(one["loss"].item(), rel=1e-5)
    for name, gradient in one.items():
        scale = gradient.abs().max().item()
        assert torch.allclose(two[name], gradient, rtol=1e-3, atol=1e-5 * scale), name
    assert sum(gradient.abs().sum().item() > 0 for gradient in one.values()) > 0.9 * len(one)


def test_torchrun_goes_on_as_one_process_would(settings):
    settings, folder = settings
    toml = write_toml(folder / "run.toml", settings)
    run(settings, seconds=0)  # one process begins, two go on
    assert list(column(settings.run.out)) == [1]
    torchrun(2, "-m", "lfic.train", toml)
    alone = settings.changed(run={"out": str(folder / "alone")})
    trainer = run(alone)
    one, two = column(alone.run.out), column(settings.run.out)
    assert list(two) == [1, 2, 3] and all(two[step] == pytest.approx(one[step], rel=1e-3) for step in one)
    net = load_file(folder / "two" / "checkpoint" / "net.safetensors")
    for name, parameter in trainer.net.named_parameters():
        assert (net[name] - parameter).abs().max() < 0.05 * settings.schedule.learning_rate * settings.schedule.steps, (
            name
        )


def test_a_batch_that_cannot_be_shared_is_refused(settings):
    with pytest.raises(InvalidInputError, match="2 processes"):
        train(settings[0].changed(data={"batch": 3}), World(size=2), None)
