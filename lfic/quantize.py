"""Gain units: one set of weights, every rate (after Cui et al. 2021, asymmetric gained autoencoders).

A coefficient of channel c in a region of level l at quality q is multiplied by gain[q, l, c] before it is rounded and
divided by it afterwards. Gains are interpolated exponentially over the quality.
"""
import torch
from torch import nn

from .transform import LEVELS

QUALITIES = 100


class Gains(nn.Module):
    """Log-gains at anchors of the quality; ``table()`` gives gain float [100, 3, C]."""

    def __init__(self, channels, anchors=12, lowest=0.35, highest=6.0):
        super().__init__()
        ramp = torch.linspace(0, 1, anchors)[:, None, None]
        start = torch.log(torch.tensor(lowest)) * (1 - ramp) + torch.log(torch.tensor(highest)) * ramp
        # A mean over 4 cells stands for 4 cells: at equal error per pixel its step may be half as large.
        level = torch.arange(LEVELS)[None, :, None] * torch.log(torch.tensor(2.0)) * 0.8
        self.log_gain = nn.Parameter((start + level).repeat(1, 1, channels).contiguous())
        grid = torch.linspace(0, anchors - 1, QUALITIES)
        lower = grid.floor().clamp(max=anchors - 2)
        self.register_buffer("lower", lower.long(), persistent=False)
        self.register_buffer("fraction", (grid - lower)[:, None, None], persistent=False)

    def table(self):
        """Gain float [100, 3, C], index quality - 1."""
        return torch.lerp(self.log_gain[self.lower], self.log_gain[self.lower + 1], self.fraction).exp()
