"""What is lost where a decoded picture is coded again, and again, at the same quality.

    python benchmarks/generations.py faces.tar --landmarks landmarks.npz --recognizer net.pt

Draws photos and codes each as a crop on the template and whole, without layers; every generation is coded from what the
one before shows. Prints and writes benchmarks/results/generations.csv, a row for each kind, codec, quality and
generation:

    bytes        mean size of a file
    psnr_db      mean PSNR to the first original; similarity: cosine of the faces as the recognizer sees them
    settled      share of files that are byte for byte those of the generation before
"""

import argparse
import io
from collections.abc import Callable, Sequence

import numpy as np
from common import drawn, write_csv
from large_faces import quality
from numpy.typing import NDArray
from PIL import Image

import lfic
from lfic.align import align
from lfic.errors import LficError
from lfic.evaluate.data import load_faces
from lfic.evaluate.judges import load_judge
from lfic.evaluate.tables import Row

GENERATIONS = (1, 2, 4, 8)
Pixels = NDArray[np.uint8]
Coder = Callable[[Sequence[Pixels]], tuple[list[bytes], list[Pixels]]]  # pictures -> files, what they show


def by_lfic(codec: lfic.Codec, at: int, aligned: bool) -> Coder:
    """lfic at one quality."""

    def code(pictures: Sequence[Pixels]) -> tuple[list[bytes], list[Pixels]]:
        files = codec.encode_batch(pictures, quality=at, aligned=aligned, faces=None)
        return files, [np.asarray(one) for one in codec.decode_batch(files, out="numpy")]

    return code


def by_webp(at: int) -> Coder:
    """WebP by Pillow at one quality."""

    def code(pictures: Sequence[Pixels]) -> tuple[list[bytes], list[Pixels]]:
        files = []
        for picture in pictures:
            buffer = io.BytesIO()
            Image.fromarray(picture).save(buffer, "WEBP", quality=at, method=6)
            files.append(buffer.getvalue())
        return files, [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]

    return code


def psnr(one: Pixels, other: Pixels) -> float:
    error = float(np.square(one.astype(np.float64) - other).mean())
    return 10 * float(np.log10(255**2 / max(error, 1e-9)))


def measure(args: argparse.Namespace) -> tuple[list[Row], str]:
    """(a row for each kind, codec, quality and generation, a note on the photos)."""
    judge, codec = load_judge(args.recognizer), lfic.load_codec(args.weights, recognizer=None)

    faces = load_faces(args.faces, landmarks=args.landmarks, choose=drawn(args.count, args.seed), whole=True)
    crops, wanted = list(faces.pixels), judge.embed(faces.pixels)

    def likeness(kind: str, shown: Sequence[Pixels]) -> float:
        if kind == "photo":
            placed = zip(shown, faces.landmarks, strict=True)
            shown = [np.asarray(align(Image.fromarray(one), points)) for one, points in placed]
        return float((judge.embed(np.stack(shown)) * wanted).sum(1).mean())

    rows: list[Row] = []
    for kind, originals in (("crop", crops), ("photo", [np.asarray(photo) for photo in faces.photos])):
        coders = {("lfic", at): by_lfic(codec, at, kind == "crop") for at in args.qualities}
        for (name, at), code in (coders | {("webp", at): by_webp(at) for at in args.webp}).items():
            shown, before = originals, list[bytes]()
            for generation in range(1, GENERATIONS[-1] + 1):
                files, shown = code(shown)
                same = [one == other for one, other in zip(files, before, strict=False)]
                before = files
                if generation not in GENERATIONS:
                    continue
                row: Row = {
                    "kind": kind,
                    "codec": name,
                    "quality": at,
                    "generation": generation,
                    "bytes": float(np.mean([len(file) for file in files])),
                    "psnr_db": float(np.mean([psnr(*pair) for pair in zip(originals, shown, strict=True)])),
                    "similarity": likeness(kind, shown),
                    "settled": float(np.mean(same)) if same else "",
                }
                rows.append(row)
                told = (f"{name} {x:.4g}" for name, x in row.items() if isinstance(x, float))
                print(f"{kind}, {name}, quality {at}, generation {generation}:", "  ".join(told), flush=True)
    return rows, f"{len(faces)} photos; similarity by {judge.name}; {args.weights}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("faces", nargs="+", help="folders or tar files of photos")
    parser.add_argument("--landmarks", required=True, help=".npz with names and landmarks [N, 5, 2]")
    parser.add_argument("--recognizer", required=True, metavar="FILE", help="TorchScript network that judges")
    parser.add_argument("--qualities", type=quality, nargs="+", default=(20, 40, 60, 80), help="of lfic's files")
    parser.add_argument("--webp", type=quality, nargs="*", default=(20, 60), help="of WebP's files")
    parser.add_argument("--count", type=int, default=64, help="photos to draw")
    parser.add_argument("--seed", type=int, default=5, help="of the drawing")
    parser.add_argument("--weights", default="face-v2", help="a bundled name or a .safetensors file")
    parser.add_argument("--name", default="generations", help="writes benchmarks/results/NAME.csv")
    args = parser.parse_args(argv)
    if args.count < 1:
        parser.error(f"--count is {args.count}; needed is 1 or more")
    try:
        rows, note = measure(args)
    except LficError as error:
        parser.error(str(error))
    print(write_csv(args.name, rows, note))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
