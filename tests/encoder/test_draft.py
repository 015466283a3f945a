"""Drafts: what the networks say of a face, and what its file will have."""

import numpy as np
import pytest

import lfic
from lfic.encoder import choose
from lfic.encoder.draft import estimate_bits, files, first_drafts
from lfic.network import exact


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("quality", [1, 20, 40, 70, 100])
def test_real_bytes_are_the_estimated_bytes(codec, face, quality, aligned):
    draft = first_drafts(codec.model, [face], quality, aligned)[0]
    payload = len(files(codec.model, [draft], False)[0]) - 3
    estimate = estimate_bits(codec.model, draft) / 8
    assert abs(payload - estimate) <= 0.01 * estimate + 2


def test_the_cheaper_way_is_found_and_a_face_on_the_template_needs_one_pass(codec, face, monkeypatch):
    faces = [face, face[::-1].copy(), np.roll(face, 40, 1), face.transpose(1, 0, 2).copy()]
    ways = [codec.encode_batch(faces, quality=60, aligned=way) for way in (True, False)]
    for data, sizes in zip(codec.encode_batch(faces, quality=60), zip(*(map(len, way) for way in ways))):
        assert len(data) <= min(sizes) * 1.01 + 2
    assert any(len(free) < len(placed) for placed, free in zip(*ways))  # not all of them are on the template
    passes, whole = [], exact.analyze
    monkeypatch.setattr(exact, "analyze", lambda *inputs: (passes.append(inputs[4].tolist()), whole(*inputs))[1])
    assert lfic.probe(codec.encode(face, quality=40)).aligned
    assert choose.best_drafts(codec.model, [face], 40, 0, None)[0].aligned
    assert passes == [[True], [True]]
