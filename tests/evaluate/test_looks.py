"""The measures of looks on pictures that were made to have one fault each, and their way into the tables."""

import numpy as np
import pytest
from evaluate_faces import crops

from lfic.align import TEMPLATE_112
from lfic.evaluate.charts import charts
from lfic.evaluate.color import cell_means, color_errors, lab_ab, outside_face
from lfic.evaluate.looks import MEASURES, looks_at_bytes, looks_of, means
from lfic.evaluate.pattern import pattern_energy

FACES, _ = crops(2, 2)
FACE = FACES[0]


def shifted(picture, change):
    return np.clip(picture.astype(float) + change, 0, 255).round().astype(np.uint8)


def smooth(side=112):
    """A soft picture in the middle of the range, so that nothing that is added is clipped."""
    x = np.linspace(0, 3, side)
    return np.repeat((120 + 30 * np.sin(x)[None] * np.cos(x)[:, None]).astype(np.uint8)[..., None], 3, 2)


def stripes(period, amplitude, side=112, axis=0):
    wave = amplitude * np.cos(2 * np.pi * np.arange(side) / period)
    return np.broadcast_to(wave[:, None, None] if axis else wave[None, :, None], (side, side, 3))


def test_ab_are_those_of_scikit_image():
    from skimage.color import rgb2lab

    pixels = np.random.default_rng(1).integers(0, 256, (40, 30, 3)).astype(np.uint8)
    np.testing.assert_allclose(lab_ab(pixels), rgb2lab(pixels)[..., 1:], atol=0.02)


def test_means_of_partial_cells():
    values = np.arange(10 * 9, dtype=float).reshape(10, 9, 1)
    got = cell_means(values)
    assert got.shape == (2, 2, 1)
    assert got[0, 0, 0] == values[:8, :8].mean() and got[1, 1, 0] == values[8:, 8:].mean()


def test_a_tint_counts_and_noise_of_the_same_error_does_not():
    tinted = shifted(FACE, np.array([8, -8, 0]))
    noise = np.random.default_rng(2).normal(0, 6.5, FACE.shape)
    noisy = shifted(FACE, noise)
    error = [((one.astype(float) - FACE) ** 2).mean() for one in (tinted, noisy)]
    assert 0.8 < error[0] / error[1] < 1.25
    assert color_errors(FACE, tinted).mean() > 3 > 1 > color_errors(FACE, noisy).mean()
    assert color_errors(FACE, FACE).max() == 0


def test_the_surroundings_of_a_face():
    outside = outside_face(112, 112)
    assert outside.shape == (14, 14) and outside[0, 0] and outside[:, 0].all() and not outside[8, 7]
    assert 0.3 < outside.mean() < 0.6
    tinted = FACE.copy()
    tinted[:, :8] = shifted(FACE, np.array([30, -30, 0]))[:, :8]  # beside the face
    errors = color_errors(FACE, tinted)
    assert errors[outside].mean() > 0 and errors[~outside].max() == 0
    moved = outside_face(224, 250, TEMPLATE_112 * 1.5 + [40, 20])  # the same face, larger and elsewhere
    assert moved.shape == (28, 32) and not moved[int((20 + 1.5 * 66) / 8), int((40 + 1.5 * 56) / 8)] and moved[0, 0]
    np.testing.assert_array_equal(outside_face(112, 112, TEMPLATE_112), outside)
    assert outside_face(128, 128)[1:15, 1:15].tolist() == outside.tolist()  # a margin of 8, one cell


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("period", [8, 16])
@pytest.mark.parametrize("side", [112, 160, 250])
def test_stripes_at_the_grids_period_are_found(side, period, axis):
    picture = smooth(side)
    found = pattern_energy(picture, picture + stripes(period, 4, side, axis))
    assert found == pytest.approx(4**2 / 2, rel=0.05)


def test_stripes_in_a_face_are_found_and_what_is_no_pattern_is_not():
    assert pattern_energy(FACE, shifted(FACE, stripes(8, 4))) == pytest.approx(8, rel=0.15)
    assert pattern_energy(FACE, FACE) == 0
    noise = np.random.default_rng(3).normal(0, 4, FACE.shape)
    assert pattern_energy(smooth(), shifted(smooth(), noise)) < 0.3
    for period in (6, 11, 24):  # other periods
        assert pattern_energy(smooth(), shifted(smooth(), stripes(period, 4))) < 1


def test_the_blocks_of_jpeg_are_a_pattern_and_jpeg_2000_has_none():
    from lfic.evaluate.peers.jpeg import jpeg
    from lfic.evaluate.peers.jpeg2000 import jpeg2000

    soft = shifted(smooth(), np.array([10, 0, -10]))  # a ramp without texture: JPEG keeps one number a block

    def energy(codec, setting):
        return pattern_energy(soft, codec.decode(codec.encode([soft], setting))[0])

    assert energy(jpeg(), 5) > 1 > 10 * energy(jpeg2000(), 60)


def test_small_pictures_have_no_pattern_to_speak_of():
    assert np.isnan(pattern_energy(FACE[:31], FACE[:31]))
    looks = looks_of(FACE[:20, :20], FACE[:20, :20])
    assert np.isnan(looks[MEASURES.index("pattern_energy")]) and looks[0] == 99


def test_all_measures_of_a_picture():
    same = dict(zip(MEASURES, looks_of(FACE, FACE)))
    assert same == {
        "psnr_db": pytest.approx(99),
        "ssimulacra2": 100,
        "flip": 0,
        "color_error": 0,
        "color_error_outside": 0,
        "pattern_energy": 0,
    }
    noise = np.random.default_rng(4).normal(0, 12, FACE.shape)
    little, much = (dict(zip(MEASURES, looks_of(FACE, shifted(FACE, noise * k)))) for k in (0.3, 1))
    assert 99 > little["psnr_db"] > much["psnr_db"]
    assert 100 > little["ssimulacra2"] > much["ssimulacra2"] and 0 < little["flip"] < much["flip"]


def test_means_are_columns_of_a_table():
    looks = np.array([[30, 50, 0.1, 1, 2, 4], [20, np.nan, 0.3, 3, 4, 14]])
    assert means(looks) == {
        "psnr_db": 25,
        "ssimulacra2": 50,
        "flip": 0.2,
        "color_error": 2,
        "color_error_outside": 3,
        "grid_pattern": 3,
    }


def test_equal_bytes_lie_between_the_settings_and_nowhere_else():
    row = {"codec": "a", "looks_faces": 5, "flip": 0.1, "color_error": 1.0, "color_error_outside": 1.0}
    rows = [
        {**row, "setting": "1", "bytes": 100.0, "psnr_db": 20.0, "ssimulacra2": 10.0, "grid_pattern": 4.0},
        {**row, "setting": "2", "bytes": 400.0, "psnr_db": 30.0, "ssimulacra2": 30.0, "grid_pattern": 2.0},
        {"codec": "uncompressed", "setting": "", "bytes": 37632.0, "psnr_db": 99.0},
    ]
    found = looks_at_bytes(rows, (50, 200, 500))
    assert [r["bytes"] for r in found] == [200]
    assert found[0]["psnr_db"] == pytest.approx(25) and found[0]["grid_pattern"] == pytest.approx(3)


def test_charts_are_what_they_say():
    shown = charts(64)
    assert shown["flat green"][5, 5].tolist() == [0, 255, 0] and shown["ramp"].shape == (64, 64, 3)
    grey = shown["grey texture"]
    assert (grey[..., 0] == grey[..., 2]).all() and grey.std() > 10
    np.testing.assert_array_equal(grey, charts(64)["grey texture"])
