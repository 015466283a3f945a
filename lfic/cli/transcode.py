"""lfic transcode: pictures to .lfic and .lfic to pictures, between folders, tar shards, parquet and .rec files."""

import argparse
import dataclasses
import json
import os
import pathlib
from typing import Any

from ..errors import InvalidInputError
from ..files import write_atomically
from .common import Commands, each, positive, refuse_existing, targets
from .encoding import (
    SHARD_BYTES,
    add_bounds,
    add_bulk,
    add_layers,
    bounds_of,
    codec_of,
    follow,
    layers_of,
    run_options,
    targets_of,
)

DESCRIPTION = """Pictures of any format to .lfic, and .lfic to pictures, from any source to any target.

A source is a folder (with those in it), .tar, .parquet or .rec shards, or files. A target is a folder, or a name that
ends in .tar, .parquet or .rec; a large one becomes several numbered shards. Without a target the result of each file
stands beside it. A run that was killed goes on with --resume; nothing is lost then, and nothing is there twice."""


def add_parser(commands: Commands) -> None:
    """The command's options."""
    parser = commands.add_parser(
        "transcode",
        help="Pictures to .lfic and back: folders, tar shards, parquet, .rec files.",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="SRC", help="sources, and then the target")
    parser.add_argument("-o", "--out", metavar="DST", help="target, instead of the last argument")
    parser.add_argument(
        "--to",
        type=suffix,
        help="lfic, png, jpg, webp or what else Pillow writes; what is of that kind is passed on as it is (default: "
        ".lfic for pictures, png for .lfic)",
    )
    add_bounds(parser)
    add_layers(parser)
    parser.add_argument("--max-pixels", type=positive, help="refuse to decode larger images (default 178956970)")
    add_bulk(parser)
    parser.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="run on a Ray cluster: its address, auto for this machine's, or nothing to start one here; --jobs is "
        "then the number of actors",
    )
    parser.add_argument("--gpus", type=float, default=0, help="with --ray: GPUs of an actor, such as 1 or 0.5")
    parser.set_defaults(run=run)


def suffix(text: str) -> str:
    """An argument that is a suffix, with its dot or without."""
    return "." + text.lower().removeprefix(".")


def run(args: argparse.Namespace) -> int:
    """Transcode; returns the exit code."""
    from ..bulk import Run, Transcoding, refuse_inside
    from ..data.records import open_sources
    from ..data.records.folder import FolderSource

    sources, target = targets_of(args.files, args.out)
    if args.gpus and args.ray is None:
        raise InvalidInputError("--gpus is for actors of --ray; without Ray give --device cuda")
    if args.ray is not None:
        return on_ray(args, sources, target)
    if target is None:
        return beside(args)
    for path in sources:
        if not path.exists() and len(sources) > 1:
            raise InvalidInputError(f"there is nothing at {path}")
    source = open_sources(sources)
    for path in sources:
        if not path.is_dir() or isinstance(source, FolderSource):
            refuse_inside(path, pathlib.Path(target))
    work = Transcoding(args.to, codec_of(args), bounds_of(args) | layers_of(args), args.max_pixels)
    name = " ".join(os.path.abspath(path) for path in sources)
    return follow(Run(source, name, work, target, **run_options(args)), args, "files")


def on_ray(args: argparse.Namespace, sources: list[pathlib.Path], target: str | None) -> int:
    """Transcode on a cluster; returns the exit code."""
    from ..bulk import Transcoding, refuse_inside
    from ..bulk.cluster import run_on_ray
    from ..bulk.progress import clock, size_text

    if target is None or len(sources) != 1 or args.skip_existing:
        raise InvalidInputError("--ray takes one source and a target, and no --skip-existing: --resume goes on")
    if not sources[0].is_dir():
        refuse_inside(sources[0], pathlib.Path(target))
    if args.gpus and args.device == "cpu":
        args.device = "cuda"
    work = Transcoding(args.to, codec_of(args), bounds_of(args) | layers_of(args), args.max_pixels)
    options = {name: getattr(args, name) for name in ("jobs", "gpus", "resume", "overwrite", "strict", "errors")}
    done = run_on_ray(sources[0], work, target, address=args.ray, shard_bytes=args.shard_bytes, **options)
    if args.json:
        print(json.dumps(dataclasses.asdict(done), default=str))
        return 1 if done.failed else 0
    text = f"{done.written:,} files, {size_text(done.bytes)}, in {clock(done.seconds)} -> {target}"
    for count, what, path in ((done.noted, "notes on", done.notes), (done.failed, "failed:", done.errors)):
        text += f"; {what} {count:,}: {path}" if count else ""
    print(text)
    return 1 if done.failed else 0


def beside(args: argparse.Namespace) -> int:
    """The result of each file beside it; returns the exit code."""
    from ..bulk import Transcoding
    from ..data.records import Record
    from ..data.records.record import split_name

    refuse_for_targets(args)

    def suffix_of(path: pathlib.Path) -> str:
        return work.suffix(Record(*split_name(path.name)))

    work = Transcoding(args.to, codec_of(args), bounds_of(args) | layers_of(args), args.max_pixels)
    names = targets(args, suffix_of, several=True)
    work.prepare()

    def one(path: pathlib.Path) -> dict[str, Any]:
        refuse_existing(names[path], args)
        stem, kind = split_name(path.name)
        (outcome,) = work([Record(stem, kind, path=os.fspath(path))])
        if outcome.error is not None:
            raise InvalidInputError(outcome.error)
        write_atomically(names[path], outcome.records[0].data)
        note = {} if outcome.note is None else {"note": outcome.note}
        return {"file": str(names[path]), "bytes": len(outcome.records[0].data), **note}

    return each(args, one)


def refuse_for_targets(args: argparse.Namespace) -> None:
    """InvalidInputError where options are given that need a target."""
    given = [f"--{name}" for name in ("resume", "strict", "errors", "jobs") if getattr(args, name)]
    given += ["--shard-bytes"] if args.shard_bytes != SHARD_BYTES else []
    if given:
        raise InvalidInputError(f"{', '.join(given)}: needs a target: give one by -o, or leave this out")
