"""What the tests of training share: faces made here, a tiny network, and a recogniser's stand-in."""

import csv
import io
import json
import pathlib
import tarfile

import numpy as np
import torch
from PIL import Image

from lfic.align import TEMPLATE_112
from lfic.data import pack as packing
from lfic.train.config import SECTION_OF, TrainConfig, sectioned

SETTINGS = {
    "channels": 8,
    "widths": [16, 16, 16],
    "analysis_blocks": [1, 1, 1],
    "synthesis_blocks": [1, 1, 1],
    "groups": 4,
    "hidden1": 32,
    "hidden2": 16,
    "batch": 2,
    "threads": 1,
    "warmup": 2,
    "log_every": 1,
    "save_every": 2,
    "explore_until": 2,
    "hard_from": 0.5,
    "integers_from": 0.5,
}


def make_pack(folder):
    """Eight soft blobs with the five landmarks of a face each, packed by the project's own command, but for the two of
    Somebody_3."""
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
            landmarks.append(TEMPLATE_112 * 1.1 + [15 + i, 10])
    np.savez(folder / "landmarks.npz", names=np.array(names), landmarks=np.array(landmarks, np.float32))
    (folder / "pairs.txt").write_text("1\t1\nSomebody_3\t0\t1\nSomebody_3\t0\tNobody\t1\n")
    out = folder / "pack.safetensors"
    assert (
        packing.main(
            [str(out), f"{folder}/faces.tar:{folder}/landmarks.npz", "--exclude-pairs", str(folder / "pairs.txt")]
        )
        == 0
    )
    return out


def make_recognizer(path, seed=5):
    """A small frozen network as a TorchScript file."""
    torch.manual_seed(seed)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 8, stride=8),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(4 * 14 * 14, 16),
    ).eval()
    torch.jit.trace(network, torch.zeros(1, 3, 112, 112)).save(str(path))
    return path


def settings(**values):
    """A configuration of settings of any section; all others are at their defaults."""
    assert set(values) <= set(SECTION_OF), set(values) - set(SECTION_OF)
    return TrainConfig.from_sections(sectioned(values))


def config(pack, out, **changes):
    """A run of the tiny network on a pack."""
    return settings(**{**SETTINGS, "faces": str(pack), "out": str(out), "steps": 6, **changes})


def flat(config):
    """A configuration as earlier versions stored it: without sections."""
    values = {key: value for keys in config.sections().values() for key, value in keys.items()}
    return values | {"data": values.pop("faces")}


def write_toml(path, settings):
    """A configuration file that says what a ``TrainConfig`` says."""
    lines = []
    for section, keys in settings.sections().items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    path.write_text("\n".join(lines))
    return path


def column(out, name="loss"):
    """A column of a run's log.csv by step."""
    with open(pathlib.Path(out) / "log.csv") as file:
        return {int(row["step"]): float(row[name]) for row in csv.DictReader(file)}
