"""lfic transcode: images of any format to .lfic, and .lfic to PNG, by name."""

import argparse
import pathlib
from typing import Any

from ..files import write_atomically
from .common import Commands, add_codec_parser, each, image_bytes, load_codec, quality, refuse_existing, targets


def add_parser(commands: Commands) -> None:
    """The command's options."""
    parser = add_codec_parser(
        commands,
        "transcode",
        "Images of any format to .lfic, and .lfic to PNG, by name.",
        "images and .lfic files",
        "folder to write to (default: beside each file)",
    )
    parser.add_argument("--quality", type=quality, default=40, help="1 to 100 (default 40)")
    parser.set_defaults(run=run)


def is_lfic(path: pathlib.Path) -> bool:
    """By its name."""
    return path.suffix.lower() == ".lfic"


def run(args: argparse.Namespace) -> int:
    """Turn each file into the other kind; returns the exit code."""
    from ..image import open_image

    names = targets(args, lambda path: ".png" if is_lfic(path) else ".lfic", several=True)
    codec = load_codec(args)

    def work(path: pathlib.Path) -> dict[str, Any]:
        refuse_existing(names[path], args)
        if is_lfic(path):
            data = image_bytes(codec.decode(path.read_bytes()), names[path])
        else:
            data = codec.encode(open_image(path), quality=args.quality)
        write_atomically(names[path], data)
        return {"file": str(names[path]), "bytes": len(data)}

    return each(args, work)
