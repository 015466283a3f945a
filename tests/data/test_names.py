"""What images are called, and who is meant by what others call them."""

import numpy as np
import pytest

from lfic import InvalidInputError
from lfic.data import names as names_module
from lfic.data.landmarks import landmarks_of, read_landmarks
from lfic.data.names import Index, is_image, matched, person_of, say_unread, stem_of, unread


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("Ann_Lee_0001.jpg", "Ann_Lee"),
        ("lfw/Ann_Lee_0001.jpg", "Ann_Lee"),
        ("Ann_Lee/Ann_Lee_0001.jpg", "Ann_Lee"),
        ("train/n000001/0001_01.jpg", "n000001"),  # VGGFace2
        ("0000045/001.jpg", "0000045"),  # CASIA-WebFace
        ("m.0107_f/0-FaceId-0.jpg", "m.0107_f"),
        ("J. Smith_0001.jpg", "J. Smith"),
        ("100_1_0_2017.jpg.chip.jpg", "100_1_0"),
        ("./José_0002.png", "José"),
    ],
)
def test_who_is_on_an_image(name, person):
    assert person_of(name) == person


def test_what_counts_as_an_image():
    assert all(is_image(name) for name in ("a.jpg", "b/c.PNG", "d.tiff", "e.avif", "f.webp"))
    for name in ("._a.jpg", "b/._c.png", "__MACOSX/a.jpg", ".cache/a.jpg", "a.txt", "a.json", "jpg"):
        assert not is_image(name)


def test_images_that_need_a_package_are_counted(monkeypatch):
    monkeypatch.setattr(names_module, "plugin", lambda suffix: False)
    counts = unread(["a.heic", "b.HEIC", "c.jxl", "d.jpg", "._e.heic"])
    assert counts == {".heic": 2, ".jxl": 1} and not is_image("a.heic")
    assert say_unread(counts) == (
        "2 .heic images left out: pip install pillow-heif; 1 .jxl images left out: pip install pillow-jxl-plugin"
    )


def test_stems_keep_the_folders():
    assert stem_of("a.b/c") == "a.b/c" and stem_of("a.b/c.d.jpg") == "a.b/c.d" and stem_of(".jpg") == ".jpg"


def test_base_names_and_paths_find_an_image():
    index = Index(["a/1.png", "a/2.png", "b/1.png", "J. Smith_0001.jpg"])
    assert index.find("a/1.png") == "a/1.png" and index.find("b/1", bare=True) == "b/1.png"
    assert index.find("2.png") == "a/2.png" and index.find("set/a/2.jpg") == "a/2.png"
    assert index.find("3.png") is None and index.find("J. Smith_0001", bare=True) == "J. Smith_0001.jpg"
    assert index.find("c/1.png") is None  # another folder's
    with pytest.raises(InvalidInputError, match=r"1.png could be a/1.png or b/1.png"):
        index.find("1.png")


def test_one_table_serves_paths_and_base_names():
    images = ["a/1.png", "a/2.png"]
    assert matched(images, ["1.png", "2.png", "9.png"], "t") == {"a/1.png": "1.png", "a/2.png": "2.png"}
    assert matched(["1.png"], ["set/a/1.png"], "t") == {"1.png": "set/a/1.png"}
    assert matched(["a/1.png", "1.png"], ["1.png"], "t") == {"1.png": "1.png"}  # the exact one
    with pytest.raises(InvalidInputError, match=r"t: its entry 1.png could belong to a/1.png or b/1.png"):
        matched(["a/1.png", "b/1.png"], ["1.png"], "t")
    with pytest.raises(InvalidInputError, match=r"t: 1.png could be a/1.png or b/1.png"):
        matched(["1.png"], ["a/1.png", "b/1.png"], "t")


def test_landmarks_come_under_the_images_own_names(tmp_path):
    points = np.arange(20, dtype=np.float32).reshape(2, 5, 2)
    np.savez(tmp_path / "t.npz", names=["x/1.png", "x/2.png"], landmarks=points)
    table = read_landmarks(tmp_path / "t.npz")
    found = landmarks_of(["2.png"], table, "t.npz")
    np.testing.assert_array_equal(found["2.png"], points[1])


@pytest.mark.parametrize(
    "arrays",
    [
        {"names": ["a"]},
        {"names": np.array(["a", None], object), "landmarks": np.zeros((2, 5, 2))},
        {"names": ["a"], "landmarks": np.array([{"x": 1}], object)},
        {"names": ["a", "b"], "landmarks": np.zeros((1, 5, 2))},
        {"names": ["a"], "landmarks": np.zeros((1, 10))},
        {"names": ["a"], "landmarks": np.full((1, 5, 2), "x")},
        {"names": [1], "landmarks": np.zeros((1, 5, 2))},
    ],
)
def test_what_is_no_table_of_landmarks(tmp_path, arrays):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InvalidInputError, match=r"bad\.npz"):
        read_landmarks(tmp_path / "bad.npz")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04rubbish", b"text"])
def test_what_is_no_npz(tmp_path, data):
    (tmp_path / "bad.npz").write_bytes(data)
    with pytest.raises(InvalidInputError, match=r"bad\.npz is no table"):
        read_landmarks(tmp_path / "bad.npz")
