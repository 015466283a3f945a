"""lfic encode: photos to .lfic files."""

import argparse
import pathlib
import sys
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInputError
from ..format.geometry import SIDE
from .common import (
    Commands,
    add_codec_parser,
    each,
    encoder_for,
    is_stream,
    read,
    refuse_existing,
    targets,
    write,
)
from .encoding import NOT_LOOKED_FOR, add_bounds, add_layers, bounds_of, layers_of

if TYPE_CHECKING:
    from ..format.bare import Container
    from ..format.probe import Info


def add_parser(commands: Commands) -> None:
    """The command's options."""
    parser = add_codec_parser(
        commands,
        "encode",
        "Photos to .lfic files.",
        "images of any format that Pillow reads (of an animation the first frame); - is standard input",
        "file to write, - for standard output, or folder for several (default: beside the photo)",
    )
    add_bounds(parser)
    add_layers(parser)
    parser.add_argument(
        "--bare",
        action="store_true",
        help="a bare stream, .bare: no magic, no checksum, one byte before the payload of an aligned face",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Encode the files; returns the exit code."""
    from ..format.container import MAX_PIXELS
    from ..format.probe import probe
    from ..image import notes, open_image

    form: Container = "bare" if args.bare else "file"
    names = targets(args, lambda path: ".bare" if args.bare else ".lfic")
    for target in names.values():
        refuse_picture(target)
    options = bounds_of(args) | layers_of(args)
    codec = encoder_for(args, options)

    def work(path: pathlib.Path) -> dict[str, Any]:
        began = time.perf_counter()
        refuse_existing(names[path], args)
        image = open_image(path, read(path) if is_stream(path) else None)
        if options["faces"] and image.size != (SIDE, SIDE):  # loading the detector takes seconds: where it is needed
            from ..faces import can_detect

            if not can_detect():
                print(NOT_LOOKED_FOR, file=sys.stderr)
                options["faces"] = None
        for note in notes(image):
            print(f"lfic: {path}: {note}", file=sys.stderr)
        data = codec.encode(image, container=form, **options)
        write(names[path], data)
        found = probe(data, MAX_PIXELS, form)
        return {
            "file": str(names[path]),
            "bytes": len(data),
            "size": f"{found.width}x{found.height}",
            "quality": found.layers[0].quality if found.layers else found.quality,
            **({"scale": str(Fraction(found.scale))} if found.scale != 1 and not found.layers else {}),
            **({"faces": len(found.layers)} if found.layers or (options["faces"] and not is_crop(found)) else {}),
            "seconds": round(time.perf_counter() - began, 3),
        }

    return each(args, work)


def refuse_picture(path: pathlib.Path) -> None:
    """Whoever gives the arguments in the wrong order keeps the picture, and none gets a file that no viewer opens.

    Raises:
        InvalidInputError: the name of a result is that of a picture.
    """
    suffix = path.suffix.lower()
    if suffix in ("", ".lfic", ".bare"):  # else all of Pillow's plugins are loaded
        return
    from PIL import Image

    from ..data.names import PLUGIN

    if suffix in PLUGIN or suffix in Image.registered_extensions():
        raise InvalidInputError(
            f"{path} is the name of a picture, and what encode writes is none: give a name that ends in .lfic, or with "
            "--bare in .bare"
        )


def is_crop(found: "Info") -> bool:
    """Whether a file is one of a face alone, in which none is looked for."""
    return (found.width, found.height) == (SIDE, SIDE)
