"""The options of ``lfic evaluate``."""

import argparse
from collections.abc import Sequence

from ..encoder.options import DEFAULT_MODEL
from ..errors import InvalidInputError
from .crop import SPANS


class Defaults(argparse.ArgumentDefaultsHelpFormatter):
    """Says the default of an option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default not in (None, False, "", []) else action.help


def parse(argv: Sequence[str] | None, description: str) -> argparse.Namespace:
    """Options as a namespace; raises InvalidInputError for numbers out of range."""
    parser = argparse.ArgumentParser(prog="lfic evaluate", description=description, formatter_class=Defaults)
    add_faces(parser.add_argument_group("faces"))
    add_codecs(parser.add_argument_group("codecs"))
    add_results(parser.add_argument_group("results"))
    add_work(parser.add_argument_group("work"))
    args = parser.parse_args(argv)
    if args.workers < 1:
        raise InvalidInputError(f"--workers is {args.workers}; at least 1 is needed")
    if not args.recognizer and not args.gate:
        raise InvalidInputError("who judges? give --recognizer FILE, a TorchScript network")
    if args.whole and args.crop:
        raise InvalidInputError("--whole and --crop are two sizes: give one of them")
    if args.draw_pairs < 0 or (args.draw_pairs and args.pairs):
        raise InvalidInputError("--draw-pairs takes a number from 1 up, and no --pairs beside it")
    for name in ("looks", "bootstrap", "pictures"):
        if (value := getattr(args, name)) < 0:
            raise InvalidInputError(f"--{name} is {value}; allowed are 0 and more")
    for name in ("limit", "per_group"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise InvalidInputError(f"--{name.replace('_', '-')} is {value}; allowed are 1 and more")
    return args


def add_faces(group: argparse._ArgumentGroup) -> None:
    """What is measured on, and who judges."""
    group.add_argument(
        "faces",
        nargs="+",
        help="folders or tar files of images, InsightFace's verification sets (.bin) or training sets (.rec)",
    )
    group.add_argument(
        "--pairs",
        help="list of pairs, in LFW's form or as PATH PATH 0|1; without one, and without a .bin file, similarity and "
        "looks only",
    )
    group.add_argument(
        "--draw-pairs",
        type=int,
        default=0,
        metavar="N",
        help="N pairs of one person and N of two, drawn from the people's images: by folder, or by NAME_0001",
    )
    group.add_argument(
        "--landmarks", help=".npz with names and landmarks [N, 5, 2]; without one, images are aligned 112 x 112 crops"
    )
    group.add_argument(
        "--recognizer",
        action="append",
        default=[],
        metavar="FILE",
        help="TorchScript network, RGB 112 x 112 in 0..255; repeatable; needed but for --gate",
    )
    group.add_argument(
        "--whole",
        action="store_true",
        help="compress the whole pictures; faces are aligned by --landmarks after decoding",
    )
    group.add_argument(
        "--crop",
        type=int,
        choices=sorted(SPANS),
        help="compress crops of so many pixels, with the margin that users of facenet (160) and VGGFace2 (224) keep",
    )
    group.add_argument(
        "--strict", action="store_true", help="stop at an image that can't be read, rather than leave it out"
    )
    group.add_argument("--folds", help="folds to use, from 1, e.g. 1,2 or 1-5; all by default")
    group.add_argument("--limit", type=int, help="at most so many images (without --pairs)")
    group.add_argument(
        "--per-group",
        type=int,
        help="a sample with so many faces of each age, sex and skin group, by UTKFace's file names (without --pairs)",
    )
    group.add_argument(
        "--allow-missing", action="store_true", help="leave out pairs whose images or landmarks are missing"
    )


def add_codecs(group: argparse._ArgumentGroup) -> None:
    """What is measured."""
    group.add_argument(
        "--codecs",
        default="lfic,jpeg,jpeg2000,webp,avif,jxl",
        help="names, comma separated; NAME:S/S/S gives a codec's settings, lfic@N lfic at effort N; lfic-layers, with "
        "--whole: the faces that the detector finds are layers; lfic-full: no picture is coded smaller than it is; "
        "lfic-vivid: its files in the look that invents detail",
    )
    group.add_argument(
        "--weights", default=DEFAULT_MODEL, help="weights of lfic: a bundled name or a .safetensors file"
    )
    group.add_argument("--effort", type=int, default=0, help="lfic's encoding effort")
    group.add_argument(
        "--encoder-recognizer",
        metavar="FILE",
        help="TorchScript network that lfic's efforts 1 to 3 look through while they encode; not one that measures",
    )
    group.add_argument(
        "--train-faces",
        help="packed faces (lfic.data.pack) for the codecs that are learned here: eigenface, dictionary",
    )
    group.add_argument("--bmshj2018", help="checkpoint that benchmarks/train_bmshj2018.py wrote, for codec bmshj2018")


def add_results(group: argparse._ArgumentGroup) -> None:
    """What is compared and written."""
    group.add_argument(
        "--groups",
        metavar="CSV",
        help="OUT-groups.csv of an earlier run, for the page of one whose faces have no groups",
    )
    group.add_argument(
        "--earlier",
        metavar="CSV",
        help="OUT.csv of an earlier run on the same faces: codecs that this one does not measure are compared by "
        "their rows there, without intervals",
    )
    group.add_argument(
        "--anchor", default="JPEG 2000,WebP,AVIF s4,JPEG XL e7,JPEG", help="codecs that BD-rates are taken against"
    )
    group.add_argument("--bootstrap", type=int, default=200, help="replicates for confidence intervals; 0 for none")
    group.add_argument(
        "--out",
        default="evaluation",
        help="prefix of the results: OUT.csv, OUT-bdrate.csv, OUT-bytes.csv, OUT-looks.csv, OUT-templates.csv, "
        "OUT-groups.csv, OUT-speed.csv, OUT-gate.csv as there is something to say, OUT-*.png, OUT.html",
    )
    group.add_argument("--no-report", action="store_true", help="write no HTML page and no PNG files")
    group.add_argument("--pictures", type=int, default=3, help="faces that the report shows at equal bytes")
    group.add_argument(
        "--picture-faces", help="folder or tar of aligned 112 x 112 crops to show; some evaluated ones by default"
    )
    group.add_argument(
        "--looks",
        type=int,
        default=100,
        help="on so many faces PSNR, SSIMULACRA2, FLIP, colour error and grid pattern are measured; 0 for none",
    )
    group.add_argument(
        "--gate",
        nargs=2,
        metavar=("OLD", "NEW"),
        help="compare two weights of lfic by their looks at equal bytes instead, at the qualities of --codecs "
        "lfic:S/S, "
        "and write OUT-gate.csv; the exit status is 1 where the new ones are worse",
    )
    group.add_argument("--speed", action="store_true", help="measure speed too: CPU time of one thread")


def add_work(group: argparse._ArgumentGroup) -> None:
    """How it is done."""
    group.add_argument("--cache", default="evaluate-cache.sqlite", help="where files and embeddings are kept")
    group.add_argument("--workers", type=int, default=1, help="threads: encoders, decoders and torch")
    group.add_argument("--quiet", action="store_true", help="no progress bars")


def fold_numbers(text: str) -> set[int]:
    """'1,3-5' -> {0, 2, 3, 4}."""
    out: set[int] = set()
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            out.update(range(int(first) - 1, int(last or first)))
    except ValueError:
        raise InvalidInputError(f"--folds is {text!r}; give numbers as in 1,3-5") from None
    return out
