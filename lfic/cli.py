"""The command ``lfic``. Exit codes: 0 done, 1 at least one file failed, 2 wrong arguments, 130 interrupted."""
import argparse
import json
import pathlib
import sys
import time

from . import __version__
from .errors import LficError
from .weights_io import write_atomically


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
    parser = argparse.ArgumentParser(prog="lfic", description="Face images in a tenth of the bytes.")
    parser.add_argument("--version", action="version", version=f"lfic {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def coder(name, text, out):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE")
        command.add_argument("-o", "--out", type=pathlib.Path, help=out)
        command.add_argument("--json", action="store_true", help="one JSON object per file instead of text")
        command.add_argument("--device", default="cpu", help="torch device of the networks (default cpu)")
        return command

    encode = coder("encode", "Photos to .lfic files.", "file to write, or folder for several (default: beside the photo)")
    bound = encode.add_mutually_exclusive_group()
    bound.add_argument("--quality", type=quality, default=40, help="1 to 100 (default 40)")
    bound.add_argument("--max-bytes", type=positive, help="largest quality that fits")
    bound.add_argument("--min-similarity", type=float, help="smallest file whose identity embedding stays that close, -1 to 1; needs --recognizer")
    encode.add_argument("--effort", type=int, choices=range(4), default=0, help="search of the region levels, 0 to 3 (default 0)")
    encode.add_argument("--recognizer", help="TorchScript face recogniser, 112 x 112 RGB in 0..255 -> embedding")
    encode.add_argument("--aligned", action="store_true", help="the photos are 112 x 112 crops on the alignment template")
    encode.add_argument("--no-checksum", action="store_true", help="two bytes less, damage may go unnoticed")
    decode = coder("decode", ".lfic files to PNG.", "image file to write, or folder for several (default: .png beside the file)")
    decode.add_argument("--max-pixels", type=positive, help="refuse larger images before anything is allocated (default 178956970)")
    info = commands.add_parser("info", help="What .lfic files say of themselves.", description="What .lfic files say of themselves.")
    info.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE")
    info.add_argument("--json", action="store_true", help="one JSON object per file")
    demo = commands.add_parser("demo", help="One face next to five codecs at the same bytes.", description="One face next to five codecs at the same bytes.")
    demo.add_argument("image", nargs="?", type=pathlib.Path, help="photo; default: an astronaut (NASA, public domain)")
    demo.add_argument("-o", "--out", type=pathlib.Path, default=pathlib.Path("lfic-demo.png"), help="picture to write (default lfic-demo.png)")
    demo.add_argument("--max-bytes", type=positive, default=300, help="bytes for every codec (default 300)")
    demo.add_argument("--recognizer", help="TorchScript face recogniser for the identity column")
    demo.add_argument("--effort", type=int, choices=range(4), default=2, help="search of the region levels, 0 to 3 (default 2)")
    demo.add_argument("--device", default="cpu", help="torch device of the networks (default cpu)")
    transcode = coder("transcode", "Images of any format to .lfic, and .lfic to PNG, by name.", "folder to write to (default: beside each file)")
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
        return {"encode": encode, "decode": decode, "info": info, "demo": demo, "transcode": transcode}[args.command](args)
    except LficError as error:
        print(f"lfic: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lfic: interrupted; no half file was left", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1


def delegate(command, rest):
    """Commands that live in packages of their own."""
    if command == "train":
        from .train.__main__ import main as run
    elif command == "export":
        from .train.export import main as run
    elif command == "evaluate":
        from .evaluate.__main__ import main as run
    else:
        from .kernels.bench import main as run
    return run(rest)


def progress(files, quiet):
    """A progress bar on standard error for more than one file."""
    if quiet or len(files) < 2 or not sys.stderr.isatty():
        return files
    from tqdm import tqdm

    return tqdm(files, unit="file")


def target(path, out, suffix, several):
    """Where the result of ``path`` goes."""
    if out is None:
        return path.with_suffix(suffix)
    if several or out.is_dir() or str(out).endswith(("/", "\\")):
        out.mkdir(parents=True, exist_ok=True)
        return out / (path.stem + suffix)
    return out


def each(args, work):
    """Run ``work(path) -> dict`` on every file; failures are reported and counted, the others go on."""
    failed = 0
    for path in progress(args.files, args.json):
        try:
            row = work(path)
        except (LficError, OSError) as error:
            failed += 1
            reason = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.strerror else str(error)
            if args.json:
                print(json.dumps({"file": str(path), "error": reason}), flush=True)
            print(f"lfic: {path}: {reason}", file=sys.stderr)
            continue
        print(json.dumps(row) if args.json else "  ".join(f"{v}" if k == "file" else f"{k} {v}" for k, v in row.items()), flush=True)
    return 1 if failed else 0


def load(args):
    from .codec import load_codec

    recognizer = None
    if getattr(args, "recognizer", None):
        from .metric.identity import load_torchscript

        recognizer = load_torchscript(args.recognizer, args.device)
    return load_codec(device=args.device, recognizer=recognizer)


def encode(args):
    """lfic encode"""
    from .image import open_image

    codec = load(args)
    names = [target(p, args.out, ".lfic", len(args.files) > 1) for p in args.files]
    refuse_clashes(args.files, names)
    names = dict(zip(args.files, names))

    def work(path):
        began = time.perf_counter()
        image = open_image(path)
        bounds = {"max_bytes": args.max_bytes, "min_similarity": args.min_similarity, "effort": args.effort}
        data = codec.encode(image, quality=args.quality, aligned=args.aligned or None, checksum=not args.no_checksum, **bounds)
        write_atomically(names[path], data)
        found = codec.probe(data)
        return {
            "file": str(names[path]), "bytes": len(data), "size": f"{found.width}x{found.height}", "quality": found.quality,
            "seconds": round(time.perf_counter() - began, 3),
        }

    return each(args, work)


def decode(args):
    """lfic decode"""
    import io

    from .container import MAX_PIXELS

    codec = load(args)
    names = [target(p, args.out, ".png", len(args.files) > 1) for p in args.files]
    refuse_clashes(args.files, names)
    names = dict(zip(args.files, names))

    def work(path):
        image = codec.decode(path.read_bytes(), args.max_pixels or MAX_PIXELS)
        write_atomically(names[path], encoded(image, names[path], io.BytesIO()))
        return {"file": str(names[path]), "size": f"{image.width}x{image.height}"}

    return each(args, work)


def encoded(image, path, buffer):
    """The bytes of an image in the format that the name asks for."""
    from PIL import Image

    from .errors import InvalidInputError

    formats = Image.registered_extensions()
    kind = formats.get(path.suffix.lower())
    if kind is None:
        raise InvalidInputError(f"{path}: Pillow writes no {path.suffix or 'file without a suffix'}; use .png, for example")
    image.save(buffer, kind)
    return buffer.getvalue()


def refuse_clashes(files, names):
    from .errors import InvalidInputError

    seen = {}
    for path, name in zip(files, names):
        if name in seen:
            raise InvalidInputError(f"{path} and {seen[name]} would both be written to {name}: give them different names or folders")
        if name.resolve() == path.resolve():
            raise InvalidInputError(f"{path} would be overwritten by its own result: give -o")
        seen[name] = path


def info(args):
    """lfic info"""
    from .info import probe

    def work(path):
        found = probe(path.read_bytes())
        return {
            "file": str(path), "bytes": found.bytes, "payload": found.payload_bytes, "size": f"{found.width}x{found.height}",
            "model": found.model, "quality": found.quality, "aligned": found.aligned, "checksum": found.checksum,
            "levels": found.levels.tolist() if args.json else "/".join(str(int((found.levels == n).sum())) for n in range(3)),
        }

    return each(args, work)


def demo(args):
    """lfic demo"""
    from .demo import run

    return run(args.image, args.out, args.max_bytes, args.recognizer, args.effort, args.device)


def transcode(args):
    """lfic transcode"""
    import io

    from .image import open_image

    codec = load(args)
    names = {p: target(p, args.out, ".png" if p.suffix == ".lfic" else ".lfic", True) for p in args.files}
    refuse_clashes(list(names), list(names.values()))

    def work(path):
        if path.suffix == ".lfic":
            image = codec.decode(path.read_bytes())
            data = encoded(image, names[path], io.BytesIO())
        else:
            data = codec.encode(open_image(path), quality=args.quality)
        write_atomically(names[path], data)
        return {"file": str(names[path]), "bytes": len(data)}

    return each(args, work)
