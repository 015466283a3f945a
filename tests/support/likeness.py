"""How like two pictures are, and a stand-in for who judges that."""

import numpy as np
import torch


def psnr(a, b):
    """dB over all values."""
    return 10 * np.log10(255**2 / ((np.asarray(a, np.float64) - b) ** 2).mean())


class Thumbnail(torch.nn.Module):
    """Stands in for a recogniser where only the search is tested: a face's embedding is its 14 x 14 thumbnail."""

    def forward(self, pixels):
        small = torch.nn.functional.avg_pool2d(pixels, 8).flatten(1)
        return small - small.mean(1, keepdim=True)
