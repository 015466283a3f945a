"""Gain units: one set of weights, every rate (after Cui et al. 2021, asymmetric gained autoencoders).

A coefficient of channel c in a region of level l at quality q is multiplied by gain[q, l, c] before it is rounded and
divided by it afterwards. Gains are interpolated exponentially over the quality.
"""

import torch
from torch import Tensor, nn

from ..format.geometry import LEVELS
from .anchors import Anchors


class Gains(nn.Module):
    """Log-gains at anchors of the quality; ``table()`` gives gain float [100, 3, C]."""

    def __init__(self, channels: int, anchors: int = 12, lowest: float = 0.35, highest: float = 6.0) -> None:
        super().__init__()
        ramp = torch.linspace(0, 1, anchors)[:, None, None]
        start = torch.log(torch.tensor(lowest)) * (1 - ramp) + torch.log(torch.tensor(highest)) * ramp
        # A mean over 4 cells stands for 4 cells: at equal error per pixel its step may be half as large.
        level = torch.arange(LEVELS)[None, :, None] * torch.log(torch.tensor(2.0)) * 0.8
        self.log_gain = nn.Parameter((start + level).repeat(1, 1, channels).contiguous())
        self.anchors = Anchors(anchors)

    def table(self) -> Tensor:
        """Gain float [100, 3, C], index quality - 1."""
        return self.anchors.table(self.log_gain).exp()
