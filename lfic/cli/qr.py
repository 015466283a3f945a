"""lfic qr: a face to a QR code."""

import argparse
import functools
import pathlib
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInputError, MissingDependencyError
from ..format.geometry import SIDE
from .common import (
    Commands,
    add_codec_parser,
    check_folder,
    each,
    encoder_for,
    is_stream,
    load_codec,
    picture_suffix,
    positive,
    quality,
    read,
    refuse_existing,
    targets,
    write,
)

if TYPE_CHECKING:
    from PIL import Image

LEVELS = ("L", "M", "Q", "H")
FILES = (".lfic", ".bare")  # that become codes as they are
KINDS = (".png", ".svg", ".pdf", ".eps")  # that codes are written as
MAX_BYTES = 180


def add_parser(commands: Commands) -> None:
    """The command's options."""
    parser = add_codec_parser(
        commands,
        "qr",
        "A face to a QR code, in a bare stream.",
        "aligned 112 x 112 crops; photos, whose largest face is found and aligned; .bare and .lfic files as they are; "
        "- is standard input, a picture or an .lfic file",
        ".png, .svg, .pdf or .eps to write, - for PNG on standard output, or folder for several (default: .qr.png "
        "beside the file)",
    )
    bound = parser.add_mutually_exclusive_group()
    bound.add_argument("--max-bytes", type=positive, help=f"largest quality that fits (default {MAX_BYTES})")
    bound.add_argument("--quality", type=quality, help="1 to 100")
    bound.add_argument("--version", type=int, choices=range(1, 41), metavar="1..40", help="fill a code of this version")
    parser.add_argument(
        "--effort", type=int, choices=range(4), help="as for encode (default 1, and 0 where torch is not installed)"
    )
    parser.add_argument(
        "--level",
        choices=LEVELS,
        default="M",
        help="of error correction: 7, 15, 25 or 30 %% of the code may be damaged (default M); more where there is room",
    )
    parser.add_argument("--module", type=positive, default=8, help="pixels of a module's side (default 8)")
    parser.add_argument("--dpi", type=positive, default=300, help="in print (default 300)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the codes; returns the exit code."""
    from .. import qr
    from ..format.container import MAGIC
    from ..format.probe import probe
    from ..image import open_image

    names = targets(args, lambda path: ".qr.png")
    check_kinds(names.values())
    capacity = None if args.version is None else qr.capacity(args.version, args.level)
    # Each is loaded for the first file that needs it: bare streams need neither.
    coder, converter = functools.cache(lambda: coder_of(args)), functools.cache(lambda: converter_of(args))

    def stream_of(path: pathlib.Path) -> bytes:
        kind = path.suffix.lower()
        data = read(path) if kind in FILES or is_stream(path) else None
        if is_stream(path) and data and data[0] == MAGIC:
            kind = ".lfic"
        if data is None or kind not in FILES:
            image = open_image(path, data)
            check_folder(names[path])  # before anything is loaded, which takes seconds
            return encoded(face_of(path, image))
        if args.quality is not None:
            raise InvalidInputError(
                f"{path} becomes a code as it is; --quality is for pictures: leave it out, or give the picture"
            )
        found: bytes = data if kind == ".bare" else converter().to_bare(data)
        if args.max_bytes is not None and len(found) > args.max_bytes:
            raise InvalidInputError(
                f"{path} becomes a code as it is, of {len(found)} bytes; --max-bytes allows {args.max_bytes}: allow "
                "more, or give the picture"
            )
        return found

    def encoded(face: "Image.Image") -> bytes:
        codec, effort = coder()
        options: dict[str, Any] = {"quality": args.quality}
        if args.quality is None:
            options = {"max_bytes": capacity or args.max_bytes or MAX_BYTES}
        try:
            data: bytes = codec.encode(face, effort=effort, aligned=True, container="bare", **options)
            return data
        except InvalidInputError:
            if capacity is None:
                raise
            least = len(codec.encode(face, quality=1, aligned=True, container="bare"))
            raise InvalidInputError(
                f"version {args.version} at level {args.level} holds {capacity} bytes; this face at quality 1 has "
                f"{least}: give a larger --version, or a lower --level"
            ) from None

    def work(path: pathlib.Path) -> dict[str, Any]:
        refuse_existing(names[path], args)
        code = qr.make(stream_of(path), args.level)
        if args.version is not None and code.version > args.version:
            raise InvalidInputError(
                f"{len(code.data)} bytes need version {code.version} at level {args.level}; asked for is {args.version}"
            )
        write(names[path], code.file(picture_suffix(names[path]), args.module, args.dpi))
        side = code.side(args.module)
        return {
            "file": str(names[path]),
            "bytes": len(code.data),
            "quality": probe(code.data, container="bare").quality,
            "version": code.version,
            "level": code.level,
            "modules": f"{code.modules}x{code.modules}",
            "module_pixels": args.module,
            "module_mm": round(args.module * qr.INCH / args.dpi, 3),
            "side_mm": round(side * qr.INCH / args.dpi, 1),
        }

    return each(args, work)


def check_kinds(paths: Iterable[pathlib.Path]) -> None:
    """Refuse names that no code can be written as, before anything is loaded."""
    for path in paths:
        if picture_suffix(path) not in KINDS:
            raise InvalidInputError(
                f"{path}: a QR code can't be written as {path.suffix or 'a file without a suffix'}; use .png, .svg, "
                ".pdf or .eps"
            )


def coder_of(args: argparse.Namespace) -> tuple[Any, int]:
    """What encodes pictures, and at which effort: without ``--effort`` 1, or 0 where torch is not installed."""
    if args.effort is not None:
        return encoder_for(args, {"effort": args.effort}), args.effort
    try:
        return encoder_for(args, {"effort": 1}), 1
    except MissingDependencyError:
        codec = encoder_for(args, {"effort": 0})
        print("lfic: effort 0: effort 1, the default, needs torch: pip install 'lfic[torch]'", file=sys.stderr)
        return codec, 0


def converter_of(args: argparse.Namespace) -> Any:
    """What makes bare streams of .lfic files, whose symbols stay what they are: no torch is needed."""
    from .. import decoder
    from ..encoder.options import DEFAULT_MODEL

    return decoder.read(args.model or DEFAULT_MODEL) or load_codec(args)


def face_of(path: pathlib.Path, image: "Image.Image") -> "Image.Image":
    """A file's picture, or the largest face in it, 112 x 112."""
    if image.size == (SIDE, SIDE):
        return image
    from ..faces import detect

    found = detect(image)
    if not found:
        raise InvalidInputError(
            f"{path} has {image.width} x {image.height} pixels and no face was found in it: give an aligned crop of "
            f"{SIDE} x {SIDE}"
        )
    return found[0].crop
