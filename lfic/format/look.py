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
    mend = f"leave look out, or write it with `lfic export CHECKPOINT {shown.name} --data FACES --look-of WEIGHTS`"
    if not shown.is_file():
        raise WeightsError(f"the weights {name} have no look {look!r}, there is no {shown}: {mend}")
    told = tensors.metadata(shown)
    if told.get("look") != look:
        raise WeightsError(f"{shown} is no look of weights, it says {told.get('look')!r} and not {look!r}: {mend}")
    if "source" not in told or told["source"] != tensors.metadata(path).get("digest"):
        raise WeightsError(f"{shown} was made for weights of another digest than {path}: {mend}")
    return shown
