"""lfic decode: .lfic files to pictures."""

import argparse
import os
import pathlib
from typing import TYPE_CHECKING, Any

from ..errors import ContainerError, CorruptStreamError, InvalidInputError
from ..files import distinct_targets
from .common import (
    Commands,
    add_codec_parser,
    decoder_for,
    each,
    image_bytes,
    is_stream,
    positive,
    read,
    refuse_existing,
    targets,
    write,
)

if TYPE_CHECKING:
    from ..format.bare import Container

PNG = b"\x89PNG\r\n\x1a\n"  # how such a picture begins


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
        "--max-pixels", type=positive, help="refuse larger images before anything is allocated (default 50000000)"
    )
    parser.add_argument(
        "--faces",
        metavar="DIR",
        type=pathlib.Path,
        help="write the face layers, aligned crops as they were coded (112 x 112 pixels; large faces at high "
        "qualities 224 or 448), to this folder instead",
    )
    parser.add_argument(
        "--look",
        choices=["faithful", "vivid"],
        default="faithful",
        help="vivid: sharper, with detail that is invented; for people who look, never for recognisers",
    )
    parser.add_argument("--bare", action="store_true", help="the files are bare streams, as encode --bare writes them")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Decode the files; returns the exit code."""
    from .. import reader

    if args.faces is not None:
        return write_faces(args)
    try:
        names = targets(args, lambda path: ".png")
    except InvalidInputError:
        refuse_pictures(args)
        raise
    codec = decoder_for(args, args.look)

    def work(path: pathlib.Path) -> dict[str, Any]:
        target = names[path]
        refuse_existing(target, args)
        data, most = read(path), args.max_pixels or reader.DECODED_PIXELS
        container: Container = "bare" if args.bare else "file"
        if codec is reader and (is_stream(target) or target.suffix.lower() == ".png"):
            picture, width, height = reader.decode_png(data, most, container)
        else:
            image = codec.decode(data, most, container)
            picture, width, height = image_bytes(image, target), image.width, image.height
        write(target, picture)
        return {"file": str(target), "size": f"{width}x{height}"}

    return each(args, work)


def refuse_pictures(args: argparse.Namespace) -> None:
    """A picture by mistake, face.png, would be its own result's name; what is wrong is the picture.

    Raises:
        ContainerError, CorruptStreamError: one of the files is no lfic file, or with ``--bare`` no bare stream.
    """
    from ..format.bare import read_as
    from ..format.container import MAX_PIXELS

    for path in args.files:
        if path.is_file():
            data = path.read_bytes()
            if args.bare and data.startswith(PNG):  # whose first byte a bare stream may have
                raise ContainerError(f"{path}: this is no bare stream: it is a PNG picture")
            try:
                read_as(data, MAX_PIXELS, "bare" if args.bare else "file")
            except (ContainerError, CorruptStreamError) as error:
                raise type(error)(f"{path}: {error}") from None


def stem_of(path: pathlib.Path) -> str:
    """What the crops of a file are called by."""
    return "stdin" if is_stream(path) else path.stem


def write_faces(args: argparse.Namespace) -> int:
    """Each file's faces to FOLDER/NAME-1.png, NAME-2.png, ...; returns the exit code."""
    from ..format.container import DECODED_PIXELS

    if args.look != "faithful":
        raise InvalidInputError("--faces and --look vivid exclude each other: recognisers are to see what was coded")
    if args.out is not None:
        raise InvalidInputError("-o and --faces exclude each other: --faces names the folder that crops go to")
    # Of each file one crop stands for all: two files of one name would replace each other's.
    distinct_targets(args.files, lambda path: args.faces / f"{stem_of(path)}-1.png", "give another folder")
    args.faces.mkdir(parents=True, exist_ok=True)
    codec = decoder_for(args)
    sources = {os.path.realpath(path) for path in args.files}

    def work(path: pathlib.Path) -> dict[str, Any]:
        found = codec.decode_faces(read(path), args.max_pixels or DECODED_PIXELS, "bare" if args.bare else "file")
        names = [args.faces / f"{stem_of(path)}-{number}.png" for number in range(1, len(found) + 1)]
        for name in names:
            if os.path.realpath(name) in sources:
                raise InvalidInputError(f"{name} is read as well: give another folder")
            refuse_existing(name, args)
        for name, face in zip(names, found, strict=True):
            write(name, image_bytes(face.image, name))
        row: dict[str, Any] = {"file": str(path), "faces": len(found)}
        if args.json:
            row["crops"] = [
                {"file": str(name), "quality": face.quality, "matrix": face.matrix.tolist()}
                for name, face in zip(names, found, strict=True)
            ]
        return row

    return each(args, work)
