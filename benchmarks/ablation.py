"""The paper's ablation on our own data: regional levels against one level everywhere, and the terms of the metric.

    python benchmarks/ablation.py train VARIANT ...      (or all of them; resumes by itself)
    python benchmarks/ablation.py evaluate FACES.tar --pairs pairs.txt --landmarks landmarks.npz --recognizer net.pt
        --folds 1
    python benchmarks/ablation.py evaluate ... --weights face-v1 --variants searched full level0 level1 level2
        --encoder-recognizer eyes.pt

Every variant goes on from one and the same checkpoint for the same number of steps, under its own objective and its own
levels; each is then exported and writes real files at effort 0. "searched" has the weights of "full", and looks for
each face's levels with the gradient of the metric, as effort 3 does, features as the analysis says. Writes
results/ablation.csv (curves; accuracy, similarity and PSNR at equal bytes; BD-rates of the variant with everything, or
of "searched", against each of the others) and results/ablation.png.
"""

import argparse
import dataclasses
import pathlib

import matplotlib
import numpy as np
import torch
from common import RESULTS, write_csv

import lfic
from lfic.encoder import search
from lfic.encoder.draft import files, first_drafts
from lfic.evaluate.arguments import fold_numbers
from lfic.evaluate.curves import bd_rates
from lfic.evaluate.data import load_faces
from lfic.evaluate.figures import summarize
from lfic.evaluate.interface import EvaluatedCodec
from lfic.evaluate.judges import load_judge
from lfic.evaluate.points import evaluate_point
from lfic.metric.identity import load_torchscript
from lfic.network.load import load_model
from lfic.train import export
from lfic.train.config import TrainConfig
from lfic.train.loop import run as run_training

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FULL = "RAP, pixels + identity"


def one_level(level):
    """Changes to a configuration: this level in all regions of every face."""
    return {"data": {"uniform_share": 1.0, "uniform_levels": [level]}}


GAN = {"loss": {"adversarial_weight": 0.02}, "schedule": {"adversarial_from": 50}}
VARIANTS = {  # folder: (name, level everywhere or None, changes to the configuration by section)
    "full": (FULL, None, {}),
    "level1": ("level 1 everywhere", 1, one_level(1)),
    "pixels": ("RAP, pixels alone", None, {"loss": {"recognizer": ""}}),
    "level0": ("level 0 everywhere", 0, one_level(0)),
    "level2": ("level 2 everywhere", 2, one_level(2)),
    "gan": ("RAP, pixels + identity + GAN", None, GAN),
    "searched": ("RAP, levels searched", None, None),
}
TRAINED = [folder for folder in VARIANTS if VARIANTS[folder][2] is not None]
QUALITIES = (1, 12, 25, 42, 70)
BUDGETS = (60, 100, 150, 250, 400)


SCHEDULE = {
    "warmup": 50,
    "learning_rate": 0.0008,
    "identity_from": 0,
    "explore_until": 0,
    "hard_from": 1.0,
    "integers_from": 0.5,
}


def train(args):
    """The named variants, one after the other, each to its weights file."""
    base = TrainConfig.load(args.config).changed(
        data={"batch": args.batch} if args.batch else {},
        network=sizes_of(args.start) | {"start": args.start},
        schedule=SCHEDULE | {"steps": args.steps},
        run={"graphs": False},  # a captured step has no discriminator, and all variants are to step alike
    )
    for folder in args.variants:
        config = base.changed(run={"out": f"{args.runs}/{folder}"}).changed(**VARIANTS[folder][2])
        weights = pathlib.Path(config.run.out) / "weights.safetensors"
        if not weights.is_file():
            run_training(config)
            faces = [config.data.faces] if isinstance(config.data.faces, str) else config.data.faces
            export.main([f"{config.run.out}/checkpoint", str(weights), "--data", *faces, "--faces", "2000"])


def sizes_of(start):
    """The sizes of the network that the variants go on with, as a configuration's section has them."""
    folder = pathlib.Path(start)
    found = export.load_checkpoint(folder)[0].config if folder.is_dir() else load_model(start)[0].config
    sizes = dataclasses.asdict(found)
    del sizes["pictures"]  # a run trains one analysis
    return {name: list(value) if isinstance(value, tuple) else value for name, value in sizes.items()}


def codec_of(folder, runs, weights=None, qualities=QUALITIES, eyes=None):
    """A variant's files: its own level maps, or one level everywhere; with its own weights, or with those given. eyes:
    path of the encoder's recogniser."""
    name, level, _ = VARIANTS[folder]
    own = f"{runs}/{folder if folder in TRAINED else 'full'}/weights.safetensors"
    codec = lfic.Codec(weights or own, recognizer=load_torchscript(eyes) if eyes else None)

    def encode(images, quality):
        forced = None if level is None else torch.full((len(images), 4, 4), level, dtype=torch.uint8)
        drafts = first_drafts(codec.model, list(images), quality, True, forced)
        if folder == "searched":
            drafts = [searched(codec, *pair) for pair in zip(drafts, images)]
        return files(codec.model, drafts, True)

    return EvaluatedCodec(
        name,
        qualities,
        encode,
        lambda files: codec.decode_batch(files, out="numpy"),
        lambda data: 5,
        threads=False,
        batch=64,
    )


def searched(codec, draft, pixels):
    """A draft with the levels that the highest effort finds."""
    levels, symbols = search.improve_levels(
        search.Candidate(codec.model.of(draft.aligned), draft, pixels), search.ROUNDS[3]
    )
    return dataclasses.replace(draft, levels=levels, symbols=symbols)


def at_bytes(rows, budget, measure):
    """A measure at a number of bytes, linear over their logarithm between two measured points; None outside of them."""
    rows = sorted(rows, key=lambda row: row["bytes"])
    if not rows[0]["bytes"] <= budget <= rows[-1]["bytes"]:
        return None
    return float(np.interp(np.log(budget), np.log([row["bytes"] for row in rows]), [row[measure] for row in rows]))


def plot(rows, path):
    """Accuracy, similarity and PSNR over bytes, a curve a variant."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    labels = {"accuracy": "verification accuracy", "similarity": "identity similarity", "psnr_db": "PSNR, dB"}
    for axis, (measure, label) in zip(axes, labels.items()):
        for name in dict.fromkeys(row["codec"] for row in rows):
            points = sorted((row["bytes"], row[measure]) for row in rows if row["codec"] == name)
            axis.plot(*zip(*points), marker="o", markersize=3, label=name, linewidth=2.4 if name == FULL else 1.2)
        axis.set(xlabel="bytes per face (whole files)", ylabel=label, xscale="log")
        axis.grid(alpha=0.3, which="both")
    axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=110)


def evaluate(args):
    """Curves, values at equal bytes and BD-rates of the variants that have been trained."""
    faces = load_faces(args.faces, args.pairs, args.landmarks, folds=fold_numbers(args.folds))
    recognizer = load_judge(args.recognizer)
    reference = {recognizer.name: recognizer.embed(faces.pixels)}
    points, curves = [], []
    for folder in args.variants:
        codec = codec_of(
            folder, args.runs, args.weights, args.qualities, args.encoder_recognizer if folder == "searched" else None
        )
        for quality in codec.settings:
            point = evaluate_point(codec, quality, faces, [recognizer])
            points.append(point)
            row = next(r for r in summarize(point, reference, faces) if r["protocol"] == "both")
            curves.append(
                {
                    "table": "curve",
                    **{key: row[key] for key in ("codec", "setting", "bytes", "psnr_db", "similarity", "accuracy")},
                }
            )
            print(curves[-1], flush=True)
    rows = list(curves)
    for name in dict.fromkeys(row["codec"] for row in curves):
        own = [row for row in curves if row["codec"] == name]
        for budget in BUDGETS:
            values = {measure: at_bytes(own, budget, measure) for measure in ("accuracy", "similarity", "psnr_db")}
            rows.append({"table": "equal bytes", "codec": name, "bytes": budget, **values})
    kept = (
        "codec",
        "anchor",
        "measure",
        "bd_rate_percent",
        "low_percent",
        "high_percent",
        "overlap_from",
        "overlap_to",
    )
    names = list(dict.fromkeys(row["codec"] for row in curves))
    best = VARIANTS["searched"][0] if VARIANTS["searched"][0] in names else FULL
    for row in bd_rates(points, reference, faces, [name for name in names if name != best]):
        if row["codec"] == best and np.isfinite(row["bd_rate_percent"]):
            rows.append({"table": "BD-rate", **{key: row.get(key) for key in kept}})
    name = "ablation-levels" if args.weights else "ablation"
    print(
        write_csv(
            name,
            rows,
            f"{len(faces)} faces, folds {args.folds}, {recognizer.name}, effort 0, "
            f"{args.weights or f'weights of {args.runs}'}",
        )
    )
    plot(curves, RESULTS / f"{name}.png")


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(required=True)
    first = commands.add_parser("train", help="train variants and export them")
    first.add_argument(
        "variants", nargs="*", default=TRAINED, metavar="VARIANT", help=f"of {', '.join(TRAINED)}; all by default"
    )
    first.add_argument("--config", default="configs/face-v1/2-low-rates.toml")
    first.add_argument(
        "--start", default="face-v1", help="checkpoint folder or weights file that all of them go on from"
    )
    first.add_argument("--steps", type=int, default=700)
    first.add_argument("--batch", type=int, help="faces of a step (default: as in the configuration)")
    first.set_defaults(run=train)
    second = commands.add_parser("evaluate", help="measure the trained ones")
    second.add_argument("faces", nargs="+")
    second.add_argument("--variants", nargs="*", default=TRAINED, metavar="VARIANT")
    second.add_argument("--pairs", required=True)
    second.add_argument("--landmarks")
    second.add_argument("--recognizer", required=True)
    second.add_argument("--encoder-recognizer", help='through which "searched" looks: one that does not judge')
    second.add_argument("--folds", default="1")
    second.add_argument("--qualities", type=int, nargs="+", default=QUALITIES, help=f"1 to 100 (default: {QUALITIES})")
    second.add_argument(
        "--weights",
        help="a weights file (or name) in place of each variant's own: what levels alone change. Writes "
        "results/ablation-levels.*",
    )
    second.set_defaults(run=evaluate)
    for command in (first, second):
        command.add_argument("--runs", default="runs/ablation", help="folder of the runs")
    args = parser.parse_args()
    known = TRAINED if args.run is train else list(VARIANTS)
    strange = sorted(set(args.variants) - set(known))
    if strange:
        parser.error(f"no variants {strange}; there are {', '.join(known)}")
    if args.run is evaluate and "searched" in args.variants and not args.encoder_recognizer:
        parser.error('"searched" needs --encoder-recognizer PATH: a recogniser other than the one that judges')
    if getattr(args, "weights", None) and (
        other := [v for v in args.variants if VARIANTS[v][2] and VARIANTS[v][1] is None]
    ):
        parser.error(
            f"with --weights variants differ by their levels alone; {', '.join(other)} would not differ from full: "
            "name others with --variants"
        )
    args.run(args)


if __name__ == "__main__":
    main()
