"""The command ``lfic``. Exit codes: 0 done, 1 at least one file failed, 2 wrong arguments, 130 interrupted."""

import argparse
import json
import os
import pathlib
import sys
import time

from .. import __version__
from ..errors import LficError
from ..files import write_atomically


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value


def quality(text):
    value = int(text)
    if not 1 <= value <= 100:
        raise argparse.ArgumentTypeError(f"quality is {value}; allowed are 1 to 100")
    return value


def build_parser():
    """All of the command line."""
    parser = argparse.ArgumentParser(prog="lfic", description="A face-image codec: photos to .lfic files and back.")
    parser.add_argument("--version", action="version", version=f"lfic {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def coder(name, text, files, out):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE", help=files)
        command.add_argument("-o", "--out", help=out)
        command.add_argument(
            "--overwrite",
            action="store_true",
            help="replace files that exist; without it only a file named by -o is replaced",
        )
        command.add_argument("--json", action="store_true", help="one JSON object per file instead of text")
        command.add_argument("--device", default="cpu", help="torch device of the networks (default cpu)")
        return command

    encode = coder(
        "encode",
        "Photos to .lfic files.",
        "images of any format that Pillow reads (of an animation the first frame); - is standard input",
        "file to write, - for standard output, or folder for several (default: beside the photo)",
    )
    bound = encode.add_mutually_exclusive_group()
    bound.add_argument("--quality", type=quality, default=40, help="1 to 100 (default 40)")
    bound.add_argument("--max-bytes", type=positive, help="largest quality that fits")
    bound.add_argument(
        "--min-similarity",
        type=float,
        help="smallest file whose identity embedding stays that close, -1 to 1; needs --recognizer",
    )
    encode.add_argument(
        "--effort",
        type=int,
        choices=range(4),
        default=0,
        help="time for a better file of the same quality, 0 to 3 (default 0): six, twelve, 24 gradient steps on the "
        "features, the last with a search over region levels and symbols; likeness counts where there is a "
        "--recognizer, else pixels alone",
    )
    encode.add_argument("--recognizer", help="TorchScript face recogniser, 112 x 112 RGB in 0..255 -> embedding")
    encode.add_argument(
        "--aligned", action="store_true", help="the photos are 112 x 112 crops on the alignment template"
    )
    encode.add_argument("--no-checksum", action="store_true", help="two bytes less, damage may go unnoticed")
    decode = coder(
        "decode",
        ".lfic files to PNG.",
        ".lfic files; - is standard input",
        "image file to write, - for PNG on standard output, or folder for several (default: .png beside the file)",
    )
    decode.add_argument(
        "--max-pixels", type=positive, help="refuse larger images before anything is allocated (default 178956970)"
    )
    info = commands.add_parser(
        "info", help="What .lfic files say of themselves.", description="What .lfic files say of themselves."
    )
    info.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE", help=".lfic files; - is standard input")
    info.add_argument("--json", action="store_true", help="one JSON object per file")
    demo = commands.add_parser(
        "demo",
        help="One face next to five codecs at the same bytes.",
        description="One face next to five codecs at the same bytes.",
    )
    demo.add_argument("image", nargs="?", type=pathlib.Path, help="photo; default: an astronaut (NASA, public domain)")
    demo.add_argument(
        "-o",
        "--out",
        type=pathlib.Path,
        default=pathlib.Path("lfic-demo.png"),
        help="picture to write (default lfic-demo.png)",
    )
    demo.add_argument("--max-bytes", type=positive, default=300, help="bytes for every codec (default 300)")
    demo.add_argument("--recognizer", help="TorchScript face recogniser for the identity column")
    demo.add_argument(
        "--effort", type=int, choices=range(4), help="as for encode (default: 2 with a --recognizer, else 0)"
    )
    demo.add_argument("--device", default="cpu", help="torch device of the networks (default cpu)")
    transcode = coder(
        "transcode",
        "Images of any format to .lfic, and .lfic to PNG, by name.",
        "images and .lfic files",
        "folder to write to (default: beside each file)",
    )
    transcode.add_argument("--quality", type=quality, default=40, help="1 to 100 (default 40)")
    for name, text in (
        ("train", "Train a codec from a TOML configuration."),
        ("export", "Turn a training checkpoint into a weights file."),
        ("evaluate", "Bytes at equal face-verification accuracy, for lfic and other codecs."),
        ("bench", "Microbenchmarks of the kernels."),
    ):
        commands.add_parser(name, help=text, add_help=False)
    return parser


def main(argv=None):
    """Run one command; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        if argv and argv[0] in ("train", "export", "evaluate", "bench"):
            return delegate(argv[0], argv[1:])
        args = build_parser().parse_args(argv)
        return {"encode": encode, "decode": decode, "info": info, "demo": demo, "transcode": transcode}[args.command](
            args
        )
    except BrokenPipeError:
        return 1
    except (LficError, OSError) as error:
        print(f"lfic: {reason(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lfic: interrupted; no half file was left", file=sys.stderr)
        return 130


def delegate(command, rest):
    """Commands that live in packages of their own."""
    if command == "train":
        from ..train.__main__ import main as run
    elif command == "export":
        from ..train.export import main as run
    elif command == "evaluate":
        from ..evaluate.__main__ import main as run
    else:
        from ..kernels.bench.bench import main as run
    return run(rest)


def progress(files, quiet):
    """A progress bar on standard error for more than one file."""
    if quiet or len(files) < 2 or not sys.stderr.isatty():
        return files
    from tqdm import tqdm

    return tqdm(files, unit="file")


def is_stream(path):
    """Whether a name stands for standard input or output."""
    return str(path) == "-"


def read(path):
    """The bytes of a file, or of standard input."""
    return sys.stdin.buffer.read() if is_stream(path) else path.read_bytes()


def targets(args, suffix, several=False):
    """Where the result of each file goes: {source: target}. ``suffix``: what the target of a source ends in.

    Raises:
        InvalidInputError: two results with one name, a result with the name of a source, or a file that is there
            already and was not named by -o.
    """
    from ..errors import InvalidInputError

    several = several or len(args.files) > 1
    folder = (
        args.out is not None
        and not is_stream(args.out)
        and (several or args.out.endswith(("/", os.sep)) or os.path.isdir(args.out))
    )
    if folder and os.path.exists(args.out) and not os.path.isdir(args.out):
        raise InvalidInputError(f"{args.out} is a file; for {len(args.files)} files -o has to name a folder")
    if several and (is_stream(args.out) or any(map(is_stream, args.files))):
        raise InvalidInputError("standard input and output, -, take one file alone")
    sources, taken, found = {path.resolve() for path in args.files}, {}, {}
    for path in args.files:
        if not path.name or path.is_dir():
            raise InvalidInputError(f"{path} is a folder: give the files in it")
        if args.out is None:
            name = path if is_stream(path) else path.with_suffix(suffix(path))
        else:
            name = (
                pathlib.Path(args.out) / (("stdin" if is_stream(path) else path.stem) + suffix(path))
                if folder
                else pathlib.Path(args.out)
            )
        real = name.resolve()
        if real in taken:
            raise InvalidInputError(
                f"{path} and {taken[real]} would both be written to {name}: give them different names or folders"
            )
        if real in sources and not is_stream(name):
            raise InvalidInputError(f"{name} would be overwritten by the result of {path}: give -o")
        taken[real], found[path] = path, name
    if folder:
        os.makedirs(args.out, exist_ok=True)
    return found


def refuse_existing(name, args):
    """Nothing is replaced that was not meant: a photo, for example, beside the file that it became."""
    from ..errors import InvalidInputError

    named = args.out is not None and str(name) == str(pathlib.Path(args.out))
    if not (named or args.overwrite or is_stream(name)) and name.exists():
        raise InvalidInputError(f"{name} exists: give -o FILE or --overwrite")


def write(name, data):
    """To a file, whole or not at all, or to standard output."""
    if is_stream(name):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        write_atomically(name, data)


def reason(error):
    """One line for an error."""
    return (
        f"{error.filename}: {error.strerror}"
        if isinstance(error, OSError) and error.strerror and error.filename
        else str(error)
    )


def each(args, work):
    """Run ``work(path) -> dict`` on every file; failures are reported and counted, the others go on."""
    failed, files = 0, progress(args.files, args.json)

    def say(text, file):
        if hasattr(files, "write"):  # a bar stands there: it is drawn again below the line
            files.write(text, file=file)
        else:
            print(text, file=file)
        file.flush()

    for path in files:
        try:
            row = work(path)
        except BrokenPipeError:
            raise
        except (LficError, OSError) as error:
            failed += 1
            text = reason(error)
            if args.json:
                say(json.dumps({"file": str(path), "error": text}), sys.stdout)
            say(f"lfic: {text}" if str(path) in text else f"lfic: {path}: {text}", sys.stderr)
            continue
        text = (
            json.dumps(row) if args.json else "  ".join(f"{v}" if k == "file" else f"{k} {v}" for k, v in row.items())
        )
        say(text, sys.stderr if args.command != "info" and is_stream(row["file"]) else sys.stdout)
    return 1 if failed else 0


def load(args):
    from ..codec import load_codec
    from ..network.load import usable_device

    recognizer, _ = None, usable_device(args.device)
    if getattr(args, "recognizer", None):
        from ..metric.identity import load_torchscript

        recognizer = load_torchscript(args.recognizer, args.device)
    return load_codec(device=args.device, recognizer=recognizer)


def encode(args):
    """lfic encode"""
    from ..image import open_image

    names = targets(args, lambda path: ".lfic")
    codec = load(args)

    def work(path):
        began = time.perf_counter()
        refuse_existing(names[path], args)
        image = open_image(path, read(path) if is_stream(path) else None)
        bounds = {"max_bytes": args.max_bytes, "min_similarity": args.min_similarity, "effort": args.effort}
        data = codec.encode(
            image, quality=args.quality, aligned=args.aligned or None, checksum=not args.no_checksum, **bounds
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


def decode(args):
    """lfic decode"""
    import io

    from ..format.container import MAX_PIXELS

    names = targets(args, lambda path: ".png")
    codec = load(args)

    def work(path):
        refuse_existing(names[path], args)
        image = codec.decode(read(path), args.max_pixels or MAX_PIXELS)
        write(names[path], encoded(image, names[path], io.BytesIO()))
        return {"file": str(names[path]), "size": f"{image.width}x{image.height}"}

    return each(args, work)


def encoded(image, path, buffer):
    """The bytes of an image in the format that the name asks for."""
    from PIL import Image

    from ..errors import InvalidInputError

    formats = Image.registered_extensions()  # loads Pillow's plugins as well
    kind = "PNG" if is_stream(path) else formats.get(path.suffix.lower())
    if kind not in Image.SAVE:
        raise InvalidInputError(
            f"{path}: Pillow writes no {path.suffix or 'file without a suffix'}; use .png, for example"
        )
    image.save(buffer, kind)
    return buffer.getvalue()


def info(args):
    """lfic info"""
    from ..format.probe import probe

    def work(path):
        found = probe(read(path))
        return {
            "file": str(path),
            "bytes": found.bytes,
            "payload": found.payload_bytes,
            "size": f"{found.width}x{found.height}",
            "model": found.model,
            "quality": found.quality,
            "aligned": found.aligned,
            "checksum": found.checksum,
            "levels": found.levels.tolist()
            if args.json
            else "/".join(str(int((found.levels == n).sum())) for n in range(3)),
        }

    return each(args, work)


def demo(args):
    """lfic demo"""
    from ..demo import run

    return run(args.image, args.out, args.max_bytes, args.recognizer, args.effort, args.device)


def transcode(args):
    """lfic transcode"""
    import io

    from ..image import open_image

    names = targets(args, lambda path: ".png" if path.suffix.lower() == ".lfic" else ".lfic", several=True)
    codec = load(args)

    def work(path):
        refuse_existing(names[path], args)
        if path.suffix.lower() == ".lfic":
            image = codec.decode(path.read_bytes())
            data = encoded(image, names[path], io.BytesIO())
        else:
            data = codec.encode(open_image(path), quality=args.quality)
        write_atomically(names[path], data)
        return {"file": str(names[path]), "bytes": len(data)}

    return each(args, work)
