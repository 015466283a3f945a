"""Options of the commands that encode, and of those that work on many files."""

import argparse
import json
import os
import pathlib
import sys
from typing import TYPE_CHECKING, Any

from .common import positive, quality

if TYPE_CHECKING:
    from ..bulk import CodecChoice, Run

SHARD_BYTES = 256 << 20
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}

NOT_LOOKED_FOR = 'lfic: faces are not looked for: that needs pip install "lfic[faces]"'


def add_bounds(parser: argparse.ArgumentParser) -> None:
    """--quality or --max-bytes or --min-similarity; --effort, --recognizer, --no-checksum."""
    bound = parser.add_mutually_exclusive_group()
    bound.add_argument("--quality", type=quality, help="1 to 100 (default 40)")
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
    parser.add_argument("--no-checksum", action="store_true", help="two bytes less, damage may go unnoticed")


def add_layers(parser: argparse.ArgumentParser) -> None:
    """--faces, --face-quality, --background-quality, --resolution, --aligned."""
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
        "--resolution",
        choices=("auto", "full"),
        default="auto",
        help="auto: below quality 63 a picture without layers is coded smaller than it is, not below 112 pixels, and "
        "not a sharp one above quality 15; full: never (default auto)",
    )
    parser.add_argument(
        "--aligned", action="store_true", help="the photos are 112 x 112 crops on the alignment template"
    )


def bounds_of(args: argparse.Namespace) -> dict[str, Any]:
    """What ``add_bounds`` added, as ``Codec.encode_batch`` takes it."""
    return {
        "quality": args.quality,
        "max_bytes": args.max_bytes,
        "min_similarity": args.min_similarity,
        "effort": args.effort,
        "checksum": not args.no_checksum,
    }


def layers_of(args: argparse.Namespace) -> dict[str, Any]:
    """What ``add_layers`` added. Says so where faces can't be looked for."""
    from ..faces import is_installed

    faces = args.faces if args.faces == "auto" and is_installed() else None
    if args.faces == "auto" and faces is None:
        print(NOT_LOOKED_FOR, file=sys.stderr)
    return {
        "faces": faces,
        "face_quality": args.face_quality,
        "background_quality": args.background_quality,
        "aligned": args.aligned or None,
        "resolution": args.resolution,
    }


# --- many files -----------------------------------------------------------------------------------------------------


def size(text: str) -> int:
    """An argument that is a number of bytes: 200M, 1.5G, 4096."""
    unit = text[-1:].lower()
    unit = unit if unit in UNITS else ""
    try:
        value = int(float(text[: len(text) - len(unit)]) * UNITS[unit])
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; 200M and 1.5G are") from None
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least one byte")
    return value


def add_bulk(parser: argparse.ArgumentParser) -> None:
    """Options of ``lfic.bulk.Run`` and of the codec that its workers load."""
    parser.add_argument("--jobs", type=positive, help="worker processes (default: one for each core)")
    parser.add_argument(
        "--resume", action="store_true", help="go on where a run that was stopped or killed left off; at first, begin"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what is there, forget an unfinished run")
    parser.add_argument("--skip-existing", action="store_true", help="pass over files that are in the target folder")
    parser.add_argument("--strict", action="store_true", help="stop at the first file that fails")
    parser.add_argument(
        "--shard-bytes", type=size, default=SHARD_BYTES, metavar="SIZE", help="of a shard, such as 100M (default 268M)"
    )
    parser.add_argument("--errors", help="file that lists what failed (default: beside the target, .errors.jsonl)")
    parser.add_argument("--json", action="store_true", help="one JSON object per file instead of a summary")
    parser.add_argument("--device", default="cpu", help="torch device of the networks (default cpu)")
    parser.add_argument("--model", help="bundled model or path of a weights file (default: the bundled one)")


def codec_of(args: argparse.Namespace) -> "CodecChoice":
    """The codec that the workers load."""
    from ..bulk import CodecChoice

    return CodecChoice(args.model, args.device, args.recognizer)


def run_options(args: argparse.Namespace) -> dict[str, Any]:
    """What ``add_bulk`` added, as ``Run`` takes it."""
    names = ("jobs", "resume", "overwrite", "skip_existing", "strict", "shard_bytes", "errors")
    return {name: getattr(args, name) for name in names}


MOST_ERRORS = 10  # that are printed; the file has all


def follow(run: "Run", args: argparse.Namespace, what: str) -> int:
    """Take a run's results, say how far it is and how it ended; what: they are. Returns the exit code."""
    from ..bulk.progress import Progress, clock, size_text

    if run.resumed:
        done = run.state.records
        text = "all is done already" if run.state.complete else f"goes on behind record {done:,}"
        print(f"lfic: {text}", file=sys.stderr)
    progress = Progress(run)
    printed = 0
    with run:
        for result in run:
            progress.add(result)
            if result.error is not None:
                printed += 1
                if printed <= MOST_ERRORS and not args.json:
                    progress.clear()
                    print(f"lfic: {printable(result.source)}: {printable(result.error)}", file=sys.stderr)
                if printed == MOST_ERRORS + 1 and not args.json:
                    print("lfic: more have failed; the list is told at the end", file=sys.stderr)
            if args.json:
                for row in rows(result):
                    print(json.dumps(row), flush=True)
    progress.clear()
    state = run.state
    ignored = f", {run.source.ignored:,} files passed over" if run.source.ignored else ""
    kind = what if state.written != 1 else what.removesuffix("s")
    text = (
        f"{state.written:,} {kind}, {size_text(state.bytes)}, in {clock(run.seconds)} -> {printable(str(run.target))}"
    )
    if state.skipped:
        text += f"; {state.skipped:,} were there"
    if state.noted and run.notes.path is not None:
        text += f"; notes on {state.noted:,}: {printable(str(run.notes.path))}"
    if state.failed and run.errors.path is not None:
        text += f"; {state.failed:,} failed: {printable(str(run.errors.path))}"
    print(text + ignored, file=sys.stderr if args.json else sys.stdout, flush=True)
    return 1 if state.failed else 0


def rows(result: Any) -> list[dict[str, Any]]:
    """What --json prints of a result."""
    note = {} if result.note is None else {"note": result.note}
    made = [
        {"source": result.source, "file": name, "bytes": size, **meta, **note} for name, size, meta in result.records
    ]
    if result.error is not None:
        return [*made, {"source": result.source, "error": result.error}]
    return made or [{"source": result.source, **note}]


def printable(text: str) -> str:
    """A text that any terminal takes: names of files need not be UTF-8."""
    return os.fsencode(text).decode("utf-8", "backslashreplace") if not text.isascii() else text


def targets_of(files: list[pathlib.Path], out: str | None) -> tuple[list[pathlib.Path], str | None]:
    """(sources, target): what -o names, or the last of several that is no picture; None: beside each source."""
    from ..data.records import KINDS
    from ..data.records.record import is_record

    if out is not None or len(files) < 2:
        return files, out
    last = files[-1]
    if last.suffix.lower() in KINDS or last.is_dir() or not is_record(last.name):
        return files[:-1], str(last)
    return files, None
