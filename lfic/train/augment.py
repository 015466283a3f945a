"""What happens to a face before the codec sees it. Crops, scaling, grey and JPEG are Pillow's."""

import dataclasses
import io

import numpy as np
import torch
from PIL import Image

from ..format.geometry import SIDE


@dataclasses.dataclass
class Plan:
    """The random numbers of a whole batch.

    index int64 [N]: which face; flipped, grey bool [N]; aligned bool [N]: on the template, others are crops from
    anywhere; place float [N, 3] in 0..1: scale, top and left of those; moved bool [N]: shift float [N, 2] pixels and
    zoom float [N] apply to an aligned one; jpeg int64 [N]: quality that it was compressed with before, or 0.
    """

    index: torch.Tensor
    flipped: torch.Tensor
    aligned: torch.Tensor
    grey: torch.Tensor
    place: torch.Tensor
    shift: torch.Tensor = None
    zoom: torch.Tensor = None
    moved: torch.Tensor = None
    jpeg: torch.Tensor = None

    @classmethod
    def draw(cls, weights, config, generator):
        """weights float [faces]: relative frequencies."""
        count = config.batch
        return cls(
            torch.multinomial(weights, count, replacement=True, generator=generator),
            torch.rand(count, generator=generator) < 0.5,
            torch.rand(count, generator=generator) >= config.generic,
            torch.rand(count, generator=generator) < config.grey,
            torch.rand(count, 3, generator=generator),
        )

    def draw_more(self, config, generator):
        """The later fields; apart, so that a run without them draws what runs before they existed drew."""
        count = config.batch
        self.shift = (torch.rand(count, 2, generator=generator) * 2 - 1) * config.jitter
        self.zoom = 1 + (torch.rand(count, generator=generator) * 2 - 1) * config.jitter_scale
        self.moved = (torch.rand(count, generator=generator) < config.jitter_share) & bool(
            config.jitter or config.jitter_scale
        )
        quality = torch.randint(config.jpeg_lowest, 96, (count,), generator=generator)
        self.jpeg = torch.where(torch.rand(count, generator=generator) < config.jpeg, quality, 0)

    @property
    def plain(self):
        """Aligned and otherwise untouched, flips aside: bool [N]."""
        return self.aligned & ~self.grey & ~self.moved & (self.jpeg == 0)


def render(face, plan, i):
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


def box(side, margin, plan, i):
    """The part of a face that becomes the crop: (left, top, right, bottom) in pixels, never beyond its edges."""
    if not plan.aligned[i]:
        scale, y, x = plan.place[i].tolist()
        span = int(side * (0.5 + 0.5 * scale))
        top, left = int((side - span) * y), int((side - span) * x)
        return left, top, left + span, top + span
    if not plan.moved[i]:
        return margin, margin, margin + SIDE, margin + SIDE
    span = min(SIDE * float(plan.zoom[i]), side)
    y, x = (min(max((side - span) / 2 + shift, 0), side - span) for shift in plan.shift[i].tolist())
    return x, y, x + span, y + span


def compressed(image, quality):
    """A picture as it comes back from a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")
