"""Float weights that a file's integers restore."""

import numpy as np
import pytest

from lfic.errors import WeightsError
from lfic.format.weights import load_arrays
from lfic.network.load import networks_of
from lfic.network.restored import COLUMNS, ROWS, compact, factors, product, restored


def layer(rng, outputs, inputs, side=1):
    """Weights float [N, K, side, side], integers that ``lfic.network.integers.plan`` could have made of them, and how
    many of these are 1.0, float [N, K, 1, 1]."""
    weight = rng.standard_normal((outputs, inputs, side, side)) * np.exp(rng.uniform(-2, 2, (outputs, 1, 1, 1)))
    scale = np.exp(rng.uniform(-3, 3, (outputs, 1))) * np.exp(rng.uniform(-1, 1, (1, inputs)))
    scale *= 32000 / np.abs(weight * scale[..., None, None]).max((1, 2, 3))[:, None]
    return weight, np.rint(weight * scale[..., None, None]).astype(np.int16), scale[..., None, None]


@pytest.mark.parametrize("outputs, inputs, side", [(32, 64, 1), (64, 1, 5), (16, 48, 2)])
def test_weights_come_back_to_a_part_of_their_integers(outputs, inputs, side):
    weight, integers, scale = layer(np.random.default_rng(outputs), outputs, inputs, side)
    again = product(integers, *factors(weight, integers))
    assert (np.abs(again - weight) < 2 / scale).all()


def test_outputs_that_are_nothing_stay_nothing():
    weight, integers, _ = layer(np.random.default_rng(1), 32, 64)
    weight[3], integers[3] = 0, 0
    assert not product(integers, *factors(weight, integers))[3].any()


def test_small_layers_and_those_that_integers_hold_badly_are_kept():
    rng = np.random.default_rng(2)
    (weight, integers, _), (small, few, _) = layer(rng, 32, 64), layer(rng, 4, 4)
    held = {
        "net.a.weight": weight,
        "integers.a.weight": integers,
        "net.b.weight": small,
        "integers.b.weight": few,
        "net.c.weight": weight,
        "integers.c.weight": (integers // 1000).astype(np.int16),
        "net.d.weight": weight,
        "net.d.bias": weight[0],
    }
    out = compact(held)
    assert set(held) - set(out) == {"net.a.weight"}
    assert set(out) - set(held) == {f"net.a{ROWS}", f"net.a{COLUMNS}"}
    back = restored(out)
    assert set(back) == set(held)
    np.testing.assert_allclose(back["net.a.weight"], weight, rtol=0, atol=1e-3 * np.abs(weight).max())


@pytest.mark.parametrize("name", ["face-v1", "face-v2"])
def test_what_ships_holds_its_networks_once(name):
    arrays, metadata = load_arrays(name)
    assert compact(arrays).keys() == arrays.keys() and sum(key.endswith(ROWS) for key in arrays) > 40
    del arrays["integers.synthesis.lapped.weight"]
    with pytest.raises(WeightsError, match="do not fit together"):
        networks_of(arrays, metadata, name)
