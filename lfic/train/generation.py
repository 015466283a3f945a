"""A decoded picture is to encode to the symbols that it came from: what generations of files lose otherwise."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..format.geometry import LEVELS
from ..kernels import rap_quantize_dense
from ..network.net import TrainingOutput, shares
from ..network.rap import expand_regions

# Half a symbol is where it rounds to another one. What comes this close counts, so that integers and 8 bits have room.
MARGIN = 0.25


def generation_error(net: nn.Module, out: TrainingOutput, quality: Tensor, aligned: Tensor, count: int) -> Tensor:
    """How far symbols of the first ``count`` reconstructions are from those that made them: float [count].

    The mean over symbols of e ** 2 with e = max(0, |s' - s| - MARGIN), of the symbols s of the file and s', not
    rounded, of what it shows in 8 bits, at the file's region levels. Beyond e = 1/2 it is e - 1/4 (Huber): pages of
    text would count for all else. The gradient reaches the analysis alone.

    Args:
        net: ``CodecNet``, or what wraps one. out: of rounded features, as ``CodecNet.forward`` gives them.
        quality: int64 [N]. aligned: bool [N].
    """
    codec: Any = getattr(net, "module", net)  # what DistributedDataParallel wraps
    q, levels, placed = quality[:count], out.levels[:count], aligned[:count]
    assert out.pixels is not None
    with torch.no_grad():
        shown = (out.pixels[:count].clamp(0, 1) * 255).round() / 255
        gain, step = codec.gain.detach(), codec.step.detach()
        _, symbols = rap_quantize_dense(out.features[:count].detach(), levels, gain, step, q - 1)
    y = codec.analyze(shown, q, placed).float()
    _, again = rap_quantize_dense(y, levels, gain, step, q - 1, torch.zeros_like(y), mixed=True)
    excess = ((again - symbols).abs() - MARGIN).clamp(min=0)
    excess = 2 * F.huber_loss(excess, torch.zeros_like(excess), reduction="none", delta=0.5).mean(1)
    # A pooled cell stands at every cell of its footprint, and counts once.
    cells = F.one_hot(levels.long(), LEVELS).permute(0, 3, 1, 2).to(y.dtype)
    share = shares(expand_regions(cells, *y.shape[-2:]))
    error: Tensor = (excess * share).sum((1, 2)) / share.sum((1, 2))
    return error
