"""The other look of a file: the same symbols, shown by another synthesis."""

import copy
import dataclasses
import json

import numpy as np
import pytest
import torch
from own_weights import written
from PIL import Image
from safetensors.numpy import save

import lfic
from lfic import ContainerError, InvalidInputError, WeightsError, decoder
from lfic.cli import main
from lfic.format.look import look_path
from lfic.format.weights import FORMAT, digest, load_arrays

LANDMARKS = [[92.5, 105.9], [125.7, 105.9], [110.4, 124.2], [96.9, 142.8], [123.0, 142.8]]


@pytest.fixture(scope="module")
def files(codec, face, photo):
    """An aligned face, a photo with a layer, a grey picture."""
    grey = Image.fromarray(face).convert("L")
    return [
        codec.encode(face, quality=20),
        codec.encode(photo(200, 260), quality=20, faces=[LANDMARKS]),
        codec.encode(grey, quality=20),
    ]


def test_every_way_to_decode_shows_the_same(codec, files, tmp_path):
    batch = codec.decode_batch(files, look="vivid")
    arrays = codec.decode_batch(files, out="numpy", look="vivid")
    for number, data in enumerate(files):
        faithful, vivid = lfic.decode(data), lfic.decode(data, look="vivid")
        assert vivid.size == faithful.size and vivid.mode == faithful.mode
        difference = np.asarray(vivid, np.float64) - np.asarray(faithful, np.float64)
        least = 0.2 if lfic.probe(data).layers else 0.5  # the background has no other look
        assert least < np.abs(difference).mean() < 12  # another picture of the same
        for other in (codec.decode(data, look="vivid"), batch[number]):
            np.testing.assert_array_equal(np.asarray(other), np.asarray(vivid))
        np.testing.assert_array_equal(arrays[number][:, :, 0], np.asarray(vivid.convert("RGB"))[:, :, 0])
        np.testing.assert_array_equal(np.asarray(codec.decode(data)), np.asarray(faithful))
        (tmp_path / "a.lfic").write_bytes(data)
        target = str(tmp_path / f"{number}.png")
        assert main(["decode", str(tmp_path / "a.lfic"), "--look", "vivid", "-o", target]) == 0
        np.testing.assert_array_equal(np.asarray(Image.open(target)), np.asarray(vivid))


def test_pixels_go_to_the_codecs_device(files):
    elsewhere = copy.copy(lfic.load_codec(recognizer=None))
    elsewhere.model = dataclasses.replace(elsewhere.model, device=torch.device("meta"))
    found = elsewhere.decode_batch(files[:2], out="tensor", errors="return", look="vivid")
    assert [pixels.device.type for pixels in found] == ["meta", "meta"]


def test_tensors_in_the_other_look(codec, files):
    (tensor,) = codec.decode_batch(files[:1], out="tensor", look="vivid")
    np.testing.assert_array_equal(tensor.permute(1, 2, 0).numpy(), np.asarray(lfic.decode(files[0], look="vivid")))


def test_what_has_no_such_look(codec, files, face, tmp_path, capsys):
    for decode in (lfic.decode, codec.decode, lambda data, look: codec.decode_batch([data], look=look)):
        with pytest.raises(InvalidInputError, match="look is 'sharp'; allowed are"):
            decode(files[0], look="sharp")
    own = written(tmp_path / "looked-at.safetensors")
    private = lfic.load_codec(own, recognizer=None)
    data = private.encode(face, quality=20)
    with pytest.raises(WeightsError, match="have no look 'vivid'"):
        private.decode(data, look="vivid")
    with pytest.raises(ContainerError, match="private weights"):
        lfic.decode(data, look="vivid")
    with pytest.raises(WeightsError, match="have no look 'vivid'"):
        decoder.load(own, "vivid")
    (tmp_path / "a.lfic").write_bytes(files[0])
    assert main(["decode", str(tmp_path / "a.lfic"), "--look", "vivid", "--faces", str(tmp_path / "faces")]) == 1
    assert "exclude each other" in capsys.readouterr().err
    assert main(["decode", str(tmp_path / "a.lfic"), "--look", "vivid", "--device", "cuda"]) == 1
    assert "leave --device cuda out" in capsys.readouterr().err


def test_weights_of_ones_own_have_a_look_of_their_own(face, tmp_path):
    own = written(tmp_path / "looked-at.safetensors")
    arrays, _ = load_arrays("face-v1-vivid")
    told = {"format": FORMAT, "source": "0" * 64, "look": "vivid"}
    shown = tmp_path / "looked-at-vivid.safetensors"
    shown.write_bytes(save(arrays, {**told, "digest": digest(arrays, told)}))
    with pytest.raises(WeightsError, match="made for weights of another digest"):
        look_path(own, "vivid")
    told["source"] = load_arrays(own)[1]["digest"]
    plain = {key: value for key, value in told.items() if key != "look"}  # as what decoding takes is cut
    shown.write_bytes(save(arrays, {**plain, "digest": digest(arrays, plain)}))
    with pytest.raises(WeightsError, match="is no look of weights"):
        look_path(own, "vivid")
    shown.write_bytes(save(arrays, {**told, "digest": digest(arrays, told)}))
    codec = lfic.load_codec(own, recognizer=None)
    expected = lfic.decode(lfic.encode(face, quality=20), look="vivid")
    np.testing.assert_array_equal(
        np.asarray(codec.decode(codec.encode(face, quality=20), look="vivid")), np.asarray(expected)
    )


def test_pure_green_is_nearly_green_in_either_look():
    """Whole pictures have one look; it was 57 levels of 255 once, and 12 later."""
    green = np.zeros((96, 96, 3), np.uint8)
    green[:, :, 1] = 255
    data = lfic.encode(green, quality=40)
    assert lfic.decode(data, look="vivid").tobytes() == lfic.decode(data).tobytes()
    error = np.asarray(lfic.decode(data), np.float64) - green
    assert np.sqrt((error**2).mean()) < 8


def test_the_look_that_ships_says_what_it_is():
    metadata = load_arrays("face-v1-vivid")[1]
    assert metadata["source"] == load_arrays("face-v1")[1]["digest"]
    assert json.loads(metadata["training"])["config"]["loss"]["adversarial_weight"] > 0
    assert "invent" in metadata["card"]
