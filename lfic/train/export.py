"""lfic export CHECKPOINT OUT.safetensors --data PACK: a trained checkpoint as the file that the codec loads.

The network is stored in half precision, the entropy model as integers, its tables counted on real symbols
(lfic/train/tables.py); beside it stand the transforms as integers (lfic/network/integers.py). A weights file in place
of the checkpoint gets new integers alone. With --for-crops or --for-pictures the checkpoint's analysis joins other
weights.
"""

import argparse
import datetime
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from ..data.sources import open_faces
from ..errors import InvalidInputError, WeightsError
from ..format.weights import weights_path
from ..network import onnx
from ..network.integers import integer_arrays, supports
from ..network.load import load, save_model
from ..network.net import CodecNet
from .checkpoint import load_tensors, read_state
from .config import sectioned
from .integers import (
    MEASURED,
    add_analysis,
    add_integers,
    calibration_pictures,
    costs,
    measured_faces,
    photo_files,
    report,
    write_look,
)
from .state import network_config
from .tables import calibrate

JOINING = ("for_crops", "for_pictures", "look_of")  # options by which a part of a checkpoint joins other weights


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[CodecNet, dict[str, Any]]:
    """The averaged network of a checkpoint folder, rounded to half precision as it will be stored, and its state:
    step, seconds, and the configuration by sections."""
    path = pathlib.Path(path)
    state = read_state(path)
    state["config"] = sectioned(state["config"])
    try:
        net = CodecNet(network_config(state["config"]["network"]))
        weights = load_tensors(path, "average")
        net.load_state_dict({k: v.half().float() for k, v in weights.items()})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} holds no network that this lfic knows: {error}") from None
    return net.eval(), state


def only_names(value: Any) -> Any:
    """Settings without the folders that they mention: that is nobody's business."""
    if isinstance(value, Mapping):
        return {key: only_names(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [only_names(entry) for entry in value]
    return value.replace("\\", "/").rstrip("/").rpartition("/")[2] if isinstance(value, str) else value


def describe_training(state: Mapping[str, Any], faces: int) -> dict[str, Any]:
    """What goes into the metadata of a checkpoint's training. faces: those that the tables were counted on, at most."""
    return {
        "step": state["step"],
        "seconds": round(state["seconds"]),
        "config": only_names(state["config"]),
        "faces_for_tables": faces,
        "exported": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def model_card(training: Mapping[str, Any], net: CodecNet) -> str:
    """What a checkpoint knows of itself, as text; ``training`` as it goes into the metadata."""
    config = training["config"]

    def listed(section: str, key: str, nothing: str) -> str:
        value = config[section].get(key) or nothing
        return ", ".join(value) if isinstance(value, list) else value

    adversarial = config["loss"].get("adversarial_weight")
    invented = f"weight {adversarial}: detail may be invented" if adversarial else "none"
    return "\n".join(
        [
            f"# {listed('run', 'out', 'a run')}",
            "",
            f"- **Network.** {sum(p.numel() for p in net.parameters()) / 1e6:.1f} million parameters, "
            f"{net.config.channels} feature channels.",
            f"- **Training.** {training['step']} steps, {training['seconds']} seconds, batch "
            f"{config['data'].get('batch', 'not recorded')}, on {listed('data', 'faces', 'data not recorded')}.",
            f"- **Recognisers in the loss.** {listed('loss', 'recognizer', 'none')}; accuracy with them says little, "
            "report others.",
            f"- **Adversarial term.** {invented}.",
            f"- **Tables.** Counted on {training['faces_for_tables']} faces at most, {training['exported']}.",
            "- **Not measured.** Rate, accuracy and how they differ between groups of people: measure them before "
            "use (`lfic evaluate`).",
        ]
    )


def make_parser() -> argparse.ArgumentParser:
    """Options of the command line."""
    parser = argparse.ArgumentParser(prog="lfic export", description="Turn a training checkpoint into a weights file.")
    parser.add_argument(
        "checkpoint",
        help="checkpoint folder of a run (runs/NAME/checkpoint), or a .safetensors file of weights; with --onnx a "
        "bundled model's name as well",
    )
    parser.add_argument("out", nargs="?", help="weights file to write, .safetensors")
    parser.add_argument("--data", nargs="+", help="faces to count the tables on: whatever a run takes as faces")
    parser.add_argument(
        "--onnx",
        metavar="DIR",
        help="write the networks of weights, a bundled model's name or a .safetensors file, as analysis.onnx and "
        "synthesis.onnx to this folder instead",
    )
    parser.add_argument(
        "--for-crops",
        metavar="WEIGHTS",
        help="write WEIGHTS, a bundled model's name or a .safetensors file, with the checkpoint's analysis for crops "
        "on the template, and for all pictures where WEIGHTS have no analysis of their own for these; their decoder "
        "stays, byte for byte",
    )
    parser.add_argument(
        "--for-pictures",
        metavar="WEIGHTS",
        help="the same with an analysis for pictures that are no template crops",
    )
    parser.add_argument(
        "--look-of",
        metavar="WEIGHTS",
        help="write the checkpoint's synthesis as another look of files by WEIGHTS, a bundled model's name or a "
        ".safetensors file; OUT is WEIGHTS-vivid.safetensors beside them",
    )
    parser.add_argument("--faces", type=int, default=6000, help="how many of them (default 6000)")
    parser.add_argument("--photos", help="folder of pictures that are no faces, for the integers' ranges as well")
    parser.add_argument(
        "--measure",
        type=int,
        default=MEASURED,
        help=f"faces that the integers' cost is measured on (default {MEASURED})",
    )
    parser.add_argument(
        "--card",
        help="text file with the model card that is stored in the metadata (default: one made of what the checkpoint "
        "knows)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of ``lfic export``."""
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.onnx is not None:
        if args.out is not None or args.data is not None:
            parser.error("--onnx takes the weights alone: no OUT and no --data")
        for path in onnx.write(load(args.checkpoint), args.onnx):
            print(f"{path}  bytes {path.stat().st_size}")
        return 0
    if args.out is None or args.data is None:
        parser.error("OUT and --data are required, or --onnx DIR")
    if not args.out.endswith(".safetensors"):
        raise InvalidInputError(f"the weights file is called {args.out!r}; its name must end in .safetensors")
    checkpoint = None if args.checkpoint.endswith(".safetensors") else load_checkpoint(args.checkpoint)
    chosen = [f"--{name.replace('_', '-')}" for name in JOINING if getattr(args, name) is not None]
    if chosen and checkpoint is None:
        parser.error(f"{chosen[0]} takes a checkpoint folder, not weights")
    if len(chosen) > 1:
        parser.error(
            f"{' and '.join(chosen)} exclude each other: give one of them, and join the next to what that one wrote"
        )
    if args.look_of is not None:
        wanted = f"{weights_path(args.look_of).stem}-vivid.safetensors"
        if pathlib.Path(args.out).name != wanted:
            raise InvalidInputError(
                f"OUT is {args.out!r}; a look of {args.look_of} is called {wanted}, and lies beside them"
            )
    faces, photos = open_faces(args.data), photo_files(args.photos)
    if args.look_of is not None and checkpoint is not None:
        net, state = checkpoint
        training = describe_training(state, 0)
        card = pathlib.Path(args.card).read_text() if args.card else model_card(training, net)
        write_look(args.look_of, net, training, args.out, faces, photos, card)
        return 0
    part = "pictures" if args.for_crops is None else "crops"
    joined = args.for_pictures if args.for_crops is None else args.for_crops
    if joined is not None and checkpoint is not None:
        net, state = checkpoint
        text = pathlib.Path(args.card).read_text() if args.card else None
        add_analysis(joined, net, describe_training(state, 0), args.out, faces, photos, text, part)
    elif checkpoint is None:
        add_integers(args.checkpoint, args.out, faces, photos)
    else:
        net, state = checkpoint
        arrays, tables, (before, after) = calibrate(net, faces, args.faces)
        print(
            f"mean payload at random qualities: {before:.1f} bytes with logistic tables, {after:.1f} with counted ones"
        )
        training = describe_training(state, args.faces)
        card = pathlib.Path(args.card).read_text() if args.card else model_card(training, net)
        integers = integer_arrays(net, calibration_pictures(faces, photos)) if supports(net) else None
        if integers is None:
            print("no integer networks: channels and widths are no multiples of 16; decoding takes torch")
        told = {"training": json.dumps(training), "card": card}
        save_model(args.out, net, arrays, tables.state(), told, integers)
    if args.measure and (checkpoint is None or supports(checkpoint[0])):
        measured = measured_faces(faces, args.measure)
        print(report(list(costs(load(args.out), measured, aligned=args.for_pictures is None))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
