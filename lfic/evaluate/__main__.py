"""``lfic evaluate``: verification accuracy against bytes, for any codec, on anybody's faces.

    lfic evaluate FACES... --pairs pairs.txt --landmarks landmarks.npz --recogniser net.pt [--codecs lfic,webp,...]

FACES are folders or tar files. The cache makes a second run, or one that was killed, go on where the first stood.
"""

import argparse
import sys

from ..errors import InvalidInputError, LficError


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="lfic evaluate", description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("faces", nargs="+", help="folders or tar files of images")
    parser.add_argument("--pairs", help="pairs file in LFW's form; without one, similarity and PSNR only")
    parser.add_argument(
        "--landmarks", help=".npz with names and landmarks [N, 5, 2]; without one, images are aligned 112 x 112 crops"
    )
    parser.add_argument(
        "--recogniser",
        action="append",
        required=True,
        metavar="FILE",
        help="TorchScript network, RGB 112 x 112 in 0..255; repeatable",
    )
    parser.add_argument(
        "--codecs",
        default="lfic,jpeg,jpeg2000,webp,avif,jxl",
        help="names, comma separated; NAME:S/S/S gives a codec's settings, lfic@N lfic at effort N",
    )
    parser.add_argument("--weights", default="face-v1", help="weights of lfic: a bundled name or a .safetensors file")
    parser.add_argument("--effort", type=int, default=0, help="lfic's encoding effort")
    parser.add_argument(
        "--encoder-recogniser",
        metavar="FILE",
        help="TorchScript network that lfic's efforts 1 to 3 look through while they encode; not one that measures",
    )
    parser.add_argument(
        "--train-faces",
        help="packed faces (lfic.data.pack) for the codecs that are learned here: eigenface, dictionary",
    )
    parser.add_argument("--bmshj2018", help="checkpoint that benchmarks/train_bmshj2018.py wrote, for codec bmshj2018")
    parser.add_argument("--folds", help="folds to use, from 1, e.g. 1,2 or 1-5; all by default")
    parser.add_argument("--limit", type=int, help="at most so many images (without --pairs)")
    parser.add_argument(
        "--per-group",
        type=int,
        help="a sample with so many faces of each age, sex and skin group, by UTKFace's file names (without --pairs)",
    )
    parser.add_argument(
        "--groups",
        metavar="CSV",
        help="OUT-groups.csv of an earlier run, for the page of one whose faces have no groups",
    )
    parser.add_argument(
        "--earlier",
        metavar="CSV",
        help="OUT.csv of an earlier run on the same faces: codecs that this one does not measure are compared by "
        "their rows there, without intervals",
    )
    parser.add_argument(
        "--allow-missing", action="store_true", help="leave out pairs whose images or landmarks are missing"
    )
    parser.add_argument(
        "--anchor", default="JPEG 2000,WebP,AVIF s4,JPEG XL e7,JPEG", help="codecs that BD-rates are taken against"
    )
    parser.add_argument("--bootstrap", type=int, default=200, help="replicates for confidence intervals; 0 for none")
    parser.add_argument("--cache", default="evaluate-cache.sqlite", help="where files and embeddings are kept")
    parser.add_argument(
        "--out", default="evaluation", help="prefix of the results: OUT.csv, OUT-bdrate.csv, OUT-*.png, OUT.html"
    )
    parser.add_argument("--no-report", action="store_true", help="write no HTML page and no PNG files")
    parser.add_argument("--pictures", type=int, default=3, help="faces that the report shows at equal bytes")
    parser.add_argument(
        "--picture-faces", help="folder or tar of aligned 112 x 112 crops to show; some evaluated ones by default"
    )
    parser.add_argument("--speed", action="store_true", help="measure speed too: CPU time of one thread")
    parser.add_argument("--workers", type=int, default=1, help="threads: encoders, decoders and torch")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    args = parser.parse_args(argv)
    if args.workers < 1:
        raise InvalidInputError(f"--workers is {args.workers}; at least 1 is needed")
    if args.bootstrap < 0:
        raise InvalidInputError(f"--bootstrap is {args.bootstrap}; allowed are 0 and more")
    return args


def numbers(text):
    """'1,3-5' -> {0, 2, 3, 4}."""
    out = set()
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            out.update(range(int(first) - 1, int(last or first)))
    except ValueError:
        raise InvalidInputError(f"--folds is {text!r}; give numbers as in 1,3-5") from None
    return out


def build_codecs(args):
    """The codecs that --codecs names, in its order."""
    from . import codecs

    out = []
    for item in args.codecs.split(","):
        name, _, settings = item.strip().partition(":")
        name, at, effort = name.partition("@")
        options = {}
        if at and (name != "lfic" or effort not in ("0", "1", "2", "3")):
            raise InvalidInputError(f"codec {name}@{effort}: lfic alone has an effort, and it is 0 to 3, as in lfic@2")
        if settings:
            try:
                options["settings"] = tuple(int(s) for s in settings.split("/"))
            except ValueError:
                raise InvalidInputError(
                    f"settings of {name} are {settings!r}; give integers as in {name}:10/20/40"
                ) from None
        if name == "lfic":
            options |= {
                "weights": args.weights,
                "effort": int(effort) if at else args.effort,
                "recognizer": args.encoder_recogniser,
            }
        elif name in ("eigenface", "dictionary"):
            if not args.train_faces:
                raise InvalidInputError(f"codec {name} is learned from faces: give a packed file with --train-faces")
            options |= {"pack": args.train_faces, "store": args.cache}
        elif name == "bmshj2018":
            if not args.bmshj2018:
                raise InvalidInputError(
                    "codec bmshj2018 needs --bmshj2018 CHECKPOINT (benchmarks/train_bmshj2018.py writes one)"
                )
            options["checkpoint"] = args.bmshj2018
        if name not in codecs.CODECS:
            raise InvalidInputError(f"no codec {name!r}; there are {', '.join(codecs.CODECS)}")
        out.append(codecs.CODECS[name](**options))
    return out


def run(args):
    import numpy as np
    import torch

    from . import bdrate, data, groups, recognise, report
    from . import run as runner
    from .cache import Cache, content_key

    torch.set_num_threads(args.workers)
    codecs = build_codecs(args)
    recognisers = [recognise.load_recogniser(path) for path in args.recogniser]
    if len({r.name for r in recognisers}) < len(recognisers):
        raise InvalidInputError(
            f"two recognisers have one name: {', '.join(r.name for r in recognisers)}; rename a file"
        )
    folds = numbers(args.folds) if args.folds else None
    choose = None if args.per_group is None else lambda names: groups.balanced(names, args.per_group)
    faces = data.load_faces(args.faces, args.pairs, args.landmarks, args.limit, args.allow_missing, folds, choose)
    if faces.missing:
        print(f"{len(faces.missing)} images left out: {', '.join(faces.missing[:12])}", file=sys.stderr)
    earlier = runner.earlier_rows(args.earlier, codecs, recognisers, faces) if args.earlier else []
    cache, keys = Cache(args.cache), [content_key(p) for p in faces.pixels]
    reference = runner.reference_embeddings(faces, recognisers, cache, keys, not args.quiet)
    points, rows = [], runner.summarise(runner.uncompressed_point(reference, faces), reference, faces)
    note = f"{len(faces)} faces, {len(faces.pairs)} pairs" + (f", folds {args.folds}" if args.folds else "")
    for codec in codecs:
        judges = recognise.judges(codec, recognisers)
        for left_out in (r for r in recognisers if r not in judges):
            print(f"{codec.name} is not judged by {left_out.name}, which its encoder looks through", file=sys.stderr)
        for setting in codec.settings if judges else ():
            point = runner.evaluate_point(codec, setting, faces, judges, cache, args.workers, not args.quiet, keys)
            points.append(point)
            new = runner.summarise(point, reference, faces)
            rows += new
            runner.write_csv(f"{args.out}.csv", rows + earlier, note)
            for row in new:
                if row["protocol"] != "gallery":
                    print_row(row)
    rows += earlier
    deltas = bdrate.table(points, reference, faces, args.anchor.split(","), args.bootstrap, earlier)
    if deltas:
        runner.write_csv(f"{args.out}-bdrate.csv", deltas, note)
    equal = bdrate.bytes_table(rows)
    if equal:
        runner.write_csv(f"{args.out}-bytes.csv", equal, note)
    by_group = groups.group_rows(points, reference, faces.names)
    if not by_group and args.groups:
        by_group = runner.read_csv(args.groups)
    elif by_group:
        runner.write_csv(f"{args.out}-groups.csv", by_group, note)
    speed = report.measure_speed(codecs, faces.pixels[:16]) if args.speed else []
    if speed:
        runner.write_csv(f"{args.out}-speed.csv", speed, "CPU time on one thread, medians of 5 passes over 16 faces")
    if not args.no_report:
        shown = data.load_faces([args.picture_faces]).pixels if args.picture_faces else faces.pixels
        shown = shown[np.linspace(0, len(shown) - 1, min(args.pictures, len(shown))).astype(int)]
        images = report.figures(rows, report.rocs(points, reference, faces))
        report.write_figures(args.out, images)
        report.write(
            f"{args.out}.html", rows, deltas, report.pictures(codecs, shown), by_group, speed, note, images=images
        )
    print(
        f"{args.out}.csv"
        + ("" if not deltas else f", {args.out}-bdrate.csv")
        + ("" if args.no_report else f", {args.out}.html")
    )
    return 0


def print_row(row):
    text = f"{row['codec']} {row['setting']}: {row['bytes']:.0f} bytes, PSNR {row['psnr_db']:.2f} dB, "
    f"{row['recogniser']} similarity {row['similarity']:.4f}"
    if "accuracy" in row:
        tar = row.get("tar_at_far_0.001")
        text += f", accuracy {100 * row['accuracy']:.2f} %" + (
            "" if tar is None else f", TAR@FAR 1e-3 {100 * tar:.1f} %"
        )
    print(text, flush=True)


def main(argv=None):
    """Entry point: argv without the program's name -> exit status (0, or 2 with a message on stderr)."""
    try:
        return run(parse(argv))
    except LficError as error:
        print(f"lfic evaluate: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
