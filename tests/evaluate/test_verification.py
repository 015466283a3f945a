"""Verification figures against definitions written out, against scikit-learn, and under ties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfic import InvalidInputError
from lfic.evaluate import verification as V


def sample(count=400, folds=5, gap=1.0, seed=0, decimals=None):
    generator = np.random.default_rng(seed)
    same = np.arange(count) % 2 == 0
    scores = generator.normal(0, 0.3, count) + gap * same
    return scores if decimals is None else np.round(scores, decimals), same, np.arange(count) * folds // count


def slow_fold_accuracies(scores, same, folds):
    """The protocol, word for word."""
    out = []
    for fold in np.unique(folds):
        train, test = (folds != fold, folds == fold)
        levels = np.unique(scores)
        cuts = np.concatenate([[levels[0] - 1], (levels[1:] + levels[:-1]) / 2, [levels[-1] + 1]])
        right = np.array([((scores[train] > cut) == same[train]).sum() for cut in cuts])
        best = np.flatnonzero(right == right.max())
        cut = cuts[best[(len(best) - 1) // 2]]
        out.append(((scores[test] > cut) == same[test]).mean())
    return np.array(out)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 2), st.sampled_from([None, 1, 2]))
def test_accuracy_follows_the_protocol(seed, gap, decimals):
    scores, same, folds = sample(120, 4, gap, seed, decimals)
    np.testing.assert_allclose(V.fold_accuracies(scores, same, folds), slow_fold_accuracies(scores, same, folds))


def test_the_threshold_never_sees_its_own_fold():
    scores, same, folds = sample(100, 2, 1.0)
    shifted = scores + 10.0 * (folds == 1)  # each fold is perfectly separable, but not by the other's threshold
    assert V.fold_accuracies(np.where(same, 1.0, 0.0) + 10.0 * (folds == 1), same, folds).mean() == 0.5
    assert V.fold_accuracies(shifted, same, folds).mean() < 0.6


def test_weighted_replicate_equals_repeated_pairs():
    scores, same, folds = sample(80, 4, 0.5)
    weights = V.bootstrap_weights(same, folds, 6, seed=4)
    assert (weights.sum(1) == 80).all()
    for kind in (False, True):
        assert (weights[:, same == kind].sum(1) == 40).all()
    tars = V.bootstrap_tar(scores, same, weights, 0.1)
    for w, fast, tar in zip(weights, V.bootstrap_accuracy(scores, same, folds, weights), tars):
        index = np.repeat(np.arange(80), w.astype(int))
        assert fast == pytest.approx(slow_fold_accuracies(scores[index], same[index], folds[index]).mean())
        assert tar == pytest.approx(V.tar_at_far(scores[index], same[index], 0.1))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([None, 1]))
def test_roc_matches_scikit_learn(seed, decimals):
    from sklearn.metrics import roc_curve

    scores, same, _ = sample(150, 1, 0.4, seed, decimals)
    far, tar, thresholds = V.roc(scores, same)
    expected_far, expected_tar, expected_thresholds = roc_curve(same, scores, drop_intermediate=False)
    np.testing.assert_allclose(far, expected_far)
    np.testing.assert_allclose(tar, expected_tar)
    np.testing.assert_allclose(thresholds, expected_thresholds)
    for rate in (0.02, 0.1, 0.5):
        assert V.tar_at_far(scores, same, rate) == pytest.approx(tar[far <= rate].max())


def test_tar_needs_enough_impostors_and_ties_are_rejected():
    scores, same, _ = sample(400)
    assert V.tar_at_far(scores, same, 1e-3) is None  # 200 impostors can't show one in a thousand
    assert V.tar_at_far(scores, same, 1 / 200) is not None
    assert V.tar_at_far(np.array([0.5, 0.5, 0.5, 0.5]), np.array([True, True, False, False]), 0.5) == 0.0
    assert V.tar_at_far(np.array([0.9, 0.8, 0.1, 0.2]), np.array([True, True, False, False]), 0.5) == 1.0


def test_eer():
    assert V.eer(np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, True, False, False])) == 0
    assert V.eer(np.array([0.1, 0.2, 0.8, 0.9]), np.array([True, True, False, False])) == 1
    scores, same, _ = sample(20000, gap=0.6, seed=1)
    assert V.eer(scores, same) == pytest.approx(0.1587, abs=0.01)  # two normals, 2 sigma apart: Phi(-1)


def test_gallery_and_both():
    left, right = np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32)[::-1].copy()
    pairs = np.array([[0, 0], [0, 3], [1, 2]])
    np.testing.assert_array_equal(V.pair_scores(left, left, pairs), [1, 0, 0])
    np.testing.assert_array_equal(V.pair_scores(left, right, pairs), [0, 1, 1])


def test_all_pairs_counts_every_pair_once():
    people = ["a", "a", "b", "c"]
    embeddings = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    assert V.all_pairs_tar(embeddings, embeddings, people, (0.2, 0.1)) == {
        0.2: 1.0,
        0.1: None,
    }  # b and c are confused: 1 of 5


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(1, 8))
def test_all_pairs_against_the_definition(seed, count, people):
    generator = np.random.default_rng(seed)
    names = [f"p{k}" for k in generator.integers(0, people, count)]
    left, right = (np.round(generator.normal(size=(count, 3)), 1).astype(np.float32) for _ in range(2))  # rounded: ties
    i, j = np.triu_indices(count, 1)
    scores, same = (left @ right.T)[i, j], np.array([names[a] == names[b] for a, b in zip(i, j)])
    if not same.any():
        return
    fars = (0.5, 0.1, 0.02, 1.0)
    assert V.all_pairs_tar(left, right, names, fars) == {
        far: V.tar_at_far(scores, same, far) if (~same).any() else None for far in fars
    }


def test_interval_covers():
    assert V.interval(np.arange(1001)) == pytest.approx((25, 975))
    assert np.isnan(V.interval([1.0, np.nan])).all()


@pytest.mark.parametrize(
    ("scores", "same", "text"),
    [
        ([0.1, np.nan], [True, False], "1 of 2 scores"),
        ([0.1, 0.2], [True, True], "2 genuine pairs among 2"),
        ([0.1], [True, False], "one \\[P\\]"),
    ],
)
def test_bad_input(scores, same, text):
    with pytest.raises(InvalidInputError, match=text):
        V.verify(np.array(scores), np.array(same), np.zeros(len(same), int))
