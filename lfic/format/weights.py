"""Weights files: safetensors with a digest over every tensor; nothing in them is code.

Keys: ``net.<parameter>`` (float16), ``context.<name>``, ``tables.<name>`` and ``integers.<name>`` (integers; the last
are the transforms, csrc/network/network.hpp). Metadata: ``format``,
``config`` (JSON of ``CodecNetConfig``), ``digest`` (SHA-256 over names, shapes and bytes), ``card``, ``training``.
"""

import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import coder
from ..errors import WeightsError
from ..files import PathLike
from . import tensors
from .container import MODELS, PRIVATE

FORMAT = "lfic-weights-1"
FOLDER = pathlib.Path(__file__).parent.parent / "weights"


def weights_path(name: PathLike) -> pathlib.Path:
    """Path of a bundled model by name ("face-v1"), or of a .safetensors file."""
    name = os.fspath(name)
    path = pathlib.Path(name) if name.endswith(".safetensors") else FOLDER / f"{name}.safetensors"
    if not path.is_file():
        bundled = sorted(p.stem for p in FOLDER.glob("*.safetensors"))
        raise WeightsError(
            f"there are no weights {name!r} ({path}); bundled are {bundled}, or give the path of a .safetensors file"
        )
    return path


def digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Hex SHA-256 over names, dtypes, shapes and bytes, in the order of the names."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        sha.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def load_arrays(name: PathLike) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """(dict of ndarrays, metadata) of a weights file; its digest is checked."""
    path = weights_path(name)
    arrays, metadata, found = tensors.read(path)
    check(path, metadata, found)
    return arrays, metadata


def check(path: pathlib.Path, metadata: Mapping[str, str], found: str) -> None:
    """Refuse a file of another format, or one whose digest is not the one that was ``found``."""
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"{path} has format {metadata.get('format')!r}; this lfic reads {FORMAT!r}")
    if found != metadata.get("digest"):
        raise WeightsError(
            f"{path} is damaged: its digest is {found[:16]}..., it says {str(metadata.get('digest'))[:16]}..."
        )


def model_number(metadata: Mapping[str, str]) -> int:
    """The number that files carry: that of the bundled model with the same digest, or ``container.PRIVATE``."""
    for number, name in MODELS.items():
        path = FOLDER / f"{name}.safetensors"
        if number != PRIVATE and path.is_file() and tensors.metadata(path).get("digest") == metadata["digest"]:
            return number
    return PRIVATE


def context_arrays(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The context model's integers out of a weights file's arrays, as ``EntropyModel.export`` gave them."""
    context: dict[str, Any] = {
        key.removeprefix("context."): value for key, value in arrays.items() if key.startswith("context.")
    }
    groups = sum(key.startswith("W2.") for key in context)
    context["W2"] = [context.pop(f"W2.{g}") for g in range(groups)]
    for name in ("sh1", "sh2", "sh3", "mshift"):
        context[name] = context[name].item()
    return context


def context_model(arrays: Mapping[str, NDArray[Any]], simd: str = "auto") -> coder.ContextModel:
    """The integer context model out of a weights file's arrays; needs no torch."""
    tables = coder.Tables.from_state({name: arrays[f"tables.{name}"] for name in ("lows", "starts", "frequencies")})
    return coder.ContextModel(context_arrays(arrays), tables, simd)
