"""Safetensors files, read without any package: a header in JSON, then the tensors' bytes.

.------------------.---------------------------------------------------.----------------.
| header's length  | {"name": {"dtype", "shape", "data_offsets"}, ...} | bytes of all   |
| uint64           | and "__metadata__": {"key": "text"}               | tensors        |
'------------------'---------------------------------------------------'----------------'

The digest is taken over every tensor; only those that are asked for stay in memory.
"""

import hashlib
import json
import os
from collections.abc import Callable
from io import BufferedReader
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError

DTYPES = {"U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "F16": "<f2", "I32": "<i4", "F32": "<f4", "I64": "<i8",
          "F64": "<f8", "BOOL": "?"}  # fmt: skip
MOST_HEADER = 16 << 20  # bytes
UNREADABLE = (OSError, ValueError, KeyError, TypeError, RecursionError)
WITH_METADATA = "lfic-weights-2"  # the format whose digest covers the metadata as well


def read(
    path: str | os.PathLike[str], wanted: Callable[[str], bool] = lambda name: True
) -> tuple[dict[str, NDArray[Any]], dict[str, str], str]:
    """(the tensors whose names are ``wanted``, metadata, hex SHA-256 over all tensors) of a file.

    The digest is over names, dtypes, shapes and bytes in the order of the names, in the format lfic-weights-2 after
    metadata.

    Raises:
        WeightsError: no file that can be read, or none of this kind.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            header, told, start = description(file, size)
            check_places(header, size - start)
            sha, arrays = hashlib.sha256(), {}
            if told.get("format") == WITH_METADATA:
                for name in sorted(told):
                    if name != "digest":
                        sha.update(f"{name} {len(told[name].encode())}\n{told[name]}\n".encode())
            for name in sorted(header):
                array = tensor(file, header[name], start, size)
                sha.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
                sha.update(array.reshape(-1).view(np.uint8).data)
                if wanted(name):
                    arrays[name] = array
    except UNREADABLE as error:
        raise WeightsError(f"{path} is no readable safetensors file: {error}") from None
    return arrays, told, sha.hexdigest()


def metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """What a file says of itself; errors as ``read``."""
    try:
        with open(path, "rb") as file:
            return description(file, os.fstat(file.fileno()).st_size)[1]
    except UNREADABLE as error:
        raise WeightsError(f"{path} is no readable safetensors file: {error}") from None


def description(file: BufferedReader, size: int) -> tuple[dict[str, Any], dict[str, str], int]:
    """(the tensors' entries, metadata, where the tensors begin); ValueError where the header is none."""
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(MOST_HEADER, size - 8):
        raise ValueError(f"a header of {length} bytes in a file of {size}")
    header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is no table")
    told = header.pop("__metadata__", {})
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        raise ValueError("its metadata are no texts")
    return header, told, 8 + length


def check_places(header: dict[str, Any], size: int) -> None:
    """ValueError unless the tensors lie one behind the other, up to the file's end."""
    at = 0
    for first, last in sorted(tuple(entry["data_offsets"]) for entry in header.values()):
        if first != at:
            raise ValueError("its tensors overlap, or leave gaps")
        at = last
    if at != size:
        raise ValueError(f"its tensors end at {at} of {size} bytes")


def tensor(file: BufferedReader, entry: Any, start: int, size: int) -> NDArray[Any]:
    """One tensor that the header describes; ValueError where it does not fit into the file."""
    dtype, shape, (first, last) = np.dtype(DTYPES[entry["dtype"]]), tuple(entry["shape"]), entry["data_offsets"]
    count = 1
    for side in shape:
        if not isinstance(side, int) or side < 0:
            raise ValueError(f"a tensor has the shape {list(shape)}")
        count *= side
    if not (isinstance(first, int) and 0 <= first <= last == first + count * dtype.itemsize <= size - start):
        raise ValueError(f"a tensor of {count * dtype.itemsize} bytes lies at {first} to {last}, beyond its file")
    out = np.empty(shape, dtype)
    file.seek(start + first)
    if file.readinto(out.reshape(-1).view(np.uint8).data) != out.nbytes:
        raise ValueError("it ends within a tensor")
    return out
