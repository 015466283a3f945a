"""Low-frequency chroma: greenish and reddish patches, which a squared error in RGB hardly sees and people do.

    low_chroma(x, x') = mean(Cb(p(x - x'))**2 + Cr(p(x - x'))**2) / 2,   p the mean over 8 x 8 pixels,   range 0..1

of pictures float [N, 3, H, W], RGB in 0..1; Cb and Cr as in JPEG (ITU-R BT.601, full range).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from .pixel import check_pair

SQUARE = 8
CB_CR = ((-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def low_chroma(pixels: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of Cb and Cr of the 8 x 8 averages: float [N] in 0..1. The last squares may be partial."""
    check_pair(pixels, target)
    error = F.avg_pool2d(pixels - target, SQUARE, ceil_mode=True, count_include_pad=False)
    red, green, blue = error.unbind(1)
    # Numbers, and no tensor of them: one made on a GPU could not be captured by a graph.
    chroma = torch.stack([r * red + g * green + b * blue for r, g, b in CB_CR], 1)
    return chroma.square().mean((1, 2, 3))
