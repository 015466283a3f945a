"""The search of efforts 1 to 3: every step lowers the loss, and its estimates are what is measured."""

import dataclasses

import numpy as np
import pytest
import torch

from lfic.encoder import search
from lfic.encoder.draft import files, first_drafts
from lfic.network import exact


@pytest.mark.parametrize("effort", [1, 3])
def test_an_effort_analyses_each_face_once(recognizing_codec, face, effort, monkeypatch):
    """What the first draft knows of a face serves the search; the recogniser and the synthesis look again, the analysis
    does not."""
    seen, whole = [], exact.analyze
    monkeypatch.setattr(exact, "analyze", lambda *inputs: (seen.append(len(inputs[2])), whole(*inputs))[1])
    hook = recognizing_codec.model.net.analysis.register_forward_pre_hook(
        lambda module, inputs: seen.append(len(inputs[0]))
    )
    try:
        recognizing_codec.encode_batch([face, face[:, ::-1].copy()], quality=30, effort=effort, aligned=True)
    finally:
        hook.remove()
    assert sum(seen) == 2


@pytest.mark.parametrize("effort", [1, 2, 3])
@pytest.mark.parametrize("with_recognizer", [False, True])
def test_effort_lowers_the_loss(codec, recognizing_codec, face, effort, with_recognizer):
    used = recognizing_codec if with_recognizer else codec
    model = used.model.of(True)
    start = first_drafts(model, [face], 60, True)
    before = search.Candidate(model, start[0], face).losses([(start[0].levels, start[0].symbols)])[0]
    drafts, after = search.improve(model, start, [face], effort)
    assert after[0] <= before
    again = search.Candidate(model, drafts[0], face).losses([(drafts[0].levels, drafts[0].symbols)])[0]
    assert again == pytest.approx(after[0], rel=1e-5)
    assert after[0] < before  # gradient steps always give something
    data = files(model, drafts, True)[0]
    assert np.asarray(used.decode(data)).shape == face.shape


def test_level_search_goes_step_by_step_to_a_smaller_loss(codec, face):
    """From far too coarse a map: every round changes regions by one level, and J falls by more than the margin."""
    pooled = np.full((4, 4), 2, np.uint8)
    model = codec.model.of(True)
    draft = first_drafts(model, [face], 60, True, torch.from_numpy(pooled)[None])[0]
    candidate = search.Candidate(model, draft, face)
    maps, losses = [pooled], candidate.losses([(pooled, draft.symbols)])
    np.testing.assert_array_equal(search.improve_levels(candidate, 0)[0], pooled)
    for rounds in (1, 2, 3):
        levels, symbols = search.improve_levels(candidate, rounds)
        np.testing.assert_array_equal(symbols, candidate.symbols(levels))
        assert np.abs(levels.astype(int) - maps[-1]).max() == 1
        losses += candidate.losses([(levels, symbols)])
        assert losses[-1] < losses[-2] - search.MARGIN
        maps.append(levels)
    found = search.promising(candidate, maps[-1], candidate.symbols(maps[-1]))
    assert len(found) == sum(1 if level in (0, 2) else 2 for level in maps[-1].flat) == len(set(found))
    assert all(abs(int(maps[-1][region]) - level) == 1 for region, level in found)


def test_symbol_gradient_is_the_derivative(codec, face):
    """Finite differences of D in single symbols, at a mixed level map.

    A whole step is far for some of them, so that the steepest sixteen have a say each.
    """
    levels = np.arange(16, dtype=np.uint8).reshape(4, 4) % 3
    model = codec.model.of(True)
    draft = first_drafts(model, [face], 80, True, torch.from_numpy(levels)[None])[0]
    candidate = search.Candidate(model, draft, face)
    _, gradient = candidate.gradient(levels, draft.symbols)
    slope = search.symbol_gradient(candidate, levels, len(draft.symbols), gradient)

    def distortion(k, move):
        symbols = draft.symbols.copy()
        symbols[k] += move
        with torch.no_grad():
            pixels = model.net.synthesize(
                candidate.features(levels, symbols), candidate.maps([levels]), candidate.q, candidate.a, 112, 112
            )
            return float(candidate.distortion(pixels))

    steepest = np.argsort(-np.abs(slope))[:16]
    found = np.array([(distortion(k, 1) - distortion(k, -1)) / 2 for k in steepest])
    assert (np.sign(found) == np.sign(slope[steepest])).all()
    assert np.median(np.abs(found / slope[steepest] - 1)) < 0.2
    assert np.corrcoef(found, slope[steepest])[0, 1] > 0.95


def test_the_search_weighs_distortion_as_training_did(codec, face):
    """beta has a factor of its own on the template."""
    objective = dataclasses.replace(codec.model.objective, crop_beta=2.0)
    model = dataclasses.replace(codec.model, objective=objective)
    on, off = (first_drafts(model, [face], 40, aligned)[0] for aligned in (True, False))
    betas = [search.Candidate(model, draft, face).beta for draft in (on, off)]
    assert betas[0] == 2 * betas[1] == 2 * codec.model.objective.beta(40, False)
