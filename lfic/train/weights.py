"""What the terms of the loss count, as a function of the quality."""

import dataclasses

import torch
from torch import Tensor

from ..format.quality import exponential
from .sections import LossConfig


def beta(quality: Tensor, loss: LossConfig) -> Tensor:
    """Weight of the distortion against one bit, float [N]: exponential in the quality, int64 [N]."""
    return exponential(loss.beta_low, loss.beta_high, quality.float())


def pixel_weights(quality: Tensor, loss: LossConfig) -> Tensor:
    """Weight of the pixel term beside identity, float [N]: exponential in the quality, int64 [N]."""
    if not loss.pixel_weight:
        return torch.zeros_like(quality, dtype=torch.float32)
    return exponential(loss.pixel_weight, loss.pixel_weight_high or loss.pixel_weight, quality.float())


def loss_scale(beta: Tensor, loss: LossConfig) -> Tensor:
    """What a face's loss is divided by, float [N]. Rates differ by a factor of 20 between the ends of the qualities:
    this keeps their gradients comparable."""
    return 600 * (beta / loss.beta_low) ** 0.4


@dataclasses.dataclass
class Weights:
    """What the terms of each face count: beta, scale, pixel float [N]; map float [N, 1, 112, 112] (or a shape that
    broadcasts to its pixels), of its pixels."""

    beta: Tensor
    scale: Tensor
    pixel: Tensor
    map: Tensor
