"""The bound for machines alone: the recogniser's own template, an embedding, rounded to 1, 2 or 4 bits a dimension.

A template is smaller than any picture of equal accuracy. It serves one recogniser, shows nobody a face, and can't be
judged by another network. So its figures stand beside the codecs' tables, not in them.
"""

import numpy as np
from numpy.typing import NDArray

from .data import Faces
from .points import Embeddings
from .tables import Row
from .verification import bootstrap_accuracy, bootstrap_weights, interval, pair_scores, verify

# Thresholds and levels of the least squared error for normal numbers of variance 1 (Max, IRE Trans. IT-6, 1960): of
# 1 and 2 bits exact; of 4 bits the best ones in equal steps.
LEVELS = {
    1: (np.array([0.0]), np.array([-0.7979, 0.7979])),
    2: (np.array([-0.9816, 0.0, 0.9816]), np.array([-1.5104, -0.4528, 0.4528, 1.5104])),
    4: (0.3352 * np.arange(-7, 8), 0.3352 * (np.arange(16) - 7.5)),
}


def rounded(embeddings: NDArray[np.floating], bits: int) -> NDArray[np.float64]:
    """Unit embeddings float [N, D] as they are kept in ``bits`` a dimension -> unit vectors float64 [N, D].

    Each dimension of a unit vector has a variance of some 1 / D, so no scale needs to be kept.
    """
    thresholds, levels = LEVELS[bits]
    values = levels[np.searchsorted(thresholds, embeddings * embeddings.shape[1] ** 0.5)]
    out: NDArray[np.float64] = values / np.linalg.norm(values, axis=1, keepdims=True)
    return out


def template_rows(reference: Embeddings, faces: Faces, replicates: int = 200) -> list[Row]:
    """Accuracy of every judge's own templates at 1, 2 and 4 bits a dimension, and of its plain embeddings (32 bits).

    Rows recognizer, bits, bytes, accuracy, low and high of a 95 % interval, standard_error, eer; none without pairs.
    """
    if not len(faces.pairs):
        return []
    rows = []
    weights = bootstrap_weights(faces.same, faces.folds, max(1, replicates))
    for name, embeddings in reference.items():
        for bits in (*LEVELS, 32):
            vectors = embeddings if bits == 32 else rounded(embeddings, bits)
            scores = pair_scores(vectors, vectors, faces.pairs)
            result = verify(scores, faces.same, faces.folds)
            low, high = interval(bootstrap_accuracy(scores, faces.same, faces.folds, weights))
            rows.append(
                {"recognizer": name, "bits": bits, "bytes": embeddings.shape[1] * bits / 8, "accuracy": result.accuracy}
                | {"low": low, "high": high, "standard_error": result.standard_error, "eer": result.eer}
            )
    return rows
