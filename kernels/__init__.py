"""RAP kernels: regionally adaptive pooling with fused quantisation, and its inverse; usable by themselves.

>>> import torch
>>> from lfic.kernels import rap_quantize, rap_unpool
>>> y = torch.randn(1, 16, 14, 14)
>>> levels = torch.zeros(1, 4, 4, dtype=torch.uint8)
>>> gain = torch.full((100, 3, 16), 2.0)
>>> quality = torch.tensor([39])
>>> symbols, counts = rap_quantize(y, levels, gain, quality)
>>> features = rap_unpool(symbols, levels, 1 / gain, quality, 14, 14)
>>> features.shape
torch.Size([1, 16, 14, 14])
"""

if __name__ != "lfic.kernels":
    raise ImportError(f"these kernels are imported as lfic.kernels, not as {__name__}: install the package first")

try:
    from .ops import rap_offsets, rap_quantize, rap_quantize_dense, rap_unpool
except ModuleNotFoundError as error:
    if error.name not in ("torch", "triton"):
        raise
    raise ImportError(
        f"the kernels need {error.name}, which is not installed: pip install 'lfic[torch]'", name=error.name
    ) from None

__all__ = ["rap_offsets", "rap_quantize", "rap_quantize_dense", "rap_unpool"]
