"""Validation on packs of pictures, as template crops and as pictures: people that a run sees, and others.

Each pack of ``validation_sets`` gives two sets of rows in validation-sets.csv, "NAME crops" and "NAME pictures";
"synthetic" are pictures without a face. The same numbers place the pictures of every pack, so that packs can be
compared. Similarity is that of the run's ``validation_recognizer``.
"""

import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..data.picturepack import PicturePack
from ..metric.identity import Recognizer, identity_distance
from ..network.net import CodecNet
from .cut import photo
from .picture_loss import on_template
from .pictures import Landmarks, PictureBatch, Pixels, stacked
from .sections import RunConfig
from .state import Trainer
from .synthetic import flat, gradient, text
from .validate import QUALITIES, aligned_faces, append_rows, code, save_sheet, validate

TOGETHER = 8  # pictures of one size
SHEET = 160  # side of the pictures on sheets of samples
SHOWN = 4  # of them
PLACES_SEED, SHEET_SEED = 7, 3


def batch_of(pictures: Sequence[tuple[Pixels, Landmarks | None]]) -> PictureBatch:
    """Pictures of one size as a batch; its qualities and levels are empty."""
    return stacked(pictures, torch.zeros(0), torch.zeros(0))


def held_out_pictures(pack: PicturePack, sides: Sequence[int]) -> list[PictureBatch]:
    """Every picture of a pack once, ``TOGETHER`` at a time of one random size."""
    out, rng = [], np.random.default_rng(PLACES_SEED)
    for start in range(0, len(pack), TOGETHER):
        height, width = (int(side) for side in rng.choice(sides, 2))
        some = range(start, min(start + TOGETHER, len(pack)))
        out.append(batch_of([photo(pack, i, height, width, np.random.default_rng([PLACES_SEED, i])) for i in some]))
    return out


def synthetic_pictures(count: int = 12, side: int = 128) -> list[PictureBatch]:
    """Flat colours, gradients and text in turns, as one batch."""
    kinds = (flat, gradient, text)
    drawn = [kinds[i % 3](side, side, np.random.default_rng([PLACES_SEED, i])) for i in range(count)]
    return [batch_of([(pixels, None) for pixels in drawn])]


@torch.no_grad()
def validate_pictures(
    net: CodecNet, batches: Sequence[PictureBatch], judge: Recognizer | None = None
) -> list[dict[str, Any]]:
    """Rows of quality, bytes a picture (estimated), psnr in dB and, with a recogniser, the mean cosine of the faces."""
    rows, device = [], next(net.parameters()).device
    for quality in QUALITIES:
        size: list[float] = []
        error: list[float] = []
        similarity: list[float] = []
        for batch in (batch.to(device) for batch in batches):
            shown, bits = code(net, batch.pixels, quality, aligned=False)
            size += (bits / 8).tolist()
            shown, some = shown.clamp(0, 1), batch.visible
            error += (shown - batch.pixels).square().mean((1, 2, 3)).tolist()
            if judge is not None and some.any():
                shown, original = (on_template(x[some], batch.matrix[some]) for x in (shown, batch.pixels))
                similarity += (1 - identity_distance(judge(shown), judge(original))).tolist()
        row: dict[str, Any] = {"quality": quality, "bytes": round(sum(size) / len(size), 2)}
        row["psnr"] = round(-10 * math.log10(sum(error) / len(error) + 1e-9), 3)
        row["similarity"] = round(sum(similarity) / len(similarity), 5) if similarity else ""
        rows.append(row)
    return rows


class PictureWatch:
    """The validation sets of a run; sides: of the pictures, as in a step."""

    def __init__(self, trainer: Trainer, run: RunConfig, sides: Sequence[int], judge: Recognizer | None):
        self.trainer, self.run, self.judge, device = trainer, run, judge, trainer.world.device
        packs = {pathlib.Path(path).stem: PicturePack(path) for path in run.validation_sets}
        self.crops = {name: aligned_faces(pack, len(pack)).to(device) for name, pack in packs.items()}
        self.pictures = {f"{name} pictures": held_out_pictures(pack, sides) for name, pack in packs.items()}
        self.pictures["synthetic"] = synthetic_pictures()
        first = next(iter(packs.values()))
        generators = [np.random.default_rng([SHEET_SEED, i]) for i in range(min(SHOWN, len(first)))]
        shown = batch_of([photo(first, i, SHEET, SHEET, rng) for i, rng in enumerate(generators)])
        self.sheet = shown.to(device).pixels
        if trainer.step == 0:
            self.write()

    def look(self) -> None:
        """After a step."""
        trainer = self.trainer
        if trainer.step % self.run.validate_every == 0:
            self.write()
        if trainer.step % self.run.sample_every == 0:
            path = trainer.out / "samples" / f"{trainer.step:07d}-pictures.png"
            save_sheet(path, trainer.averaged_net(), self.sheet, aligned=False)

    def write(self) -> None:
        """Rows of all sets for the averaged network."""
        net, rows = self.trainer.averaged_net(), []
        for name, faces in self.crops.items():
            rows += [{"set": f"{name} crops", **row} for row in validate(net, faces, self.judge)]
        for name, pictures in self.pictures.items():
            rows += [{"set": name, **row} for row in validate_pictures(net, pictures, self.judge)]
        append_rows(self.trainer.out / "validation-sets.csv", self.trainer.step, rows)
