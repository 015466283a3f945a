"""Weights files: safetensors with a digest over every tensor; nothing in them is code.

Keys: ``net.<parameter>`` (float16), ``context.<name>`` and ``tables.<name>`` (integers). Metadata: ``format``,
``config`` (JSON of ``FaceNetConfig``), ``digest`` (SHA-256 over names, shapes and bytes), ``card``, ``training``.
"""
import contextlib
import hashlib
import json
import os
import pathlib
import secrets

import numpy as np

from .container import MODELS, PRIVATE
from .errors import WeightsError

FORMAT = "lfic-weights-1"
FOLDER = pathlib.Path(__file__).parent / "weights"


def weights_path(name):
    """Path of a bundled model by name ("face-v1"), or of a .safetensors file."""
    name = os.fspath(name)
    path = pathlib.Path(name) if name.endswith(".safetensors") else FOLDER / f"{name}.safetensors"
    if not path.is_file():
        bundled = sorted(p.stem for p in FOLDER.glob("*.safetensors"))
        raise WeightsError(f"there are no weights {name!r} ({path}); bundled are {bundled}, or give the path of a .safetensors file")
    return path


def digest(arrays):
    """Hex SHA-256 over names, dtypes, shapes and bytes, in the order of the names."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        sha.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def load_arrays(name):
    """(dict of ndarrays, metadata) of a weights file; its digest is checked."""
    from safetensors import SafetensorError, safe_open

    path = weights_path(name)
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            arrays = {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError, TypeError) as error:
        raise WeightsError(f"{path} is no readable safetensors file: {error}") from None
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"{path} has format {metadata.get('format')!r}; this lfic reads {FORMAT!r}")
    found = digest(arrays)
    if found != metadata.get("digest"):
        raise WeightsError(f"{path} is damaged: its digest is {found[:16]}..., it says {str(metadata.get('digest'))[:16]}...")
    return arrays, metadata


def model_number(metadata):
    """The number that files carry: that of the bundled model with the same digest, or ``container.PRIVATE``."""
    from safetensors import safe_open

    for number, name in MODELS.items():
        path = FOLDER / f"{name}.safetensors"
        if number != PRIVATE and path.is_file():
            with safe_open(path, "np") as file:
                if file.metadata().get("digest") == metadata["digest"]:
                    return number
    return PRIVATE


def context_arrays(arrays):
    """The context model's integers out of a weights file's arrays, as ``EntropyModel.export`` gave them."""
    context = {key.removeprefix("context."): value for key, value in arrays.items() if key.startswith("context.")}
    groups = sum(key.startswith("W2.") for key in context)
    context["W2"] = [context.pop(f"W2.{g}") for g in range(groups)]
    for name in ("sh1", "sh2", "sh3", "mshift"):
        context[name] = context[name].item()
    return context


def context_model(arrays, simd="auto"):
    """The integer context model out of a weights file's arrays; needs no torch."""
    from . import coder

    tables = coder.Tables.from_state({name: arrays[f"tables.{name}"] for name in ("lows", "starts", "frequencies")})
    context = context_arrays(arrays)
    model = coder.ContextModel(context, tables, simd)
    model.level_prior = context["level_prior"]
    return model


def load_model(name, device="cpu"):
    """(FaceNet in eval mode, ContextModel, metadata) of a bundled model or a file."""
    import torch

    from .model import FaceNet, FaceNetConfig

    arrays, metadata = load_arrays(name)
    state = {k.removeprefix("net."): torch.from_numpy(v).float() for k, v in arrays.items() if k.startswith("net.")}
    try:
        config = json.loads(metadata["config"])
        net = FaceNet(FaceNetConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}))
        missing, unexpected = net.load_state_dict(state, strict=False)
        context = context_model(arrays)
        # Files carry the entropy network's integers: for the encoder's gradients they are as good as its floats.
        net.entropy.restore(context_arrays(arrays))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"the weights {name} hold no model that this lfic knows: {error}") from None
    missing = [k for k in missing if not k.startswith("entropy.") or k == "entropy.value_scale"]
    if missing or unexpected:
        raise WeightsError(f"the weights {name} do not fit the network: missing {missing}, unexpected {unexpected}")
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    return net.eval().to(device), context, metadata


def save_model(path, net, context_arrays, tables_state, metadata):
    """Write a weights file atomically. ``context_arrays`` as for ``lfic.coder.ContextModel``; metadata: dict of strings."""
    from safetensors.numpy import save

    arrays = {}
    for key, value in net.state_dict().items():
        if not key.startswith("entropy.") or key == "entropy.value_scale":
            arrays[f"net.{key}"] = value.detach().cpu().half().numpy()
    for key, value in context_arrays.items():
        if key == "W2":
            arrays |= {f"context.W2.{g}": w for g, w in enumerate(value)}
        else:
            arrays[f"context.{key}"] = np.asarray(value, np.int32) if np.isscalar(value) else value
    arrays |= {f"tables.{key}": value for key, value in tables_state.items()}
    arrays = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
    import dataclasses

    metadata = {"format": FORMAT, "config": json.dumps(dataclasses.asdict(net.config)), "digest": digest(arrays), **metadata}
    write_atomically(path, save(arrays, metadata))


def write_atomically(path, data):
    """Write bytes to a temporary name in the same folder, then rename: a reader never sees half a file.

    A link stays one: the file that it points to is replaced. What is no file (a pipe, /dev/null) is written to.
    """
    path = pathlib.Path(path)
    real = pathlib.Path(os.path.realpath(path))
    if real.exists() and not real.is_file():
        real.write_bytes(data)
        return
    # The name is known before the file exists, so that an interrupt between two lines leaves nothing behind either.
    temporary = real.with_name(f".lfic-{secrets.token_hex(6)}")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
        os.replace(temporary, real)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = os.fspath(path)  # not the temporary name, which means nothing to anybody
        raise
