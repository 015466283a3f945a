"""InsightFace's data sets: verification sets (.bin) and training sets (train.rec with train.idx).

A .bin file is a pickle of (list of image files, list of whether each two of them show one person): images 2k and 2k + 1
make pair k. ``read_bin`` runs the few opcodes that such a pickle needs and refuses every other one by its name, so
nothing in a file is ever called or imported.

In a training set the record of key 0 says with two labels where the images end and where the list of people ends. The
record of a person holds the first key of the images and the key behind the last one. An image has the number of
its person as its (first) label, and is a crop of 112 x 112 on the template.
"""

import os
import pickletools
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidInputError
from ..files import PathLike
from .base import Source
from .recordio import RecordFile, unpack

NAMES = {opcode.code.encode("latin-1")[0]: opcode.name for opcode in pickletools.opcodes}


def read_bin(path: PathLike) -> tuple[list[bytes], NDArray[np.bool_]]:
    """A verification set -> (2 P image files, bool [P]: whether images 2k and 2k + 1 show one person).

    Raises:
        InvalidInputError: the file can't be read, holds an opcode that such a set needs not, is cut short, or is no
            pair of lists of that kind.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise InvalidInputError(f"{path} can't be read: {error.strerror}") from None
    return parse_bin(os.fspath(path), data)


def parse_bin(path: str, data: bytes) -> tuple[list[bytes], NDArray[np.bool_]]:
    """``read_bin`` of a file's bytes; ``path`` is for errors."""
    found = Unpickler(path, data).run()
    if not (isinstance(found, tuple) and len(found) == 2 and all(isinstance(part, list) for part in found)):
        raise InvalidInputError(f"{path} holds {describe(found)}; a verification set is a pair of lists")
    images, same = found
    for name, part, kind in (("image files", images, bytes), ("truth values", same, bool)):
        for k, item in enumerate(part):
            if not isinstance(item, kind):
                raise InvalidInputError(f"{path}: item {k} of its {name} is {describe(item)}")
    if len(images) != 2 * len(same):
        raise InvalidInputError(f"{path} has {len(images)} images and {len(same)} pairs; each pair needs two images")
    if not same:
        raise InvalidInputError(f"{path} has no pairs")
    return images, np.array(same, bool)


def describe(item: object) -> str:
    """What an item is, in few words."""
    if isinstance(item, (list, tuple)):
        return f"a {type(item).__name__} of {len(item)}"
    return f"of type {type(item).__name__}"


class Unpickler:
    """A stack machine for pickles of tuples, lists, byte strings and truth values, and of nothing else.

    The opcodes are those that Python 2 (protocols 1 and 2) and Python 3 (protocols 3 to 5) write for such values.
    """

    def __init__(self, path: str, data: bytes) -> None:
        self.path, self.data, self.at = path, data, 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The value that the pickle describes."""
        while True:
            start = self.at
            code = self.take(1)[0]
            if code == ord("."):
                return self.pop(start)
            step = STEPS.get(code)
            if step is None:
                raise InvalidInputError(
                    f"{self.path}, byte {start}: the opcode {NAMES.get(code, hex(code))} is not needed for lists of "
                    "image files and truth values, and is refused: it may run code. Write the set with "
                    "pickle.dump((images, same), file, protocol=4), images a list of bytes, same a list of bool"
                )
            try:
                step(self)
            except (IndexError, KeyError, AttributeError):
                raise InvalidInputError(
                    f"{self.path}, byte {start}: {NAMES[code]} finds nothing to work on: the file is damaged"
                ) from None

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count > len(self.data) - self.at:
            raise InvalidInputError(
                f"{self.path}, byte {self.at}: {count} more bytes are needed; the file ends at byte {len(self.data)}"
            )
        out = self.data[self.at : self.at + count]
        self.at += count
        return out

    def number(self, layout: str) -> int:
        """The next unsigned number, little endian."""
        value: int = struct.unpack(layout, self.take(struct.calcsize(layout)))[0]
        return value

    def pop(self, start: int) -> Any:
        """The only value left, at the end."""
        if len(self.stack) != 1 or self.marks:
            raise InvalidInputError(
                f"{self.path}, byte {start}: the pickle ends with {len(self.stack)} values, not one"
            )
        return self.stack[0]

    def since_mark(self) -> list[Any]:
        """What was pushed since the last mark; it leaves the stack."""
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def line(self) -> bytes:
        """The bytes up to the end of a line."""
        end = self.data.find(b"\n", self.at, self.at + 64)
        return self.take((end if end >= 0 else len(self.data)) + 1 - self.at)[:-1]


def string(layout: str) -> Callable[[Unpickler], None]:
    return lambda machine: machine.stack.append(machine.take(machine.number(layout)))


def put(layout: str) -> Callable[[Unpickler], None]:
    return lambda machine: machine.memo.__setitem__(machine.number(layout), machine.stack[-1])


def get(layout: str) -> Callable[[Unpickler], None]:
    return lambda machine: machine.stack.append(machine.memo[machine.number(layout)])


def tuple_of(count: int) -> Callable[[Unpickler], None]:
    def step(machine: Unpickler) -> None:
        if len(machine.stack) < count:
            raise IndexError
        items = tuple(machine.stack[len(machine.stack) - count :])
        del machine.stack[len(machine.stack) - count :]
        machine.stack.append(items)

    return step


def appends(machine: Unpickler) -> None:
    items = machine.since_mark()
    into(machine).extend(items)


def append(machine: Unpickler) -> None:
    item = machine.stack.pop()
    into(machine).append(item)


def into(machine: Unpickler) -> list[Any]:
    """The list on top of the stack."""
    target = machine.stack[-1]
    if not isinstance(target, list):
        raise AttributeError
    return target


def protocol(machine: Unpickler) -> None:
    number = machine.take(1)[0]
    if number > 5:
        raise InvalidInputError(f"{machine.path} is a pickle of protocol {number}; 1 to 5 are read")


def frame(machine: Unpickler) -> None:
    machine.number("<Q")  # its length helps those who read from a stream


def integer_line(machine: Unpickler) -> None:
    """Protocol 1 writes True and False as the lines I01 and I00."""
    text = machine.line()
    if text not in (b"00", b"01"):
        raise InvalidInputError(f"{machine.path}, byte {machine.at}: the number {text!r}; a truth value is 00 or 01")
    machine.stack.append(text == b"01")


STEPS: Mapping[int, Callable[[Unpickler], None]] = {
    0x80: protocol,
    0x95: frame,
    ord("("): lambda machine: machine.marks.append(len(machine.stack)),
    ord("]"): lambda machine: machine.stack.append([]),
    ord("l"): lambda machine: machine.stack.append(machine.since_mark()),
    ord("a"): append,
    ord("e"): appends,
    ord("t"): lambda machine: machine.stack.append(tuple(machine.since_mark())),
    0x86: tuple_of(2),
    0x88: lambda machine: machine.stack.append(True),
    0x89: lambda machine: machine.stack.append(False),
    ord("I"): integer_line,
    ord("C"): string("<B"),  # bytes of Python 3
    ord("B"): string("<I"),
    0x8E: string("<Q"),
    ord("U"): string("<B"),  # str of Python 2
    ord("T"): string("<I"),
    ord("q"): put("<B"),
    ord("r"): put("<I"),
    0x94: lambda machine: machine.memo.__setitem__(len(machine.memo), machine.stack[-1]),
    ord("h"): get("<B"),
    ord("j"): get("<I"),
}


class Records(Source):
    """The images of a training set. A name is PERSON/KEY, with the number of the person and the record's key.

    Args:
        path: the .rec file, its .idx beside it.
        table: name -> landmarks, as for other sources; without one the images are crops already.

    Attributes:
        people: int64 [N], the person of each image.

    Raises:
        InvalidInputError: a file is missing or damaged, or the ranges of the people don't fit the images.
    """

    def __init__(self, path: PathLike, table: Mapping[str, ArrayLike] | None = None) -> None:
        self.records = RecordFile(path)
        self.keys, self.people = people_of(self.records)
        super().__init__([f"{person}/{key}" for person, key in zip(self.people.tolist(), self.keys)], table)

    def read(self, i: int) -> tuple[bytes, None]:
        return unpack(self.records.read(self.keys[i]))[1], None


def people_of(records: RecordFile) -> tuple[list[int], NDArray[np.int64]]:
    """(keys of the images, the person of each): by the ranges that the records of the people hold, and by the images'
    own labels where record 0 holds no ranges."""
    header = unpack(records.read(0))[0] if 0 in records.places else None
    if header is None or len(header.labels) < 2:
        keys = list(records.keys)
        return keys, np.array([int(unpack(records.read(key))[0].labels[0]) for key in keys], np.int64)
    images, end = (int(label) for label in header.labels[:2])
    if not 1 <= images <= end or end - images > len(records):
        raise InvalidInputError(
            f"{records.path}: record 0 says that images end at {images} and people at {end}; the file has "
            f"{len(records)} records"
        )
    keys, people = [], []
    for person, key in enumerate(range(images, end)):
        labels = unpack(records.read(key))[0].labels
        first, last = (int(label) for label in (*labels, 0, 0)[:2])
        if not 1 <= first <= last <= images:
            raise InvalidInputError(
                f"{records.path}: the person of record {key} has the images {first} to {last - 1}; there are 1 to "
                f"{images - 1}"
            )
        present = [one for one in range(first, last) if one in records.places]
        keys += present
        people += [person] * len(present)
    return keys, np.array(people, np.int64)
