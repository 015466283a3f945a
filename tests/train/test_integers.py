"""The integers of a weights file: written anew, and their cost told."""

import numpy as np
import pytest

from lfic.errors import InvalidInputError
from lfic.format.integers import PREFIX
from lfic.format.weights import load_arrays
from lfic.network.load import load
from lfic.train.integers import add_integers, costs, photo_files, report


class Faces:
    """The shipped face and its mirror image."""

    names = ("face", "mirrored")
    source = np.zeros(2, np.int64)

    def __init__(self, face):
        self.faces = [face, np.ascontiguousarray(face[:, ::-1])]

    def __len__(self):
        return 2

    def face(self, i):
        return self.faces[i]


def test_a_weights_file_gets_new_integers(face, tmp_path, monkeypatch):
    monkeypatch.setattr("lfic.network.integers.CALIBRATED", (40,))
    out = tmp_path / "again.safetensors"
    add_integers("face-v1", out, Faces(face))
    before, told = load_arrays("face-v1")
    after, metadata = load_arrays(out)
    assert before.keys() == after.keys() and metadata["config"] == told["config"]
    for name, array in before.items():
        if not name.startswith(PREFIX):
            np.testing.assert_array_equal(after[name], array)
    (cost,) = costs(load(out, recognizer=None), Faces(face).faces, [40])
    assert cost.psnr > 55 and cost.symbols < 0.01 and cost.levels < 0.1 and abs(cost.bits) < 0.01
    assert "40" in report([cost]) and np.isnan(cost.likeness_integers)


def test_photos_are_found_or_missed(tmp_path):
    assert photo_files(None) == []
    with pytest.raises(InvalidInputError, match="no pictures"):
        photo_files(str(tmp_path))
