"""What the commands share: their options, where results go, standard streams, a line for each file."""

import argparse
import io
import json
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

from ..errors import InvalidInputError, LficError
from ..extras import needed
from ..files import PathLike, distinct_targets, is_device, write_atomically

if TYPE_CHECKING:  # these load numpy and torch
    from PIL import Image

    from ..codec import Codec
    from ..encoding import Encoder
    from ..format.look import Look

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


# --- options ---------------------------------------------------------------------------------------------------------


def positive(text: str) -> int:
    """An argument that is an integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value


def quality(text: str) -> int:
    """An argument that is a quality, 1 to 100."""
    value = int(text)
    if not 1 <= value <= 100:
        raise argparse.ArgumentTypeError(f"quality is {value}; allowed are 1 to 100")
    return value


def out_name(text: str) -> str:
    """An argument that names a result. The system's names of standard output are -: what is said of a result is not to
    be mixed with it, and a file that standard output is sent to is not replaced."""
    return "-" if text in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1") else text


def add_codec_parser(commands: Commands, name: str, text: str, files: str, out: str) -> argparse.ArgumentParser:
    """A command that takes files through a codec; text, files, out: what ``--help`` says of it, of FILE and of -o."""
    command = commands.add_parser(name, help=text, description=text)
    command.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE", help=files)
    command.add_argument("-o", "--out", type=out_name, help=out)
    existing = command.add_mutually_exclusive_group()
    existing.add_argument(
        "--overwrite",
        action="store_true",
        help="replace files that exist; without it only a file named by -o is replaced",
    )
    existing.add_argument("--skip-existing", action="store_true", help="pass over files whose result is there")
    command.add_argument("--json", action="store_true", help="one JSON object per file instead of text")
    add_model(command)
    command.add_argument("--device", default="cpu", help="torch device of the networks (default cpu)")
    return command


def add_model(command: argparse.ArgumentParser) -> None:
    """The option that chooses weights."""
    command.add_argument(
        "--model",
        metavar="WEIGHTS",
        help="a bundled model's name, or a .safetensors file of weights of your own (default: the bundled model)",
    )


def load_codec(args: argparse.Namespace) -> "Codec":
    """The codec that ``--model``, ``--device`` and, where the command has it, ``--recognizer`` ask for."""
    with needed():
        from .. import codec
        from ..network.load import usable_device

    usable_device(args.device)
    if getattr(args, "recognizer", "bundled") == "bundled":
        return codec.load_codec(args.model or codec.DEFAULT_MODEL, device=args.device)
    from ..metric.identity import load_recognizer

    recognizer = load_recognizer(args.recognizer, args.device)
    return codec.load_codec(args.model or codec.DEFAULT_MODEL, device=args.device, recognizer=recognizer)


def decoder_for(args: argparse.Namespace, look: "Look" = "faithful") -> Any:
    """What has ``decode`` and ``decode_faces``: on the CPU, and for another look, integers, which need no torch."""
    if look != "faithful":
        if args.device != "cpu":
            raise InvalidInputError(f"--look {look} is computed on the CPU: leave --device {args.device} out")
        from .. import decoder
        from ..encoder.options import DEFAULT_MODEL

        return decoder.load(args.model or DEFAULT_MODEL, look)
    if args.device != "cpu":
        return load_codec(args)
    if args.model is None:
        from .. import reader

        return reader
    from .. import decoder

    return decoder.read(args.model) or load_codec(args)


def encoder_for(args: argparse.Namespace, options: Mapping[str, Any]) -> "Codec | Encoder":
    """What has ``encode`` and ``to_bare``: on the CPU and at effort 0 integers, which need no torch."""
    if args.device != "cpu" or getattr(args, "recognizer", "bundled") != "bundled":
        return load_codec(args)
    from .. import encoding
    from ..encoder.options import DEFAULT_MODEL

    model = encoding.load(args.model or DEFAULT_MODEL) if encoding.serves(options) else None
    return model or load_codec(args)


# --- files and standard streams --------------------------------------------------------------------------------------


def is_stream(path: PathLike | None) -> bool:
    """Whether a name stands for standard input or output."""
    return str(path) == "-"


def read(path: pathlib.Path) -> bytes:
    """The bytes of a file, or of standard input."""
    if not is_stream(path):
        if path.is_dir():
            raise InvalidInputError(f"{path} is a folder: give the files in it")
        return path.read_bytes()
    if sys.stdin is None:
        raise OSError("the standard input is closed: give a file, or a pipe to read from")
    return sys.stdin.buffer.read()


def write(path: pathlib.Path, data: bytes) -> None:
    """To a file, whole or not at all, or to standard output."""
    if is_stream(path):
        if sys.stdout is None:
            raise OSError("the standard output is closed: give -o FILE")
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        write_atomically(path, data)


def targets(
    args: argparse.Namespace, suffix: Callable[[pathlib.Path], str], several: bool = False
) -> dict[pathlib.Path, pathlib.Path]:
    """Where the result of each file goes: {source: target}.

    suffix: what the target of a source ends in. several: ``-o`` names a folder even for one file.

    Raises:
        InvalidInputError: a folder in the place of a file or the other way round, a standard stream among several
            files, two results with one name, or a result with the name of a source.
    """
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
    for path in args.files:
        if not path.name or path.is_dir():
            raise InvalidInputError(f"{path} is a folder: give the files in it, or lfic transcode {path} TARGET")
    only = args.files[0]
    if is_stream(args.out) or (args.out is None and is_stream(only)):
        return {only: pathlib.Path("-")}

    def target(path: pathlib.Path) -> pathlib.Path:
        if args.out is None:
            return path.with_suffix(suffix(path))
        if not folder:
            return pathlib.Path(args.out)
        return pathlib.Path(args.out) / (("stdin" if is_stream(path) else path.stem) + suffix(path))

    found = distinct_targets(args.files, target, "give -o")
    if folder:
        os.makedirs(args.out, exist_ok=True)
    return found


class PassedOver(Exception):
    """With ``--skip-existing``: the result, which is its argument, is there."""


def refuse_existing(path: pathlib.Path, args: argparse.Namespace) -> None:
    """Nothing is replaced that was not meant: a photo, for example, beside the file that it became.

    Raises:
        PassedOver, InvalidInputError: the file exists, with ``--skip-existing`` and without.
    """
    if args.skip_existing and not is_stream(path) and path.exists():
        raise PassedOver(path)
    named = args.out is not None and str(path) == str(pathlib.Path(args.out))
    if not (named or args.overwrite or is_stream(path)) and path.exists():
        raise InvalidInputError(f"{path} exists: give -o FILE, --overwrite or --skip-existing")


def check_folder(path: pathlib.Path) -> None:
    """Before work that takes long: that there is a folder for its result, which can be written to.

    Raises:
        InvalidInputError: there is none, or it can't be written to.
    """
    if is_stream(path) or is_device(path):
        return
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise InvalidInputError(f"{path} can't be written: there is no folder {folder}; make it, or give another -o")
    if not os.access(folder, os.W_OK):
        raise InvalidInputError(f"{path} can't be written: {folder} takes no files; give -o in a folder that does")


def picture_suffix(path: pathlib.Path) -> str:
    """In which format a picture is written, as a suffix in lower case: that of the name, .png where it has none and is
    standard output, a pipe or a device."""
    suffix = path.suffix.lower()
    return ".png" if is_stream(path) or (not suffix and is_device(path)) else suffix


def image_bytes(image: "Image.Image", path: pathlib.Path) -> bytes:
    """The bytes of an image in the format that the name asks for; PNG for standard output, pipes and devices."""
    from PIL import Image

    suffix = picture_suffix(path)
    if suffix == ".png":
        from PIL import PngImagePlugin  # noqa: F401  # this plugin alone, as loading all takes longer than decoding

        kind: str | None = "PNG"
    else:
        kind = Image.registered_extensions().get(suffix)  # loads Pillow's plugins as well
    if kind not in Image.SAVE:
        raise InvalidInputError(
            f"{path}: Pillow writes no {path.suffix or 'file without a suffix'}; use .png, for example"
        )
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


# --- one file after the other ----------------------------------------------------------------------------------------


def reason(error: BaseException) -> str:
    """One line for an error."""
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return "there is not enough memory for it: try a smaller picture, or fewer at once"
    if not isinstance(error, (LficError, OSError)):
        return f"{type(error).__name__}: {error}; this is a fault of lfic's, please report it"
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def progress(files: list[pathlib.Path], quiet: bool) -> Iterable[pathlib.Path]:
    """The files, with a progress bar on standard error where they are several and that is a terminal."""
    if quiet or len(files) < 2 or sys.stderr is None or not sys.stderr.isatty():
        return files
    from tqdm import tqdm

    bar: Iterable[pathlib.Path] = tqdm(files, unit="file")
    return bar


def each(args: argparse.Namespace, work: Callable[[pathlib.Path], dict[str, Any]]) -> int:
    """Run ``work(path) -> row`` on every file and print the row; failures are reported, the others go on.

    A row has ``file``, the target, and what else is worth saying. Returns the exit code.
    """
    failed, files = 0, progress(args.files, args.json)

    def say(text: str, file: TextIO | None, closed_matters: bool = True) -> None:
        if file is None and closed_matters:
            raise OSError("the standard output is closed; send it to /dev/null if nobody wants it")
        if file is None:
            return
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
        except PassedOver as found:
            row = {"file": str(found.args[0]), "skipped": "exists"}
        except Exception as error:  # one file spoils no other
            failed += 1
            text = reason(error)
            if args.json:
                say(json.dumps({"file": str(path), "error": text}), sys.stdout)
            say(f"lfic: {text}" if str(path) in text else f"lfic: {path}: {text}", sys.stderr, False)
            continue
        if args.json:
            text = json.dumps(row)
        else:
            text = "  ".join(f"{value}" if key == "file" else f"{key} {value}" for key, value in row.items())
        # Where the result itself goes to standard output, what is said of it does not.
        say(text, sys.stderr if args.command != "info" and is_stream(row["file"]) else sys.stdout)
    return 1 if failed else 0
