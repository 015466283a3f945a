"""What happens to a face before the codec sees it. Crops, scaling, grey and JPEG are Pillow's."""

import dataclasses
import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Generator, Tensor

from ..format.geometry import SIDE
from .sections import DataConfig


@dataclasses.dataclass
class Plan:
    """The random numbers of a whole batch.

    index int64 [N]: which face; flipped, grey bool [N]; aligned bool [N]: on the template, others are crops from
    anywhere; place float [N, 3] in 0..1: scale, top and left of those; moved bool [N]: shift float [N, 2] pixels and
    zoom float [N] apply to an aligned one; jpeg int64 [N]: quality that it was compressed with before, or 0.
    """

    index: Tensor
    flipped: Tensor
    aligned: Tensor
    grey: Tensor
    place: Tensor
    shift: Tensor
    zoom: Tensor
    moved: Tensor
    jpeg: Tensor

    @classmethod
    def draw(cls, weights: Tensor, data: DataConfig, generator: Generator) -> "Plan":
        """Which faces, and where they are cropped; none of them moved or compressed. weights float [faces]: relative
        frequencies."""
        count = data.batch
        return cls(
            index=torch.multinomial(weights, count, replacement=True, generator=generator),
            flipped=torch.rand(count, generator=generator) < 0.5,
            aligned=torch.rand(count, generator=generator) >= data.generic,
            grey=torch.rand(count, generator=generator) < data.grey,
            place=torch.rand(count, 3, generator=generator),
            shift=torch.zeros(count, 2),
            zoom=torch.ones(count),
            moved=torch.zeros(count, dtype=torch.bool),
            jpeg=torch.zeros(count, dtype=torch.int64),
        )

    def draw_changes(self, data: DataConfig, generator: Generator) -> None:
        """Which are moved and compressed; apart, so that all else of a batch is drawn alike with and without these."""
        count = data.batch
        self.shift = (torch.rand(count, 2, generator=generator) * 2 - 1) * data.jitter
        self.zoom = 1 + (torch.rand(count, generator=generator) * 2 - 1) * data.jitter_scale
        self.moved = (torch.rand(count, generator=generator) < data.jitter_share) & bool(
            data.jitter or data.jitter_scale
        )
        quality = torch.randint(data.jpeg_lowest, 96, (count,), generator=generator)
        self.jpeg = torch.where(torch.rand(count, generator=generator) < data.jpeg, quality, 0)

    @property
    def plain(self) -> Tensor:
        """Aligned and otherwise untouched, flips aside: bool [N]."""
        return self.aligned & ~self.grey & ~self.moved & (self.jpeg == 0)


def render(face: NDArray[np.uint8], plan: Plan, i: int) -> NDArray[np.uint8]:
    """Face i of the plan: uint8 [S, S, 3], the template in its middle -> uint8 [112, 112, 3]."""
    margin = (len(face) - SIDE) // 2
    if plan.plain[i]:
        out = face[margin : margin + SIDE, margin : margin + SIDE]
    else:
        image = Image.fromarray(face).resize((SIDE, SIDE), Image.Resampling.BICUBIC, box(len(face), margin, plan, i))
        if plan.grey[i]:
            image = image.convert("L").convert("RGB")
        if plan.jpeg[i]:
            image = compressed(image, int(plan.jpeg[i]))
        out = np.asarray(image)
    return out[:, ::-1] if plan.flipped[i] else out


def box(side: int, margin: int, plan: Plan, i: int) -> tuple[float, float, float, float]:
    """The part of a face that becomes the crop: (left, top, right, bottom) in pixels, never beyond its edges."""
    if not plan.aligned[i]:
        scale, y, x = plan.place[i].tolist()
        span = int(side * (0.5 + 0.5 * scale))
        top, left = int((side - span) * y), int((side - span) * x)
        return left, top, left + span, top + span
    if not plan.moved[i]:
        return margin, margin, margin + SIDE, margin + SIDE
    size = min(SIDE * float(plan.zoom[i]), side)
    y, x = (min(max((side - size) / 2 + shift, 0), side - size) for shift in plan.shift[i].tolist())
    return x, y, x + size, y + size


def compressed(image: Image.Image, quality: int) -> Image.Image:
    """A picture as it comes back from a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")
