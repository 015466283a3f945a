"""lfic qr: a face to a QR code."""

import argparse
import pathlib
from typing import Any

from ..errors import InvalidInputError
from ..format.geometry import SIDE
from .common import Commands, add_codec_parser, each, encoder_for, positive, quality, refuse_existing, targets, write

LEVELS = ("L", "M", "Q", "H")


def add_parser(commands: Commands) -> None:
    """The command's options."""
    parser = add_codec_parser(
        commands,
        "qr",
        "A face to a QR code, in a bare stream.",
        "aligned 112 x 112 crops; photos, whose largest face is found and aligned; .bare and .lfic files as they are",
        ".png, .svg, .pdf or .eps to write, or folder for several (default: .qr.png beside the file)",
    )
    bound = parser.add_mutually_exclusive_group()
    bound.add_argument("--max-bytes", type=positive, help="largest quality that fits (default 180)")
    bound.add_argument("--quality", type=quality, help="1 to 100")
    bound.add_argument("--version", type=int, choices=range(1, 41), metavar="1..40", help="fill a code of this version")
    parser.add_argument("--effort", type=int, choices=range(4), default=1, help="as for encode (default 1)")
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
    from ..format.probe import probe

    names = targets(args, lambda path: ".qr.png")
    codec = encoder_for(args, {"effort": args.effort})
    capacity = None if args.version is None else qr.capacity(args.version, args.level)

    def stream(path: pathlib.Path) -> bytes:
        if path.suffix in (".bare", ".lfic"):
            return codec.to_bare(path.read_bytes(), "bare" if path.suffix == ".bare" else "file")
        options: dict[str, Any] = {"quality": args.quality}
        if args.quality is None:
            options = {"max_bytes": capacity or args.max_bytes or 180}
        face = face_of(path)
        try:
            return codec.encode(face, effort=args.effort, aligned=True, container="bare", **options)
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
        code = qr.make(stream(path), args.level)
        if args.version is not None and code.version > args.version:
            raise InvalidInputError(
                f"{len(code.data)} bytes need version {code.version} at level {args.level}; asked for is {args.version}"
            )
        write(names[path], code.file(names[path].suffix, args.module, args.dpi))
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


def face_of(path: pathlib.Path) -> Any:
    """A file's picture, or the largest face in it, 112 x 112."""
    from ..faces import detect
    from ..image import open_image

    image = open_image(path)
    if image.size == (SIDE, SIDE):
        return image
    found = detect(image)
    if not found:
        raise InvalidInputError(
            f"{path} has {image.width} x {image.height} pixels and no face was found in it: give an aligned crop of "
            f"{SIDE} x {SIDE}"
        )
    return found[0].crop
