"""The entropy model as it is trained: a small causal network that becomes integers when it is exported.

For each kept cell the network sees four decoded neighbours (W, N, NW, NE), the region's level, the quality and, on
aligned faces, the place; then, group of channels by group, what is already decoded in the cell itself. It gives each
channel a mean and a scale. csrc/coder/context_model.cpp evaluates the exported integers; nothing there is a float.

Fixed-point contract (normalised float here <-> integer there):

    context value  v:   16 units to 1.0, clamped to +-127          hidden activations: 32 units to 1.0, 0..255
    mean:              128 units to 1.0, clamped to +-2047          scale: 64 units to one octave (16 to a table step)
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..format.geometry import ALIGNED_GRID, LEVELS, REGION
from .anchors import Anchors

SCALES = 40  # scale levels, SCALE_STEPS to an octave
SCALE_STEPS = 4
SCALE_MIN = 0.07  # smallest scale, in symbols
V_UNIT, H_UNIT = 16.0, 32.0
V_MAX, H_MAX = 127 / V_UNIT, 255 / H_UNIT
MEAN_UNIT, MEAN_MAX = 128.0, 2047 / 128.0
W_BITS, W_LIMIT = 9, 2047
SH1, SH2, SH3 = W_BITS - 1, W_BITS, W_BITS - 2
M_SHIFT = 12
LOGISTIC = math.sqrt(3) / math.pi  # scale of a logistic of unit deviation


def round_through(x: Tensor) -> Tensor:
    """Round half to even; the gradient passes as if nothing had happened."""
    return x + (x.round() - x).detach()


def neighbor_indexes(levels: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Cells at which each cell finds its decoded neighbours.

    levels int64 [N, h, w] per cell. Returns (index int64 [N, 4, h*w] into h*w + 1 cells of which the last is all zeros,
    availability int64 [N, h*w] in 0..15 with bits W, N, NW, NE, representative int64 [N, h*w]).
    """
    size = 1 << levels
    rows = torch.arange(height, device=levels.device)[:, None].expand(height, width)
    columns = torch.arange(width, device=levels.device)[None, :].expand(height, width)
    y, x = rows - rows % size, columns - columns % size
    absent = height * width
    west, north = x > 0, y > 0
    east = north & (x + size < width) & ((y % REGION == 0) | (x % REGION + size < REGION))
    index = torch.stack(
        [
            torch.where(west, y * width + x - 1, absent),
            torch.where(north, (y - 1) * width + x, absent),
            torch.where(west & north, (y - 1) * width + x - 1, absent),
            torch.where(east, (y - 1) * width + x + size, absent),
        ],
        1,
    )
    available = west.long() + 2 * north.long() + 4 * (west & north).long() + 8 * east.long()
    return index.flatten(2), available.flatten(1), (y * width + x).flatten(1)


def rows_of(table: Tensor, index: Tensor, product: bool) -> Tensor:
    """``table[index]`` [n, K]; ``product``: as one with one-hot rows, since a GPU takes long to add up the gradient of
    few rows that many want."""
    return F.one_hot(index, len(table)).to(table.dtype) @ table if product else table[index]


class EntropyModel(nn.Module):
    """Mean and scale of every symbol from what the decoder already has; see the module's docstring."""

    def __init__(
        self, channels: int = 96, groups: int = 6, hidden1: int = 128, hidden2: int = 64, anchors: int = 16
    ) -> None:
        super().__init__()
        self.channels, self.groups, self.hidden1, self.hidden2 = channels, groups, hidden1, hidden2
        per_group = channels // groups
        self.value_scale = nn.Parameter(torch.zeros(channels))  # log of context value per feature unit
        self.w1 = nn.Parameter(torch.randn(hidden1, 4 * channels) * (0.5 / math.sqrt(channels)))
        self.b_level = nn.Parameter(torch.zeros(LEVELS, hidden1))
        self.b_quality = nn.Parameter(torch.zeros(anchors, hidden1))
        self.b_available = nn.Parameter(torch.zeros(16, hidden1))
        self.b_position = nn.Parameter(torch.randn(1 + ALIGNED_GRID**2, hidden1) * 0.3)
        self.w2 = nn.ParameterList(
            [
                torch.randn(hidden2, hidden1 + g * per_group) * (1.0 / math.sqrt(hidden1 + g * per_group))
                for g in range(groups)
            ]
        )
        self.b2 = nn.Parameter(torch.full((groups, hidden2), 0.5))
        self.w3 = nn.Parameter(torch.randn(groups, 2 * per_group, hidden2) * (0.1 / math.sqrt(hidden2)))
        self.b3 = nn.Parameter(torch.zeros(groups, 2 * per_group))
        self.anchors = Anchors(anchors)
        self.everywhere: bool | None = (
            None  # whether all cells are computed, and not the kept ones alone; None: on a GPU
        )
        self.integers = False  # True: weights, activations and outputs are rounded as in the exported model

    def _weight(self, weight: Tensor, bits: int) -> Tensor:
        if not self.integers:
            return weight
        unit = float(1 << bits)
        return round_through((weight * unit).clamp(-W_LIMIT, W_LIMIT)) / unit

    def _hidden(self, x: Tensor) -> Tensor:
        x = x.clamp(0, H_MAX)
        return round_through(x * H_UNIT) / H_UNIT if self.integers else x

    def values(self, dequantized: Tensor) -> Tensor:
        """Context values (normalised, clamped) of dequantised features [..., C]."""
        v = (dequantized * self.value_scale.exp()).clamp(-V_MAX, V_MAX)
        return round_through(v * V_UNIT) / V_UNIT if self.integers else v

    def quality_bias(self) -> Tensor:
        """Float [100, H1]."""
        return self.anchors.table(self.b_quality)

    def forward(
        self, dequantized: Tensor, step: Tensor, levels: Tensor, quality: Tensor, aligned: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean and log2-scale, both in symbols, of every channel at every cell of the dense grid.

        dequantized float [N, C, h, w] (hard-rounded), step float [N, C, h, w] (feature units per symbol), levels int64
        [N, h, w], quality int64 [N], aligned bool [N]. Cells of one pooled footprint get the same answer.
        """
        count, channels, height, width = dequantized.shape
        v = self.values(dequantized.permute(0, 2, 3, 1).reshape(count, height * width, channels))
        padded = F.pad(v, (0, 0, 0, 1)).flatten(0, 1)
        index, available, representative = neighbor_indexes(levels, height, width)
        # Only the kept cells are computed: the others repeat what their footprint's first one has. A GPU would have to
        # be waited for to know which those are; it computes all, to the same effect.
        everywhere = levels.is_cuda if self.everywhere is None else self.everywhere
        cells = torch.arange(height * width, device=levels.device)
        kept = (representative == cells).flatten()
        at = torch.arange(len(kept), device=levels.device) if everywhere else kept.nonzero()[:, 0]
        face = at // (height * width)
        neighbors = index.transpose(1, 2).reshape(-1, 4)[at] + (face * (height * width + 1))[:, None]
        gathered = padded.index_select(0, neighbors.flatten()).reshape(len(at), -1)
        v = v.flatten(0, 1).index_select(0, at)
        place = (
            torch.where(aligned[:, None], representative + 1, 0)
            if height * width == ALIGNED_GRID**2
            else representative * 0
        )
        bias = (
            rows_of(self.b_level, levels.flatten()[at], everywhere)
            + self.quality_bias()[quality - 1].index_select(0, face)
            + rows_of(self.b_available, available.flatten()[at], everywhere)
            + rows_of(self.b_position, place.flatten()[at], everywhere)
        )
        h1 = self._hidden(F.linear(gathered, self._weight(self.w1, W_BITS)) + bias)
        per_group = channels // self.groups
        means, scales = [], []
        for g in range(self.groups):
            x = torch.cat([h1, v[..., : g * per_group]], -1)
            # The integers of the columns that read v carry one more bit, as v has 16 units to 1.0 and h1 has 32.
            weight = torch.cat(
                [
                    self._weight(self.w2[g][:, : self.hidden1], W_BITS),
                    self._weight(self.w2[g][:, self.hidden1 :], W_BITS + 1),
                ],
                1,
            )
            h2 = self._hidden(F.linear(x, weight, self.b2[g]))
            mean_rows = self._weight(self.w3[g, :per_group], SH3 + 2)
            scale_rows = self._weight(self.w3[g, per_group:], SH3 + 1)
            out = F.linear(h2, torch.cat([mean_rows, scale_rows]), self.b3[g])
            means.append(out[..., :per_group])
            scales.append(out[..., per_group:])
        mean = torch.cat(means, -1).clamp(-MEAN_MAX, MEAN_MAX)
        scale = torch.cat(scales, -1)
        if self.integers:
            mean = round_through(mean * MEAN_UNIT) / MEAN_UNIT
            scale = round_through(scale * 64) / 64
        if not everywhere:
            owner = (kept.cumsum(0) - 1)[
                representative + height * width * torch.arange(count, device=levels.device)[:, None]
            ].flatten()
            mean, scale = mean.index_select(0, owner), scale.index_select(0, owner)
        mean, scale = (x.reshape(count, -1, channels).transpose(1, 2).reshape(dequantized.shape) for x in (mean, scale))
        log_value = (step.log() + self.value_scale[None, :, None, None]) / math.log(2)  # log2(context value per symbol)
        mean = mean * torch.exp2(-log_value)
        log_scale = scale - log_value
        if self.integers:
            mean = round_through(mean * 8) / 8
            level = round_through(((log_scale - math.log2(SCALE_MIN)) * SCALE_STEPS).clamp(0, SCALES - 1))
            log_scale = level / SCALE_STEPS + math.log2(SCALE_MIN)
        return mean, log_scale

    @staticmethod
    def bits(symbols: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
        """Bits of symbols (rounded, or with uniform noise in training) under a logistic integrated over one step."""
        low = math.log2(SCALE_MIN)
        # A leaky clamp, so that a scale that left the tables' range finds back.
        clamped = log_scale + (log_scale.clamp(low, low + (SCALES - 1) / SCALE_STEPS) - log_scale) * 0.99
        inverse = torch.exp2(-clamped) / LOGISTIC
        distance = (symbols - mean).abs()
        upper, lower = (0.5 - distance) * inverse, (-0.5 - distance) * inverse
        probability = torch.sigmoid(upper) - torch.sigmoid(lower)
        # Far out the difference of sigmoids vanishes in float32: continue linearly in the log domain.
        tail = upper + torch.log1p(-torch.exp(-inverse))
        log_p = torch.where(probability > 1e-6, probability.clamp(min=1e-7).log(), tail.clamp(max=-13.0))
        return -log_p / math.log(2)

    @torch.no_grad()
    def restore(self, arrays: Mapping[str, Any]) -> None:
        """Take the weights back from what ``export`` gave (W2 a list), to the integers' precision; then compute as the
        integers do."""
        per_group, columns = self.channels // self.groups, self.hidden1

        def floats(name: str, unit: float) -> Tensor:
            return torch.from_numpy(np.asarray(arrays[name], np.float64)) / unit

        self.w1.copy_(floats("W1", 1 << W_BITS))
        for parameter, name in ((self.b_level, "B_level"), (self.b_available, "B_avail"), (self.b_position, "B_pos")):
            parameter.copy_(floats(name, V_UNIT * (1 << W_BITS)))
        # 100 interpolated biases determine the anchors.
        interpolation = self.anchors.table(torch.eye(len(self.b_quality), dtype=torch.float64))
        self.b_quality.copy_(torch.linalg.lstsq(interpolation, floats("B_quality", V_UNIT * (1 << W_BITS)))[0])
        for parameter, integers in zip(self.w2, arrays["W2"]):
            parameter.copy_(torch.from_numpy(np.asarray(integers, np.float64)) / (1 << W_BITS))
            parameter[:, columns:] /= 2
        self.b2.copy_(floats("b2", H_UNIT * (1 << W_BITS)))
        self.w3.copy_(floats("W3", 1 << (SH3 + 1)))
        self.b3.copy_(floats("b3", H_UNIT * (1 << (SH3 + 1))))
        self.w3[:, :per_group] /= 2
        self.b3[:, :per_group] /= 2
        self.integers = True

    @torch.no_grad()
    def export(self, gain: Tensor) -> dict[str, Any]:
        """Integers for lfic.coder.ContextModel; gain float [100, 3, C]. Tables are not part of it."""
        per_group = self.channels // self.groups

        def integers(x: Tensor, unit: float, dtype: DTypeLike, limit: int) -> NDArray[Any]:
            return np.clip(np.rint(x.double().cpu().numpy() * unit), -limit, limit).astype(dtype)

        log_value = (self.value_scale - gain.log()) / math.log(2)
        w2 = []
        for g in range(self.groups):
            weight = self.w2[g].clone()
            weight[:, self.hidden1 :] *= 2
            w2.append(integers(weight, 1 << W_BITS, np.int16, W_LIMIT))
        w3, b3 = self.w3.clone(), self.b3.clone()
        w3[:, :per_group] *= 2
        b3[:, :per_group] *= 2
        return {
            "W1": integers(self.w1, 1 << W_BITS, np.int16, W_LIMIT),
            "B_level": integers(self.b_level, V_UNIT * (1 << W_BITS), np.int32, 2**27),
            "B_quality": integers(self.quality_bias(), V_UNIT * (1 << W_BITS), np.int32, 2**27),
            "B_avail": integers(self.b_available, V_UNIT * (1 << W_BITS), np.int32, 2**27),
            "B_pos": integers(self.b_position, V_UNIT * (1 << W_BITS), np.int32, 2**27),
            "W2": w2,
            "b2": integers(self.b2, H_UNIT * (1 << W_BITS), np.int32, 2**27),
            "W3": integers(w3, 1 << (SH3 + 1), np.int16, W_LIMIT),
            "b3": integers(b3, H_UNIT * (1 << (SH3 + 1)), np.int32, 2**27),
            "sh1": SH1,
            "sh2": SH2,
            "sh3": SH3,
            "vstep": integers(torch.exp2(log_value), 256 * V_UNIT, np.int16, 32767),
            "mgain": integers(torch.exp2(-log_value), (1 << M_SHIFT) * 8 / MEAN_UNIT, np.int32, 2**15),
            "mshift": M_SHIFT,
            "sbias": integers(-log_value - math.log2(SCALE_MIN), 16 * SCALE_STEPS, np.int32, 2**15),
        }
