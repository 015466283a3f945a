"""Pairs files: one parser, and nobody of a protocol gets through."""

import numpy as np
import pytest

from lfic import InvalidInputError
from lfic.data.pairs import people_in_pairs, read_pairs


def test_names_with_spaces_between_tabs(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text("1\t1\nAnn Lee\t1\t2\n\nAnn Lee\t1\tBob Ray Roe\t3\n")
    left, right, same, folds = read_pairs(path)
    assert left == ["Ann Lee_0001", "Ann Lee_0001"] and right == ["Ann Lee_0002", "Bob Ray Roe_0003"]
    assert same.tolist() == [True, False] and folds.tolist() == [0, 0]
    assert people_in_pairs(path) == {"Ann Lee", "Bob Ray Roe"}


@pytest.mark.parametrize("text", ["", "Ann 1 2\n", "1 2\nAnn 1 2\n", "1 1\nAnn one 2\nAnn 1 Bob 2\n"])
def test_what_is_no_pairs_file_lets_nobody_through(tmp_path, text):
    path = tmp_path / "pairs.txt"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match="pairs.txt"):
        people_in_pairs(path)


def test_folds_follow_the_order(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text("2 1\nA 1 2\nA 1 B 1\nC 1 2\nC 1 D 1\n")
    np.testing.assert_array_equal(read_pairs(path)[3], [0, 0, 1, 1])


LFW = "2\t1\nAnn Lee\t1\t2\nAnn Lee\t1\tJosé\t1\nC\t1\t2\nC\t1\tD\t1\n"
EXPECTED = (
    ["Ann Lee_0001", "Ann Lee_0001", "C_0001", "C_0001"],
    ["Ann Lee_0002", "José_0001", "C_0002", "D_0001"],
    [True, False, True, False],
    [0, 0, 1, 1],
)


@pytest.mark.parametrize(
    "data",
    [
        LFW.encode(),
        LFW.replace("\n", "\r\n").encode(),
        LFW.encode("utf-8-sig"),
        LFW.encode("latin-1"),
        LFW.encode("utf-16"),
        LFW.partition("\n")[2].encode(),  # without the first line
        ("# pairs of somebody\n\n" + LFW + "\n\n").encode(),
    ],
)
def test_whatever_people_write(tmp_path, data):
    path = tmp_path / "pairs.txt"
    path.write_bytes(data)
    left, right, same, folds = read_pairs(path)
    assert (left, right, same.tolist(), folds.tolist()) == EXPECTED
    assert people_in_pairs(path) == {"Ann Lee", "José", "C", "D"}


def test_two_paths_and_a_truth_value(tmp_path):
    path = tmp_path / "pairs.txt"
    lines = [f"n{k}/0001_01.jpg n{k + k % 2}/0002.v2.png {1 - k % 2}" for k in range(20)]
    path.write_text("\n".join(lines))
    left, right, same, folds = read_pairs(path)
    assert left[0] == "n0/0001_01" and right[1] == "n2/0002.v2" and same.tolist() == [True, False] * 10
    assert folds.tolist() == [k // 2 for k in range(20)]  # ten folds, in the order of the lines
    assert people_in_pairs(path) == {f"n{k}" for k in range(20)} | {"n20"}


def test_a_list_of_numbers_keeps_to_lfw(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text("1 1\n7 1 2\n7 1 8 2\n")
    assert read_pairs(path)[:2] == (["7_0001", "7_0001"], ["7_0002", "8_0002"])


@pytest.mark.parametrize("text", ["a.jpg b.jpg 2\n", "a.jpg b.jpg\n", "Ann\t\t1\n", "A 1 2\nB 1 2\n", "a b 1\nc d 1\n"])
def test_what_is_no_pair(tmp_path, text):
    path = tmp_path / "pairs.txt"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match=r"pairs\.txt"):
        read_pairs(path)


def test_a_list_that_is_not_there(tmp_path):
    with pytest.raises(InvalidInputError, match=r"none\.txt can't be read"):
        read_pairs(tmp_path / "none.txt")
