"""How a file is shown: by the synthesis of the weights that wrote it, or by another one for the same symbols.

Beside ``NAME.safetensors`` may lie ``NAME-vivid.safetensors``, what decoding takes of the weights with another
synthesis (``lfic export --look-of``); its metadata name the digest of those, so that no other weights' files are shown
by it.
"""

import pathlib
from typing import Literal, TypeAlias

from ..arguments import one_of
from ..errors import WeightsError
from ..files import PathLike
from . import tensors
from .weights import weights_path

Look: TypeAlias = Literal["faithful", "vivid"]


def checked_look(look: object) -> Look:
    """``look``; InvalidInputError where there is no such one."""
    one_of("look", look, "faithful", "vivid")
    return look  # type: ignore[return-value]


def look_path(name: PathLike, look: Look) -> pathlib.Path:
    """The file that shows files of weights, a bundled name or a path, in a look.

    Raises:
        WeightsError: these weights do not have that look.
    """
    path = weights_path(name)
    if look == "faithful":
        return path
    shown = path.with_name(f"{path.stem}-{look}.safetensors")
    if not shown.is_file():
        raise WeightsError(f"the weights {name} have no look {look!r} ({shown}): leave look out, or take face-v1")
    wanted, found = tensors.metadata(path).get("digest"), tensors.metadata(shown).get("source")
    if found != wanted:
        raise WeightsError(f"{shown} was made for weights of another digest than {path}: export the look anew")
    return shown
