"""RecordIO: what is written is read again, the bytes are those of dmlc-core's layout, and damage is named."""

import os
import pickle
import struct

import numpy as np
import pytest

from lfic import InvalidInputError
from lfic.data.recordio import MAGIC_BYTES, Header, RecordFile, RecordWriter, pack, unpack


def write(path, records):
    with RecordWriter(path) as out:
        for key, record in records.items():
            out.write(key, record)
    return path


RECORDS = {
    0: b"",
    7: b"abc",
    3: bytes(range(256)),
    4: MAGIC_BYTES,  # in a record's bytes, at a multiple of four: the record is cut there
    5: b"1234" + MAGIC_BYTES + b"5678" + MAGIC_BYTES + MAGIC_BYTES + b"9",
    6: b"12" + MAGIC_BYTES + b"34",  # elsewhere it stays
}


def test_records_come_back(tmp_path):
    path = write(tmp_path / "a.rec", RECORDS)
    file = RecordFile(path)
    assert file.keys == list(RECORDS) and len(file) == len(RECORDS)
    assert dict(iter(file)) == RECORDS
    assert pickle.loads(pickle.dumps(file)).read(5) == RECORDS[5]  # for workers of a loader
    (tmp_path / "a.idx").unlink()
    assert dict(iter(RecordFile(path))) == dict(enumerate(RECORDS.values()))
    assert sorted(os.listdir(tmp_path)) == ["a.rec"]


def test_the_bytes_are_those_of_the_layout(tmp_path):
    path = write(tmp_path / "a.rec", {1: b"abcde", 2: b"1234" + MAGIC_BYTES + b"56"})
    magic = struct.pack("<I", 0xCED7230A)
    whole = magic + struct.pack("<I", 5) + b"abcde\0\0\0"
    first = magic + struct.pack("<I", 1 << 29 | 4) + b"1234"
    last = magic + struct.pack("<I", 3 << 29 | 2) + b"56\0\0"
    assert path.read_bytes() == whole + first + last
    assert (tmp_path / "a.idx").read_text() == f"1\t0\n2\t{len(whole)}\n"


def test_a_middle_part_has_its_own_kind(tmp_path):
    path = write(tmp_path / "a.rec", {0: b"1234" + MAGIC_BYTES + b"5678" + MAGIC_BYTES + b"9"})
    kinds = [word >> 29 for word in (struct.unpack_from("<I", path.read_bytes(), at)[0] for at in (4, 16, 28))]
    assert kinds == [1, 2, 3]


def test_headers_of_one_label_and_of_several():
    assert pack(Header((5.0,), 9, 2), b"x") == struct.pack("<IfQQ", 0, 5.0, 9, 2) + b"x"
    assert pack(Header((5.0, 6.0), 9), b"x") == struct.pack("<IfQQff", 2, 0.0, 9, 0, 5.0, 6.0) + b"x"
    for header in (Header((5.0,), 9, 2), Header((1.0, 2.0, 3.0), 2**64 - 1)):
        assert unpack(pack(header, b"data")) == (header, b"data")
    assert unpack(struct.pack("<IfQQf", 1, 0.0, 9, 0, 4.0) + b"x") == (Header((4.0,), 9), b"x")


@pytest.mark.parametrize("record", [b"", bytes(23), struct.pack("<IfQQ", 2, 0, 0, 0) + bytes(7)])
def test_a_header_that_is_cut_short(record):
    with pytest.raises(InvalidInputError, match=f"record of {len(record)} bytes"):
        unpack(record)


def test_a_giant_number_of_labels_allocates_nothing():
    with pytest.raises(InvalidInputError, match="4294967295 labels"):
        unpack(struct.pack("<IfQQ", 2**32 - 1, 0, 0, 0) + bytes(64))


def test_nothing_is_left_where_writing_ends_early(tmp_path):
    with pytest.raises(InvalidInputError, match="already"), RecordWriter(tmp_path / "a.rec") as out:
        out.write(1, b"x")
        out.write(1, b"y")
    assert os.listdir(tmp_path) == []


def test_damage_is_named(tmp_path):
    path = write(tmp_path / "a.rec", {0: b"abcd", 1: b"efgh"})
    good = path.read_bytes()
    path.write_bytes(b"\0" + good[1:])
    with pytest.raises(InvalidInputError, match="byte 0"):
        RecordFile(path).read(0)
    path.write_bytes(good[:-1])
    with pytest.raises(InvalidInputError, match="byte 12.*4 bytes; 3 are left"):
        RecordFile(path).read(1)
    path.write_bytes(good[:10])
    with pytest.raises(InvalidInputError, match=r"a.rec has 10 bytes"):
        RecordFile(path)
    (tmp_path / "a.idx").unlink()
    with pytest.raises(InvalidInputError, match="cut short"):
        RecordFile(path)
    path.write_bytes(good[:4] + struct.pack("<I", 3 << 29 | 4) + good[8:])  # the last part of nothing
    with pytest.raises(InvalidInputError, match="kind 3"):
        RecordFile(path)
    path.write_bytes(good[:4] + struct.pack("<I", 1 << 29 | 4) + good[8:])  # the first part, then a whole record
    with pytest.raises(InvalidInputError, match="byte 12.*kind 0"):
        RecordFile(path)


@pytest.mark.parametrize(
    ("text", "named"), [("0\t0\n0\t12\n", "twice"), ("zero\t0\n", "zero"), ("0\n", "line 1"), ("0\t-4\n", "byte -4")]
)
def test_an_index_that_is_none(tmp_path, text, named):
    path = write(tmp_path / "a.rec", {0: b"abcd"})
    (tmp_path / "a.idx").write_text(text)
    with pytest.raises(InvalidInputError, match=named):
        RecordFile(path)


def test_missing_files_and_keys(tmp_path):
    with pytest.raises(InvalidInputError, match="none.rec"):
        RecordFile(tmp_path / "none.rec")
    path = write(tmp_path / "a.rec", {0: b"abcd"})
    with pytest.raises(InvalidInputError, match="no record 9"):
        RecordFile(path).read(9)
    (tmp_path / "b.idx").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInputError, match="no index"):
        RecordFile(path, tmp_path / "b.idx")


def test_labels_are_float32():
    header = unpack(pack(Header((0.1, 16777216.0)), b""))[0]
    assert header.labels == (float(np.float32(0.1)), 16777216.0)
