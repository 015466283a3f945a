"""Configurations: the shipped ones, what is refused and how, and those that earlier versions stored."""

import itertools
import json
import pathlib

import pytest
import torch
from train_faces import flat, settings

from lfic.errors import InvalidInputError
from lfic.format.weights import load_arrays
from lfic.metric.objective import Objective
from lfic.network.net import CodecNetConfig
from lfic.train.batches import Batch
from lfic.train.config import KEYS, SECTION_OF, TrainConfig, sectioned
from lfic.train.loss import TrainingLoss
from lfic.train.schedule import phase_of
from lfic.train.sections import DataConfig, LossConfig, NetworkConfig, RunConfig, ScheduleConfig
from lfic.train.state import network_config
from lfic.train.world import World

SHIPPED = sorted(
    (pathlib.Path(__file__).parents[2] / "configs").rglob("*.toml"),
    key=lambda path: (path.parent.name, int(path.stem.partition("-")[0])),
)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_shipped_configurations_load(path):
    config = TrainConfig.load(path)
    assert config.run.out == f"runs/{path.parent.name}/{path.stem}"
    assert path.read_text().startswith("# ")


def test_each_shipped_run_starts_where_an_earlier_one_ended():
    """That is a checkpoint of the same weights' runs, the one before if the table below has no other, or the weights
    that were shipped before."""
    others = {"8-vivid": "5-long", "9-crops": "5-long", "10-generations": "7-faces", "11-analysis": "9-crops"}
    found = [TrainConfig.load(path).network.start for path in SHIPPED]
    wanted = [""]
    for before, path in itertools.pairwise(SHIPPED):
        run = others.get(path.stem, before.stem)
        wanted.append(
            f"runs/{path.parent.name}/{run}/checkpoint"
            if before.parent == path.parent
            else f"data/{before.parent.name}-pictures.safetensors"
        )
    assert found == wanted


def test_every_key_has_one_section():
    assert len(SECTION_OF) == sum(map(len, KEYS.values()))
    # An analysis of pictures joins weights in their export: a run trains one.
    assert {*KEYS["network"], "pictures"} == {"start", "start_pictures", *vars(CodecNetConfig())}
    assert network_config(NetworkConfig()) == CodecNetConfig()


@pytest.mark.parametrize(
    "text, found",
    [
        ("[schedule]\nstepps = 3\n", r"\[schedule\] has unknown keys \['stepps'\]; known are \['steps', "),
        ("[loss]\nsteps = 3\n", r"\[loss\] has unknown keys \['steps'\].*steps belongs into \[schedule\]"),
        ("[losses]\nbeta_low = 3\n", r"unknown section 'losses'; there are \[data\], \[network\], \[loss\]"),
        ("steps = 3\n", r"unknown section 'steps'.*steps belongs into \[schedule\]"),
        ('data = "faces.tar"\n', r"data is 'faces.tar'; it must be a section"),
        ('[schedule]\nsteps = "ten"\n', r"\[schedule\] steps is 'ten'; it must be a whole number"),
        ("[schedule]\nsteps = 1e4\n", r"\[schedule\] steps is 10000.0; it must be a whole number"),
        ("[schedule]\nlevels_only = 1\n", r"\[schedule\] levels_only is 1; it must be true or false"),
        ("[loss]\nbeta_low = true\n", r"\[loss\] beta_low is True; it must be a number"),
        ("[data]\nfaces = [1]\n", r"\[data\] faces is \[1\]; it must be a string or a list of strings"),
        ("[data]\nuniform_levels = [0.5]\n", r"\[data\] uniform_levels is \[0.5\]; it must be a list of whole numbers"),
        ("[data]\nbatch = 0\n", r"\[data\] batch is 0; it must be at least 1"),
        ("[data]\ngeneric = 1.5\n", r"\[data\] generic is 1.5; it must be a share, from 0 to 1"),
        ("[loss]\nbeta_low = 0\n", r"\[loss\] beta_low is 0; it must be above 0"),
        ("[loss]\npixel_weight = 0\npixel_weight_high = 2\n", r"pixel_weight_high is 2; pixel_weight is 0"),
        ("[network]\nwidths = [1, 2]\n", r"\[network\] widths is \[1, 2\]; needed are three numbers"),
        ("[network]\ngroups = 5\n", r"\[network\] groups is 5; it must divide channels, found 96"),
        ("[schedule]\nlevels_only = true\n", r"levels_only is True; it needs \[network\] start, found ''"),
        (
            '[loss]\ngeneration_weight = 5.0\n[schedule]\nlearns = ["synthesis."]\n',
            r"generation_weight is 5.0; its gradient reaches the analysis alone.*learns = \['synthesis.'\]",
        ),
        ("[loss]\ngeneration_faces = 0\n", r"\[loss\] generation_faces is 0; it must be at least 1"),
        ("[run]\nthreads = 1\nthreads = 2\n", "no TOML file.*line 3"),
        ("[run\n", "no TOML file.*line 1"),
    ],
)
def test_what_is_refused_is_named(tmp_path, text, found):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match=rf"^{path}.*{found}"):
        TrainConfig.load(path)


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInputError, match=r"bad.toml"):
        TrainConfig.load(tmp_path / "bad.toml")


def test_whole_numbers_are_numbers():
    assert LossConfig(beta_low=700).beta_low == 700 and ScheduleConfig(explore=0).explore == 0


def test_stored_and_read_again_it_is_the_same():
    config = settings(faces=["a.tar", "b/"], steps=7, recognizer=["x.pt", "y.pt"], recognizer_weights=[1, 2.5], seed=3)
    stored = json.loads(config.to_json())
    assert TrainConfig.from_sections(stored) == config and sectioned(stored) == stored == config.sections()


def test_a_flat_configuration_of_before_is_read():
    config = settings(faces=["a.tar", "b/"], steps=7, beta_low=900.0, channels=12, out="runs/x")
    assert sectioned(json.loads(json.dumps(flat(config)))) == config.sections()
    assert sectioned({"data": "a.tar", "no longer known": 1}) == {
        "data": {"faces": "a.tar"},
        "network": {},
        "loss": {},
        "schedule": {},
        "run": {},
    }
    assert TrainConfig.from_sections(sectioned({"steps": 9})) == TrainConfig(schedule=ScheduleConfig(steps=9))


def test_a_flat_configuration_with_pictures_is_read():
    stored = {
        "data": "data/pictures.safetensors",
        "recognizer": ["x.pt", "y.pt"],
        "recognizer_weights": [0.2, 0.8],
        "recognizer_shares": [1, 1],
        "chroma_weight": 1.0,
        "pictures": "data/pictures.safetensors",
        "picture_batch": 8,
        "picture_sides": [64, 80],
        "picture_grey": 0.2,
        "picture_synthetic": 0.3,
        "save_seconds": 300,
        "validation_sets": ["data/unseen.safetensors"],
    }
    config = TrainConfig.from_sections(sectioned(stored))
    assert config.data == DataConfig(
        faces="data/pictures.safetensors",
        pictures="data/pictures.safetensors",
        picture_batch=8,
        picture_sides=[64, 80],
        picture_grey=0.2,
        picture_synthetic=0.3,
    )
    assert (config.loss.recognizer_shares, config.loss.chroma_weight) == ([1, 1], 1.0)
    assert (config.run.save_seconds, config.run.validation_sets) == (300, ["data/unseen.safetensors"])
    assert sectioned(json.loads(json.dumps(flat(config)))) == config.sections()


def test_the_encoder_finds_its_weights_in_both_forms():
    stored = json.loads(load_arrays("face-v1")[1]["training"])["config"]
    by_section = sectioned(stored)
    assert Objective.trained(stored) == Objective.trained(by_section)
    assert Objective.trained(by_section) == Objective(700.0, 700000.0, 1.0, 20.0, 40.0, 60.0, 0.2, 10.0)
    config = TrainConfig.from_sections(by_section)
    assert (config.loss.beta_low, config.data.batch, config.schedule.steps) == (700.0, 192, 9072)
    assert Objective.trained(config.sections()) == Objective.trained(stored)


def test_crops_may_have_a_beta_of_their_own():
    chosen = settings(crop_beta=2)
    loss = TrainingLoss(chosen.loss, chosen.schedule, World(), None, 9)
    aligned, quality = torch.tensor([True, False]), torch.tensor([30, 30])
    batch = Batch(*[torch.empty(0)] * 3, aligned, *[torch.empty(0)] * 1, quality, *[torch.empty(0)] * 2)
    weights = loss.weights(batch, phase_of(1, chosen.schedule))
    assert weights.beta[0] == 2 * weights.beta[1] and weights.scale[0] > weights.scale[1]
    objective = Objective.trained(chosen.sections())
    assert objective.beta(30, True) == 2 * objective.beta(30, False) == pytest.approx(float(weights.beta[0]))
    with pytest.raises(InvalidInputError, match="crop_beta"):
        settings(crop_beta=0)


def test_changed_leaves_the_rest_alone():
    config = settings(steps=7, batch=4)
    other = config.changed(schedule={"steps": 9}, run={"out": "runs/y"})
    assert other == TrainConfig(data=DataConfig(batch=4), schedule=ScheduleConfig(steps=9), run=RunConfig(out="runs/y"))
    with pytest.raises(InvalidInputError, match="steps is 0"):
        config.changed(schedule={"steps": 0})


def test_what_differs_from_the_defaults_is_told():
    assert TrainConfig().told() == "all settings are the defaults"
    told = TrainConfig().changed(data={"faces": "faces.safetensors", "batch": 3}, run={"out": "x"}).told()
    assert (
        told.splitlines()[0].startswith("[data] ")
        and "batch = 3" in told
        and told.splitlines()[-1] == "[run] out = 'x'"
    )
