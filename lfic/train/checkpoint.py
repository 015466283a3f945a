"""Checkpoint folders: tensors by name in safetensors files, none larger than 15 MiB, so that they pass where large
files may not, and state.json, which is written last and has a digest of each.

A run's folder holds ``checkpoint``. A save writes ``checkpoint.new``, puts what was there aside as ``checkpoint.old``,
and renames. Wherever that ends, and however often, one of the three is whole: ``newest`` finds it.
"""

import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ..errors import WeightsError
from .soap import Soap

LIMIT = 15 << 20
STATE = "state.json"


def newest(out: pathlib.Path) -> pathlib.Path | None:
    """The whole checkpoint of a run's folder, or None: it has none yet. What only a kill can leave comes after it."""
    places = (out / name for name in ("checkpoint", "checkpoint.new", "checkpoint.old"))
    return next((place for place in places if (place / STATE).is_file()), None)


def write_checkpoint(out: pathlib.Path, fill: Callable[[pathlib.Path], None], state: Mapping[str, Any]) -> None:
    """Put a checkpoint in the place of the one before: ``fill(folder)`` writes its tensors."""
    place, fresh, old = out / "checkpoint", out / "checkpoint.new", out / "checkpoint.old"
    left = newest(out)
    if left is not None and left != place:  # a save was killed between its two renames
        os.rename(left, place)
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    fill(fresh)
    files = {path.name: digest_of(path) for path in sorted(fresh.iterdir())}
    write_durably(fresh / "state.part", json.dumps({**state, "files": files}, indent=1).encode())
    os.rename(fresh / "state.part", fresh / STATE)
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.rename(place, old)
    os.rename(fresh, place)
    shutil.rmtree(old, ignore_errors=True)


def read_state(place: pathlib.Path) -> dict[str, Any]:
    """What state.json says: step, seconds, frozen and config; every file of the checkpoint is as it was written.

    Raises:
        WeightsError: damage; or the folder holds no checkpoint.
    """
    path = place / STATE
    try:
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{place} is not a checkpoint folder: it has no {STATE}") from None
    except (OSError, ValueError) as error:
        raise damaged(path, str(error)) from None
    kinds: dict[str, tuple[type, ...]] = {"step": (int,), "seconds": (int, float), "config": (dict,)}
    for name, kind in kinds.items():
        if not isinstance(state, dict) or not isinstance(state.get(name), kind) or isinstance(state[name], bool):
            raise damaged(path, f"it says no {name}")
    for name, digest in state.get("files", {}).items():  # checkpoints of earlier versions have none
        if not (place / name).is_file():
            raise damaged(place / name, "it is missing")
        if digest_of(place / name) != digest:
            raise damaged(place / name, "its digest is another than when it was written")
    return state


def damaged(path: pathlib.Path, what: str) -> WeightsError:
    """The error for a checkpoint that nobody should go on from."""
    return WeightsError(
        f"{path} is damaged: {what}. Put a copy of the checkpoint back, or move {path.parent} away to begin anew"
    )


def digest_of(path: pathlib.Path) -> str:
    """Hex SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_durably(path: pathlib.Path, data: bytes) -> None:
    """A file that is on the disk when this returns; its mode is what the umask leaves."""
    try:
        with open(path, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:  # a full disk names no file
        error.filename = os.fspath(path)
        raise


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
        name = f"{stem}.safetensors" if number == 1 else f"{stem}-{number}.safetensors"
        write_durably(pathlib.Path(folder) / name, save(shard))


def load_tensors(folder: str | os.PathLike[str], stem: str) -> dict[str, Tensor]:
    """What ``save_tensors`` wrote; an empty dict where there is nothing. Copies: what a file is mapped to need not be
    aligned, and vector code may add in another order there.

    Raises:
        WeightsError: a file that can't be read.
    """
    folder = pathlib.Path(folder)
    out: dict[str, Tensor] = {}
    for path in (folder / f"{stem}.safetensors", *sorted(folder.glob(f"{stem}-[0-9]*.safetensors"))):
        if path.is_file():
            try:
                out |= {name: tensor.clone() for name, tensor in load_file(path).items()}
            except (SafetensorError, OSError) as error:
                raise damaged(path, str(error)) from None
    return out


def restore_parameters(place: pathlib.Path, stem: str, names: Sequence[str], targets: Sequence[Tensor]) -> None:
    """Read tensors into those of a run, by name; WeightsError where one is missing or has another shape."""
    saved = load_tensors(place, stem)
    for name, target in zip(names, targets, strict=True):
        if name not in saved or saved[name].shape != target.shape:
            found = "missing" if name not in saved else f"of shape {list(saved[name].shape)}"
            raise damaged(place / f"{stem}.safetensors", f"{name} is {found}, and {list(target.shape)} is needed")
    with torch.no_grad():
        for name, target in zip(names, targets, strict=True):
            target.copy_(saved[name])


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
    """The inverse. Moments lie in memory as they did, so that a resumed run adds in the same order.

    Raises:
        WeightsError: there are none, or those of another optimiser.
    """
    kinds = {key.rpartition(":")[2] for key in saved}
    if not {"step", "exp_avg", "exp_avg_sq"} <= kinds or (not isinstance(optimizer, Soap) and "left_basis" in kinds):
        raise WeightsError(
            f"the checkpoint holds {', '.join(sorted(kinds)) or 'nothing'} of an optimiser, which does not suit "
            f"{type(optimizer).__name__}: give [schedule] optimizer the value of the run that wrote it"
        )
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
