"""Pairs of a verification protocol, in LFW's form."""

import pathlib

import numpy as np

from ..errors import InvalidInputError


def read_pairs(path):
    """LFW pairs file -> (left names, right names, same bool [P], folds int64 [P]); names without suffix, NAME_0001.

    First line: folds and pairs of each kind in a fold. Then per fold "name i j" lines (one person), then
    "name i other j" lines, tab or blank separated.
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
    left, right, same, number = [], [], [], []
    for k, line in enumerate(body):
        fields = line.split("\t") if "\t" in line else line.split()
        try:
            if len(fields) == 3:
                a, b = (fields[0], int(fields[1])), (fields[0], int(fields[2]))
            elif len(fields) == 4:
                a, b = (fields[0], int(fields[1])), (fields[2], int(fields[3]))
            else:
                raise ValueError
        except ValueError:
            raise InvalidInputError(
                f"{path}, pair {k + 1}: found {line[:80]!r}; expected 'NAME I J' or 'NAME I OTHER J'"
            ) from None
        left.append("%s_%04d" % a)
        right.append("%s_%04d" % b)
        same.append(len(fields) == 3)
        number.append(k // (2 * count))
    return left, right, np.array(same), np.array(number, np.int64)


def people_in_pairs(path):
    """Names of everybody in a pairs file."""
    left, right, _, _ = read_pairs(path)
    return {person_of(name) for name in left + right}


def person_of(name):
    """NAME of a file or an image called NAME_0001."""
    return pathlib.PurePath(name).name.rsplit("_", 1)[0]
