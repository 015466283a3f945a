"""Lists of pairs for face verification: LFW's form, and lists of two paths and a truth value.

    10<tab>300                      folds, and pairs of each kind in a fold; this line may be missing
    Ann Lee<tab>1<tab>4             NAME I J: two images of one person, Ann Lee_0001 and Ann Lee_0004
    Ann Lee<tab>1<tab>Bob Roe<tab>2 NAME I OTHER J: of two

    n000001/0001_01.jpg n000009/0003_02.jpg 0        PATH PATH 1 or 0: whether they show one person

Fields stand between tabs, or between blanks where a line has no tab; a line may end in CR LF, be blank, or be a comment
(#). The text is UTF-8, with or without a byte order mark, UTF-16 with one, or Latin-1.

Folds are those of the first line. Without it a new fold begins in LFW's form where a pair of one person follows one of
two; a list of paths is cut into ten equal parts, as InsightFace does.
"""

import codecs
import os
import pathlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInputError
from .names import person_of

__all__ = ["people_in_pairs", "person_of", "read_pairs", "ten_folds"]


class Pair(NamedTuple):
    """Two images and whether they show one person; ``paths``: they are given as paths."""

    left: str
    right: str
    same: bool
    paths: bool


def read_pairs(
    path: str | os.PathLike[str],
) -> tuple[list[str], list[str], NDArray[np.bool_], NDArray[np.int64]]:
    """A list of pairs -> (left names, right names, same bool [P], folds int64 [P] from 0).

    Names of LFW's form are NAME_0001, without a suffix; paths lose theirs.

    Raises:
        InvalidInputError: the file can't be read; with the line that is no pair; where the first line counts other
            pairs than follow; where there are pairs of one kind only.
    """
    lines = [(number, line) for number, line in enumerate(text_of(path).splitlines(), 1) if line.strip(" \t\0")]
    lines = [(number, line) for number, line in lines if not line.lstrip().startswith("#")]
    head = lines[0][1].split() if lines else []
    counted = 1 <= len(head) <= 2 and all(field.isascii() and field.isdigit() for field in head)
    if not lines:
        raise InvalidInputError(f"{path}, line 1: there is nothing in it; needed are pairs")
    pairs = [parse_pair(path, k, *line) for k, line in enumerate(lines[1:] if counted else lines, 1)]
    same = np.array([pair.same for pair in pairs], bool)
    if counted:
        folds, count = (int(head[0]), int(head[1])) if len(head) == 2 else (1, int(head[0]))
        if folds < 1 or count < 1 or len(pairs) != folds * count * 2:
            raise InvalidInputError(
                f"{path}: {len(pairs)} pairs follow the first line; {folds} folds of 2 x {count} make "
                f"{folds * count * 2}"
            )
        numbers = np.arange(len(pairs)) // (2 * count)
    elif not same.any() or same.all():
        raise InvalidInputError(
            f"{path} has {int(same.sum())} pairs of one person and {int((~same).sum())} of two; needed are both kinds"
        )
    elif pairs[0].paths:
        numbers = ten_folds(len(pairs))
    else:
        numbers = np.concatenate([[0], np.cumsum(same[1:] & ~same[:-1])])
    return [pair.left for pair in pairs], [pair.right for pair in pairs], same, numbers.astype(np.int64)


def text_of(path: str | os.PathLike[str]) -> str:
    """A text file of whatever encoding people's programs write."""
    try:
        data = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{path} can't be read: {error.strerror}") from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def ten_folds(count: int) -> NDArray[np.int64]:
    """Folds of pairs that have none: ten equal parts in their order, int64 [count]."""
    return np.repeat(np.arange(10), [len(part) for part in np.array_split(np.arange(count), 10)])


def parse_pair(path: str | os.PathLike[str], k: int, number: int, line: str) -> Pair:
    """Pair k, from 1, of a line; InvalidInputError where it is none."""
    fields = [field.strip() for field in line.split("\t")] if "\t" in line else line.split()
    try:
        if len(fields) == 3 and fields[2] in ("0", "1", "-1") and not fields[1].isdigit():
            left, right = (without_suffix(field) for field in fields[:2])
            return Pair(left, right, fields[2] == "1", True)
        if len(fields) == 3:
            return Pair(numbered(fields[0], fields[1]), numbered(fields[0], fields[2]), True, False)
        if len(fields) == 4:
            return Pair(numbered(fields[0], fields[1]), numbered(fields[2], fields[3]), False, False)
    except ValueError:
        pass
    raise InvalidInputError(
        f"{path}, line {number}, pair {k}: found {line[:80]!r}; expected 'NAME I J', 'NAME I OTHER J' or "
        "'PATH PATH 0|1'"
    )


def numbered(name: str, number: str) -> str:
    """NAME_0001; ValueError where the number is none."""
    if not name:
        raise ValueError
    return f"{name}_{int(number):04d}"


def without_suffix(path: str) -> str:
    """A path without the suffix of an image; other dots stay."""
    stem, dot, suffix = path.rpartition(".")
    return stem if dot and suffix.isalnum() and not suffix.isdigit() and len(suffix) <= 5 else path


def people_in_pairs(path: str | os.PathLike[str]) -> set[str]:
    """Names of everybody in a list of pairs."""
    left, right, _, _ = read_pairs(path)
    return {person_of(name, bare=True) for name in left + right}
