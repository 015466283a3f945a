"""What layers of 224 pixels are worth for faces that have more pixels than the template.

    python benchmarks/large_faces.py faces.tar --landmarks landmarks.npz --recognizer net.pt

Draws faces at least ``--scale`` times as large as the template, and codes each at 112 x 112 pixels, aligned, and at
224 x 224: what a layer of either size holds. Both are compared with the face at 224 pixels, the smaller one enlarged,
by PSNR and SSIMULACRA2; the recognizer compares at 112. Prints and writes benchmarks/results/large-faces.csv: mean
bytes of a file and means of the measures; the row without a quality is the uncompressed face at 112 pixels.
"""

import argparse
from collections.abc import Sequence

import numpy as np
from common import write_csv
from numpy.typing import NDArray
from PIL import Image

import lfic
from lfic.align import template_matrix, warp
from lfic.data.landmarks import landmarks_of
from lfic.errors import InvalidInputError, LficError
from lfic.evaluate.data import load_faces, read_landmarks
from lfic.evaluate.judges import Judge, load_judge
from lfic.evaluate.looks import ssimulacra2
from lfic.evaluate.tables import Row

SMALL, LARGE = (20, 40, 60, 80, 100), (5, 10, 20, 30, 40, 60, 80)  # qualities at 112 and at 224 pixels
Pixels = NDArray[np.uint8]


def scale_of(matrix: NDArray[np.float64]) -> float:
    """Pixels of the picture that a pixel of the template covers, along a side."""
    return float(np.hypot(*matrix[:, 0]))


def large(landmarks: str, count: int, scale: float, seed: int):
    """What ``load_faces`` chooses by: so many of the large faces, drawn."""

    def choose(names: list[str]) -> list[str]:
        points = landmarks_of(names, read_landmarks(landmarks), landmarks)
        order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
        found = [name for name in order if scale_of(template_matrix(points[name])) > scale][:count]
        if not found:
            raise InvalidInputError(
                f"none of the {len(names)} faces is more than {scale:g} times as large as the template: give a smaller "
                "--scale, or larger pictures"
            )
        return found

    return choose


def twice(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """From the pixels of a square of 224 to the picture's, float [2, 3]: what ``matrix`` says of one of 112."""
    linear = matrix[:, :2] / 2
    return np.column_stack([linear, matrix[:, 2] - linear @ np.full(2, 0.5)])


def enlarged(pixels: Pixels) -> Pixels:
    """112 pixels a side -> 224."""
    return np.asarray(Image.fromarray(pixels).resize((224, 224), Image.Resampling.BILINEAR))


def reduced(pixels: Pixels) -> Pixels:
    """224 pixels a side -> 112."""
    return np.asarray(Image.fromarray(pixels).reduce(2))


def row_of(
    judge: Judge,
    originals: Sequence[Pixels],
    small: Sequence[Pixels],
    shown: Sequence[Pixels],
    judged: Sequence[Pixels],
) -> Row:
    """Means over faces: originals and shown are of 224 pixels, small (the original) and judged of 112."""
    squares = [((x.astype(float) - y) ** 2).mean() for x, y in zip(shown, originals, strict=True)]
    cosines = (judge.embed(np.stack(judged)) * judge.embed(np.stack(small))).sum(1)
    return {
        "psnr_db": float(np.mean([10 * np.log10(255**2 / max(one, 1e-9)) for one in squares])),
        "ssimulacra2": float(np.mean([ssimulacra2(x, y) for x, y in zip(originals, shown, strict=True)])),
        "similarity": float(cosines.mean()),
    }


def measure(args: argparse.Namespace) -> tuple[list[Row], str]:
    """(a row for each size and quality, a note on the faces)."""
    judge, codec = load_judge(args.recognizer), lfic.load_codec(args.weights)
    choose = large(args.landmarks, args.count, args.scale, args.seed)
    faces = load_faces(args.faces, landmarks=args.landmarks, choose=choose, whole=True)
    matrices = [template_matrix(points) for points in faces.landmarks]
    small = list(faces.pixels)
    originals = [
        np.asarray(warp(photo, twice(matrix), 224)) for photo, matrix in zip(faces.photos, matrices, strict=True)
    ]
    scale = float(np.mean([scale_of(matrix) for matrix in matrices]))
    note = f"{len(faces)} faces, {scale:.2f} times as large as the template; similarity by {judge.name}; {args.weights}"
    plain = row_of(judge, originals, small, [enlarged(face) for face in small], small)
    rows: list[Row] = [{"side": 112, "quality": "", "bytes": "", **plain}]
    for side, sources, qualities in ((112, small, args.small), (224, originals, args.large)):
        for quality in qualities:
            files = codec.encode_batch(sources, quality=quality, aligned=side == 112, resolution="full")
            decoded = [np.asarray(one) for one in codec.decode_batch(files, out="numpy")]
            shown = decoded if side == 224 else [enlarged(face) for face in decoded]
            judged = decoded if side == 112 else [reduced(face) for face in decoded]
            size = float(np.mean([len(file) for file in files]))
            found = row_of(judge, originals, small, shown, judged)
            rows.append({"side": side, "quality": quality, "bytes": size, **found})
            print(
                f"{side} pixels, quality {quality}: {size:.0f} bytes, PSNR {found['psnr_db']:.1f} dB, "
                f"SSIMULACRA2 {found['ssimulacra2']:.1f}, similarity {found['similarity']:.3f}",
                flush=True,
            )
    return rows, note


def quality(text: str) -> int:
    """An option's quality."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no quality; allowed are 1 to 100")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("faces", nargs="+", help="folders or tar files of pictures")
    parser.add_argument("--landmarks", required=True, help=".npz with names and landmarks [N, 5, 2]")
    parser.add_argument("--recognizer", required=True, metavar="FILE", help="TorchScript network that judges")
    parser.add_argument("--count", type=int, default=24, help="faces to draw")
    parser.add_argument("--scale", type=float, default=1.55, help="how much larger than the template they are at least")
    parser.add_argument("--seed", type=int, default=3, help="of the drawing")
    parser.add_argument("--small", type=quality, nargs="+", default=SMALL, help="qualities at 112 pixels")
    parser.add_argument("--large", type=quality, nargs="+", default=LARGE, help="qualities at 224 pixels")
    parser.add_argument("--weights", default="face-v2", help="a bundled name or a .safetensors file")
    parser.add_argument("--name", default="large-faces", help="writes benchmarks/results/NAME.csv")
    args = parser.parse_args(argv)
    if args.count < 1 or not args.scale > 0:
        parser.error(f"--count is {args.count} and --scale {args.scale:g}; needed are 1 or more, and more than 0")
    try:
        rows, note = measure(args)
    except LficError as error:
        parser.error(str(error))
    print(write_csv(args.name, rows, note))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
