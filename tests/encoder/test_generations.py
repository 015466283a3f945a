"""A decoded picture that is coded again at the same quality: its symbols come back, so that little more is lost."""

import numpy as np
import pytest

import lfic


def psnr(one, other):
    return 10 * np.log10(255**2 / np.square(one.astype(float) - other).mean())


def generations(picture, quality, aligned, count=8, resolution="full"):
    """PSNR to the original of each generation."""
    shown, found = picture, []
    for _ in range(count):
        data = lfic.encode(shown, quality=quality, aligned=aligned, faces=None, resolution=resolution)
        shown = np.asarray(lfic.decode(data))
        found.append(psnr(shown, picture))
    return found


# It was 0.8, 0.6, 0.5 and 1.8 decibels.
@pytest.mark.parametrize("quality, lost", [(20, 0.4), (40, 0.4), (60, 0.4), (80, 1.2)])
def test_a_decoded_picture_encodes_to_nearly_itself(face, quality, lost):
    found = generations(face, quality, True)
    assert found[0] - found[-1] < lost


@pytest.mark.parametrize("resolution, lost", [("full", 1.1), ("auto", 1.4)])
def test_a_picture_of_hard_edges_drifts_less(photo, resolution, lost):
    """One that is like no photo: tiles, cut at any place. It was 1.2 decibels at full size, of a softer first one."""
    found = generations(photo(180, 200), 20, False, resolution=resolution)
    assert found[0] - found[-1] < lost
