"""Where photos' bits go: mean region level, and bits a pixel, at eyes, nose and mouth and elsewhere, with heat maps.

    python benchmarks/level_map.py photos.tar --landmarks landmarks.npz --count 500

Draws photos of one size and lets the network choose the levels of each, whole and at its own size; nobody tells it
where a face is. Prints and writes benchmarks/results/level-map.csv, and draws the means over all photos, region by
region, as docs/pictures/level-map.png: it needs photos whose faces stand in one place, as LFW's do.
"""

import argparse
import pathlib
from collections.abc import Sequence

import matplotlib
import numpy as np
from common import drawn, write_csv
from large_faces import quality
from levels_by_hand import SPAN, holding
from numpy.typing import NDArray

from lfic.codec import Codec, load_codec
from lfic.encoder.draft import Draft, first_drafts
from lfic.errors import InvalidInputError, LficError
from lfic.evaluate.data import Faces, load_faces
from lfic.evaluate.tables import Row
from lfic.format.geometry import REGION

matplotlib.use("Agg")
import matplotlib.pyplot as plt

Grid = NDArray[np.float64]  # [rows, columns] of regions
PICTURE = pathlib.Path(__file__).parents[1] / "docs" / "pictures" / "level-map.png"


def kept(draft: Draft) -> NDArray[np.int64]:
    """Cells that each region keeps, int64 [rows, columns]."""
    height, width = (np.asarray(side) for side in draft.grid)
    rows, columns = (np.arange(n) for n in draft.levels.shape)
    tall, wide = np.minimum(REGION, height - REGION * rows), np.minimum(REGION, width - REGION * columns)
    size = 1 << draft.levels.astype(np.int64)
    found: NDArray[np.int64] = -(-tall[:, None] // size) * -(-wide[None, :] // size)
    return found


def bits_a_pixel(codec: Codec, draft: Draft) -> Grid:
    """What each region's symbols cost, over its pixels."""
    cells = codec.model.context.cost(draft.symbols, draft.levels, *draft.grid, draft.quality, draft.aligned)
    counts = kept(draft)
    region = np.repeat(np.arange(counts.size), counts.ravel())
    rows, columns = (np.arange(n) * SPAN for n in counts.shape)
    pixels = np.minimum(SPAN, draft.height - rows)[:, None] * np.minimum(SPAN, draft.width - columns)[None, :]
    found: Grid = np.bincount(region, cells, counts.size).reshape(counts.shape) / pixels
    return found


def maps(codec: Codec, faces: Faces, at: int) -> tuple[Row, Grid, Grid]:
    """At one quality: (figures, mean level, mean bits a pixel)."""
    levels, bits, held = [], [], []
    for photo, landmarks in zip(faces.photos, faces.landmarks, strict=True):
        (draft,) = first_drafts(codec.model, [photo], at, False)
        levels.append(draft.levels.astype(float))
        bits.append(bits_a_pixel(codec, draft))
        held.append(holding(landmarks, draft.levels.shape))
    every, cost, there = np.stack(levels), np.stack(bits), np.stack(held)
    row: Row = {
        "quality": at,
        "level_at_landmarks": float(every[there].mean()),
        "level_elsewhere": float(every[~there].mean()),
        "bits_a_pixel_at_landmarks": float(cost[there].mean()),
        "bits_a_pixel_elsewhere": float(cost[~there].mean()),
    }
    return row, every.mean(0), cost.mean(0)


def draw(found: Sequence[tuple[Row, Grid, Grid]], out: pathlib.Path) -> None:
    """A column for each quality: mean levels above, bits a pixel below."""
    figure, axes = plt.subplots(
        2, len(found), figsize=(2.1 * len(found) + 0.8, 4.4), layout="constrained", squeeze=False
    )
    for column, (row, level, bits) in enumerate(found):
        above = axes[0, column].imshow(level, cmap="RdYlBu", vmin=0.9, vmax=2)
        below = axes[1, column].imshow(bits / bits.mean(), cmap="magma", vmin=0, vmax=4)
        axes[0, column].set_title(f"quality {row['quality']}", fontsize=10)
        for axis in axes[:, column]:
            axis.set(xticks=[], yticks=[])
    figure.colorbar(above, ax=axes[0], label="mean level")
    figure.colorbar(below, ax=axes[1], label="bits, mean = 1")
    figure.savefig(out, dpi=90)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("photos", nargs="+", help="folders or tar files of photos")
    parser.add_argument("--landmarks", required=True, help=".npz with names and landmarks [N, 5, 2]")
    parser.add_argument("--qualities", type=quality, nargs="+", default=[2, 5, 10, 15, 25], help="to code at")
    parser.add_argument("--count", type=int, default=500, help="photos to draw")
    parser.add_argument("--seed", type=int, default=5, help="of the drawing")
    parser.add_argument("--weights", default="face-v2", help="a bundled name or a .safetensors file")
    parser.add_argument("--picture", type=pathlib.Path, default=PICTURE, help="heat maps are drawn here")
    parser.add_argument("--name", default="level-map", help="writes benchmarks/results/NAME.csv")
    args = parser.parse_args(argv)
    if args.count < 1:
        parser.error(f"--count is {args.count}; needed is 1 or more")

    try:
        codec = load_codec(args.weights, recognizer=None)
        faces = load_faces(args.photos, landmarks=args.landmarks, choose=drawn(args.count, args.seed), whole=True)
        sizes = sorted({photo.shape[:2] for photo in faces.photos})
        if len(sizes) > 1:
            raise InvalidInputError(
                f"the photos have {len(sizes)} sizes, {sizes[0]} and {sizes[1]} among them; needed is one"
            )
        found = [maps(codec, faces, at) for at in args.qualities]
    except LficError as error:
        parser.error(str(error))
    for row, _, _ in found:
        print(", ".join(f"{name} {value:.3g}" for name, value in row.items()))
    draw(found, args.picture)
    print(write_csv(args.name, [row for row, _, _ in found], f"{len(faces)} photos; {args.weights}"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
