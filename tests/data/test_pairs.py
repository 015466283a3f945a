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
