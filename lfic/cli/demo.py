"""lfic demo: one face next to five codecs at the same bytes."""

import argparse
import pathlib

from .common import Commands, add_model, positive


def add_parser(commands: Commands) -> None:
    """The command's options."""
    text = "One face next to five codecs at the same bytes."
    parser = commands.add_parser("demo", help=text, description=text)
    parser.add_argument(
        "image", nargs="?", type=pathlib.Path, help="photo; default: an astronaut (NASA, public domain)"
    )
    parser.add_argument(
        "-o",
        "--out",
        type=pathlib.Path,
        default=pathlib.Path("lfic-demo.png"),
        help="picture to write (default lfic-demo.png)",
    )
    parser.add_argument("--max-bytes", type=positive, default=300, help="bytes for every codec (default 300)")
    parser.add_argument(
        "--recognizer",
        default="bundled",
        help="TorchScript face recogniser for the column of likeness (default: the one that ships)",
    )
    add_model(parser)
    parser.add_argument("--effort", type=int, choices=range(4), default=0, help="as for encode (default 0)")
    parser.add_argument("--device", default="cpu", help="torch device of the networks (default cpu)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the picture and print the table; returns the exit code."""
    from .. import demo

    return demo.run(args.image, args.out, args.max_bytes, args.recognizer, args.effort, args.device, args.model)
