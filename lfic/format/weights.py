"""Weights files: safetensors with a digest over all that they hold; nothing in them is code.

Keys: ``net.<parameter>`` (float16; of large layers ``.rows`` and ``.columns``, float32: lfic/network/restored.py),
``context.<name>``, ``tables.<name>`` and ``integers.<name>`` (integers; the last are the transforms,
csrc/network/network.hpp). Metadata: ``format``, ``config`` (JSON of ``CodecNetConfig``), ``digest`` (hex SHA-256),
``card``, ``training``. In the format lfic-weights-2 the digest covers the metadata as well, in lfic-weights-1 the
tensors alone.
"""

import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import arguments, coder
from ..errors import InvalidInputError, WeightsError
from ..files import PathLike
from . import tensors
from .container import MODELS, PRIVATE, WEIGHTS_BYTES

FORMAT = "lfic-weights-2"
FORMATS = ("lfic-weights-1", FORMAT)
private_contexts: dict[bytes, coder.ContextModel] = {}  # that this process has loaded, by what files say of them
TEMPLATE = "template."  # what begins the names of a model's own entropy model for what stands on the template
FOLDER = pathlib.Path(__file__).parent.parent / "weights"


def weights_path(name: PathLike) -> pathlib.Path:
    """Path of a bundled model by name ("face-v2", "face-v1"), or of a .safetensors file."""
    name = os.fspath(arguments.path("name", name))
    path = pathlib.Path(name) if name.endswith(".safetensors") else FOLDER / f"{name}.safetensors"
    if not path.is_file():
        bundled = ", ".join(model for number, model in MODELS.items() if number != PRIVATE)
        raise WeightsError(
            f"there are no weights {name!r} ({path}); bundled are {bundled}; or give the path of a .safetensors file"
        )
    return path


def digest(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None) -> str:
    """Hex SHA-256 over names, dtypes, shapes and bytes, in the order of the names; before them, where metadata are
    given, over these, without the digest itself."""
    sha = hashlib.sha256()
    for name in sorted(metadata or ()):
        if metadata is not None and name != "digest":
            sha.update(f"{name} {len(metadata[name].encode())}\n{metadata[name]}\n".encode())
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
    for key, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise WeightsError(f"{path}: {key} holds values that are no numbers: export a checkpoint from before")
    return arrays, metadata


def check(path: pathlib.Path, metadata: Mapping[str, str], found: str) -> None:
    """Refuse a file of another format, or one whose digest is not the one that was ``found``."""
    if metadata.get("format") not in FORMATS:
        raise WeightsError(
            f"{path} has format {metadata.get('format')!r}; this lfic reads {' and '.join(map(repr, FORMATS))}"
        )
    if found != metadata.get("digest"):
        raise WeightsError(
            f"{path} is damaged: its digest is {found[:16]}..., it says {str(metadata.get('digest'))[:16]}...: get it "
            "anew"
        )


def model_number(metadata: Mapping[str, str]) -> int:
    """The number that files carry: that of the bundled model with the same digest, or ``container.PRIVATE``. Weights
    that were cut from others (csrc/wasm/weights.py) say these' digest as their source."""
    digest = metadata.get("source", metadata["digest"])
    for number, name in MODELS.items():
        path = FOLDER / f"{name}.safetensors"
        if number != PRIVATE and path.is_file() and tensors.metadata(path).get("digest") == digest:
            return number
    return PRIVATE


def weights_bytes(metadata: Mapping[str, str]) -> bytes:
    """What files of private weights say of them: the first bytes of the digest; empty for bundled models."""
    private = model_number(metadata) == PRIVATE
    return bytes.fromhex(metadata.get("source", metadata["digest"])[: 2 * WEIGHTS_BYTES]) if private else b""


def context_entries(context: Mapping[str, Any], tables: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What a weights file has of a context model, as ``EntropyModel.export`` gave it, and of its tables."""
    out = {f"tables.{key}": np.ascontiguousarray(value) for key, value in tables.items()}
    for key, value in context.items():
        if key == "W2":
            out |= {f"context.W2.{g}": np.ascontiguousarray(w) for g, w in enumerate(value)}
        else:
            whole = np.asarray(value, np.int32) if np.isscalar(value) else value
            out[f"context.{key}"] = np.ascontiguousarray(whole)
    return out


def template_part(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """A model's own entropy model for what stands on the template, named as any."""
    return {key.removeprefix(TEMPLATE): value for key, value in arrays.items() if key.startswith(TEMPLATE)}


def context_arrays(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The context model's integers out of a weights file's arrays, as ``EntropyModel.export`` gave them."""
    context: dict[str, Any] = {
        key.removeprefix("context."): value for key, value in arrays.items() if key.startswith("context.")
    }
    groups = sum(key.startswith("W2.") for key in context)
    try:
        context["W2"] = [context.pop(f"W2.{g}") for g in range(groups)]
        for name in ("sh1", "sh2", "sh3", "mshift"):
            context[name] = context[name].item()
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsError(f"the weights lack a part of the context model: {error}") from None
    return context


def context_model(arrays: Mapping[str, NDArray[Any]], simd: str = "auto") -> coder.ContextModel:
    """The integer context model out of a weights file's arrays; needs no torch."""
    try:
        tables = coder.Tables.from_state({name: arrays[f"tables.{name}"] for name in ("lows", "starts", "frequencies")})
        return coder.ContextModel(context_arrays(arrays), tables, simd)
    except (KeyError, InvalidInputError) as error:
        raise WeightsError(f"the weights hold no context model that can be used: {error}") from None
