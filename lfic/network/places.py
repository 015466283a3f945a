"""What places are worth: the bits of faces with the template's places and without, by the context model in floats.

The ratio of the two says whether a face stands on the template. So that no symbol leaves the device for it, nothing
waits, and little is computed, every other cell of every other row is looked at: all that regions of level 1 keep, and
one of four of level 0, whose ratio comes out up to a third too high (few of a template's regions have that level; a
face is then in doubt). What both ways share is computed once.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..format.geometry import ALIGNED_GRID, LEVELS, REGION
from ..kernels import rap_quantize_dense
from .entropy import H_MAX, LOGISTIC, MEAN_MAX, SCALE_MIN, SCALE_STEPS, SCALES, EntropyModel, neighbor_indexes

LOW = math.log2(SCALE_MIN)
HIGH = LOW + (SCALES - 1) / SCALE_STEPS
ESCAPE = 14.0  # bits from which on symbols are escaped; of 13 to 16 with that the ratio is nearest to the coder's


class Places:
    """The entropy model's weights, laid out for it.

    Args:
        entropy: of a loaded model. gain, step: float32 [100, 3, C].
    """

    def __init__(self, entropy: EntropyModel, gain: Tensor, step: Tensor) -> None:
        self.entropy, self.gain, self.step = entropy, gain, step
        device, groups, hidden = step.device, entropy.groups, entropy.hidden1
        per_group = entropy.channels // groups
        side = torch.arange(0, ALIGNED_GRID, 2, device=device)
        self.at = (side[:, None] * ALIGNED_GRID + side).flatten()  # [49] cells that are looked at
        with torch.no_grad():
            # All groups in one product: what they see of the hidden layer, and of the groups before them.
            self.of_hidden = torch.cat([w[:, :hidden] for w in entropy.w2])  # [G * H2, H1]
            self.of_earlier = torch.cat(
                [F.pad(w[:, hidden:], (0, entropy.channels - g * per_group)) for g, w in enumerate(entropy.w2)]
            )  # [G * H2, C]
            self.bias = entropy.b2.flatten()
            self.out = entropy.w3.transpose(1, 2).contiguous()  # [G, H2, 2 * C / G]
            self.quality_bias = entropy.quality_bias()
            self.log_value = (step.log() + entropy.value_scale) / math.log(2)  # log2(context value per symbol)
            origin = ((side % REGION)[:, None] + side % REGION).flatten() == 0
            counted = torch.tensor([4.0, 1.0, 0.0], dtype=torch.float32, device=device).repeat(len(self.at), 1)
            counted[origin, 2] = 1
            self.counted = counted  # [49, 3] kept cells for which a cell of that level stands

    def bits(self, y: Tensor, levels: Tensor, quality: Tensor) -> Tensor:
        """Features float [N, C, 14, 14], levels uint8 [N, 4, 4], quality int64 [N] -> bits with places and without,
        float [2, N]; level maps are not counted."""
        e, count, cells = self.entropy, len(y), len(self.at)
        features, symbols = rap_quantize_dense(y, levels, self.gain, self.step, quality - 1)
        values = e.values(features.permute(0, 2, 3, 1).flatten(1, 2))  # [N, 196, C]
        of_cell = levels.long().repeat_interleave(REGION, 1).repeat_interleave(REGION, 2)
        of_cell = of_cell[:, :ALIGNED_GRID, :ALIGNED_GRID]
        index, available, _ = neighbor_indexes(of_cell, ALIGNED_GRID, ALIGNED_GRID)
        level, available = of_cell.flatten(1)[:, self.at], available[:, self.at]
        absent = ALIGNED_GRID**2
        rows = index[:, :, self.at].transpose(1, 2) + torch.arange(count, device=y.device)[:, None, None] * (absent + 1)
        seen = F.pad(values, (0, 0, 0, 1)).flatten(0, 1)[rows.flatten()].view(count, cells, -1)  # [N, 49, 4 C]
        shared = F.linear(seen, e.w1) + e.b_level[level] + e.b_available[available]
        shared = shared + self.quality_bias[quality - 1][:, None]
        places = torch.stack([e.b_position[1 + self.at], e.b_position[:1].expand(cells, -1)])
        hidden = (shared + places[:, None]).clamp_(0, H_MAX)  # [2, N, 49, H1]
        earlier = F.linear(values[:, self.at], self.of_earlier, self.bias)
        second = (F.linear(hidden, self.of_hidden) + earlier).clamp_(0, H_MAX).flatten(0, 2)
        grouped = second.view(len(second), e.groups, -1).transpose(0, 1)
        found = torch.baddbmm(e.b3[:, None], grouped, self.out).transpose(0, 1)  # [2 N 49, G, 2 C / G]
        mean, scale = (part.reshape(2, count, cells, e.channels) for part in found.chunk(2, -1))
        log_value = self.log_value[quality[:, None] - 1, level]
        mean = mean.clamp(-MEAN_MAX, MEAN_MAX) * torch.exp2(-log_value)
        inverse = torch.exp2(-(scale - log_value).clamp(LOW, HIGH)) / LOGISTIC
        symbol = symbols.permute(0, 2, 3, 1).flatten(1, 2)[:, self.at]
        bits = logistic_bits((symbol - mean).abs(), inverse).sum(-1)
        counted = (F.one_hot(level, LEVELS) * self.counted).sum(-1)
        return (bits * counted).sum(-1)


def logistic_bits(distance: Tensor, inverse: Tensor) -> Tensor:
    """Bits of symbols so far from their means under logistics of scale 1 / inverse, integrated over one step.

    sigmoid(a) - sigmoid(b) is sigmoid(a) sigmoid(-b) (1 - exp(b - a)), whose logarithm stays exact far out. There the
    coder's tables end, and escapes grow with the logarithm of the distance.
    """
    log_p = F.logsigmoid((0.5 - distance) * inverse) + F.logsigmoid((0.5 + distance) * inverse)
    bits = -(log_p + torch.log(-torch.expm1(-inverse))) / math.log(2)
    return torch.minimum(bits, ESCAPE + torch.log2(1 + (bits - ESCAPE).clamp(min=0)))
