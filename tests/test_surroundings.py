"""torch's global settings change no byte and no pixel."""

import contextlib

import numpy as np
import pytest
import torch

import lfic


@contextlib.contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def default_device(device):
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextlib.contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextlib.contextmanager
def threads(count):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


SETTINGS = {
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "meta": lambda: default_device("meta"),
    "inference": torch.inference_mode,
    "no_grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "deterministic": deterministic,
    "numpy raises": lambda: np.errstate(all="raise"),
}


def results(codec, face, photo):
    """Bytes and pixels of everything that computes."""
    data = codec.encode(face, quality=30)
    files = [
        data,
        codec.encode(photo(50, 70), quality=30),
        codec.encode(face, quality=20, effort=1),
        codec.encode(photo(120, 130), quality=20, faces=[[[50, 50], [80, 50], [65, 65], [55, 80], [75, 80]]]),
    ]
    pixels = [np.asarray(codec.decode(file)) for file in files]
    pixels.append(codec.decode_batch([data], out="tensor").numpy())
    pixels += [np.asarray(found.image) for found in codec.decode_faces(files[-1])]
    return files, pixels, codec.region_levels(face), codec.embed([face]).numpy()


@pytest.fixture(scope="module")
def expected(codec, face, photo):
    return results(codec, face, photo)


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_setting_of_torch_changes_a_byte_or_a_pixel(codec, face, photo, expected, setting):
    with SETTINGS[setting]():
        found = results(codec, face, photo)
    assert found[0] == expected[0]
    for one, other in zip(found[1], expected[1], strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(found[2], expected[2])
    np.testing.assert_array_equal(found[3], expected[3])


def test_threads_move_no_pixel_by_more_than_a_level(codec, face):
    """torch adds in another order with another number of threads."""
    data, found = codec.encode(face, quality=30), []
    for count in (1, 2, 3):
        with threads(count):
            found.append(np.asarray(codec.decode(data), np.int16))
            assert abs(len(codec.encode(face, quality=30)) - len(data)) <= 2
    assert max(np.abs(one - found[0]).max() for one in found) <= 1


@pytest.mark.parametrize("setting", ["float64", "meta", "inference"])
def test_nor_does_one_at_loading(face, setting):
    """Loaded and first used under a setting, a codec goes on as any other without it."""
    with SETTINGS[setting]():
        codec = lfic.Codec()
        under = codec.encode(face, quality=20, effort=1)
    assert codec.encode(face, quality=20, effort=1) == under == lfic.load_codec().encode(face, quality=20, effort=1)
