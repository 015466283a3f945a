"""The two looks of a file beside each other: how near their pictures are to originals, one by one and as a set.

    python benchmarks/looks.py faces.tar --landmarks landmarks.npz --recognizer net.pt

Draws faces, codes them aligned at each quality, and decodes every file in both looks. Prints and writes
benchmarks/results/looks.csv:

    frechet        Fréchet distance (Heusel et al. 2017) between originals and decoded faces, times 100, of the means
                   and deviations over places of the feature maps inside dlib-resnet, whose first layer halves pictures
    frechet_fine   the same, not times 100, inside the P-Net of MTCNN, which sees every pixel
                   (no loss looked through either; the row without a quality is between two halves of the originals)
    sharpness      energy of the decoded pictures' gradients over that of the originals'
    similarity     cosine of originals and decoded faces as the recognizer sees it
    psnr_db, ssimulacra2, flip, grid_pattern   as lfic evaluate has them, of the first ``--pictures`` faces

With ``--sheet FILE`` it draws the first faces: a row of originals, then both looks at each quality.
"""

import argparse
from collections.abc import Callable, Sequence

import numpy as np
import torch
from common import drawn, write_csv
from large_faces import quality
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import lfic
from lfic.errors import LficError
from lfic.evaluate.data import load_faces
from lfic.evaluate.judges import load_judge
from lfic.evaluate.looks import MEASURES, looks_of
from lfic.evaluate.tables import Row
from lfic.metric.identity import load_recognizer

Pixels = NDArray[np.uint8]
LOOKS = ("faithful", "vivid")
SCALES = {"frechet": 100.0, "frechet_fine": 1.0}
BATCH = 32


def described(maps_of: Callable[[Tensor], list[Tensor]], pictures: Sequence[Pixels]) -> NDArray[np.float64]:
    """Pictures uint8 [H, W, 3] -> features float64 [N, D]: means and deviations over places of the maps that a network
    makes of pixels float [N, 3, H, W] in 0..1."""
    found = []
    for first in range(0, len(pictures), BATCH):
        batch = np.stack(pictures[first : first + BATCH])
        with torch.inference_mode():
            maps = maps_of(torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255)
        found.append(torch.cat([part for x in maps for part in (x.mean((2, 3)), x.std((2, 3)))], 1).double().numpy())
    return np.concatenate(found)


def networks() -> dict[str, Callable[[Tensor], list[Tensor]]]:
    """By column: pixels float [N, 3, H, W] in 0..1 -> feature maps."""
    from facenet_pytorch.models.mtcnn import PNet

    eyes, proposer = load_recognizer("bundled"), PNet().eval()

    def fine(pixels: Tensor) -> list[Tensor]:
        x, found = (255 * pixels - 127.5) / 128, []
        for name, layer in list(proposer.named_children())[:7]:  # what follows tells faces and boxes
            x = layer(x)
            found += [x] * name.startswith("prelu")
        return found

    return {"frechet": lambda pixels: eyes.describe(pixels)[1], "frechet_fine": fine}


def gradients(pictures: Sequence[Pixels]) -> float:
    """Mean squared difference of neighbours."""
    x = np.stack(pictures).astype(np.float32)
    return float((np.diff(x, axis=1) ** 2).mean() + (np.diff(x, axis=2) ** 2).mean())


def frechet(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """|m1 - m2|² + trace(C1 + C2 - 2 (C1 C2)^½) of features float64 [N, D]."""
    mean = one.mean(0) - other.mean(0)
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    # Of the product's eigenvalues, which are those of a symmetric matrix and not below 0.
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    joint = np.sqrt(np.clip(np.linalg.eigvalsh(root @ second @ root), 0, None)).sum()
    return float(mean @ mean + np.trace(first) + np.trace(second) - 2 * joint)


def measure(args: argparse.Namespace) -> tuple[list[Row], str]:
    """(a row for each quality and look, a note on the faces); draws the sheet."""
    judge, codec, seen = load_judge(args.recognizer), lfic.load_codec(args.weights), networks()

    faces = load_faces(args.faces, landmarks=args.landmarks, choose=drawn(args.count, args.seed))
    originals = list(faces.pixels)
    wanted = {name: described(network, originals) for name, network in seen.items()}
    embedded, edges, half = judge.embed(faces.pixels), gradients(originals), len(originals) // 2
    halves = {name: SCALES[name] * frechet(x[:half], x[half:]) for name, x in wanted.items()}
    rows: list[Row] = [{"quality": "", "look": "original", **halves}]
    sheet = [originals[: args.drawn]]
    for at in args.qualities:
        files = codec.encode_batch(originals, quality=at, aligned=True)
        for look in LOOKS:
            shown = [np.asarray(one) for one in codec.decode_batch(files, out="numpy", look=look)]
            pairs = list(zip(originals, shown, strict=True))[: args.pictures]
            means = dict(zip(MEASURES, np.mean([looks_of(*pair) for pair in pairs], 0), strict=True))
            row: Row = {
                "quality": at,
                "look": look,
                "bytes": float(np.mean([len(file) for file in files])),
                **{
                    name: SCALES[name] * frechet(wanted[name], described(network, shown))
                    for name, network in seen.items()
                },
                "sharpness": gradients(shown) / edges,
                "similarity": float((judge.embed(np.stack(shown)) * embedded).sum(1).mean()),
                **{name: float(means[name]) for name in ("psnr_db", "ssimulacra2", "flip")},
                "grid_pattern": float(np.sqrt(means["pattern_energy"])),
            }
            rows.append(row)
            sheet.append(shown[: args.drawn])
            told = (f"{name} {x:.4g}" for name, x in row.items() if isinstance(x, float))
            print(f"quality {at}, {look}:", "  ".join(told), flush=True)
    if args.sheet:
        Image.fromarray(np.concatenate([np.concatenate(row, 1) for row in sheet])).save(args.sheet)
    return rows, f"{len(originals)} faces; similarity by {judge.name}; {args.weights}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("faces", nargs="+", help="folders or tar files of pictures")
    parser.add_argument("--landmarks", help=".npz with names and landmarks [N, 5, 2]; without it they are aligned")
    parser.add_argument("--recognizer", required=True, metavar="FILE", help="TorchScript network that judges")
    parser.add_argument("--qualities", type=quality, nargs="+", default=(12, 25, 45, 70), help="of the files")
    parser.add_argument("--count", type=int, default=2000, help="faces to draw")
    parser.add_argument("--pictures", type=int, default=100, help="of them, for the measures of pairs of pictures")
    parser.add_argument("--seed", type=int, default=4, help="of the drawing")
    parser.add_argument("--weights", default="face-v2", help="a bundled name or a .safetensors file")
    parser.add_argument("--sheet", metavar="FILE", help="draw the first faces")
    parser.add_argument("--drawn", type=int, default=8, help="faces on the sheet")
    parser.add_argument("--name", default="looks", help="writes benchmarks/results/NAME.csv")
    args = parser.parse_args(argv)
    if args.count < 4:
        parser.error(f"--count is {args.count}; needed is 4 or more, two halves of two faces each")
    try:
        rows, note = measure(args)
    except LficError as error:
        parser.error(str(error))
    print(write_csv(args.name, rows, note))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
