"""A small classifier, trained from .lfic tar shards: nothing is unpacked, batches are decoded in the loop.

    python examples/train_classifier.py [SHARDS [TEST_SHARDS]]

SHARDS are tars whose records have a "label", an integer, as lfic transcode writes them from a folder of labelled faces
or from InsightFace's records. Without any it makes its own from the picture that comes with lfic: which of four ways is
the face turned?
"""

import pathlib
import sys
import tempfile

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

import lfic
from lfic.data import FaceDataset, FaceStream, Record, open_sink
from lfic.demo import ASTRONAUT

EPOCHS, BATCH = 2, 32


def make_shards(path: pathlib.Path, count: int, seed: int) -> None:
    """The shipped face, shifted, darkened and turned by 0 to 3 quarters: its label."""
    face = np.array(Image.open(ASTRONAUT).convert("RGB"))
    chance = np.random.default_rng(seed)
    labels = chance.integers(0, 4, count)
    pixels = []
    for label in labels:
        moved = np.roll(face, chance.integers(-12, 13, 2), (0, 1)) * chance.uniform(0.5, 1)
        pixels.append(np.ascontiguousarray(np.rot90(moved.astype(np.uint8), label)))
    with open_sink(path, shard_bytes=4096) as sink:
        for i, data in enumerate(lfic.load_codec().encode_batch(pixels, quality=10, aligned=False)):
            sink.write(Record(f"{i:05}", ".lfic", data, {"label": int(labels[i])}))


def network(classes: int) -> nn.Module:
    """112 x 112 pixels to classes."""
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(nn.AvgPool2d(2), *layers, nn.Flatten(), nn.LazyLinear(classes))


def scaled(image: torch.Tensor) -> torch.Tensor:
    return image.float() / 127.5 - 1


def accuracy(net: nn.Module, path: str) -> float:
    """Of a test set, which is small enough to be read by number."""
    net.eval()
    right = total = 0
    with torch.inference_mode():
        for batch in DataLoader(FaceDataset(path, transform=scaled), BATCH):
            right += int((net(batch["image"]).argmax(1) == batch["label"]).sum())
            total += len(batch["label"])
    net.train()
    return right / total


def main(train: str, test: str, classes: int) -> None:
    torch.manual_seed(0)
    net = network(classes)
    stream = FaceStream(train, shuffle=256, transform=scaled)
    loader = DataLoader(stream, BATCH)
    net(next(iter(loader))["image"])  # the last layer takes its size
    optimizer = torch.optim.AdamW(net.parameters(), 2e-3)
    for epoch in range(EPOCHS):
        losses = []
        for batch in loader:
            loss = nn.functional.cross_entropy(net(batch["image"]), batch["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(
            f"epoch {epoch + 1}: loss {np.mean(losses):.3f}, right {100 * accuracy(net, test):.0f} % of the test faces"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        labels = {record.meta["label"] for record in lfic.data.open_source(sys.argv[1])}
        main(sys.argv[1], sys.argv[-1], max(labels) + 1)
    else:
        with tempfile.TemporaryDirectory() as folder:
            make_shards(pathlib.Path(folder) / "train.tar", 192, 1)
            make_shards(pathlib.Path(folder) / "test.tar", 64, 2)
            main(f"{folder}/train.tar", f"{folder}/test.tar", 4)
