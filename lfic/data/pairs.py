"""Pairs of a verification protocol, in LFW's form."""

import os
import pathlib

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInputError


def read_pairs(
    path: str | os.PathLike[str],
) -> tuple[list[str], list[str], NDArray[np.bool_], NDArray[np.int64]]:
    """LFW pairs file -> (left names, right names, same bool [P], folds int64 [P]); names without suffix, NAME_0001.

    First line: folds and pairs of each kind in a fold. Then per fold "name i j" lines (one person), then
    "name i other j" lines, tab or blank separated.

    Raises:
        InvalidInputError: with the number of the line or pair that is none.
    """
    lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    head = lines[0].split() if lines else []
    if not 1 <= len(head) <= 2 or not all(field.isdigit() for field in head):
        raise InvalidInputError(
            f"{path}, line 1: found {lines[0][:60] if lines else ''!r}; expected 'FOLDS PAIRS' as in LFW's pairs.txt"
        )
    folds, count = (int(head[0]), int(head[1])) if len(head) == 2 else (1, int(head[0]))
    body = [line for line in lines[1:] if line.strip()]
    if folds < 1 or count < 1 or len(body) != folds * count * 2:
        raise InvalidInputError(
            f"{path}: {len(body)} pairs follow the first line; {folds} folds of 2 x {count} make {folds * count * 2}"
        )
    left, right, same = [], [], []
    for k, line in enumerate(body):
        try:
            a, b, equal = parse_pair(line)
        except ValueError:
            raise InvalidInputError(
                f"{path}, pair {k + 1}: found {line[:80]!r}; expected 'NAME I J' or 'NAME I OTHER J'"
            ) from None
        left.append(a)
        right.append(b)
        same.append(equal)
    return left, right, np.array(same), np.arange(len(body)) // (2 * count)


def parse_pair(line: str) -> tuple[str, str, bool]:
    """(NAME_0001, OTHER_0002, whether they are one person) of a line; ValueError where it is none."""
    fields = line.split("\t") if "\t" in line else line.split()
    if len(fields) == 3:
        name, first, second = fields
        other = name
    elif len(fields) == 4:
        name, first, other, second = fields
    else:
        raise ValueError
    return f"{name}_{int(first):04d}", f"{other}_{int(second):04d}", len(fields) == 3


def people_in_pairs(path: str | os.PathLike[str]) -> set[str]:
    """Names of everybody in a pairs file."""
    left, right, _, _ = read_pairs(path)
    return {person_of(name) for name in left + right}


def person_of(name: str) -> str:
    """NAME of a file or an image called NAME_0001."""
    return pathlib.PurePath(name).name.rsplit("_", 1)[0]
