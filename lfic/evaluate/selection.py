"""The codecs that the options ask for."""

import argparse
from typing import Any

from ..errors import InvalidInputError
from .interface import EvaluatedCodec
from .registry import CODECS

OWN = ("lfic", "lfic-full", "lfic-layers", "lfic-vivid")  # whose effort is given with @
ALLOWED = {  # settings by the beginning of a codec's name: of the first that fits
    "lfic": (1, 100),
    "jpeg2000": (1, 10000),
    "jpeg": (1, 100),
    "mozjpeg": (1, 100),
    "webp": (0, 100),
    "avif": (0, 100),
    "jxl": (0, 100),
    "eigenface": (1, 255),
    "dictionary": (1, 255),
    "bmshj2018": (0, 255),
}
ON_TEMPLATE = ("eigenface", "dictionary", "bmshj2018")  # and those that code a smaller picture


def build_codecs(args: argparse.Namespace) -> list[EvaluatedCodec]:
    """Those that --codecs names, in its order; each once, since tables call them by their names."""
    codecs = [build(item.strip(), args) for item in args.codecs.split(",")]
    names = [codec.name for codec in codecs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InvalidInputError(f"--codecs names {twice[0]} twice: give all its settings at once, as in NAME:10/20/40")
    return codecs


def build(item: str, args: argparse.Namespace) -> EvaluatedCodec:
    """One: NAME, NAME:S/S/S, lfic@N or lfic@N:S/S/S.

    Raises:
        InvalidInputError: there is no such codec, or it needs an option that is not given.
    """
    name, _, settings = item.partition(":")
    name, at, effort = name.partition("@")
    if at and (name not in (*OWN, "bmshj2018") or effort not in ("0", "1", "2", "3")):
        raise InvalidInputError(f"codec {name}@{effort}: lfic alone has an effort, and it is 0 to 3, as in lfic@2")
    options: dict[str, Any] = {}
    if settings:
        try:
            options["settings"] = tuple(int(s) for s in settings.split("/"))
        except ValueError:
            raise InvalidInputError(
                f"settings of {name} are {settings!r}; give integers as in {name}:10/20/40"
            ) from None
    if name not in CODECS:
        raise InvalidInputError(f"no codec {name!r}; there are {', '.join(CODECS)}")
    low, high = next(bounds for beginning, bounds in ALLOWED.items() if name.startswith(beginning))
    for setting in options.get("settings", ()):
        if not low <= setting <= high:
            raise InvalidInputError(f"a setting of {name} is {setting}; allowed are {low} to {high}")
    if (args.whole or args.crop) and (name in ON_TEMPLATE or name.endswith(("-half", "-small", "-48", "-64"))):
        raise InvalidInputError(
            f"codec {name} is one of aligned faces of 112 x 112 pixels: leave out --whole or --crop"
        )
    return CODECS[name](**options, **needed(name, int(effort) if at else args.effort * (name in OWN), args))


def needed(name: str, effort: int, args: argparse.Namespace) -> dict[str, Any]:
    """What a codec takes from other options."""
    if name in OWN:
        if name == "lfic-layers" and not (args.whole or args.crop):
            raise InvalidInputError("codec lfic-layers makes layers of a picture's faces: give --whole or --crop")
        return {
            "weights": args.weights,
            "effort": effort,
            "recognizer": args.encoder_recognizer,
            "whole": bool(args.whole or args.crop),
        }
    if name in ("eigenface", "dictionary"):
        if not args.train_faces:
            raise InvalidInputError(f"codec {name} is learned from faces: give a packed file with --train-faces")
        return {"pack": args.train_faces, "store": args.cache}
    if name == "bmshj2018":
        if not args.bmshj2018:
            raise InvalidInputError(
                "codec bmshj2018 needs --bmshj2018 CHECKPOINT (benchmarks/train_bmshj2018.py writes one)"
            )
        return {"checkpoint": args.bmshj2018, "effort": effort, "recognizer": args.encoder_recognizer}
    return {}
