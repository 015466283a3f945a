"""What regional levels are worth: the shipped model with its own level maps against one level everywhere, at equal likeness.

    python benchmarks/ablation_rap.py FACES.tar --pairs pairs.txt --landmarks landmarks.npz --recogniser net.pt --folds 1

Same weights, same files, no search; only the level map differs (in training, ``uniform_share`` of the faces had one level everywhere).
Writes results/ablation-rap.csv: the curves, then BD-rates against each uniform level.
"""
import argparse

import numpy as np
import torch
from common import write_csv

import lfic
from lfic.evaluate import bdrate, data, recognise, run
from lfic.evaluate.__main__ import numbers
from lfic.evaluate.codecs import Codec

QUALITIES = (1, 12, 25, 42, 70)


def level_codec(codec, level):
    """The codec with one level everywhere, or with its own maps (level None)."""

    def encode(images, quality):
        forced = None if level is None else torch.full((len(images), 4, 4), level, dtype=torch.uint8)
        return codec._code(codec.draft(list(images), quality, True, forced), True)

    name = "RAP" if level is None else f"level {level} everywhere"
    return Codec(name, QUALITIES, encode, lambda files: codec.decode_batch(files, out="numpy"), lambda data: 5, threads=False, batch=64)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("faces", nargs="+")
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--landmarks")
    parser.add_argument("--recogniser", required=True)
    parser.add_argument("--folds", default="1")
    parser.add_argument("--weights", default="face-v1")
    args = parser.parse_args()
    faces = data.load_faces(args.faces, args.pairs, args.landmarks, folds=numbers(args.folds))
    recogniser = recognise.load_recogniser(args.recogniser)
    reference = {recogniser.name: recogniser.embed(faces.pixels)}
    codec = lfic.Codec(args.weights)
    points, rows = [], []
    for one in (level_codec(codec, level) for level in (None, 0, 1, 2)):
        for quality in one.settings:
            point = run.evaluate_point(one, quality, faces, [recogniser])
            points.append(point)
            row = next(r for r in run.summarise(point, reference, faces) if r["protocol"] == "both")
            rows.append({key: row[key] for key in ("codec", "setting", "bytes", "psnr_db", "similarity", "accuracy")})
    deltas = bdrate.table(points, reference, faces, [f"level {level} everywhere" for level in (0, 1, 2)])
    kept = ("codec", "anchor", "measure", "bd_rate_percent", "low_percent", "high_percent", "overlap_from", "overlap_to")
    rows += [{key: row.get(key) for key in kept} for row in deltas if row["codec"] == "RAP" and np.isfinite(row["bd_rate_percent"])]
    print(write_csv("ablation-rap", rows, f"{len(faces)} faces, folds {args.folds}, {recogniser.name}, weights {args.weights}"))


if __name__ == "__main__":
    main()
