"""What the head that chooses region levels learns from: the cost of every level in every region, measured.

A face is coded three times, with one level everywhere. Bits, squared error and texture fall to regions as they are; of the identity term,
which the face has as a whole, each region bears its share of the pixel weight. The head's probabilities are then drawn towards

    softmax(-cost / temperature)

so that a choice that matters little stays open. A straight-through gradient (Jang et al. 2017) compares levels by a derivative at the level
that was drawn; measured against the best choice it pooled too much.
"""
import torch

from ..metric.pixel import texture_map
from ..rap import REGION, region_totals
from ..transform import LEVELS, STRIDE

TEMPERATURE = 0.01  # of the softmax, in units of the loss's scale


@torch.no_grad()
def region_costs(net, y, pixels, quality, aligned, weight, beta, pixel_weight, texture_weight=0.0, identity=None):
    """Bits + beta * distortion of each level in each region: float [N, 3, hr, wr].

    Args:
        net: ``FaceNet``.
        y: features float [N, C, h, w] of pixels float [N, 3, H, W] in 0..1.
        quality int64 [N], aligned bool [N]: as for ``FaceNet``.
        weight: pixel weights float [N, 1, H, W].
        beta, pixel_weight: float [N]. texture_weight: a number.
        identity: (reconstructions of N faces) -> weighted identity distances float [N], or None.
    """
    costs = []
    spread = region_totals(weight, REGION * STRIDE)[:, 0]
    spread = spread / spread.sum((1, 2), keepdim=True)
    for level in range(LEVELS):
        levels = torch.full((len(y), -(-y.shape[2] // REGION), -(-y.shape[3] // REGION)), level, dtype=torch.uint8, device=y.device)
        features, cells, bits = net.coded(y, levels, quality, aligned)
        shown = net.synthesis(features, cells, quality, aligned, *pixels.shape[-2:]).float().clamp(0, 1)
        error = (shown - pixels).square()
        if texture_weight:
            error = error + texture_weight * texture_map(shown, pixels)
        error = region_totals((weight * error).mean(1, keepdim=True), REGION * STRIDE)[:, 0] / pixels[0, 0].numel()
        distortion = pixel_weight[:, None, None] * error
        if identity is not None:
            distortion = distortion + identity(shown)[:, None, None] * spread
        costs.append(region_totals(bits[:, None])[:, 0] + beta[:, None, None] * distortion)
    return torch.stack(costs, 1)


def level_loss(logits, costs, scale):
    """Cross entropy of the head's probabilities against those of the costs, averaged over regions: float [N].

    logits, costs float [N, 3, hr, wr]; scale float [N]: what the codec's loss is divided by.
    """
    wanted = torch.softmax(-costs / (TEMPERATURE * scale)[:, None, None, None], 1)
    return -(wanted * torch.log_softmax(logits, 1)).sum(1).mean((1, 2))
