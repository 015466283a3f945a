"""Loading faces and pairs: folders and tar files, what is missing, what is no pairs file."""

import shutil
import tarfile

import numpy as np
import pytest

from lfic import InvalidInputError, align
from lfic.evaluate import data


def test_tar_and_folder_are_the_same(world, tmp_path):
    _, images, pairs, _ = world
    with tarfile.open(tmp_path / "faces.tar", "w") as tar:
        for path in sorted(images.iterdir()):
            tar.add(path, f"deep/{path.name}")
    a, b = data.load_faces([images], pairs), data.load_faces([tmp_path / "faces.tar"], pairs)
    assert a.names == b.names
    np.testing.assert_array_equal(a.pixels, b.pixels)
    assert a.folds.tolist() == [0] * 6 + [1] * 6 and a.same.sum() == 6
    one = data.load_faces([images], pairs, folds={1})
    assert len(one.pairs) == 6 and len(one) < len(a)


def test_missing_images_are_named(world, tmp_path):
    _, images, pairs, recognizer = world
    shutil.copytree(images, tmp_path / "images")
    (tmp_path / "images" / "Person2_0001.png").unlink()
    with pytest.raises(InvalidInputError, match=r"1 of 12 images.*Person2_0001 \(no such image\).*--allow-missing"):
        data.load_faces([tmp_path / "images"], pairs)
    faces = data.load_faces([tmp_path / "images"], pairs, allow_missing=True)
    assert len(faces.pairs) == 10 and faces.missing == ["Person2_0001 (no such image)"]
    np.savez(
        tmp_path / "points.npz", names=np.array(["Person0_0001.png"]), landmarks=np.float32(align.TEMPLATE_112[None])
    )
    with pytest.raises(InvalidInputError, match="no landmarks"):
        data.load_faces([images], pairs, tmp_path / "points.npz")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "line 1"),
        ("x y\n", "line 1"),
        ("1 1\nA 1 2\n", "1 pairs follow"),
        ("1 1\nA 1 2\nA one B 2\n", "pair 2"),
        ("1 1\nA 1 2\nA 1\n", "pair 2"),
    ],
)
def test_bad_pairs_files(tmp_path, text, found):
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(InvalidInputError, match=found):
        data.read_pairs(tmp_path / "pairs.txt")


def test_names_with_blanks_in_tab_separated_pairs(tmp_path):
    (tmp_path / "pairs.txt").write_text("1\t1\nAnna Maria\t1\t2\nAnna Maria\t1\tOtto\t3\n")
    left, right, same, folds = data.read_pairs(tmp_path / "pairs.txt")
    assert (
        left == ["Anna Maria_0001"] * 2 and right == ["Anna Maria_0002", "Otto_0003"] and same.tolist() == [True, False]
    )
