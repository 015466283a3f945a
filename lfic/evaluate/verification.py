"""Face verification after LFW's protocol: scores of pairs -> accuracy over folds, ROC, TAR@FAR, EER, and their spread.

The protocol is "restricted, View 2" of Huang et al., "Labeled Faces in the Wild", 2007: the threshold of each fold is
the one that is best on the other folds, and the standard error is that of the folds' mean. Scores are cosine
similarities, float [P]; a pair is accepted when its score is at least the threshold.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInputError

FARS = (1e-2, 1e-3, 1e-4)
Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]
Integers = NDArray[np.integer]


@dataclasses.dataclass(frozen=True)
class Verification:
    """What one codec does to one recogniser. Fractions in 0..1; ``tar`` maps a FAR to the TAR there, or to None where
    there are too few impostors to measure it (fewer than 1 / FAR)."""

    accuracy: float
    standard_error: float
    eer: float
    tar: dict[float, float | None]
    pairs: int


def pair_scores(left: Floats, right: Floats, pairs: Integers) -> NDArray[np.float64]:
    """Cosine similarity of unit embeddings: left [N, D] of first images, right [N, D] of second ones -> float64 [P].

    Both compressed: give the same array twice. One compressed against an uncompressed gallery: give two.
    """
    scores: NDArray[np.float64] = np.einsum(
        "pd,pd->p", left[pairs[:, 0]].astype(np.float64), right[pairs[:, 1]].astype(np.float64)
    )
    return scores


def verify(scores: Floats, same: Bools, folds: Integers, fars: Sequence[float] = FARS) -> Verification:
    """All figures of a set of pairs -> Verification. scores float [P], same bool [P], folds int [P]."""
    check(scores, same, folds)
    accuracies = fold_accuracies(scores, same, folds)
    error = accuracies.std(ddof=1) / np.sqrt(len(accuracies)) if len(accuracies) > 1 else float("nan")
    return Verification(
        float(accuracies.mean()),
        float(error),
        eer(scores, same),
        {far: tar_at_far(scores, same, far) for far in fars},
        len(scores),
    )


def check(scores: Floats, same: Bools, folds: Integers | None = None) -> None:
    """Raises InvalidInputError where scores are not finite, a kind of pair is missing, or the shapes differ."""
    scores, same = np.asarray(scores), np.asarray(same)
    of_folds = scores.shape if folds is None else np.shape(folds)
    if scores.ndim != 1 or not scores.shape == same.shape == of_folds:
        raise InvalidInputError(
            f"scores have shape {scores.shape}, same {same.shape}, folds {of_folds}; needed is one [P] for all"
        )
    if not np.isfinite(scores).all():
        raise InvalidInputError(f"{int((~np.isfinite(scores)).sum())} of {len(scores)} scores are not finite numbers")
    if not same.any() or same.all():
        raise InvalidInputError(f"{int(same.sum())} genuine pairs among {len(same)}; both kinds are needed")


def fold_accuracies(scores: Floats, same: Bools, folds: Integers, weights: Floats | None = None) -> NDArray[np.float64]:
    """Accuracy of every fold at the threshold that is best on the others -> float64 [folds].

    Candidate thresholds lie half-way between neighbouring scores; of several equally good ones the middle one counts.
    One single fold is its own training set.

    Args:
        weights: float [B, P], how often each pair counts in B bootstrap replicates -> float64 [B, folds].
    """
    order = np.argsort(scores, kind="stable")
    scores, same, folds = np.asarray(scores)[order], np.asarray(same)[order], np.asarray(folds)[order]
    flat = weights is None
    weights = np.ones((1, len(scores))) if flat else np.asarray(weights, np.float64)[:, order]
    numbers = np.unique(folds)
    # right[i]: weight of the pairs that are right when the threshold lies below sorted score i (i = P: all rejected).
    signed = np.where(same, -1.0, 1.0) * weights
    cuts = np.flatnonzero(np.concatenate([[True], scores[1:] > scores[:-1], [True]]))  # never between equal scores
    # Scores that a replicate did not draw make no cut of their own: ties are settled as if they were not there.
    drawn = np.diff(correct_at_cuts(weights, np.zeros(len(weights)), cuts), axis=1) > 0
    distinct = np.concatenate([np.ones((len(weights), 1), bool), drawn], 1)
    out = np.empty((len(weights), len(numbers)))
    for k, number in enumerate(numbers):
        test = folds == number
        train = ~test if len(numbers) > 1 else test
        right = correct_at_cuts(signed * train, (weights * (train & same)).sum(1), cuts)
        best = (right >= right.max(1, keepdims=True) - 1e-9) & distinct
        chosen = np.argmax(np.cumsum(best, 1) * 2 >= best.sum(1, keepdims=True), 1)
        measured = correct_at_cuts(signed * test, (weights * (test & same)).sum(1), cuts)
        out[:, k] = measured[np.arange(len(weights)), chosen] / np.maximum((weights * test).sum(1), 1e-9)
    return out[0] if flat else out


def correct_at_cuts(signed: Floats, genuine: Floats, cuts: Integers) -> NDArray[np.float64]:
    """Weight of the pairs that are right at each cut: float64 [B, cuts], for signed weights [B, P] of sorted pairs and
    the genuine ones' sum [B]."""
    total = np.concatenate([np.zeros((len(signed), 1)), np.cumsum(signed, 1)], 1)
    right: NDArray[np.float64] = genuine[:, None] + total[:, cuts]
    return right


def roc(scores: Floats, same: Bools) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """ROC curve -> (FAR, TAR, threshold), float64 [T] each, from the strictest threshold to the most lenient."""
    check(scores, same)
    order = np.argsort(-np.asarray(scores), kind="stable")
    sorted_scores, sorted_same = np.asarray(scores)[order], np.asarray(same)[order]
    last = np.flatnonzero(np.concatenate([sorted_scores[1:] < sorted_scores[:-1], [True]]))
    tar = np.cumsum(sorted_same)[last] / sorted_same.sum()
    far = np.cumsum(~sorted_same)[last] / (~sorted_same).sum()
    return np.concatenate([[0.0], far]), np.concatenate([[0.0], tar]), np.concatenate([[np.inf], sorted_scores[last]])


def tar_at_far(scores: Floats, same: Bools, far: float) -> float | None:
    """Largest TAR whose FAR is at most ``far``; None when fewer than 1 / far impostor pairs exist. No interpolation."""
    scores, same = np.asarray(scores), np.asarray(same, bool)
    impostors = int((~same).sum())
    if impostors * far < 1 - 1e-9:
        return None
    allowed = int(np.floor(impostors * far + 1e-9))
    if allowed >= impostors:
        return 1.0
    threshold = np.partition(scores[~same], impostors - 1 - allowed)[impostors - 1 - allowed]  # must stay rejected
    return float((scores[same] > threshold).mean())


def eer(scores: Floats, same: Bools) -> float:
    """Equal error rate: FAR where it equals 1 - TAR, linear between the ROC's points."""
    far, tar, _ = roc(scores, same)
    gap = far - (1 - tar)
    k = int(np.argmax(gap >= 0))
    if k == 0 or gap[k] == gap[k - 1]:
        return float(far[k])
    t = -gap[k - 1] / (gap[k] - gap[k - 1])
    return float(far[k - 1] + t * (far[k] - far[k - 1]))


def all_pairs_tar(
    left: Floats, right: Floats, people: Sequence[str], fars: Sequence[float] = FARS
) -> dict[float, float | None]:
    """TAR@FAR over every pair of images (i < j), which gives enough impostors for small FARs.

    Args:
        left, right: unit embeddings [N, D] (the same array for "both compressed").
        people: N names; equal ones make a genuine pair.
    """
    identity = np.unique(np.asarray(people), return_inverse=True)[1]
    count = len(identity)
    matrix = np.asarray(left, np.float32) @ np.asarray(right, np.float32).T
    scores = np.concatenate([matrix[i, i + 1 :] for i in range(count - 1)]) if count > 1 else np.zeros(0, np.float32)
    # Genuine pairs are few: their places in the flat upper triangle, rather than a comparison of everybody with
    # everybody.
    order = np.argsort(identity, kind="stable")
    places = []
    for member in np.split(order, np.flatnonzero(np.diff(identity[order])) + 1):
        i, j = (member[index] for index in np.triu_indices(len(member), 1))
        places.append(i * count - i * (i + 1) // 2 + j - i - 1)
    genuine = np.concatenate(places)
    hits = scores[genuine]
    impostors = np.delete(scores, genuine)
    allowed = {far: int(np.floor(len(impostors) * far + 1e-9)) for far in fars if len(impostors) * far >= 1 - 1e-9}
    ranks = {far: len(impostors) - 1 - n for far, n in allowed.items() if n < len(impostors)}
    if ranks:
        impostors.partition(sorted(set(ranks.values())))
    return {
        far: None if far not in allowed else float((hits > impostors[ranks[far]]).mean()) if far in ranks else 1.0
        for far in fars
    }


def bootstrap_weights(
    same: Bools, folds: NDArray[np.integer | np.bool_], replicates: int = 1000, seed: int = 1
) -> NDArray[np.float32]:
    """How often each pair is drawn -> float32 [B, P]: pairs are drawn with replacement within fold and kind.

    Give the same weights to every codec: differences are then paired, and their intervals much tighter.
    """
    generator = np.random.default_rng(seed)
    out = np.zeros((replicates, len(same)), np.float32)
    for fold in np.unique(folds):
        for kind in (False, True):
            member = np.flatnonzero((folds == fold) & (same == kind))
            if len(member):
                out[:, member] = generator.multinomial(
                    len(member), np.full(len(member), 1 / len(member)), size=replicates
                )
    return out


def bootstrap_accuracy(
    scores: Floats, same: Bools, folds: Integers, weights: Floats, chunk: int = 100
) -> NDArray[np.float64]:
    """Mean accuracy over folds in every replicate: float64 [B] for weights [B, P]."""
    return np.concatenate(
        [fold_accuracies(scores, same, folds, weights[i : i + chunk]).mean(1) for i in range(0, len(weights), chunk)]
    )


def bootstrap_tar(scores: Floats, same: Bools, weights: Floats, far: float) -> NDArray[np.float64]:
    """TAR at a FAR in every replicate: float64 [B], nan where there are too few impostors."""
    order = np.argsort(-np.asarray(scores), kind="stable")
    sorted_scores, sorted_same = np.asarray(scores)[order], np.asarray(same)[order]
    w = weights[:, order].astype(np.float64)
    impostors = (w * ~sorted_same).sum(1)
    allowed = np.floor(impostors * far + 1e-9)
    last = np.concatenate([sorted_scores[1:] < sorted_scores[:-1], [True]])
    false_accepts, hits = np.cumsum(w * ~sorted_same, 1), np.cumsum(w * sorted_same, 1)
    ok = (false_accepts <= allowed[:, None]) & last
    out = np.where(ok, hits, 0).max(1) / (w * sorted_same).sum(1)
    return np.where(impostors * far < 1 - 1e-9, np.nan, out)


def interval(samples: Sequence[float] | Floats, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval (low, high) of bootstrap samples; nan samples are left out."""
    finite = np.asarray(samples, np.float64)
    finite = finite[np.isfinite(finite)]
    if len(finite) < 20:
        return float("nan"), float("nan")
    tail = 100 * (1 - level) / 2
    return float(np.percentile(finite, tail)), float(np.percentile(finite, 100 - tail))
