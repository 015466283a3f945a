"""The command ``lfic``. Exit codes: 0 done, 1 at least one file failed, 2 wrong arguments, 130 interrupted.

A module here is a command: ``add_parser`` says what it takes, ``run`` does it and returns the exit code. What needs
torch is imported when a command runs, so that ``lfic --help`` answers at once, and says which extra has it.
"""

import argparse
import contextlib
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence

from .. import __version__
from ..errors import LficError
from ..extras import explained
from . import delegated
from .common import reason

COMMANDS = ("encode", "decode", "info", "demo", "faces", "transcode", "qr", "scan", "delegated")


def build_parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """All of the command line, or of it some commands."""
    parser = argparse.ArgumentParser(prog="lfic", description="A face-image codec: photos to .lfic files and back.")
    parser.add_argument("--version", action="version", version=f"lfic {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in names:
        importlib.import_module(f".{name}", __name__).add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):  # names of files need not be UTF-8
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with interrupts() as interrupted:
        try:
            if argv and argv[0] in delegated.COMMANDS:
                return delegated.run(argv[0], argv[1:])
            # One command alone, where its name comes first: importing the others takes longer than decoding a face.
            args = build_parser(argv[:1] if argv and argv[0] in COMMANDS[:-1] else COMMANDS).parse_args(argv)
            status: int = args.run(args)
            return status
        except BrokenPipeError:
            silence()
            return 1
        except (LficError, OSError, MemoryError) as error:
            if not interrupted:
                complain(reason(error))
                silence()
                return 1
        except KeyboardInterrupt:
            pass
        except Exception as error:  # an interrupt within an import of torch turns into one, too
            told = explained(error) if isinstance(error, ImportError) else None
            if told is not None and not interrupted:
                complain(str(told))
                return 1
            if not interrupted:
                raise
    complain("interrupted; no half file was left")
    return 130


@contextlib.contextmanager
def interrupts() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt, and are noted in the list: what was running may turn it into another
    error."""
    seen: list[int] = []

    def note(number: int, frame: object) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
            if signal.getsignal(number) == usual:  # a program around this one may have its own
                before[number] = signal.signal(number, note)
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def complain(text: str) -> None:
    """A line on standard error, where there is one."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(f"lfic: {text}", file=sys.stderr)


def silence() -> None:
    """What is left in standard output's buffer goes nowhere: it can't be written, and Python would say so once more."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
