"""The kernels and the coder without the codec: smooth features to bytes and back, coarser where a region says so.

python examples/own_coder.py
"""

import numpy as np
import torch

from lfic import coder
from lfic.kernels import rap_quantize, rap_unpool


def main() -> None:
    torch.manual_seed(0)
    features = torch.nn.functional.interpolate(torch.randn(1, 16, 4, 4), (14, 14), mode="bicubic")
    gain, quality = torch.full((100, 3, 16), 4.0), torch.tensor([39])

    reach = 32
    probabilities = np.exp(-np.abs(np.arange(-reach, reach + 1)) / 3.0)[None]
    tables = coder.Tables.from_probabilities(probabilities / probabilities.sum(), offset=-reach)

    print("level  symbols  bytes  mean squared error")
    for level in (0, 1, 2):
        levels = torch.full((1, 4, 4), level, dtype=torch.uint8)
        symbols, counts = rap_quantize(features, levels, gain, quality)
        kept = symbols[0, : counts[0]].numpy()
        indexes = np.zeros(len(kept), np.int32)
        data = coder.encode(kept, indexes, tables)

        read = torch.zeros_like(symbols)
        read[0, : counts[0]] = torch.from_numpy(coder.decode(data, indexes, tables).astype(np.int16))
        decoded = rap_unpool(read, levels, 1 / gain, quality, 14, 14)
        error = (decoded - features).square().mean().item()
        print(f"{level:5}  {len(kept):7}  {len(data):5}  {error:18.4f}")


if __name__ == "__main__":
    main()
