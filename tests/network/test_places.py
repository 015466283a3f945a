"""The floats' ratio of bits with and without places against the coder's integers."""

import numpy as np
import pytest
import torch

from lfic.encoder.draft import first_drafts


@pytest.mark.parametrize("quality, bound", [(5, 0.04), (40, 0.02), (70, 0.01), (95, 0.01)])
@pytest.mark.parametrize("level", [None, 0, 1, 2])
def test_the_ratio_is_the_coders(codec, face, quality, bound, level):
    faces = [face, face[:, ::-1], np.roll(face, 40, 1), face // 2]
    levels = None if level is None else torch.full((4, 4, 4), level, dtype=torch.uint8)
    model = codec.model.of(True).judge
    drafts = first_drafts(model, faces, quality, True, levels)
    context, maps = model.context, torch.from_numpy(np.stack([d.levels for d in drafts]))
    with model.computing():
        y, q = torch.cat([d.features for d in drafts]), torch.full((4,), quality)
        placed, free = model.places.bits(y, maps, q).numpy()
    expected = [
        [context.cost(d.symbols, d.levels, 14, 14, quality, way).sum() for d in drafts] for way in (True, False)
    ]
    ratio, exact = placed / free, np.divide(*expected)
    if level == 0:  # only cells are looked at that have few neighbors: it may leave a face in doubt, and hides no doubt
        assert (ratio > 0.97 * exact).all() and (ratio < 1.4 * exact).all()
    else:
        np.testing.assert_allclose(ratio, exact, rtol=bound if level is None else 4 * bound)
    if level is None:
        np.testing.assert_allclose(placed, expected[0], rtol=0.03)
