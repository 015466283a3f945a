"""lfic info: what files say of themselves; no pixels are decoded and no torch is loaded."""

import argparse
import pathlib
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from .common import Commands, add_model, each, read

if TYPE_CHECKING:
    from ..format.probe import Info


def add_parser(commands: Commands) -> None:
    """The command's options."""
    text = "What .lfic files say of themselves."
    parser = commands.add_parser("info", help=text, description=text)
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE", help=".lfic files; - is standard input")
    parser.add_argument("--bare", action="store_true", help="the files are bare streams, as encode --bare writes them")
    parser.add_argument("--json", action="store_true", help="one JSON object per file")
    add_model(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print a line for each file; returns the exit code."""
    from ..format.container import MAX_PIXELS
    from ..format.geometry import LEVELS
    from ..format.probe import probe

    if args.model:
        from ..format import weights

        arrays, metadata = weights.load_arrays(args.model)
        weights.private_contexts[weights.weights_bytes(metadata)] = weights.context_model(arrays)

    def work(path: pathlib.Path) -> dict[str, Any]:
        found = probe(read(path), MAX_PIXELS, "bare" if args.bare else "file")
        counts = [int((found.levels == level).sum()) for level in range(LEVELS)]
        layers = [
            {"quality": one.quality, "payload": one.payload_bytes, "side": one.side, "matrix": one.matrix.tolist()}
            for one in found.layers
        ]
        return {
            "file": str(path),
            "bytes": found.bytes,
            "payload": found.payload_bytes,
            "size": f"{found.width}x{found.height}",
            "model": found.model,
            **({"weights": found.weights} if found.weights else {}),
            **qualities(found, args.json),
            "aligned": found.aligned,
            "checksum": found.checksum,
            **({"grey": True} if found.grey else {}),
            "levels": found.levels.tolist() if args.json else "/".join(map(str, counts)) if sum(counts) else "coded",
            **({"scale": str(Fraction(found.scale))} if found.scale != 1 else {}),
            **({"faces": layers if args.json else len(layers)} if layers else {}),
        }

    return each(args, work)


def qualities(found: "Info", json: bool) -> dict[str, Any]:
    """A picture's quality; in a line of text those of face layers and of what is behind them by names of their own, as
    ``quality`` is the faces' in encode's. In JSON it is the background's, and each layer has its own."""
    if json or not found.layers:
        return {"quality": found.quality}
    faces = "/".join(map(str, sorted({one.quality for one in found.layers})))
    return {"face_quality": faces, "background_quality": found.quality or "none"}
