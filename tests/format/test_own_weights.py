"""Weights of the user's own: files name them, other weights are told apart from damage, damaged ones are refused."""

import dataclasses
import json

import numpy as np
import pytest
from own_weights import written

import lfic
from lfic import decoder
from lfic.cli import main
from lfic.errors import ContainerError, WeightsError
from lfic.format.weights import load_arrays
from lfic.network.net import CodecNetConfig


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    return written(tmp_path_factory.mktemp("weights") / "own.safetensors")


def test_files_name_their_weights(own, codec, face, photo, tmp_path):
    mine = lfic.Codec(own)
    data, bundled = mine.encode(face, quality=20), lfic.load_codec("face-v1").encode(face, quality=20)  # the same ones
    weights = load_arrays(own)[1]["digest"][:8]
    assert len(data) == len(bundled) + 5 and data[3:8].hex() == "ff" + weights  # the model and four bytes
    assert (np.asarray(mine.decode(data)) == np.asarray(codec.decode(bundled))).all()
    info = lfic.probe(data)
    assert (info.model, info.weights) == ("private", weights) and mine.probe(data).levels.shape == (4, 4)
    with pytest.raises(ContainerError, match=f"private weights, {weights}"):
        lfic.decode(data)
    with pytest.raises(ContainerError, match="written by model private; this codec has face-v2: give the weights"):
        codec.decode(data)
    other = lfic.Codec(written(tmp_path / "other.safetensors"))
    with pytest.raises(ContainerError, match=f"weights {weights}; this codec has {other.model.weights.hex()}.*--model"):
        other.decode(data)
    layered = mine.encode(photo(130, 130), quality=9, faces=[[[50, 50], [80, 50], [65, 65], [55, 80], [75, 80]]])
    assert lfic.probe(layered).weights == weights


def test_the_command_line_takes_them(own, face, tmp_path, capsys, monkeypatch):
    from PIL import Image

    Image.fromarray(face).save(tmp_path / "a.png")
    assert main(["encode", str(tmp_path / "a.png"), "--model", str(own), "--quality", "9"]) == 0
    assert main(["info", str(tmp_path / "a.lfic"), "--model", str(own), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["model"] == "private"
    assert main(["decode", str(tmp_path / "a.lfic"), "-o", str(tmp_path / "b.png"), "--model", str(own)]) == 0
    monkeypatch.setattr(decoder, "private", {})  # as in a process of its own
    assert main(["decode", str(tmp_path / "a.lfic"), "-o", str(tmp_path / "c.png")]) == 1
    assert "--model" in capsys.readouterr().err


def config(**values):
    return json.dumps({**dataclasses.asdict(CodecNetConfig()), **values})


DAMAGE = {
    "config null": lambda arrays, told: told.update(config="null"),
    "config no JSON": lambda arrays, told: told.update(config="{"),
    "no config": lambda arrays, told: told.pop("config"),
    "no channels": lambda arrays, told: told.update(config=config(channels=0)),
    "endless blocks": lambda arrays, told: told.update(config=config(synthesis_blocks=[1, 2, 100000])),
    "other widths": lambda arrays, told: told.update(config=config(widths=[64, 128, 4096])),
    "training no JSON": lambda arrays, told: told.update(training="{"),
    "training a list": lambda arrays, told: told.update(training="[]"),
    "no number": lambda arrays, told: arrays.update({"net.entropy.value_scale": np.full(96, np.nan, np.float16)}),
    "no context": lambda arrays, told: arrays.pop("context.W1"),
    "no shift": lambda arrays, told: arrays.pop("context.sh1"),
    "no tables": lambda arrays, told: arrays.pop("tables.lows"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_weights_are_refused(kind, tmp_path):
    with pytest.raises(WeightsError):
        lfic.Codec(written(tmp_path / "bad.safetensors", DAMAGE[kind]))


def test_the_digest_covers_the_metadata(own, tmp_path):
    data = own.read_bytes()
    (tmp_path / "changed.safetensors").write_bytes(data.replace(b"own.safetensors", b"own.safetensorz", 1))
    with pytest.raises(WeightsError, match="damaged"):
        load_arrays(tmp_path / "changed.safetensors")
