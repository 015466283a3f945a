"""Region levels by hand, off the template: what coding the face more finely than its surroundings is worth.

    python benchmarks/levels_by_hand.py photos.tar --landmarks landmarks.npz --recognizer net.pt

Draws photos and codes each whole, at its own size, with the levels of the network and with levels that the landmarks
say: one of a region that the face's template touches, another elsewhere. Prints and writes
benchmarks/results/levels-by-hand.csv: mean bytes of a file, similarity of the decoded face as the recognizer sees it,
PSNR of the picture, the share of the regions at each level, and the mean level of the regions that hold eyes, nose and
corners of the mouth, and of the others. Where level 0, 1 or 2 everywhere was measured as well, all other rows say what
they take of bytes, per cent, against the best of these at equal similarity and at equal PSNR; nothing where no such
level reaches that.
"""

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from common import drawn, write_csv
from large_faces import quality
from numpy.typing import NDArray

from lfic.align import template_matrix
from lfic.codec import Codec, load_codec
from lfic.encoder.draft import files, first_drafts
from lfic.errors import LficError
from lfic.evaluate.data import Faces, load_faces
from lfic.evaluate.judges import Judge, load_judge
from lfic.evaluate.tables import Row
from lfic.format.geometry import REGION, SIDE, STRIDE

SPAN = REGION * STRIDE  # pixels of a region's side
STEP = 4  # pixels between the points of a region that are asked whether they lie on the face
Levels = NDArray[np.uint8]
Rule = Callable[[tuple[int, int], NDArray[np.float64]], Levels | None]  # (height, width), template to picture -> levels


def on_face(size: tuple[int, int], matrix: NDArray[np.float64], margin: int) -> NDArray[np.bool_]:
    """Which regions of a picture (height, width) the template touches, less ``margin`` of its pixels on every side:
    bool [rows, columns]."""
    height, width = size
    out = np.zeros((-(-height // SPAN), -(-width // SPAN)), bool)
    y, x = (grid.ravel() for grid in np.mgrid[0:height:STEP, 0:width:STEP])
    u, v = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2] @ np.stack([x, y, np.ones(len(x))])
    inside = (np.minimum(u, v) > margin) & (np.maximum(u, v) < SIDE - 1 - margin)
    out[y[inside] // SPAN, x[inside] // SPAN] = True
    return out


def holding(landmarks: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which regions of ``shape`` hold one of the landmarks [K, 2] (x, y), in pixels: bool [rows, columns]."""
    out = np.zeros(shape, bool)
    columns, rows = np.clip(landmarks // SPAN, 0, np.array(shape)[::-1] - 1).astype(int).T
    out[rows, columns] = True
    return out


def everywhere(level: int) -> Rule:
    """One level in all regions."""

    def rule(size: tuple[int, int], matrix: NDArray[np.float64]) -> Levels:
        return np.full(on_face(size, matrix, 0).shape, level, np.uint8)

    return rule


def face_and_rest(*levels: int, margins: Sequence[int]) -> Rule:
    """levels: of the parts of the face from its middle outward, then elsewhere; margins: where each part ends."""

    def rule(size: tuple[int, int], matrix: NDArray[np.float64]) -> Levels:
        out = np.full(on_face(size, matrix, 0).shape, levels[-1], np.uint8)
        for level, margin in reversed(list(zip(levels, margins))):
            out[on_face(size, matrix, margin)] = level
        return out

    return rule


UNIFORM = {f"level{level}": f"level {level} everywhere" for level in range(3)}
RULES: dict[str, tuple[str, Rule, tuple[int, ...]]] = {  # name: (in words, levels, qualities)
    "network": ("the network's levels", lambda size, matrix: None, (10, 20, 30, 40, 50, 60, 75)),
    "level0": (UNIFORM["level0"], everywhere(0), (20, 40)),
    "level1": (UNIFORM["level1"], everywhere(1), (20, 40, 60, 75)),
    "level2": (UNIFORM["level2"], everywhere(2), (40, 60, 75)),
    "face1": ("level 1 on the face, 2 elsewhere", face_and_rest(1, 2, margins=[0]), (20, 40, 60, 75)),
    "middle1": ("level 1 on the middle of the face, 2 elsewhere", face_and_rest(1, 2, margins=[20]), (20, 40, 60, 75)),
    "middle0": (
        "level 0 on the middle of the face, 1 on the rest of it, 2 elsewhere",
        face_and_rest(0, 1, 2, margins=[30, 10]),
        (5, 10, 20, 30, 40),
    ),
}


def row_of(codec: Codec, judge: Judge, faces: Faces, rule: Rule, quality: int) -> Row:
    """One rule at one quality."""
    sizes, errors, judged, chosen, at_landmarks = [], [], [], [], []
    for i, photo in enumerate(faces.photos):
        levels = rule(photo.shape[:2], template_matrix(faces.landmarks[i]))
        drafts = first_drafts(codec.model, [photo], quality, False, None if levels is None else levels[None])
        (file,) = files(codec.model, drafts, checksum=True)
        decoded = np.asarray(codec.decode(file))
        sizes.append(len(file))
        errors.append(((decoded.astype(float) - photo) ** 2).mean())
        judged.append(faces.face(i, decoded))
        chosen.append(drafts[0].levels.ravel())
        at_landmarks.append(holding(faces.landmarks[i], drafts[0].levels.shape).ravel())
    every, held = np.concatenate(chosen), np.concatenate(at_landmarks)
    shares = np.bincount(every, minlength=3) / len(every)
    cosines = (judge.embed(np.stack(judged)) * judge.embed(faces.pixels)).sum(1)
    return {
        "bytes": float(np.mean(sizes)),
        "similarity": float(cosines.mean()),
        "psnr_db": float(10 * np.log10(255**2 / np.mean(errors))),
        **{f"level{level}": float(share) for level, share in enumerate(shares)},
        "at_landmarks": float(every[held].mean()),
        "elsewhere": float(every[~held].mean()) if not held.all() else None,
    }


def add_savings(rows: Sequence[Row]) -> None:
    """Of rows that are of no uniform level: bytes against the best uniform level at equal measure, per cent."""
    for measure in ("similarity", "psnr_db"):
        curves = [curve for words in UNIFORM.values() if len(curve := [r for r in rows if r["levels"] == words]) > 1]
        for row in rows if curves else ():
            needed = [bytes_at(row[measure], curve, measure) for curve in curves]
            best = min((n for n in needed if n is not None), default=None)
            saved = None if best is None or row["levels"] in UNIFORM.values() else 100 * (row["bytes"] / best - 1)
            row[f"bytes_at_{measure}_pct"] = saved


def bytes_at(wanted: float, curve: Sequence[Row], measure: str) -> float | None:
    """What a curve takes for so much of a measure or more, between its points by logarithms. None where its largest
    file has less, or its smallest more and is not of quality 1: then a smaller one would do. Where a finer quality has
    no more of the measure, the coarser one counts."""
    reached: list[tuple[float, float]] = []
    by_size = sorted(curve, key=lambda row: float(row["bytes"]))
    for row in by_size:
        if not reached or row[measure] > reached[-1][0]:
            reached.append((float(row[measure]), float(np.log(row["bytes"]))))
    values, logs = zip(*reached)
    known = wanted <= values[-1] and (wanted >= values[0] or by_size[0]["quality"] == 1)
    return float(np.exp(np.interp(wanted, values, logs))) if known else None


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("photos", nargs="+", help="folders or tar files of photos")
    parser.add_argument("--landmarks", required=True, help=".npz with names and landmarks [N, 5, 2]")
    parser.add_argument("--recognizer", required=True, metavar="FILE", help="TorchScript network that judges")
    parser.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES), help="which levels")
    parser.add_argument("--qualities", type=quality, nargs="+", help="of every rule; each rule's own by default")
    parser.add_argument("--count", type=int, default=24, help="photos to draw")
    parser.add_argument("--seed", type=int, default=5, help="of the drawing")
    parser.add_argument("--weights", default="face-v2", help="a bundled name or a .safetensors file")
    parser.add_argument("--name", default="levels-by-hand", help="writes benchmarks/results/NAME.csv")
    args = parser.parse_args(argv)
    if args.count < 1:
        parser.error(f"--count is {args.count}; needed is 1 or more")

    rows: list[Row] = []
    try:
        judge, codec = load_judge(args.recognizer), load_codec(args.weights)
        faces = load_faces(args.photos, landmarks=args.landmarks, choose=drawn(args.count, args.seed), whole=True)
        for name in args.rules:
            words, rule, qualities = RULES[name]
            for at in args.qualities or qualities:
                row = row_of(codec, judge, faces, rule, at)
                rows.append({"levels": words, "quality": at, **row})
                print(
                    f"{words}, quality {at}: {row['bytes']:.0f} bytes, similarity {row['similarity']:.3f}, PSNR "
                    f"{row['psnr_db']:.1f} dB",
                    flush=True,
                )
    except LficError as error:
        parser.error(str(error))
    add_savings(rows)
    print(write_csv(args.name, rows, f"{len(faces)} photos; similarity by {judge.name}; {args.weights}"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
