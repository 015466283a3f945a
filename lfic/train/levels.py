"""What the head that chooses region levels learns from: the cost of every level in a region, measured, all other
regions as they are.

A face is coded with each of the three levels in one region that is drawn at random, and with the head's first choice in
the others; bits + beta * distortion of the whole face are the costs c. With the head's probabilities p there,

    sum p c - temperature * entropy(p)

is made small: the mean cost, and a choice that matters little stays open. Its minimum is softmax(-mean c /
temperature).

Earlier ways pooled too much: a straight-through gradient (Jang et al. 2017) compares levels by a derivative at the
level that was drawn; costs of one level everywhere had to share out identity, which belongs to the face as a whole,
among its regions; and the cross entropy against softmax(-c / temperature) counts how often a level is the cheapest, not
by how much.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..format.geometry import LEVELS
from ..metric.pixel import mse, texture
from ..network.net import CodecNet

TEMPERATURE = 0.005  # in units of the loss's scale


@torch.no_grad()
def region_costs(
    net: CodecNet,
    y: Tensor,
    levels: Tensor,
    region: Tensor,
    pixels: Tensor,
    quality: Tensor,
    aligned: Tensor,
    weight: Tensor,
    beta: Tensor,
    pixel_weight: Tensor,
    texture_weight: float = 0.0,
    identity: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Bits + beta * distortion of a face with each level in one of its regions: float [N, 3].

    Args:
        net: ``CodecNet``.
        y: features float [N, C, h, w] of pixels float [N, 3, H, W] in 0..1.
        levels: uint8 [N, hr, wr], of all regions. region: int64 [N] in 0..hr*wr-1, the one whose level changes.
        quality int64 [N], aligned bool [N]: as for ``CodecNet``.
        weight: pixel weights float [N, 1, H, W].
        beta, pixel_weight: float [N]. texture_weight: a number.
        identity: (reconstructions of 3 N faces, level by level) -> weighted identity distances float [3 N], or None.
    """

    def each(x: Tensor) -> Tensor:
        return x.repeat(LEVELS, *[1] * (x.ndim - 1))

    here = torch.zeros_like(levels, dtype=torch.bool).flatten(1).scatter_(1, region[:, None], True).view_as(levels)
    tried = torch.cat([torch.where(here, level, levels) for level in range(LEVELS)])
    quality, aligned, pixels, weight = each(quality), each(aligned), each(pixels), each(weight)
    features, cells, bits = net.coded(each(y), tried, quality, aligned)
    shown = net.synthesis(features, cells, quality, aligned, *pixels.shape[-2:]).float().clamp(0, 1)
    distortion = mse(shown, pixels, weight)
    if texture_weight:
        distortion = distortion + texture_weight * texture(shown, pixels, weight)
    distortion = each(pixel_weight) * distortion
    if identity is not None:
        distortion = distortion + identity(shown)
    costs: Tensor = bits.sum((1, 2)) + each(beta) * distortion
    return costs.view(LEVELS, -1).T


def level_loss(logits: Tensor, region: Tensor, costs: Tensor, scale: Tensor) -> Tensor:
    """Mean cost above the cheapest level's, less the temperature times the entropy, in a region: float [N], in units of
    ``scale``.

    logits float [N, 3, hr, wr]; region, costs as in ``region_costs``; scale float [N]: what the codec's loss is divided
    by.
    """
    there = torch.log_softmax(logits.flatten(2).gather(2, region[:, None, None].expand(-1, LEVELS, 1))[:, :, 0], 1)
    excess = (costs - costs.amin(1, keepdim=True)) / scale[:, None]
    return (there.exp() * (excess + TEMPERATURE * there)).sum(1)
