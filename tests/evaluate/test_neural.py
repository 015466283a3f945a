"""The neural baseline's adapter and its training script.

CompressAI pins numpy below 2, so it is no dependency of the tests: what needs it says so and is run in an environment
of its own (docs/evaluation.md). The framing of the files and the checks are tested everywhere, over a small network of
our own.
"""

import functools
import importlib.util
import itertools
import json
import pathlib
import sys
import types
import zlib

import numpy as np
import pytest
import torch
from evaluate_faces import crops, write_recognizer
from safetensors import safe_open
from safetensors.torch import save_file

from lfic import InvalidInputError, MissingDependencyError, WeightsError
from lfic.evaluate.cache import Cache
from lfic.evaluate.data import Faces
from lfic.evaluate.judges import load_judge
from lfic.evaluate.peers import neural
from lfic.evaluate.points import evaluate_point

FACES = list(crops(2, 2)[0])
BENCHMARK = pathlib.Path(__file__).parents[2] / "benchmarks" / "train_bmshj2018.py"
needs_compressai = pytest.mark.skipif(
    importlib.util.find_spec("compressai") is None,
    reason="CompressAI is not installed here: see docs/evaluation.md, 'The neural baseline'",
)


class Plain(torch.nn.Module):
    """The calls of a CompressAI network, with zlib for an entropy coder: one string, or two as the hyperprior has."""

    def __init__(self, strings):
        super().__init__()
        self.strings, self.gain = strings, torch.nn.Parameter(torch.ones(1))

    def update(self, force=False):
        self.updated = force

    def compress(self, x):
        assert self.updated and x.shape[0] == 1
        self.side = x.shape[2]
        data = (x[0] * self.gain * 255).round().to(torch.uint8).numpy().tobytes()
        return {"strings": [[zlib.compress(data)], [b"hyper"]][: self.strings], "shape": (7, 7)}

    def decompress(self, strings, shape):
        assert shape == ((7, 7) if self.strings == 1 else (2, 2)) and (self.strings == 1 or strings[1] == [b"hyper"])
        pixels = np.frombuffer(zlib.decompress(strings[0][0]), np.uint8).reshape(1, 3, self.side, self.side)
        return {"x_hat": torch.from_numpy(pixels.copy()).float() / 255 / self.gain}


def checkpoint(path, architecture, networks):
    tensors = {f"{k}.{name}": t.detach().clone() for k, n in enumerate(networks) for name, t in n.state_dict().items()}
    about = {
        "architecture": architecture,
        "channels": 8,
        "latent": 12,
        "lambdas": [0.001 * (k + 1) for k in range(len(networks))],
    }
    save_file(tensors, path, metadata={"bmshj2018": json.dumps(about)})
    return path


@pytest.mark.parametrize(("architecture", "strings"), [("factorized", 1), ("hyperprior", 2)])
def test_framing(tmp_path, monkeypatch, architecture, strings):
    monkeypatch.setattr(neural, "build", lambda *_: Plain(strings))
    codec = neural.bmshj2018(checkpoint(tmp_path / "n.safetensors", architecture, [Plain(strings), Plain(strings)]))
    assert codec.settings == (0, 1)
    for setting in codec.settings:
        files = codec.encode(FACES, setting)
        assert all(f[0] == setting and codec.header(f) == 2 * strings - 1 for f in files)
        for image, decoded in zip(FACES, codec.decode(files)):
            np.testing.assert_array_equal(image, decoded)
    for broken in (b"", b"\x02abc", b"\x00"):
        with pytest.raises(InvalidInputError, match="there are 2"):
            codec.decode([broken])
    other = neural.bmshj2018(checkpoint(tmp_path / "m.safetensors", architecture, [Plain(strings)]))
    assert codec.version != other.version  # the weights are in the key that results are kept under


def test_what_is_no_checkpoint(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="no checkpoint of"):
        neural.bmshj2018(tmp_path / "x.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "y.safetensors")
    with pytest.raises(WeightsError, match="no checkpoint of"):
        neural.bmshj2018(tmp_path / "y.safetensors")


def test_without_compressai(tmp_path, monkeypatch):
    """What is cached is reported without it; a file that is still to be written or read asks for it."""
    monkeypatch.setitem(sys.modules, "compressai.models", None)
    with pytest.raises(MissingDependencyError, match="needs CompressAI"):
        neural.build("factorized", 8, 12)
    path, cache = checkpoint(tmp_path / "n.safetensors", "factorized", [Plain(1)]), Cache()
    faces = Faces(
        ["a"] * len(FACES),
        np.stack(FACES),
        ["a"] * len(FACES),
        np.zeros((0, 2), np.int64),
        np.zeros(0, bool),
        np.zeros(0, np.int64),
    )
    net = load_judge(write_recognizer(tmp_path / "tiny.pt"))
    with monkeypatch.context() as patch:
        patch.setattr(neural, "build", lambda *_: Plain(1))
        first = evaluate_point(neural.bmshj2018(path), 0, faces, [net], cache, progress=False)
    again = evaluate_point(neural.bmshj2018(path), 0, faces, [net], cache, progress=False)
    np.testing.assert_array_equal(first.size, again.size)
    np.testing.assert_array_equal(first.embeddings["tiny"], again.embeddings["tiny"])
    with pytest.raises(MissingDependencyError, match="needs CompressAI"):
        neural.bmshj2018(path).encode(FACES, 0)


class Differentiable(torch.nn.Module):
    """The parts of a factorised prior that refining goes through: a linear transform and its inverse, and a density."""

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(12.0))
        self.entropy_bottleneck = Density()

    def update(self, force=False):
        pass

    def g_a(self, x):
        return torch.nn.functional.pixel_unshuffle(x, 16) * self.gain

    def g_s(self, y):
        return torch.nn.functional.pixel_shuffle(y / self.gain, 16)

    def decompress(self, strings, shape):
        y = np.frombuffer(zlib.decompress(strings[0][0]), np.int16).reshape(1, 768, *shape)
        return {"x_hat": self.g_s(torch.from_numpy(y.astype(np.float32)))}

    def compress(self, x):
        return {"strings": [self.entropy_bottleneck.compress(self.g_a(x))], "shape": (7, 7)}


class Density(torch.nn.Module):
    def forward(self, y, training):
        assert training
        return y, torch.exp(-y.abs() / 8) / 16

    def compress(self, y):
        return [zlib.compress(y.round().numpy().astype(np.int16).tobytes())]


def identity_checkpoint(path, architecture="factorized"):
    about = {"architecture": architecture, "channels": 8, "latent": 12, "lambdas": [5, 40], "identity": "ms1m"}
    network = Differentiable()
    tensors = {f"{k}.{name}": t.detach().clone() for k in range(2) for name, t in network.state_dict().items()}
    save_file(tensors, path, metadata={"bmshj2018": json.dumps(about)})
    return path


def test_refined_files_are_better_by_lfics_own_loss(tmp_path, monkeypatch):
    monkeypatch.setattr(neural, "build", lambda *_: Differentiable())
    eyes = str(write_recognizer(tmp_path / "tiny.pt"))
    path = identity_checkpoint(tmp_path / "n.safetensors")
    plain, finer = neural.bmshj2018(path), neural.bmshj2018(path, effort=2, recognizer=eyes)
    assert plain.name == "bmshj2018 identity" and finer.name == "bmshj2018 identity effort 2"
    assert finer.loss == ("ms1m",) and finer.encoder == "tiny" and finer.looks_through and not plain.encoder
    assert plain.version != finer.version
    objective, network = neural.own_objective().searched(), load_judge(eyes).recognizer

    def cost(codec):
        total = 0.0
        for image, decoded in zip(FACES, codec.decode(codec.encode(FACES, 1))):
            x, y = (torch.from_numpy(one.copy()).permute(2, 0, 1)[None].float() / 255 for one in (image, decoded))
            bits = (Differentiable().g_a(y).abs() / 8).sum() / np.log(2)
            total += float(bits / objective.beta(40, True))
            total += float(objective.distortion(network, y, x, network(x), 40, True).sum())
        return total

    assert cost(finer) < cost(plain)


def test_what_can_not_be_refined(tmp_path):
    eyes = str(write_recognizer(tmp_path / "tiny.pt"))
    path = checkpoint(tmp_path / "n.safetensors", "factorized", [Plain(1)])
    with pytest.raises(InvalidInputError, match="trained with --identity"):
        neural.bmshj2018(path, effort=1, recognizer=eyes)
    with pytest.raises(InvalidInputError, match="give --encoder-recognizer"):
        neural.bmshj2018(identity_checkpoint(tmp_path / "m.safetensors"), effort=1)
    with pytest.raises(InvalidInputError, match="trained with --identity"):
        neural.bmshj2018(identity_checkpoint(tmp_path / "h.safetensors", "hyperprior"), effort=1, recognizer=eyes)


def training_script(monkeypatch):
    spec = importlib.util.spec_from_file_location("train_bmshj2018", BENCHMARK)
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "train_bmshj2018", script)  # dataclasses look their module up
    spec.loader.exec_module(script)
    return script


def test_the_baselines_loss_is_lfics(tmp_path, monkeypatch):
    script = training_script(monkeypatch)
    recognizer = load_judge(write_recognizer(tmp_path / "tiny.pt")).recognizer
    pixels = torch.from_numpy(np.stack(FACES)).permute(0, 3, 1, 2).float() / 255
    decoded = (pixels * 0.9).requires_grad_(True)
    objective = neural.own_objective()
    assert objective.beta(1, True) == pytest.approx(700) and objective.texture == 10  # face-v1's
    with torch.no_grad():
        target = recognizer(pixels)
    expected = objective.beta(25, True) * objective.distortion(recognizer, decoded, pixels, target, 25, True).mean()
    found = script.own_distortion(recognizer, decoded, pixels, 25)
    assert float(found.detach()) == pytest.approx(float(expected.detach())) and found > 0
    found.backward()
    assert decoded.grad.abs().sum() > 0
    for wrong in (["0.5"], ["101"]):
        with pytest.raises(SystemExit):
            script.main(["", "", "--identity", str(tmp_path / "tiny.pt"), "--lambdas", *wrong])


@needs_compressai
@pytest.mark.parametrize("architecture", neural.ARCHITECTURES)
def test_real_streams(tmp_path, architecture):
    """Bytes of CompressAI's coder: what is decoded from them is what the network itself computes, and they are as long
    as the likelihoods say."""
    torch.manual_seed(0)
    networks = [neural.build(architecture, 8, 12) for _ in range(2)]
    codec = neural.bmshj2018(checkpoint(tmp_path / "n.safetensors", architecture, networks))
    files = codec.encode(FACES, 1)
    assert files == codec.encode(FACES, 1) and files[:1] == codec.encode(FACES[:1], 1)
    network = networks[1].eval()
    network.update(force=True)
    for image, data, decoded in zip(FACES, files, codec.decode(files)):
        x = neural.pad(
            torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255, neural.padding(architecture)
        )
        with torch.inference_mode():
            out = network(x)
        expected = (out["x_hat"][0, :, :112, :112].clamp(0, 1) * 255).permute(1, 2, 0).numpy()
        assert np.abs(expected - decoded).max() < 0.51  # rounding to 8 bits
        bits = sum(float(-torch.log2(p).sum()) for p in out["likelihoods"].values())
        assert len(data) - codec.header(data) == pytest.approx(
            bits / 8, rel=0.05, abs=24
        )  # the coder's state is up to 8 bytes a string


class Pack:
    """FACES as a source."""

    def __len__(self):
        return len(FACES)

    def face(self, i):
        return FACES[i]


@needs_compressai
def test_training_begins_with_another_checkpoint(tmp_path, monkeypatch):
    script = training_script(monkeypatch)
    monkeypatch.setattr(script, "open_faces", lambda path: Pack())
    monkeypatch.setattr(script, "SETTLING", 0)
    start, out = tmp_path / "start.safetensors", tmp_path / "out.safetensors"
    small = ["--channels", "8", "--latent", "12", "--batch", "2"]
    assert script.main(["", str(start), *small, "--lambdas", "0.001", "--seconds", "0.1"]) == 0
    identity = ["--identity", str(write_recognizer(tmp_path / "tiny.pt")), "--lambdas", "5", "40"]
    chosen = [*small, *identity, "--start", str(start)]
    assert script.main(["", str(out), *chosen, "--base", "40", "--seconds", "0"]) == 0
    with safe_open(start, "pt") as before, safe_open(out, "pt") as after:
        about, was = (json.loads(file.metadata()["bmshj2018"]) for file in (after, before))
        for name in before.keys():
            torch.testing.assert_close(before.get_tensor(name), after.get_tensor(f"1{name[1:]}"))
        weight = "g_a.0.weight"
        assert not torch.equal(after.get_tensor(f"0.{weight}"), after.get_tensor(f"1.{weight}"))
    assert about["identity"] == "tiny" and about["start"]["lambdas"] == [0.001]
    assert about["start"]["faces"] == was["faces"] and about["faces"] == [0, *was["faces"]] and was["faces"][0] > 0
    for path, more, words in (
        (start, ["--channels", "16"], "has another channels, 8; asked for was 16"),
        (out, [], r"holds networks for the lambdas \[5.0, 40.0\]; needed is one network"),
        (tmp_path / "tiny.pt", [], "is no checkpoint of this script"),
    ):
        with pytest.raises(SystemExit, match=words):
            script.main(["", str(tmp_path / "x"), *chosen[:-1], str(path), *more, "--seconds", "0"])


@needs_compressai
def test_training_goes_on_where_it_stopped(tmp_path, capsys, monkeypatch):
    script = training_script(monkeypatch)
    monkeypatch.setattr(script, "open_faces", lambda path: Pack())
    monkeypatch.setattr(script, "SETTLING", 20)
    # Clocks that tick when they are read: a turn takes a fifth of a second, however busy the machine is.
    ticks = {name: itertools.count(0, by) for name, by in (("process_time", 1 / 5), ("monotonic", 1 / 8))}
    clocks = {name: functools.partial(next, tick) for name, tick in ticks.items()}
    monkeypatch.setattr(script, "time", types.SimpleNamespace(**clocks))
    arguments = [
        "",
        str(tmp_path / "n.safetensors"),
        "--channels",
        "8",
        "--latent",
        "12",
        "--lambdas",
        "0.001",
        "0.05",
        "--batch",
        "2",
    ]

    def about():
        with safe_open(tmp_path / "n.safetensors", "pt") as file:
            return json.loads(file.metadata()["bmshj2018"])

    assert script.main([*arguments, "--seconds", "8", "--wall", "1"]) == 0
    first = about()
    assert first["faces"][0] > 0 and first["faces"][1] == 0 and 0 < first["seconds"] < 4  # the base alone so far
    assert script.main([*arguments, "--seconds", "8"]) == 0
    second = about()
    assert second["faces"][1] >= second["faces"][0] - 40 > first["faces"][0] and second["seconds"] >= 8
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("lambda=0.001 ")]
    sizes = [int(line.split("bytes=")[1].split()[0]) for line in lines]
    assert sizes[-1] < sizes[0]  # it learns
    codec = neural.bmshj2018(tmp_path / "n.safetensors")
    low, high = (np.mean([len(f) for f in codec.encode(FACES, k)]) for k in codec.settings)
    assert low < high
    with pytest.raises(SystemExit, match="asked for was"):
        script.main([*arguments[:-4], "0.001", "--batch", "2", "--seconds", "8"])
