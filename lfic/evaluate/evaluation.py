"""A whole run of ``lfic evaluate``: load, measure, write tables, write the report."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence

import torch

from ..errors import InvalidInputError
from .arguments import fold_numbers
from .cache import Cache, content_key
from .curves import bd_rates, bytes_at_targets
from .data import Faces, load_faces
from .figures import summarize
from .gallery import BUDGETS, OF_PHOTOS, gallery
from .gate import gate
from .groups import balanced, group_rows
from .interface import EvaluatedCodec
from .judges import Judge, impartial, load_judge
from .looks import looks_at_bytes, measure_looks, sample
from .points import Embeddings, Point, evaluate_point, reference_embeddings, uncompressed_point
from .report.page import write_page
from .report.plots import plots, rocs, write_plots
from .selection import OWN, build, build_codecs
from .speed import measure_speed
from .tables import Row, earlier_rows, read_csv, write_csv
from .templates import template_rows


@dataclasses.dataclass
class Run:
    """What is measured, and what was found so far.

    Attributes:
        reference: embeddings of the uncompressed faces.
        earlier: rows of an earlier run, for codecs that this one does not measure.
        points: one for each codec and setting. rows: their figures, after those of the uncompressed faces.
        speed: of every codec, where it was asked for.
        note: for the heads of the tables.
    """

    codecs: list[EvaluatedCodec]
    judges: list[Judge]
    faces: Faces
    reference: Embeddings
    earlier: list[Row]
    note: str
    points: list[Point] = dataclasses.field(default_factory=list)
    rows: list[Row] = dataclasses.field(default_factory=list)
    speed: list[Row] = dataclasses.field(default_factory=list)


def evaluate(args: argparse.Namespace) -> list[str]:
    """Everything that the options ask for -> names of the tables and the page that were written."""
    torch.set_num_threads(args.workers)
    codecs, judges, faces = build_codecs(args), load_judges(args), faces_of(args)
    if faces.missing:
        print(f"{len(faces.missing)} images left out: {', '.join(faces.missing[:12])}", file=sys.stderr)
    earlier = []
    if args.earlier:
        earlier = earlier_rows(args.earlier, [c.name for c in codecs], [j.name for j in judges], len(faces))
    known = dict.fromkeys([*(codec.name for codec in codecs), *(row["codec"] for row in earlier)])
    if args.anchor and not known.keys() & set(args.anchor.split(",")):
        print(f"no BD-rates: --anchor is {args.anchor!r}, the codecs here {', '.join(known)}", file=sys.stderr)
    note = f"{len(faces)} faces, {len(faces.pairs)} pairs" + (f", folds {args.folds}" if args.folds else "")
    note += ", whole pictures" if args.whole else f", crops of {args.crop} pixels" if args.crop else ""
    cache, keys = Cache(args.cache), [content_key(p) for p in faces.pixels]
    reference = reference_embeddings(faces, judges, cache, keys, not args.quiet)
    keys = [content_key(photo) for photo in faces.photos] or keys
    run = Run(codecs, judges, faces, reference, earlier, note)
    measure(args, run, cache, keys)
    deltas = write_tables(args, run)
    if not args.no_report:
        write_report(args, run, deltas)
    return [
        f"{args.out}.csv",
        *([f"{args.out}-bdrate.csv"] if deltas else []),
        *([] if args.no_report else [f"{args.out}.html"]),
    ]


def evaluate_gate(args: argparse.Namespace) -> bool:
    """Whether the new weights of --gate pass."""
    torch.set_num_threads(args.workers)
    item = args.codecs.split(",")[0]
    if item.partition(":")[0] not in OWN:
        raise InvalidInputError(f"--gate compares weights of lfic: --codecs is lfic:S/S, found {item!r}")

    def codec(weights: str) -> EvaluatedCodec:
        return build(item, argparse.Namespace(**{**vars(args), "weights": weights}))

    return gate(args, codec, faces_of(args), load_judges(args), Cache(args.cache))


def load_judges(args: argparse.Namespace) -> list[Judge]:
    """The recognisers of the command line; their names must differ."""
    judges = [load_judge(path) for path in args.recognizer]
    if len({j.name for j in judges}) < len(judges):
        raise InvalidInputError(f"two recognisers have one name: {', '.join(j.name for j in judges)}; rename a file")
    return judges


def faces_of(args: argparse.Namespace) -> Faces:
    """The faces of the command line."""
    folds = fold_numbers(args.folds) if args.folds else None
    choose = None if args.per_group is None else lambda names: balanced(names, args.per_group)
    return load_faces(
        args.faces,
        args.pairs,
        args.landmarks,
        args.limit,
        args.allow_missing,
        folds,
        choose,
        args.whole,
        args.crop,
        args.draw_pairs,
        args.strict,
    )


def measure(args: argparse.Namespace, run: Run, cache: Cache, keys: Sequence[str]) -> None:
    """Every codec at every setting. OUT.csv is written after each point, so that a run can be watched."""
    run.rows = summarize(uncompressed_point(run.reference, run.faces), run.reference, run.faces)
    which = sample(run.faces, args.looks)
    for codec in run.codecs:
        jury = impartial(codec, run.judges)
        for left_out in (j for j in run.judges if j not in jury):
            print(f"{codec.name} is not judged by {left_out.name}, which its encoder looks through", file=sys.stderr)
        for setting in codec.settings if jury else ():
            point = evaluate_point(codec, setting, run.faces, jury, cache, args.workers, not args.quiet, keys)
            if which:
                point.looks = measure_looks(codec, setting, run.faces, which, cache, keys)
            run.points.append(point)
            rows = summarize(point, run.reference, run.faces)
            run.rows += rows
            write_csv(f"{args.out}.csv", run.rows + run.earlier, run.note)
            for row in rows:
                if row["protocol"] != "gallery":
                    print(line_of(row), flush=True)


def line_of(row: Row) -> str:
    """One line for whoever watches."""
    text = (
        f"{row['codec']} {row['setting']}: {row['bytes']:.0f} bytes, PSNR {row['psnr_db']:.2f} dB, "
        f"{row['recognizer']} similarity {row['similarity']:.4f}"
    )
    if "accuracy" in row:
        tar = row.get("tar_at_far_0.001")
        text += f", accuracy {100 * row['accuracy']:.2f} %"
        text += "" if tar is None else f", TAR@FAR 1e-3 {100 * tar:.1f} %"
    return text


def write_tables(args: argparse.Namespace, run: Run) -> list[Row]:
    """OUT-bdrate.csv and the tables beside it (docs/evaluation.md), those that have rows -> the BD-rates."""
    deltas = bd_rates(run.points, run.reference, run.faces, args.anchor.split(","), args.bootstrap, run.earlier)
    for name, rows in (
        ("bdrate", deltas),
        ("bytes", bytes_at_targets(run.rows + run.earlier)),
        ("templates", template_rows(run.reference, run.faces, args.bootstrap)),
        ("looks", looks_at_bytes(run.rows + run.earlier)),
        ("groups", group_rows(run.points, run.reference, run.faces.names)),
    ):
        if rows:
            write_csv(f"{args.out}-{name}.csv", rows, run.note)
    if args.speed:
        note = "CPU time on one thread, medians of 5 passes over 16 faces"
        run.speed = measure_speed(run.codecs, run.faces.pixels[:16])
        write_csv(f"{args.out}-speed.csv", run.speed, note)
    return deltas


def size_of(args: argparse.Namespace) -> str:
    """What codecs are given, in words."""
    return "photos" if args.whole else f"crops of {args.crop} pixels" if args.crop else "aligned crops"


def write_report(args: argparse.Namespace, run: Run, deltas: Sequence[Row]) -> None:
    """The page and its curves as files."""
    groups = group_rows(run.points, run.reference, run.faces.names)
    if not groups and args.groups:
        groups = read_csv(args.groups)
    faces = load_faces([args.picture_faces]) if args.picture_faces and not run.faces.photos else run.faces
    shown = [faces.source(i) for i in sample(faces, args.pictures)]
    around = 1000 if run.faces.photos else 300
    images = plots(run.rows + run.earlier, rocs(run.points, run.reference, run.faces, around), around)
    write_plots(args.out, images)
    title = f"lfic: face verification against bytes, {size_of(args)}"
    write_page(
        f"{args.out}.html",
        run.rows + run.earlier,
        deltas,
        gallery(run.codecs, shown, OF_PHOTOS if run.faces.photos else BUDGETS),
        groups,
        run.speed,
        run.note,
        title,
        images,
    )
