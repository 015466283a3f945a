"""The files of a checkpoint folder: tensors by name, none larger than 15 MiB, so that they pass where large files may
not."""

import os
import pathlib
from collections.abc import Mapping, Sequence

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..files import follow_umask
from .soap import Soap

LIMIT = 15 << 20


def save_tensors(tensors: Mapping[str, Tensor], folder: str | os.PathLike[str], stem: str, limit: int = LIMIT) -> None:
    """Write a dict of tensors as ``stem.safetensors``, then ``stem-2.safetensors`` and so on where one would pass the
    limit."""
    shards: list[dict[str, Tensor]] = [{}]
    room = limit
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        if size > room and shards[-1]:
            shards.append({})
            room = limit
        shards[-1][name] = tensor.detach().cpu().contiguous()
        room -= size
    for number, shard in enumerate(shards, 1):
        path = pathlib.Path(folder) / (f"{stem}.safetensors" if number == 1 else f"{stem}-{number}.safetensors")
        save_file(shard, path)
        follow_umask(path)


def load_tensors(folder: str | os.PathLike[str], stem: str) -> dict[str, Tensor]:
    """What ``save_tensors`` wrote; an empty dict where there is nothing. Copies: what a file is mapped to need not be
    aligned, and vector code may add in another order there."""
    folder = pathlib.Path(folder)
    out: dict[str, Tensor] = {}
    for path in (folder / f"{stem}.safetensors", *sorted(folder.glob(f"{stem}-[0-9]*.safetensors"))):
        if path.is_file():
            out |= {name: tensor.clone() for name, tensor in load_file(path).items()}
    return out


def optimizer_state(
    optimizer: torch.optim.Optimizer, names: Sequence[str], parameters: Sequence[Tensor]
) -> dict[str, Tensor]:
    """An optimiser's tensors by "parameter:key"."""
    return {
        f"{name}:{key}": value
        for name, parameter in zip(names, parameters)
        for key, value in optimizer.state[parameter].items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, names: Sequence[str], parameters: Sequence[Tensor], saved: Mapping[str, Tensor]
) -> None:
    """The inverse. Moments lie in memory as they did, so that a resumed run adds in the same order."""
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in saved.items():
        name, _, part = key.rpartition(":")
        parts.setdefault(name, {})[part] = value
    follows = not isinstance(optimizer, Soap)  # which keeps its own row by row
    for name, parameter in zip(names, parameters):
        state = optimizer.state[parameter] = {}
        for key, value in parts.get(name, {}).items():
            if follows and value.shape == parameter.shape:
                state[key] = torch.empty_like(parameter).copy_(value)
            else:
                state[key] = value.to(parameter.device) if value.ndim else value
