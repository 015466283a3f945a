"""lfic encode: photos to .lfic files."""

import argparse
import pathlib
import sys
import time
from typing import TYPE_CHECKING, Any

from ..format.container import MAX_PIXELS
from ..format.geometry import SIDE
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

if TYPE_CHECKING:
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
    bound = parser.add_mutually_exclusive_group()
    bound.add_argument("--quality", type=quality, default=40, help="1 to 100 (default 40)")
    bound.add_argument("--max-bytes", type=positive, help="largest quality that fits")
    bound.add_argument(
        "--min-similarity",
        type=float,
        help="smallest file that a recogniser finds that like the original, -1 to 1 (1: the picture, 0: a stranger)",
    )
    parser.add_argument(
        "--effort",
        type=int,
        choices=range(4),
        default=0,
        help="time for a better file of the same quality, 0 to 3 (default 0): six, twelve, 24 gradient steps on the "
        "features, the last with a search over region levels and symbols, for what a recogniser sees",
    )
    parser.add_argument(
        "--recognizer",
        default="bundled",
        help="TorchScript face recogniser, 112 x 112 RGB in 0..255 -> embedding (default: the one that ships)",
    )
    parser.add_argument(
        "--faces",
        choices=("auto", "none"),
        default="auto",
        help="auto: a photo's faces are found and coded as layers of their own over a coarse background; none: the "
        "picture is coded whole (default auto; a picture of 112 x 112 pixels is a face)",
    )
    parser.add_argument("--face-quality", type=quality, help="1 to 100, of a photo's faces (default: --quality)")
    parser.add_argument(
        "--background-quality",
        type=quality,
        help="1 to 100, of what is behind them (default: what suits theirs)",
    )
    parser.add_argument(
        "--aligned", action="store_true", help="the photos are 112 x 112 crops on the alignment template"
    )
    parser.add_argument("--no-checksum", action="store_true", help="two bytes less, damage may go unnoticed")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Encode the files; returns the exit code."""
    from ..faces import can_detect
    from ..image import notes, open_image

    names = targets(args, lambda path: ".lfic")
    codec = load_codec(args)
    faces = args.faces if args.faces == "auto" and can_detect() else None
    if args.faces == "auto" and faces is None:
        print('lfic: faces are not looked for: that needs pip install "lfic[facenet]"', file=sys.stderr)

    def work(path: pathlib.Path) -> dict[str, Any]:
        began = time.perf_counter()
        refuse_existing(names[path], args)
        image = open_image(path, read(path) if is_stream(path) else None)
        for note in notes(image):
            print(f"lfic: {path}: {note}", file=sys.stderr)
        data = codec.encode(
            image,
            quality=args.quality,
            max_bytes=args.max_bytes,
            min_similarity=args.min_similarity,
            effort=args.effort,
            aligned=args.aligned or None,
            checksum=not args.no_checksum,
            faces=faces,
            face_quality=args.face_quality,
            background_quality=args.background_quality,
        )
        write(names[path], data)
        found = codec.probe(data, MAX_PIXELS)
        return {
            "file": str(names[path]),
            "bytes": len(data),
            "size": f"{found.width}x{found.height}",
            "quality": found.layers[0].quality if found.layers else found.quality,
            **({"faces": len(found.layers)} if found.layers or (faces and not is_crop(found)) else {}),
            "seconds": round(time.perf_counter() - began, 3),
        }

    return each(args, work)


def is_crop(found: "Info") -> bool:
    """Whether a file is one of a face alone, in which none is looked for."""
    return (found.width, found.height) == (SIDE, SIDE)
