"""InsightFace's files, written here in their layout: verification sets, training sets, and hostile ones."""

import io
import os
import pickle
import struct

import numpy as np
import pytest
from PIL import Image

from lfic import InvalidInputError
from lfic.data.insightface import Records, parse_bin, read_bin
from lfic.data.recordio import Header, RecordWriter, pack
from lfic.data.sources import open_source


def jpeg(shade):
    buffer = io.BytesIO()
    Image.new("RGB", (112, 112), (shade, 90, 60)).save(buffer, "JPEG")
    return buffer.getvalue()


IMAGES = [jpeg(shade) for shade in (10, 20, 30, 40)]
SAME = [True, False]


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_sets_that_python_3_wrote(tmp_path, protocol):
    path = tmp_path / "faces.bin"
    path.write_bytes(pickle.dumps((IMAGES, SAME), protocol=protocol))
    images, same = read_bin(path)
    assert images == IMAGES and same.tolist() == SAME


def python_2(images, same, protocol):
    """What Python 2's pickle.dump((images, same), file, protocol) writes for strings and truth values."""

    def string(data):
        return b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + struct.pack("<I", len(data)) + data

    truth = {True: b"\x88", False: b"\x89"} if protocol == 2 else {True: b"I01\n", False: b"I00\n"}
    items = b"".join(string(data) + b"r" + struct.pack("<I", 300 + k) for k, data in enumerate(images))
    lists = b"]q\x01(" + items + b"e]q\x02(" + b"".join(truth[one] for one in same) + b"e"
    return b"\x80\x02" + lists + b"\x86q\x03." if protocol == 2 else b"(" + lists + b"tq\x03."


@pytest.mark.parametrize("protocol", [1, 2])
def test_sets_that_python_2_wrote(tmp_path, protocol):
    path = tmp_path / "faces.bin"
    small = [b"short", *IMAGES[1:]]
    path.write_bytes(python_2(small, SAME, protocol))
    assert pickle.loads(path.read_bytes(), encoding="bytes") == (small, SAME)  # the layout is Python 2's
    images, same = read_bin(path)
    assert images == small and same.tolist() == SAME


def test_an_image_of_two_pairs_is_stored_once(tmp_path):
    path = tmp_path / "faces.bin"
    path.write_bytes(pickle.dumps(([IMAGES[0], IMAGES[1], IMAGES[0], IMAGES[2]], SAME), protocol=4))
    assert read_bin(path)[0] == [IMAGES[0], IMAGES[1], IMAGES[0], IMAGES[2]]


class Evil:
    def __reduce__(self):
        return os.mkdir, ("was-here",)


@pytest.mark.parametrize(
    ("data", "opcode"),
    [
        (pickle.dumps(Evil(), protocol=0), "GLOBAL"),
        (pickle.dumps((Evil(), SAME), protocol=2), "GLOBAL"),
        (pickle.dumps((IMAGES, [np.True_]), protocol=2), "BINUNICODE|GLOBAL"),
        (pickle.dumps((Evil(), SAME), protocol=4), "SHORT_BINUNICODE"),
        (pickle.dumps((IMAGES, [1, 0]), protocol=4), "BININT1"),
        (pickle.dumps({"a": 1}, protocol=4), "EMPTY_DICT"),
        (pickle.dumps((IMAGES, [None]), protocol=4), "NONE"),
        (pickle.dumps((bytearray(b"x"), SAME), protocol=5), "BYTEARRAY8"),
        (b"\x80\x02cos\nsystem\n(tR.", "GLOBAL"),
        (b"\x80\x04(S'x'\nios\nsystem\n.", "STRING"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02Pid\n.", "PERSID"),
        (b"\x80\x02(\x81.", "NEWOBJ"),
        (b"\x80\x02(b.", "BUILD"),
        (b"\x80\x02\xff.", "0xff"),
    ],
)
def test_another_opcode_is_refused_by_name(tmp_path, monkeypatch, data, opcode):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "faces.bin"
    path.write_bytes(data)
    with pytest.raises(InvalidInputError, match=rf"byte \d+: the opcode ({opcode}) is not needed"):
        read_bin(path)
    assert os.listdir(tmp_path) == ["faces.bin"]


def test_every_prefix_of_a_set_is_refused_and_named(tmp_path):
    path = tmp_path / "faces.bin"
    data = pickle.dumps(([b"ab", b"cd"], [True]), protocol=4)
    for end in range(len(data)):
        path.write_bytes(data[:end])
        with pytest.raises(InvalidInputError, match=r"faces\.bin"):
            read_bin(path)


def test_every_changed_byte_gives_a_set_or_a_named_error():
    for data in (pickle.dumps(([b"ab", b"cd"], [True]), protocol=4), python_2([b"ab", b"cd"], [True], 1)):
        for at in range(len(data)):
            for value in range(256):
                try:
                    images, same = parse_bin("faces.bin", data[:at] + bytes([value]) + data[at + 1 :])
                except InvalidInputError:
                    continue
                assert len(images) == 2 * len(same) and all(isinstance(image, bytes) for image in images)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ((IMAGES, [True]), "4 images and 1 pairs"),
        ((IMAGES, SAME, SAME, SAME), "tuple of 4"),
        (([], []), "no pairs"),
        ((IMAGES, [b"x", b"y"]), "item 0 of its truth values is of type bytes"),
        (([*IMAGES[:3], True], SAME), "item 3 of its image files is of type bool"),
        (IMAGES, "list of 4"),
    ],
)
def test_other_values_than_a_set(tmp_path, value, named):
    path = tmp_path / "faces.bin"
    path.write_bytes(pickle.dumps(value, protocol=4))
    with pytest.raises(InvalidInputError, match=named):
        read_bin(path)


def test_a_string_longer_than_the_file_allocates_nothing(tmp_path):
    path = tmp_path / "faces.bin"
    path.write_bytes(b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"x.")
    with pytest.raises(InvalidInputError, match="1152921504606846976 more bytes"):
        read_bin(path)


def training_set(path, people, ranges=True):
    """train.rec as InsightFace writes it: record 0, the images from 1 on, then a record for each person."""
    images = sum(people)
    with RecordWriter(path) as out:
        if ranges:
            out.write(0, pack(Header((images + 1.0, images + 1.0 + len(people))), b""))
        key = 1
        spans = []
        for person, count in enumerate(people):
            spans.append((key, key + count))
            for _ in range(count):
                out.write(key, pack(Header((float(person), 7.0) if key % 2 else (float(person),), key), jpeg(key)))
                key += 1
        for number, (first, last) in enumerate(spans if ranges else ()):
            out.write(images + 1 + number, pack(Header((float(first), float(last)), number), b""))
    return path


@pytest.mark.parametrize("ranges", [True, False])
def test_a_training_set_is_a_source_of_faces(tmp_path, ranges):
    path = training_set(tmp_path / "train.rec", [2, 1, 3], ranges)
    source = open_source(str(path))
    assert isinstance(source, Records) and len(source) == 6
    assert source.names == ["0/1", "0/2", "1/3", "2/4", "2/5", "2/6"]
    assert source.people.tolist() == [0, 0, 1, 2, 2, 2]
    assert source.face(3).shape == (112, 112, 3) and abs(int(source.face(3)[0, 0, 0]) - 4) < 8


def test_ranges_that_do_not_fit(tmp_path):
    path = tmp_path / "train.rec"
    with RecordWriter(path) as out:
        out.write(0, pack(Header((1e9, 2e9)), b""))
    with pytest.raises(InvalidInputError, match="people at 2000000000"):
        Records(path)
    with RecordWriter(path) as out:
        out.write(0, pack(Header((2.0, 3.0)), b""))
        out.write(1, pack(Header((0.0,)), jpeg(1)))
        out.write(2, pack(Header((1.0, 50.0)), b""))
    with pytest.raises(InvalidInputError, match="images 1 to 49"):
        Records(path)
