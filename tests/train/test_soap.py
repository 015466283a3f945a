"""The optimiser's bases."""

import torch

from lfic.train.soap import Soap


def test_gradients_of_rank_one_with_hardly_a_number_in_them():
    """Features that a run never sees leave such: eigenvectors of their products are found all the same."""
    for seed in range(5):
        torch.manual_seed(seed)
        weight = torch.nn.Parameter(torch.zeros(8, 197))
        weight.grad = torch.zeros(8, 197)
        weight.grad[:, torch.randperm(197)[:16]] = 1e-5 * torch.randn(8, 1) * torch.randn(1, 16)
        optimizer = Soap([weight], lr=0.1)
        optimizer.step()
        state = optimizer.state[weight]
        for side, size in (("left", 8), ("right", 197)):
            torch.testing.assert_close(
                state[f"{side}_basis"].T @ state[f"{side}_basis"], torch.eye(size), rtol=0, atol=1e-4
            )
        assert weight.isfinite().all() and (weight * weight.grad).sum() < 0
