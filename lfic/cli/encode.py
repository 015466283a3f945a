"""lfic encode: photos to .lfic files."""

import argparse
import pathlib
import time
from typing import Any

from .common import (
    Commands,
    add_codec_parser,
    each,
    is_stream,
    load_codec,
    positive,
    quality,
    read,
    refuse_existing,
    targets,
    write,
)


def add_parser(commands: Commands) -> None:
    """The command's options."""
    parser = add_codec_parser(
        commands,
        "encode",
        "Photos to .lfic files.",
        "images of any format that Pillow reads (of an animation the first frame); - is standard input",
        "file to write, - for standard output, or folder for several (default: beside the photo)",
    )
    bound = parser.add_mutually_exclusive_group()
    bound.add_argument("--quality", type=quality, default=40, help="1 to 100 (default 40)")
    bound.add_argument("--max-bytes", type=positive, help="largest quality that fits")
    bound.add_argument(
        "--min-similarity",
        type=float,
        help="smallest file whose identity embedding stays that close, -1 to 1; needs --recognizer",
    )
    parser.add_argument(
        "--effort",
        type=int,
        choices=range(4),
        default=0,
        help="time for a better file of the same quality, 0 to 3 (default 0): six, twelve, 24 gradient steps on the "
        "features, the last with a search over region levels and symbols; likeness counts where there is a "
        "--recognizer, else pixels alone",
    )
    parser.add_argument("--recognizer", help="TorchScript face recogniser, 112 x 112 RGB in 0..255 -> embedding")
    parser.add_argument(
        "--aligned", action="store_true", help="the photos are 112 x 112 crops on the alignment template"
    )
    parser.add_argument("--no-checksum", action="store_true", help="two bytes less, damage may go unnoticed")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Encode the files; returns the exit code."""
    from ..image import open_image

    names = targets(args, lambda path: ".lfic")
    codec = load_codec(args)

    def work(path: pathlib.Path) -> dict[str, Any]:
        began = time.perf_counter()
        refuse_existing(names[path], args)
        image = open_image(path, read(path) if is_stream(path) else None)
        data = codec.encode(
            image,
            quality=args.quality,
            max_bytes=args.max_bytes,
            min_similarity=args.min_similarity,
            effort=args.effort,
            aligned=args.aligned or None,
            checksum=not args.no_checksum,
        )
        write(names[path], data)
        found = codec.probe(data)
        return {
            "file": str(names[path]),
            "bytes": len(data),
            "size": f"{found.width}x{found.height}",
            "quality": found.quality,
            "seconds": round(time.perf_counter() - began, 3),
        }

    return each(args, work)
