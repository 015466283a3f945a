"""BD-rates against the published example of the package, known shifts, and what must not be computed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfic import InvalidInputError
from lfic.evaluate.bdrate import bd_rate, bytes_at, pchip_integral, prepared, quick_bd_rate, rising

# The example of the package's documentation (libx265, two presets), and the values that its implementation of the
# JCT-VC sheet gives.
ANCHOR = [9487.76, 4593.60, 2486.44, 1358.24], [40.037, 38.615, 36.845, 34.851]


TEST = [9787.80, 4469.00, 2451.52, 1356.24], [40.121, 38.651, 36.970, 34.987]


def by_hand(anchor, test, points=200_000):
    """The definition with another library's PCHIP and a plain sum."""
    from scipy.interpolate import PchipInterpolator

    curves = [
        PchipInterpolator(np.array(q)[np.argsort(q)], np.log10(np.array(r)[np.argsort(q)])) for r, q in (anchor, test)
    ]
    low, high = max(min(anchor[1]), min(test[1])), min(max(anchor[1]), max(test[1]))
    x = np.linspace(low, high, points)
    return 100 * (10 ** (curves[1](x) - curves[0](x)).mean() - 1)


def test_published_example():
    value, span = bd_rate(*ANCHOR, *TEST)
    assert value == pytest.approx(by_hand(ANCHOR, TEST), abs=1e-3)
    assert span == (34.987, 40.037)
    import bjontegaard

    akima, _ = bd_rate(*ANCHOR, *TEST, method="akima")
    assert akima == pytest.approx(bjontegaard.bd_rate(*ANCHOR, *TEST, method="akima"), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.2, 5), st.lists(st.integers(1, 50), min_size=2, max_size=6, unique=True))
def test_a_constant_factor_is_found(factor, steps):
    rates = 100 * 1.3 ** np.cumsum(np.array(sorted(steps)) / 10)
    qualities = np.cumsum(np.array(sorted(steps)) / 100)
    value, _ = bd_rate(rates, qualities, rates * factor, qualities)
    assert value == pytest.approx(100 * (factor - 1), rel=1e-6, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 8))
def test_the_quick_form_is_the_same(seed, points):
    """Replicates go through plain floats; the figure itself through the package. Curves are as crooked as noise makes
    them."""
    from scipy.interpolate import PchipInterpolator

    generator = np.random.default_rng(seed)
    curves = [
        (
            np.sort(generator.uniform(100, 2000, points)),
            np.sort(generator.uniform(0.5, 1, points)) + generator.normal(0, 0.02, points),
        )
        for _ in range(2)
    ]
    expected, found = bd_rate(*curves[0], *curves[1])[0], quick_bd_rate(prepared(*curves[0]), prepared(*curves[1]))
    assert (np.isnan(expected) and np.isnan(found)) or found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    x, y = np.cumsum(generator.uniform(0.01, 1, points)), generator.normal(size=points)
    low, high = np.sort(generator.uniform(x[0], x[-1], 2))
    assert pchip_integral(x.tolist(), y.tolist(), low, high) == pytest.approx(
        float(PchipInterpolator(x, y).integrate(low, high)), abs=1e-9
    )


def test_only_the_overlap_counts():
    """Outside the common range the second curve is absurdly expensive; that must not show."""
    value, span = bd_rate([100, 200, 400], [0.5, 0.7, 0.9], [50, 100, 200, 10**6], [0.5, 0.7, 0.9, 0.95])
    assert span == (0.5, 0.9)
    straight, _ = bd_rate([100, 200, 400], [0.5, 0.7, 0.9], [50, 100, 200], [0.5, 0.7, 0.9])
    assert straight == pytest.approx(-50)
    assert value == pytest.approx(-50, abs=6)  # the last slope of a PCHIP bends towards its next point, no more


def test_no_overlap_is_no_number():
    value, span = bd_rate([100, 200], [0.5, 0.6], [100, 200], [0.7, 0.8])
    assert np.isnan(value) and span is None
    assert np.isnan(bd_rate([100], [0.5], [100, 200], [0.4, 0.8])[0])
    assert np.isnan(bd_rate([100, 200], [0.5, 0.701], [100, 200], [0.7, 0.9])[0])  # touching ends are no overlap


def test_noise_at_saturation_is_dropped():
    rates, qualities = rising([300, 100, 200, 400, 500], [0.98, 0.6, 0.9, 0.979, 0.99])
    assert rates.tolist() == [100, 200, 300, 500] and qualities.tolist() == [0.6, 0.9, 0.98, 0.99]


def test_bytes_at_stays_inside():
    assert bytes_at([100, 400], [0.5, 0.9], 0.7) == pytest.approx(200)
    assert np.isnan(bytes_at([100, 400], [0.5, 0.9], 0.95))


@pytest.mark.parametrize(("rates", "qualities"), [([0, 1], [1, 2]), ([1, np.nan], [1, 2]), ([1, 2, 3], [1, 2])])
def test_bad_curves(rates, qualities):
    with pytest.raises(InvalidInputError):
        rising(rates, qualities)
