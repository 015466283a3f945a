"""lfic scan: faces out of the QR codes in pictures."""

import argparse
import pathlib
from typing import Any

from ..errors import InvalidInputError
from .common import (
    Commands,
    add_codec_parser,
    decoder_for,
    each,
    image_bytes,
    is_stream,
    read,
    refuse_existing,
    targets,
    write,
)


def add_parser(commands: Commands) -> None:
    """The command's options."""
    parser = add_codec_parser(
        commands,
        "scan",
        "Faces out of the QR codes in pictures.",
        "scans, photos or renderings of codes that lfic qr made; - is standard input",
        "picture, .bare for the stream as it is, - for PNG on standard output, or folder for several (default: "
        ".face.png beside the file)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read the codes; returns the exit code."""
    from .. import qr
    from ..format.probe import probe
    from ..image import open_image

    names = targets(args, lambda path: ".face.png")
    codec = decoder_for(args)

    def work(path: pathlib.Path) -> dict[str, Any]:
        found = qr.read(open_image(path, read(path) if is_stream(path) else None))
        target = names[path]
        if len(found) > 1 and is_stream(target):
            raise InvalidInputError(
                f"{path} has codes of {len(found)} faces, and standard output takes one: give -o FILE.png, which "
                f"becomes FILE-1.png to FILE-{len(found)}.png, or a folder"
            )
        outs = (
            [target]
            if len(found) == 1
            else [target.with_name(f"{target.stem}-{number}{target.suffix}") for number in range(1, len(found) + 1)]
        )
        for out in outs:
            refuse_existing(out, args)
        for out, data in zip(outs, found, strict=True):
            write(out, data if out.suffix == ".bare" else image_bytes(codec.decode(data, container="bare"), out))
        info = probe(found[0], container="bare")
        row: dict[str, Any] = {"file": str(outs[0]), "bytes": len(found[0]), "quality": info.quality}
        if len(found) > 1:
            row |= {"faces": len(found)} | ({"files": [*map(str, outs)]} if args.json else {})
        return row

    return each(args, work)
