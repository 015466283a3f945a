"""lfic faces: every face of photos, cut out and encoded, a record for each."""

import argparse
import os
import pathlib

from .common import Commands
from .encoding import add_bounds, add_bulk, bounds_of, codec_of, follow, run_options

DESCRIPTION = """Every face of photos as an .lfic record of its own, with its source, number, box, landmarks and
probability.

Photos are files, folders (with those in them), or .tar, .parquet or .rec shards. The target is a folder, or a name that
ends in .tar, .parquet or .rec. The face layers of .lfic files are copied as they are. Photos without a face are listed
in TARGET.notes.jsonl. A run that was killed goes on with --resume."""


def add_parser(commands: Commands) -> None:
    """The command's options."""
    parser = commands.add_parser(
        "faces",
        help="Every face of photos, cut out and encoded.",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="PHOTO", help="photos, folders or shards")
    parser.add_argument("-o", "--out", required=True, help="target: a folder, or NAME.tar, NAME.parquet, NAME.rec")
    add_bounds(parser)
    parser.add_argument(
        "--crop",
        choices=("template", "square"),
        default="template",
        help="template: turned and scaled onto the template of recognisers, 112 x 112; square: upright, the detector's "
        "box made square (default template)",
    )
    parser.add_argument(
        "--margin", type=int, default=0, help="pixels of surroundings on every side of the 112 x 112 (default 0)"
    )
    parser.add_argument("--min-probability", type=float, default=0.9, help="of a face, 0 to 1 (default 0.9)")
    parser.add_argument(
        "--no-turn", action="store_true", help="do not look at a photo without a face turned by 90, 180, 270 degrees"
    )
    parser.add_argument(
        "--preview", metavar="DIR", type=pathlib.Path, help="write the photos with their faces drawn in to this folder"
    )
    add_bulk(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Find faces; returns the exit code."""
    from ..bulk import FaceFinding, Run, refuse_inside
    from ..data.records import open_sources
    from ..errors import InvalidInputError, MissingDependencyError
    from ..faces import is_installed

    if not is_installed():
        raise MissingDependencyError('finding faces needs facenet-pytorch: pip install "lfic[faces]"')
    for path in args.files:
        if not path.exists() and len(args.files) > 1:
            raise InvalidInputError(f"there is nothing at {path}")
        refuse_inside(path, pathlib.Path(args.out))
        if path.is_dir() and args.preview is not None:
            refuse_inside(path, args.preview)
        if (
            args.overwrite
            and path.suffix.lower() == ".lfic"
            and pathlib.Path(args.out).resolve() in path.resolve().parents
        ):
            raise InvalidInputError(
                f"{path} lies in {args.out}, where a face of another file may replace it: give a target elsewhere"
            )
    work = FaceFinding(
        codec_of(args),
        bounds_of(args),
        args.crop,
        args.margin,
        args.min_probability,
        not args.no_turn,
        preview=None if args.preview is None else os.path.abspath(args.preview),
        replaces=args.overwrite,
    )
    name = " ".join(os.path.abspath(path) for path in args.files)
    return follow(Run(open_sources(args.files), name, work, args.out, **run_options(args)), args, "faces")
