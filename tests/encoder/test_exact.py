"""Encoding without effort is integers: what Python's chain makes is what csrc/network makes by itself."""

import numpy as np
import pytest
import torch

from lfic.encoder.draft import first_drafts
from lfic.network.exact import kept_cells


@pytest.mark.parametrize("height,width,aligned", [(112, 112, True), (112, 112, False), (50, 83, False)])
@pytest.mark.parametrize("quality", [5, 60, 100])
def test_drafts_are_the_engines(codec, photo, height, width, aligned, quality):
    image = photo(height, width)
    (draft,) = first_drafts(codec.model, [image], quality, aligned)
    ((symbols, levels),) = codec.model.of(aligned).integers.encode([(image, quality, aligned)])
    np.testing.assert_array_equal(draft.levels, levels)
    np.testing.assert_array_equal(draft.symbols, symbols)


def test_files_do_not_depend_on_threads(codec, photo):
    images = [photo(112, 112), photo(64, 90)] * 3
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = codec.encode_batch(images, quality=40)
        torch.set_num_threads(2)
        assert codec.encode_batch(images, quality=40) == one
    finally:
        torch.set_num_threads(threads)
    assert one == [codec.encode(image, quality=40) for image in images]


def test_units_are_powers_of_two(codec):
    """Then float features times float gains are integers times the engine's gains, to the last bit."""
    model = codec.model
    assert torch.equal(model.unit, torch.exp2(model.unit.log2().round()))
    net_gain = model.net.gain
    assert (model.gain / net_gain - 1).abs().max() < 1e-5


def test_kept_cells_are_counted():
    levels = np.array([[[0, 1], [2, 0]], [[0, 0], [0, 0]]], np.uint8)
    assert kept_cells(levels, 6, 7).tolist() == [16 + 4 + 1 + 6, 42]
