"""The low-frequency chroma term."""

import pytest
import torch

from lfic.metric.chroma import low_chroma


def test_low_chroma_sees_color_and_no_grey():
    target = torch.rand(2, 3, 40, 44)
    assert low_chroma(target + 0.1, target).max() < 1e-9
    red = target + torch.tensor([0.1, 0.0, 0.0])[:, None, None]
    assert low_chroma(red, target).tolist() == pytest.approx([(0.0168736**2 + 0.05**2) / 2] * 2, rel=1e-3)
    stripes = torch.zeros(1, 3, 16, 16)
    stripes[:, 0, :, ::2], stripes[:, 0, :, 1::2] = 0.1, -0.1
    assert low_chroma(stripes, torch.zeros_like(stripes)).item() < 1e-9  # not of low frequency
