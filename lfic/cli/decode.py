"""lfic decode: .lfic files to pictures."""

import argparse
import pathlib
from typing import Any

from .common import (
    Commands,
    add_codec_parser,
    each,
    image_bytes,
    load_codec,
    positive,
    read,
    refuse_existing,
    targets,
    write,
)


def add_parser(commands: Commands) -> None:
    """The command's options."""
    parser = add_codec_parser(
        commands,
        "decode",
        ".lfic files to PNG.",
        ".lfic files; - is standard input",
        "image file to write, - for PNG on standard output, or folder for several (default: .png beside the file)",
    )
    parser.add_argument(
        "--max-pixels", type=positive, help="refuse larger images before anything is allocated (default 178956970)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Decode the files; returns the exit code."""
    from ..format.container import MAX_PIXELS

    names = targets(args, lambda path: ".png")
    codec = load_codec(args)

    def work(path: pathlib.Path) -> dict[str, Any]:
        refuse_existing(names[path], args)
        image = codec.decode(read(path), args.max_pixels or MAX_PIXELS)
        write(names[path], image_bytes(image, names[path]))
        return {"file": str(names[path]), "size": f"{image.width}x{image.height}"}

    return each(args, work)
