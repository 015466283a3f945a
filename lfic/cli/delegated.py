"""lfic train, export, evaluate, bench: commands whose packages read their options themselves."""

import importlib
from collections.abc import Sequence

from .common import Commands

# Name -> (the module whose ``main`` takes the options, what ``lfic --help`` says of it).
COMMANDS = {
    "train": ("lfic.train.__main__", "Train a codec from a TOML configuration."),
    "export": ("lfic.train.export", "Turn a training checkpoint into a weights file."),
    "evaluate": ("lfic.evaluate.__main__", "Bytes at equal face-verification accuracy, for lfic and other codecs."),
    "bench": ("lfic.kernels.bench.bench", "Microbenchmarks of the kernels."),
}


def add_parser(commands: Commands) -> None:
    """Their lines of ``lfic --help``."""
    for name, (_, text) in COMMANDS.items():
        commands.add_parser(name, help=text, add_help=False)


def run(command: str, rest: Sequence[str]) -> int:
    """Run one of them with the arguments after its name; returns the exit code."""
    main = importlib.import_module(COMMANDS[command][0]).main
    status: int = main(list(rest))
    return status
