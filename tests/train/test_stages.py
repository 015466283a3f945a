"""The adversarial stage, the entropy model's own stage, and how well the trained rates tell the size of files."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from train_faces import column, config, make_pack, make_recognizer, write_toml
from train_faces import settings as settings_of

from lfic import coder
from lfic.data.facepack import FacePack
from lfic.errors import InvalidInputError, WeightsError
from lfic.network.load import load_model
from lfic.network.net import CodecNetConfig
from lfic.network.rap import pooled_symbols
from lfic.train.__main__ import main
from lfic.train.export import load_checkpoint
from lfic.train.loop import run
from lfic.train.schedule import learning_rate
from lfic.train.sections import ScheduleConfig
from lfic.train.tables import build_tables
from lfic.train.validate import aligned_faces


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return make_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory):
    return make_recognizer(tmp_path_factory.mktemp("recogniser") / "tiny.pt")


def in_legs(settings):
    """A run that is stopped and resumed after every step."""
    while run(settings, seconds=0).step < settings.schedule.steps:
        pass


def measured(out, name):
    return {step: value for step, value in column(out, name).items() if not math.isnan(value)}


def test_adversarial_stage_and_frozen_transform_resume_to_the_same_curve(pack, recognizer, tmp_path):
    settings = {
        "steps": 6,
        "recognizer": str(recognizer),
        "identity_from": 1,
        "adversarial_weight": 0.1,
        "adversarial_from": 2,
        "discriminator_width": 4,
        "entropy_from": 0.7,
    }
    whole, legs = config(pack, tmp_path / "whole", **settings), config(pack, tmp_path / "legs", **settings)
    run(whole)
    in_legs(legs)
    assert column(whole.run.out) == column(legs.run.out) and len(column(whole.run.out)) == 6
    for name in ("adversarial", "discriminator"):
        assert measured(whole.run.out, name) == measured(legs.run.out, name)
    assert list(measured(whole.run.out, "discriminator")) == [
        3,
        4,
    ]  # steps 2 and 3 of 0..5: what follows is the entropy model's
    assert list(measured(whole.run.out, "psnr")) == [1, 2, 3, 4]
    for file in ("net", "average", "optimizer", "discriminator", "adversary"):
        one, other = (load_file(tmp_path / leg / "checkpoint" / f"{file}.safetensors") for leg in ("whole", "legs"))
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one), file


def test_the_adversary_reaches_the_codec_only_from_its_step(pack, tmp_path):
    without, having = (
        config(pack, tmp_path / "without", steps=4),
        config(pack, tmp_path / "with", steps=4, adversarial_weight=1.0, adversarial_from=2),
    )
    run(without)
    run(having)
    one, other = column(without.run.out), column(having.run.out)
    assert [one[step] == other[step] for step in (1, 2, 3, 4)] == [True, True, False, False]
    assert not (tmp_path / "without" / "checkpoint" / "discriminator.safetensors").exists()
    again = run(
        config(pack, tmp_path / "without", steps=5, adversarial_weight=1.0, adversarial_from=2)
    )  # a checkpoint that knows of none
    assert again.step == 5 and list(measured(again.out, "discriminator")) == [5]


def test_a_frozen_transform_stays_and_rates_fall(pack, tmp_path):
    more = {"out": tmp_path / "run", "optimizer": "adam", "ema": 0.9, "save_every": 6, "explore": 0.0}
    trainer = run(config(pack, steps=6, **more))
    settings = config(pack, steps=30, entropy_from=0.2, entropy_learning_rate=5e-3, **more)
    before = [mean.clone() for mean in trainer.average]
    after = run(settings)
    entropy = [name.startswith("entropy.") and name != "entropy.value_scale" for name in after.names]
    assert [torch.equal(a, b) for a, b in zip(before, after.average)] == [not learns for learns in entropy]
    assert all(torch.equal(p, mean) for p, mean, learns in zip(after.parameters, after.average, entropy) if not learns)
    bytes_ = column(settings.run.out, "bytes")
    assert np.mean([bytes_[step] for step in range(26, 31)]) < 0.9 * np.mean([bytes_[step] for step in range(7, 12)])


def test_learning_rate_of_the_last_stage():
    settings = ScheduleConfig(steps=1000, warmup=10, entropy_from=0.8)
    assert learning_rate(799, settings) == pytest.approx(settings.final_learning_rate, rel=0.01)
    assert learning_rate(800, settings) == pytest.approx(settings.entropy_learning_rate)
    assert learning_rate(999, settings) == pytest.approx(settings.final_learning_rate, rel=0.01)


@pytest.mark.parametrize("quality", [25, 90])
def test_trained_rates_tell_the_size_of_the_coded_symbols(pack, tmp_path, quality):
    """The rate that training minimises at its end, and the bytes of the C++ coder with the exported integers: 1 %."""
    run(config(pack, tmp_path / "run", steps=8, entropy_from=0.5, channels=16))
    net, _ = load_checkpoint(tmp_path / "run" / "checkpoint")
    net.entropy.integers = True
    pixels, count = aligned_faces(FacePack(pack), 6), 6
    qualities, aligned = torch.full((count,), quality), torch.arange(count) % 2 == 0
    arrays = net.entropy.export(net.gain.detach())
    arrays |= {"active": np.ones((100, 3, 16), np.uint8), "table_map": np.arange(320, dtype=np.int32)}
    arrays["level_prior"] = np.full((17, 8, 16, 2), 32768, np.uint16)  # maps are not coded here
    context = coder.ContextModel(arrays, coder.Tables.from_frequencies(build_tables()))
    for level in range(3):
        with torch.no_grad():
            out = net(
                pixels, qualities, aligned, uniform_level=torch.full((count,), level), hard=True, synthesize=False
            )
            levels = torch.full((count, 4, 4), level, dtype=torch.uint8)
            symbols = pooled_symbols(out.features, levels, net.gain, qualities)
        bits = out.bits.sum().item()
        coded = sum(
            len(context.encode(s, levels[i].numpy(), 14, 14, quality, bool(aligned[i]))) for i, s in enumerate(symbols)
        )
        assert out.pixels is None and coded == pytest.approx(bits / 8 + count / 2, rel=0.01, abs=count), (
            level
        )  # whole bytes


@pytest.mark.parametrize(
    "stage",
    [{"identity_from": 1}, {"entropy_from": 0.5}, {"workers": 1, "adversarial_weight": 1.0, "adversarial_from": 0}],
)
def test_profile_tells_where_the_time_goes(pack, recognizer, tmp_path, capsys, stage):
    settings = config(
        pack, tmp_path / "run", steps=4, batch=4, generic=0.0, identity_share=1.0, recognizer=str(recognizer), **stage
    )
    while run(settings, seconds=0).step < 2:  # the entropy model's own stage begins there
        pass
    before = {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    capsys.readouterr()
    assert main([str(write_toml(tmp_path / "run.toml", settings)), "--profile", "2"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.endswith(" %")]
    shares = {line[:20].strip(): float(line.split()[-2]) for line in lines}
    expected = {"entropy model", "RAP, quantisation", "analysis", "level head", "other terms", "optimiser"}
    expected |= set() if "entropy_from" in stage else {"synthesis"}
    expected |= {"recogniser"} if "identity_from" in stage else set()
    expected |= set() if "workers" in stage else {"data"}
    assert set(shares) == expected and sum(shares.values()) == pytest.approx(100, abs=1)
    assert {file: file.read_bytes() for file in before} == before


def test_several_recognisers_and_their_features(pack, recognizer, tmp_path):
    second = make_recognizer(tmp_path / "second.pt", seed=6)
    settings = {
        "steps": 4,
        "identity_from": 1,
        "recognizer": [str(recognizer), str(second)],
        "recognizer_weights": [3.0, 1.0],
    }
    whole, legs = (config(pack, tmp_path / name, feature_weight=0.5, **settings) for name in ("whole", "legs"))
    run(whole)
    in_legs(legs)
    assert column(whole.run.out) == column(legs.run.out) and column(whole.run.out, "features") == column(
        legs.run.out, "features"
    )
    features = column(whole.run.out, "features")
    assert features[1] == 0 and max(features.values()) > 0
    run(config(pack, tmp_path / "plain", **settings))
    one = column(tmp_path / "plain")
    assert one[1] == column(whole.run.out)[1] and one != column(whole.run.out)
    with pytest.raises(InvalidInputError, match="positive weight"):
        run(config(pack, tmp_path / "odd", **settings | {"recognizer_weights": [1.0]}))


@pytest.mark.parametrize(
    "name, value",
    [
        ("entropy_from", 0.0),
        ("adversarial_weight", -1.0),
        ("adversarial_loss", "wgan"),
        ("feature_weight", 1.0),
        ("uniform_levels", []),
        ("uniform_levels", [3]),
    ],
)
def test_settings_of_the_stages_are_checked(name, value):
    with pytest.raises(InvalidInputError, match=name):
        settings_of(**{name: value})


def test_a_run_starts_with_a_weights_file(pack, tmp_path):
    """The shipped model, entropy model included: what such a run's checkpoint says of a face is what the file says."""
    shapes = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in vars(CodecNetConfig()).items()
        if name != "pictures"
    }
    run(config(pack, tmp_path / "run", steps=1, start="face-v1", learning_rate=0.0, final_learning_rate=0.0, **shapes))
    net, _ = load_checkpoint(tmp_path / "run" / "checkpoint")
    shipped = load_model("face-v1")[0]
    net.entropy.integers = True
    with torch.no_grad():
        # The analysis of pictures is no part of a run.
        levels, q, a = torch.ones(2, 4, 4, dtype=torch.uint8), torch.tensor([20, 90]), torch.tensor([True, True])
        pixels = aligned_faces(FacePack(pack), 2)
        (one, bits), (other, same) = (n.code(n.analyze(pixels, q, a), levels, q, a, 112, 112) for n in (net, shipped))
    torch.testing.assert_close(one, other, atol=4e-3, rtol=0)  # half precision of what integers restored
    torch.testing.assert_close(bits, same, rtol=0.01, atol=1)


def test_a_run_starts_with_a_network_of_fewer_blocks(pack, tmp_path):
    run(config(pack, tmp_path / "small", steps=2))
    checkpoint = tmp_path / "small" / "checkpoint"
    small, _ = load_checkpoint(checkpoint)
    grown = config(
        pack,
        tmp_path / "grown",
        steps=1,
        analysis_blocks=[1, 1, 2],
        synthesis_blocks=[1, 2, 1],
        start=str(checkpoint),
        learning_rate=0.0,
        final_learning_rate=0.0,
    )
    run(grown)
    large, _ = load_checkpoint(tmp_path / "grown" / "checkpoint")
    assert len(large.analysis.inner) == 1 + len(small.analysis.inner) == 2
    pixels, quality, aligned = torch.rand(2, 3, 112, 112), torch.tensor([20, 90]), torch.tensor([True, False])
    with torch.no_grad():
        y = small.analyze(pixels, quality, aligned)
        assert torch.equal(y, large.analyze(pixels, quality, aligned))
        levels = small.region_levels(y, quality, aligned)
        assert torch.equal(*(net.synthesize(y, levels, quality, aligned, 112, 112) for net in (small, large)))

    with pytest.raises(WeightsError, match="not a checkpoint folder"):
        run(config(pack, tmp_path / "nothing", start=str(tmp_path)))
    with pytest.raises(WeightsError, match="no weights 'face-v0'"):
        run(config(pack, tmp_path / "unknown", start="face-v0"))
    with pytest.raises(InvalidInputError, match="only the transforms may have more blocks"):
        run(config(pack, tmp_path / "less", steps=1, start=str(tmp_path / "grown" / "checkpoint")))
    with pytest.raises(InvalidInputError, match="holds another network"):
        run(config(pack, tmp_path / "other", steps=1, groups=2, start=str(checkpoint)))
