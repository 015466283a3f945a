"""Weights files: what is damaged or missing is told."""

import pathlib

import pytest

import lfic
from lfic.errors import WeightsError
from lfic.format.weights import load_arrays, model_number, weights_path

DECODER = pathlib.Path(__file__).parents[2] / "csrc" / "tools" / "face-v2-decoder.safetensors"


def test_broken_weights_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="bundled are face-v1, face-v2;"):
        lfic.load_codec("face-v9")
    path = tmp_path / "bad.safetensors"
    whole = weights_path("face-v1").read_bytes()
    for text, data in (
        ("readable", b"abc"),
        ("readable", whole[: len(whole) // 2]),
        ("damaged", whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]),
    ):
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=text):
            load_arrays(path)


def test_tensors_lie_one_behind_the_other_up_to_the_end(tmp_path):
    path = tmp_path / "longer.safetensors"
    path.write_bytes(weights_path("face-v1").read_bytes() + b"x")
    with pytest.raises(WeightsError, match="its tensors end at"):
        load_arrays(path)


def test_cut_weights_are_known_and_are_no_codec():
    with pytest.raises(WeightsError, match="hold integers alone"):
        lfic.load_codec(DECODER)
    assert model_number(load_arrays(DECODER)[1]) == 1
