"""Recognisers that judge: the same bits in any batch."""

import numpy as np
import pytest
import torch
from evaluate_faces import TinyRecognizer, crops, write_recognizer

from lfic.errors import InvalidInputError
from lfic.evaluate.judges import load_judge


def test_embeddings_do_not_depend_on_their_batch(world):
    net, (pixels, _) = load_judge(world[3]), crops(6, 3)
    together = net.embed(pixels)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    order = np.random.default_rng(0).permutation(len(pixels))
    np.testing.assert_array_equal(net.embed(pixels[order]), together[order])
    np.testing.assert_array_equal(net.embed(pixels[3:4])[0], together[3])


def test_a_network_that_cannot_be_optimised_runs_as_it_is(tmp_path):
    """28 is no multiple of 8: the pooling has no optimised form and fails when it runs, not when it is loaded."""
    pixels, _ = crops(2, 1)
    found = load_judge(write_recognizer(tmp_path / "odd.pt", pooled=8)).embed(pixels)
    with torch.inference_mode():
        expected = TinyRecognizer(pooled=8).eval()(torch.from_numpy(pixels).permute(0, 3, 1, 2).float())
    np.testing.assert_allclose(found, torch.nn.functional.normalize(expected).numpy(), atol=1e-5)


class Pair(torch.nn.Module):
    """Gives a tuple."""

    def forward(self, x: torch.Tensor):
        return x.mean((2, 3)), x.mean((2, 3))


class Wide(torch.nn.Module):
    """Takes pictures of 160 x 160."""

    def forward(self, x: torch.Tensor):
        return x.reshape(-1, 3 * 160 * 160)[:, :8]


@pytest.mark.parametrize("network, text", [(Pair(), "gives a tuple"), (Wide(), r"\[16, 3, 112, 112\].*shape")])
def test_what_is_no_recognizer_is_named(tmp_path, network, text):
    torch.jit.trace(network, torch.zeros(2, 3, 160, 160)).save(tmp_path / "other.pt")
    with pytest.raises(InvalidInputError, match=rf"other\.pt.*{text}"):
        load_judge(tmp_path / "other.pt")
