"""Drafts: what the networks say of a face, and what its file will have."""

import dataclasses

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
    payload = len(files(codec.model, [draft], False)[0]) - (3 if aligned else 4)
    estimate = estimate_bits(codec.model.of(aligned), draft) / 8
    assert abs(payload - estimate) <= 0.01 * estimate + 2


def test_a_face_is_on_the_template_where_its_positions_help_and_needs_one_pass_then(codec, face, monkeypatch):
    wall = np.full_like(face, (0, 200, 0))
    faces = [face, np.roll(face, 4, 1), face[::-1].copy(), np.roll(face, 40, 1), face.transpose(1, 0, 2).copy(), wall]
    ways = [codec.encode_batch(faces, quality=60, aligned=way) for way in (True, False)]
    drafts, template = first_drafts(codec.model, faces, 60, True), codec.model.of(True)
    found = []
    for data, draft, *both in zip(codec.encode_batch(faces, quality=60), drafts, *ways, strict=True):
        without = estimate_bits(template, dataclasses.replace(draft, aligned=False))
        found.append(bool(estimate_bits(template, draft) <= choose.clear_share(60) * without))
        assert data == both[0 if found[-1] else 1]
    assert found[:2] == [True, True] and not found[-1] and found.count(False) >= 2
    passes, whole = [], exact.analyze
    monkeypatch.setattr(exact, "analyze", lambda *inputs: (passes.append(inputs[4].tolist()), whole(*inputs))[1])
    assert lfic.probe(codec.encode(face, quality=40)).aligned
    assert choose.best_drafts(codec.model, [face], 40, 0, None)[0].aligned
    assert passes == [[True], [True]]
