"""The command ``lfic``. Exit codes: 0 done, 1 at least one file failed, 2 wrong arguments, 130 interrupted.

A module here is a command: ``add_parser`` says what it takes, ``run`` does it and returns the exit code. What needs
torch is imported when a command runs, so that ``lfic --help`` answers at once.
"""

import argparse
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import LficError
from . import decode, delegated, demo, encode, faces, info, qr, scan, transcode
from .common import reason


def build_parser() -> argparse.ArgumentParser:
    """All of the command line."""
    parser = argparse.ArgumentParser(prog="lfic", description="A face-image codec: photos to .lfic files and back.")
    parser.add_argument("--version", action="version", version=f"lfic {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (encode, decode, info, demo, faces, transcode, qr, scan, delegated):
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        if argv and argv[0] in delegated.COMMANDS:
            return delegated.run(argv[0], argv[1:])
        args = build_parser().parse_args(argv)
        status: int = args.run(args)
        return status
    except BrokenPipeError:
        return 1
    except (LficError, OSError) as error:
        print(f"lfic: {reason(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lfic: interrupted; no half file was left", file=sys.stderr)
        return 130
