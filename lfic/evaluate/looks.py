"""How decoded pictures look: PSNR, SSIMULACRA2, FLIP, and two detectors of lfic's own kind of fault.

psnr_db              of RGB, in dB, at most 99
ssimulacra2          the package ssimulacra2 (libjxl's metric): 100 identical, 90 hardly told apart, 70 good, 50
                     middling, 30 poor; below 0 beyond that. Its scales need 256 pixels: smaller pictures have
                     fewer, so figures compare at one size only
flip                 the package flip-evaluator (NVIDIA's LDR-FLIP at 67 pixels a degree): 0 identical, 1 the worst
color_error          color.py, over the whole picture; color_error_outside: over hair, clothes, background
pattern_energy       pattern.py; tables have its root, ``grid_pattern``, in levels of 255
"""

import hashlib
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import MissingDependencyError
from .cache import Cache
from .color import color_errors, outside_face
from .data import Faces
from .interface import EvaluatedCodec, Pixels, Setting
from .tables import Row

MEASURES = ("psnr_db", "ssimulacra2", "flip", "color_error", "color_error_outside", "pattern_energy")
BETTER = {"psnr_db": 1, "ssimulacra2": 1, "flip": -1, "color_error": -1, "color_error_outside": -1, "grid_pattern": -1}
VERSION = "1"  # of the measures: kept figures count under it
BUDGETS = (100, 150, 200, 300, 400, 600, 800, 1000, 1500, 2000, 3000)
Looks = NDArray[np.float64]  # [N, len(MEASURES)]


def looks_of(original: Pixels, decoded: Pixels, landmarks: NDArray[np.floating] | None = None) -> Looks:
    """All measures of one decoded picture, uint8 [H, W, 3] both -> float64 [6].

    landmarks: float [5, 2] of its face; None: the picture is a crop on the template.
    """
    from .pattern import pattern_energy

    error = ((decoded.astype(np.float64) - original) ** 2).mean()
    colors = color_errors(original, decoded)
    outside = outside_face(original.shape[0], original.shape[1], landmarks)
    return np.array(
        [
            10 * np.log10(255**2 / max(error, 255**2 / 10**9.9)),
            ssimulacra2(original, decoded),
            flip(original, decoded),
            colors.mean(),
            colors[outside].mean() if outside.any() else np.nan,
            pattern_energy(original, decoded),
        ]
    )


def ssimulacra2(original: Pixels, decoded: Pixels) -> float:
    """SSIMULACRA2 of two pictures; nan below 8 pixels a side."""
    try:
        from ssimulacra2 import compute_ssimulacra2
    except ImportError:
        raise MissingDependencyError(
            'SSIMULACRA2 needs its package: pip install "lfic[eval]", or leave looks out with --looks 0'
        ) from None
    if min(original.shape[:2]) < 8:
        return float("nan")
    return float(compute_ssimulacra2(as_file(original), as_file(decoded)))


def flip(original: Pixels, decoded: Pixels) -> float:
    """Mean FLIP of two pictures."""
    try:
        from flip_evaluator import evaluate
    except ImportError:
        raise MissingDependencyError(
            'FLIP needs the package flip-evaluator: pip install "lfic[eval]", or leave looks out with --looks 0'
        ) from None
    pair = [np.ascontiguousarray(pixels, np.float32) / 255 for pixels in (original, decoded)]
    return float(evaluate(*pair, "LDR", applyMagma=False)[1])


def as_file(pixels: Pixels) -> io.BytesIO:
    """A picture as the file that a package wants."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PPM")
    buffer.seek(0)
    return buffer


def sample(faces: Faces, count: int) -> list[int]:
    """Indices of the faces whose looks are measured: so many, evenly spread."""
    return np.unique(np.linspace(0, len(faces) - 1, min(count, len(faces))).astype(int)).tolist() if count else []


def measure_looks(
    codec: EvaluatedCodec, setting: Setting, faces: Faces, which: Sequence[int], cache: Cache, keys: Sequence[str]
) -> Looks:
    """Looks of some faces by a codec at a setting, whose files the cache has -> float64 [len(which), 6]."""
    found = {}
    for i in which:
        landmarks = faces.landmarks[i] if faces.photos else None
        version = VERSION + ("" if landmarks is None else " " + hashlib.sha256(landmarks.tobytes()).hexdigest()[:16])
        known = cache.looks(codec.key(setting), keys[i], version)
        if known is None or len(known) != len(MEASURES):
            data = cache.data(codec.key(setting), keys[i])
            if data is None:
                data = codec.encode([faces.source(i)], setting)[0]
            known = looks_of(faces.source(i), codec.decode([data])[0], landmarks)
            cache.put_looks(codec.key(setting), keys[i], version, known)
        found[i] = known
    return np.stack([found[i] for i in which])


def means(looks: Looks) -> dict[str, float]:
    """Means over faces [N, 6], as columns of a table; ``grid_pattern`` is the root of the mean energy."""
    out = {}
    for name, column in zip(MEASURES, looks.T):
        finite = column[np.isfinite(column)]
        out[name] = float(finite.mean()) if len(finite) else float("nan")
    out["grid_pattern"] = float(np.sqrt(out.pop("pattern_energy")))
    return out


def looks_at_bytes(rows: Sequence[Row], budgets: Sequence[int] = BUDGETS) -> list[Row]:
    """Looks of every codec at equal bytes, linear in log bytes between its settings: rows codec, bytes and measures.

    Sizes outside the range that a codec was measured at are left out.
    """
    out = []
    for codec in dict.fromkeys(row["codec"] for row in rows if isinstance(row.get("ssimulacra2"), float)):
        settings = {row["setting"]: row for row in rows if row["codec"] == codec}.values()
        points = sorted(settings, key=lambda row: row["bytes"])
        size = np.log([row["bytes"] for row in points])
        for budget in budgets:
            if len(points) > 1 and size[0] <= np.log(budget) <= size[-1]:
                measures = {
                    name: float(np.interp(np.log(budget), size, [row[name] for row in points])) for name in BETTER
                }
                out.append({"codec": codec, "bytes": budget, "faces": points[0]["looks_faces"], **measures})
    return sorted(out, key=lambda row: row["bytes"])
