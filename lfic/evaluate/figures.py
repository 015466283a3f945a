"""Figures of a point as rows: bytes, PSNR, similarity and, where there are pairs, verification."""

import numpy as np

from .data import Faces
from .looks import means
from .points import Embeddings, Point
from .tables import Row
from .verification import FARS, all_pairs_tar, bootstrap_tar, bootstrap_weights, pair_scores, verify

REPLICATES = 100  # for the standard errors of TARs


def summarize(point: Point, reference: Embeddings, faces: Faces, all_pairs: bool = True) -> list[Row]:
    """Figures of a point as flat rows, one for each judge and protocol.

    Protocol "both": both images of a pair are compressed; "gallery": the first is, against an uncompressed second;
    "similarity", without pairs: none. ``..._error`` are standard errors: of a mean over faces, and of a TAR where the
    pairs are drawn anew.

    Args:
        reference: of ``points.reference_embeddings``.
        all_pairs: whether to measure TARs over all pairs of faces too, which gives enough impostors for small FARs.
    """
    rows = []
    for name, embeddings in point.embeddings.items():
        row = sizes_and_likeness(point, name, embeddings, reference[name])
        if not len(faces.pairs):
            rows.append({**row, "protocol": "similarity"})
            continue
        for protocol, right in (("both", embeddings), ("gallery", reference[name])):
            verified = verification(pair_scores(embeddings, right, faces.pairs), faces)
            if all_pairs:
                tars = all_pairs_tar(embeddings, right, faces.people, FARS)
                verified |= {f"all_pairs_tar_at_far_{far:g}": tar for far, tar in tars.items()}
            rows.append({**row, "protocol": protocol, **verified})
    return rows


def sizes_and_likeness(point: Point, name: str, embeddings: np.ndarray, original: np.ndarray) -> Row:
    """What needs no pairs."""
    root = max(1, len(point.size)) ** 0.5
    similarity = np.einsum("nd,nd->n", embeddings.astype(np.float64), original.astype(np.float64))
    looks = (
        {} if point.looks is None or not len(point.looks) else {"looks_faces": len(point.looks), **means(point.looks)}
    )
    looks.pop("psnr_db", None)  # the column has that of all faces
    return {
        "codec": point.codec,
        "setting": point.setting,
        "recognizer": name,
        "loss": point.loss,
        "encoder": point.encoder,
        "faces": len(point.size),
        "bytes": point.size.mean(),
        "bytes_without_header": (point.size - point.header).mean(),
        "bytes_median": float(np.median(point.size)),
        "bytes_p95": float(np.percentile(point.size, 95)),
        "psnr_db": point.psnr.mean(),
        "psnr_db_error": point.psnr.std() / root,
        **looks,
        "similarity": similarity.mean(),
        "similarity_error": similarity.std() / root,
        "similarity_p5": float(np.percentile(similarity, 5)),
    }


def verification(scores: np.ndarray, faces: Faces) -> Row:
    """What pairs with those scores, float [P], show."""
    result = verify(scores, faces.same, faces.folds)
    weights = bootstrap_weights(faces.same, faces.folds, REPLICATES)
    errors = {
        far: None if tar is None else bootstrap_tar(scores, faces.same, weights, far).std()
        for far, tar in result.tar.items()
    }
    return {
        "accuracy": result.accuracy,
        "standard_error": result.standard_error,
        "eer": result.eer,
        **{f"tar_at_far_{far:g}": tar for far, tar in result.tar.items()},
        **{f"tar_at_far_{far:g}_error": error for far, error in errors.items()},
    }
