"""What a caller has set for torch does not reach into the codec."""

import contextlib

import numpy as np
import pytest
import torch

import lfic
from lfic.codec import Codec


@contextlib.contextmanager
def double():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


STATES = {
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "float64": double,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}


@pytest.mark.parametrize("state", STATES)
def test_codecs_made_before_and_inside_work_as_outside(codec, photo, state):
    image = photo(40, 48)
    expected = [codec.encode(image, quality=50, effort=effort) for effort in (0, 1)]
    pixels = np.asarray(codec.decode(expected[0]))
    with STATES[state]():
        for used in (codec, Codec()):
            assert [used.encode(image, quality=50, effort=effort) for effort in (0, 1)] == expected
            np.testing.assert_array_equal(np.asarray(used.decode(expected[0])), pixels)
        assert codec.embed([photo(112, 112)]).dtype == torch.float32


def test_the_precision_has_a_name():
    for precision in (None, "half", torch.float16, ["float32"]):
        with pytest.raises(lfic.InvalidInputError, match="allowed are 'float32', 'bfloat16' and 'float16'"):
            lfic.load_codec(precision=precision)
