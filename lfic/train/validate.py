"""What a run looks like from outside: figures on faces held out, and sheets of reconstructions."""

import csv
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..data.base import FaceSource
from ..data.sources import template_crops
from ..metric.identity import Recognizer, identity_distance
from ..network.net import CodecNet, TrainingOutput

QUALITIES = (10, 40, 70, 100)


def aligned_faces(faces: FaceSource, count: int) -> Tensor:
    """The first ``count`` faces of the data on the template: float [n, 3, 112, 112] in 0..1."""
    return torch.from_numpy(template_crops(faces, range(min(count, len(faces))))).permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def code(net: CodecNet, pixels: Tensor, quality: int, aligned: bool = True) -> tuple[Tensor, Tensor]:
    """(reconstructions float [N, 3, H, W], bits float [N]) of faces, or of other pictures, at one quality with rounded
    symbols; levels are drawn from the head, seed fixed."""
    torch.manual_seed(0)
    count = len(pixels)
    device = pixels.device
    out: TrainingOutput = net(
        pixels,
        torch.full((count,), quality, device=device),
        torch.full((count,), aligned, device=device),
        hard=True,
    )
    assert out.pixels is not None
    return out.pixels, out.bits


@torch.no_grad()
def validate(
    net: CodecNet, faces: Tensor, recognizer: Recognizer | None = None, batch: int = 16
) -> list[dict[str, Any]]:
    """Rows of quality, bytes (estimated), psnr in dB and, with a recogniser, the mean cosine similarity."""
    rows = []
    for quality in QUALITIES:
        size: list[float] = []
        error: list[float] = []
        similarity: list[float] = []
        for pixels in torch.split(faces, batch):
            shown, bits = code(net, pixels, quality)
            size += (bits / 8).tolist()
            error += (shown - pixels).square().mean((1, 2, 3)).tolist()
            if recognizer is not None:
                similarity += (1 - identity_distance(recognizer(shown), recognizer(pixels))).tolist()
        row: dict[str, Any] = {"quality": quality, "bytes": round(sum(size) / len(size), 2)}
        row["psnr"] = round(-10 * math.log10(sum(error) / len(error) + 1e-9), 3)
        row["similarity"] = round(sum(similarity) / len(similarity), 5) if similarity else ""
        rows.append(row)
    return rows


def append_rows(path: pathlib.Path, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows to a CSV file, with a header where it is new."""
    fresh = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, ["step", *rows[0]])
        if fresh:
            writer.writeheader()
        writer.writerows({"step": step, **row} for row in rows)


def save_sheet(path: pathlib.Path, net: CodecNet, faces: Tensor, aligned: bool = True) -> None:
    """A PNG with a row for each face: the original, then the reconstruction at each of QUALITIES."""
    columns = [faces] + [code(net, faces, quality, aligned)[0] for quality in QUALITIES]
    sheet = torch.stack(columns, 1).permute(0, 3, 1, 4, 2)  # face, row, quality, column, colour
    count, height, wide, width, _ = sheet.shape
    pixels = (sheet.reshape(count * height, wide * width, 3) * 255 + 0.5).clamp(0, 255).to(torch.uint8).cpu().numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    Image.fromarray(pixels).save(fresh, "PNG")
    os.replace(fresh, path)
