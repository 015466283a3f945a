"""RecordIO files (.rec) and their index (.idx), as MXNet and InsightFace keep data sets: read and written.

A record is one part, or several where its bytes hold the magic number at a multiple of four:

     0        4          8                  8 + length
    +--------+----------+------------------+-------------+
    | magic  | kind     | bytes            | zeros up to |
    |        | length   |                  | 4 bytes     |
    +--------+----------+------------------+-------------+

    magic    uint32, 0xCED7230A
    kind     the upper 3 bits of a uint32: 0 a whole record, 1 the first part of one, 2 a middle one, 3 the last
    length   the lower 29 bits, in bytes, without the zeros

Between two parts the record has a magic number, which is not written. All numbers are little endian. The index is text,
a line "KEY<tab>POSITION" for each record. What lies in a record of images begins with a header:

    flag     uint32; 0: the label is the next field; n: n float32 labels follow the header
    label    float32
    id       uint64
    id2      uint64

The layouts are those of dmlc-core (recordio.h) and of MXNet (python/mxnet/recordio.py).
"""

import contextlib
import io
import os
import pathlib
import secrets
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple

import numpy as np

from ..errors import InvalidInputError
from ..files import PathLike

MAGIC = 0xCED7230A
MAGIC_BYTES = struct.pack("<I", MAGIC)
PART = struct.Struct("<II")
HEADER = struct.Struct("<IfQQ")
WHOLE, FIRST, MIDDLE, LAST = range(4)
LONGEST = (1 << 29) - 1  # bytes of a part
MOST_LABELS = 1 << 16


class Header(NamedTuple):
    """What stands before an image in a record.

    Attributes:
        labels: one number (written as flag 0 and a label), or several (flag is their count).
        id: number of the record, uint64. id2: another one, mostly 0.
    """

    labels: tuple[float, ...]
    id: int = 0
    id2: int = 0


def pack(header: Header, data: bytes) -> bytes:
    """A record's bytes: the header, then ``data``.

    Raises:
        InvalidInputError: no label, more than 65,536, or an id that is no uint64.
    """
    if not 1 <= len(header.labels) <= MOST_LABELS:
        raise InvalidInputError(f"a record has {len(header.labels)} labels; allowed are 1 to {MOST_LABELS}")
    if not (0 <= header.id < 1 << 64 and 0 <= header.id2 < 1 << 64):
        raise InvalidInputError(f"a record has the ids {header.id} and {header.id2}; allowed are 0 to 2^64 - 1")
    if len(header.labels) == 1:
        return HEADER.pack(0, header.labels[0], header.id, header.id2) + data
    labels = np.asarray(header.labels, "<f4").tobytes()
    return HEADER.pack(len(header.labels), 0.0, header.id, header.id2) + labels + data


def unpack(record: bytes) -> tuple[Header, bytes]:
    """The inverse of ``pack``. A record of flag 1 has one label, as one of flag 0.

    Raises:
        InvalidInputError: fewer bytes than the header and its labels take.
    """
    if len(record) < HEADER.size:
        raise InvalidInputError(f"a record of {len(record)} bytes; its header alone takes {HEADER.size}")
    flag, label, number, second = HEADER.unpack_from(record)
    end = HEADER.size + 4 * flag
    if flag > MOST_LABELS or end > len(record):
        raise InvalidInputError(
            f"a record of {len(record)} bytes says that it has {flag} labels; they would end at byte {end}"
        )
    labels = (label,) if not flag else tuple(np.frombuffer(record, "<f4", flag, HEADER.size).tolist())
    return Header(labels, number, second), record[end:]


class RecordFile:
    """Records of a .rec file by key, each read when it is asked for; several processes may read one.

    Args:
        path: the .rec file.
        index: its .idx file; by default the one of that name, where there is one. Without it the file is walked once,
            and records are numbered from 0.

    Attributes:
        keys: of all records, in the index's order.

    Raises:
        InvalidInputError: a file is missing, the index has a line that is none or a key twice, or a place outside the
            file; without an index, anything that is no record.
    """

    def __init__(self, path: PathLike, index: PathLike | None = None) -> None:
        self.path = pathlib.Path(path)
        try:
            self.size = self.path.stat().st_size
        except OSError as error:
            raise InvalidInputError(f"{path} can't be read: {error.strerror}") from None
        self.files: dict[int, io.BufferedReader] = {}
        if index is None and (beside := self.path.with_suffix(".idx")).is_file():
            index = beside
        self.places = self._walk() if index is None else read_index(index)
        for key, place in self.places.items():
            if not 0 <= place <= self.size - PART.size:
                raise InvalidInputError(
                    f"{index} puts record {key} at byte {place}; {self.path} has {self.size} bytes: the two are not "
                    "of one data set, or the file is cut short"
                )
        self.keys = list(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """(key, record) of all, in the index's order."""
        for key in self.keys:
            yield key, self.read(key)

    def read(self, key: int) -> bytes:
        """One record.

        Raises:
            InvalidInputError: no such key, or the file is damaged there.
        """
        if key not in self.places:
            raise InvalidInputError(f"{self.path} has no record {key}")
        return self._record(self.places[key])[0]

    def _walk(self) -> dict[int, int]:
        """Places of all records of a file without an index."""
        places: dict[int, int] = {}
        at = 0
        while at < self.size:
            places[len(places)] = at
            at = self._record(at, skip=True)[1]
        return places

    def _record(self, at: int, skip: bool = False) -> tuple[bytes, int]:
        """(record, where the next begins) for a place; with ``skip`` the record's bytes stay unread."""
        parts: list[bytes] = []
        kinds: list[int] = []
        while not kinds or kinds[-1] in (FIRST, MIDDLE):
            head = self._bytes(at, PART.size)
            if len(head) < PART.size:
                raise InvalidInputError(f"{self.path} ends at byte {self.size}, within the record at byte {at}")
            magic, word = PART.unpack(head)
            kind, length = word >> 29, word & LONGEST
            expected = (MIDDLE, LAST) if kinds else (WHOLE, FIRST)
            if magic != MAGIC or kind not in expected:
                raise InvalidInputError(
                    f"{self.path}, byte {at}: found the number 0x{magic:08X} and a part of kind {kind}; a record has "
                    f"0x{MAGIC:08X} and kind {expected[0]} or {expected[1]} there"
                )
            if at + PART.size + length > self.size:
                raise InvalidInputError(
                    f"{self.path}, byte {at}: a part of {length} bytes; {self.size - at - PART.size} are left: the "
                    "file is cut short"
                )
            parts.append(b"" if skip else self._bytes(at + PART.size, length))
            kinds.append(kind)
            at += PART.size + (length + 3) // 4 * 4
        return MAGIC_BYTES.join(parts), at

    def _bytes(self, at: int, length: int) -> bytes:
        process = os.getpid()  # a descriptor for each process that reads
        if process not in self.files:
            self.files[process] = open(self.path, "rb")  # noqa: SIM115  (open as long as this object lives)
        return os.pread(self.files[process].fileno(), length, at)

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"files": {}}


def read_index(path: PathLike) -> dict[int, int]:
    """An .idx file -> key: position in bytes."""
    places: dict[int, int] = {}
    try:
        lines = pathlib.Path(path).read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise InvalidInputError(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidInputError(f"{path} is no index of records: it holds other bytes than text") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            key, place = map(int, line.split())
        except ValueError:
            raise InvalidInputError(
                f"{path}, line {number}: found {line[:60]!r}; expected two numbers, a record's key and its position"
            ) from None
        if key in places:
            raise InvalidInputError(f"{path}, line {number}: record {key} is listed twice")
        places[key] = place
    return places


class RecordWriter:
    """Writes a .rec file and its .idx. Both appear under their names when ``close`` is called, whole or not at all.

        with RecordWriter("train.rec") as out:
            out.write(1, pack(Header((0.0,), 1), jpeg))

    Args:
        path: the .rec file; the index takes its name, with .idx.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = pathlib.Path(path)
        self.temporary = self.path.with_name(f".lfic-{secrets.token_hex(6)}")
        self.file = open(self.temporary, "xb")  # noqa: SIM115  (closed by ``close``)
        self.places: dict[int, int] = {}

    def write(self, key: int, record: bytes) -> None:
        """One record under a key that no other has."""
        if key in self.places:
            raise InvalidInputError(f"record {key} was written already")
        self.places[key] = self.file.tell()
        parts = split(record)
        for k, part in enumerate(parts):
            if len(part) > LONGEST:
                raise InvalidInputError(f"record {key} has a part of {len(part)} bytes; allowed are {LONGEST}")
            kind = WHOLE if len(parts) == 1 else FIRST if k == 0 else LAST if k == len(parts) - 1 else MIDDLE
            self.file.write(PART.pack(MAGIC, kind << 29 | len(part)))
            self.file.write(part)
            self.file.write(bytes(-len(part) % 4))

    def close(self) -> None:
        """Finish both files."""
        self.file.close()
        index = "".join(f"{key}\t{place}\n" for key, place in self.places.items())
        self.path.with_suffix(".idx").write_text(index, encoding="ascii")
        os.replace(self.temporary, self.path)

    def discard(self) -> None:
        """Leave neither file."""
        with contextlib.suppress(OSError):  # a full disk does not take its end either
            self.file.close()
        self.temporary.unlink(missing_ok=True)

    def __enter__(self) -> "RecordWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()


def split(record: bytes) -> list[bytes]:
    """A record cut at every magic number that stands at a multiple of four; those numbers are left out."""
    parts, start, at = [], 0, record.find(MAGIC_BYTES)
    while at >= 0:
        if at % 4 == 0 and at >= start:
            parts.append(record[start:at])
            start = at + 4
        at = record.find(MAGIC_BYTES, at + 1)
    return [*parts, record[start:]]
