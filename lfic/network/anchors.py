"""What depends on the quality and is learnt: values at equally spaced anchors, linear in between."""

import torch
from torch import Tensor, nn

from ..format.geometry import QUALITIES


class Anchors(nn.Module):
    """The interpolation alone: it holds no parameters and nothing of a checkpoint.

    Args:
        count: anchors between quality 1 and 100, both included, at least 2.
    """

    lower: Tensor
    fraction: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        grid = torch.linspace(0, count - 1, QUALITIES, dtype=torch.float32)
        lower = grid.floor().clamp(max=count - 2)
        self.register_buffer("lower", lower.long(), persistent=False)
        self.register_buffer("fraction", grid - lower, persistent=False)

    def at(self, values: Tensor, quality: Tensor) -> Tensor:
        """values float [anchors, ...], quality int64 [N] in 1..100 -> float [N, ...]."""
        return self._mix(values, self.lower[quality - 1], self.fraction[quality - 1])

    def table(self, values: Tensor) -> Tensor:
        """values float [anchors, ...] -> float [100, ...], index quality - 1."""
        return self._mix(values, self.lower, self.fraction)

    @staticmethod
    def _mix(values: Tensor, lower: Tensor, fraction: Tensor) -> Tensor:
        share = fraction.to(values.dtype).view(-1, *[1] * (values.ndim - 1))
        return torch.lerp(values[lower], values[lower + 1], share)
