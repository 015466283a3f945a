"""Fair baselines: AVIF without its avoidable boxes, WebP as ID codes use it, the recogniser's own template."""

import numpy as np
import pytest
from evaluate_faces import crops

from lfic import InvalidInputError
from lfic.evaluate.data import Faces
from lfic.evaluate.peers.minimal_avif import minimal_avif, parts, unwrap, wrap
from lfic.evaluate.registry import CODECS
from lfic.evaluate.templates import LEVELS, rounded, template_rows

FACES, _ = crops(2, 2)


@pytest.mark.parametrize("side", [112, 160])
def test_a_minimal_avif_decodes_to_the_same_picture(side):
    pictures = [np.ascontiguousarray(np.pad(face, ((0, side - 112), (0, side - 112), (0, 0)))) for face in FACES]
    whole, minimal = CODECS["avif"](), minimal_avif()
    files = minimal.encode(pictures, 20)
    expected = whole.encode(pictures, 20)
    for decoded, other in zip(minimal.decode(files), whole.decode(expected)):
        np.testing.assert_array_equal(decoded, other)
    for decoded, other in zip(minimal_avif().decode(files), whole.decode(expected)):  # in another process
        np.testing.assert_array_equal(decoded, other)
    for small, large in zip(files, expected):
        assert len(small) == len(parts(large)[1]) + minimal.header(small) and 30 <= minimal.header(small) <= 45
        assert len(large) - len(small) > 200
    assert minimal.name == "AVIF s4 minimal"


@pytest.mark.parametrize("size", [(112, 112), (300, 7), (1, 1), (4000, 3000)])
@pytest.mark.parametrize("payload", [1, 900, 40000])
@pytest.mark.parametrize("subsampling", [0, 1, 2, 3])
def test_the_fields_of_a_minimal_file_come_back(size, payload, subsampling):
    data = wrap(*size, b"conf", bytes(payload), subsampling)
    assert unwrap(data) == (*size, b"conf", bytes(payload))
    with pytest.raises(InvalidInputError, match="minimal AVIF"):
        unwrap(data[:-1] if payload > 1 else data + b"x")


def test_what_is_no_minimal_avif():
    with pytest.raises(InvalidInputError, match="no minimal AVIF"):
        unwrap(bytes(64))


@pytest.mark.parametrize(("name", "side"), [("webp-grey-48", 48), ("webp-grey-64", 64)])
def test_small_grey_webp_is_scaled_back(name, side):
    import io

    from PIL import Image

    codec = CODECS[name]()
    files = codec.encode(list(FACES), codec.settings[2])
    assert all(Image.open(io.BytesIO(data)).size == (side, side) for data in files)
    decoded = codec.decode(files)
    assert all(p.shape == (112, 112, 3) and (p[..., 0] == p[..., 2]).all() for p in decoded)
    assert codec.name == f"WebP {side} px grey"


@pytest.mark.parametrize("bits", LEVELS)
def test_quantisers_have_the_least_error_that_is_known(bits):
    """Of normal numbers: 0.3634, 0.1175 and 0.01154 of the variance (Max 1960)."""
    numbers = np.random.default_rng(1).normal(size=(400, 512))
    unit = numbers / np.linalg.norm(numbers, axis=1, keepdims=True)
    thresholds, levels = LEVELS[bits]
    error = ((levels[np.searchsorted(thresholds, numbers)] - numbers) ** 2).mean()
    assert error == pytest.approx({1: 0.3634, 2: 0.1175, 4: 0.01154}[bits], rel=0.02)
    assert np.einsum("nd,nd->n", rounded(unit, bits), unit).mean() == pytest.approx((1 - error) ** 0.5, abs=0.005)
    assert len(np.unique(levels)) == 2**bits == len(thresholds) + 1


def test_templates_lose_accuracy_with_their_bits():
    generator = np.random.default_rng(2)
    people = np.repeat(generator.normal(size=(60, 64)), 2, 0) + 1.0 * generator.normal(size=(120, 64))
    unit = people / np.linalg.norm(people, axis=1, keepdims=True)
    pairs = np.array([(2 * k, 2 * k + 1) for k in range(60)] + [(2 * k, (2 * k + 3) % 120) for k in range(60)])
    faces = Faces(
        [str(k) for k in range(120)],
        np.zeros((120, 1, 1, 3), np.uint8),
        [str(k // 2) for k in range(120)],
        pairs,
        np.arange(120) < 60,
        np.arange(120) % 10,
    )
    rows = {row["bits"]: row for row in template_rows({"net": unit.astype(np.float32)}, faces, 40)}
    assert [rows[bits]["bytes"] for bits in (1, 2, 4, 32)] == [8, 16, 32, 256]
    assert 0.6 < rows[1]["accuracy"] < rows[32]["accuracy"] and rows[4]["accuracy"] >= rows[1]["accuracy"]
    assert rows[2]["low"] <= rows[2]["accuracy"] <= rows[2]["high"]
    assert template_rows({"net": unit}, faces.part(range(3))) == []
