"""The integer networks: an independent decoder agrees, every variant agrees, and they stay close to the float ones."""

import numpy as np
import pytest
import torch
from plain_pixels import Network

from lfic._network import Model
from lfic.errors import InvalidInputError, WeightsError
from lfic.format.geometry import cell_grid, region_grid
from lfic.format.integers import PREFIX, integer_model
from lfic.format.weights import load_arrays
from lfic.network import tiles
from lfic.network.integers import WORD, Reaches, Span, fits, integer_arrays, plan
from lfic.network.net import CodecNet, CodecNetConfig
from lfic.network.rap import pooled_symbols, unpooled_features


@pytest.fixture(scope="module")
def tensors():
    arrays, _ = load_arrays("face-v1")
    return {name.removeprefix(PREFIX): array for name, array in arrays.items() if name.startswith(PREFIX)}


@pytest.fixture(scope="module")
def plain(tensors):
    return Network(tensors)


def random_payload(height, width, channels, rng):
    """(symbols, levels) such as a file could hold, some of them absurdly large."""
    rows, columns = cell_grid(height, width)
    levels = rng.integers(0, 3, region_grid(rows, columns)).astype(np.uint8)
    kept = 0
    for y, row in enumerate(levels):
        for x, level in enumerate(row):
            side = 1 << int(level)
            kept += -(-min(4, rows - 4 * y) // side) * -(-min(4, columns - 4 * x) // side)
    return (rng.standard_normal(kept * channels) * rng.choice([0.3, 3, 300])).astype(np.int16), levels


# The last two are wider and taller than a tile.
@pytest.mark.parametrize(
    "height,width,aligned,quality",
    [(112, 112, True, 40), (112, 112, False, 100), (1, 1, False, 1), (37, 71, False, 25), (8, 1560, False, 60),
     (1545, 16, False, 7)],
)  # fmt: skip
def test_pixels_are_those_of_a_decoder_written_from_the_text(codec, plain, height, width, aligned, quality):
    symbols, levels = random_payload(
        height, width, codec.model.of(True).integers.channels, np.random.default_rng(height + width)
    )
    (found,) = codec.model.of(True).integers.synthesize([(symbols, levels, height, width, quality, aligned)])
    np.testing.assert_array_equal(found, plain.pixels(symbols, levels, height, width, quality, aligned))
    assert plain.largest < WORD


def test_every_variant_and_any_number_of_threads_give_the_same(tensors, face, photo):
    images = [(face, 40, True), (face, 40, False), (photo(37, 71), 90, False), (photo(1, 1), 1, False)]
    reference = Model(tensors, "scalar")
    coded = reference.encode(images)
    payloads = [(*found, *image.shape[:2], quality, aligned) for found, (image, quality, aligned) in zip(coded, images)]
    shown = reference.synthesize(payloads)
    tried = []
    for simd in ("auto", "avx2", "avxvnni", "avx512", "neon"):
        try:
            model = Model(tensors, simd)
        except InvalidInputError as error:
            assert "this machine has no" in str(error)
            continue
        tried.append(model.simd)
        for threads in (1, 3):
            for found, expected in zip(model.encode(images, threads), coded, strict=True):
                np.testing.assert_array_equal(found[0], expected[0])
                np.testing.assert_array_equal(found[1], expected[1])
            for found, expected in zip(model.synthesize(payloads, threads), shown, strict=True):
                np.testing.assert_array_equal(found, expected)
    assert tried


def test_a_picture_in_tiles_is_the_picture_at_once(codec, photo):
    """The features of a wide picture's left part are those of the part alone, but for what its edge can reach."""
    network, image = codec.model.integers, photo(16, 1640)
    whole = network.analyze(image[None], [40], [False])[0]
    part = network.analyze(image[None, :, :1504], [40], [False])[0]
    np.testing.assert_array_equal(whole[:, : 188 - 32], part[:, : 188 - 32])


@pytest.mark.parametrize("quality", [1, 25, 100])
def test_what_integers_cost(codec, face, quality):
    """A level at most, and nearly all symbols."""
    model = codec.model
    pixels = model.tensor([face, face[:, ::-1].copy(), 255 - face])
    q, a = model.conditions(quality, True, len(pixels))
    with torch.inference_mode():
        y = tiles.analyze(model.net, pixels, q, a)
        levels = model.net.region_levels(y, q, a)
        symbols = pooled_symbols(y, levels, model.gain, q)
        features = unpooled_features(symbols, levels, model.step, q, 14, 14)
        plain = tiles.synthesize(model.net, features, levels, q, a, 112, 112).permute(0, 2, 3, 1).numpy()
    payloads = [(s, m.numpy(), 112, 112, quality, True) for s, m in zip(symbols, levels)]
    shown = np.stack(model.integers.synthesize(payloads))
    difference = np.abs(shown.astype(np.int16) - plain)
    assert difference.max() <= 1 and (difference > 0).mean() < 0.1
    images = [(image, quality, True) for image in pixels.permute(0, 2, 3, 1).contiguous().numpy()]
    for (found, chosen), expected, told in zip(model.integers.encode(images), symbols, levels):
        assert (chosen != told.numpy()).sum() <= 1
        if (chosen == told.numpy()).all():
            assert (found != expected).mean() < 0.04 and np.abs(found - expected).max() <= 1


def test_any_network_of_these_layers_can_be_exported(face):
    torch.manual_seed(0)
    config = CodecNetConfig(32, (16, 32, 48), (1, 1, 2), (2, 1, 1), groups=2, hidden1=16, hidden2=16)
    net = CodecNet(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():  # beyond what initialisation leaves at next to nothing
            parameter += 0.02 * torch.randn_like(parameter)
    model = integer_model({f"{PREFIX}{k}": v for k, v in integer_arrays(net, [face, face[:40, :72]]).items()})
    assert model is not None
    ((symbols, levels),) = model.encode([(face, 50, True)])
    (shown,) = model.synthesize([(symbols, levels, 112, 112, 50, True)])
    q, a = torch.tensor([50]), torch.tensor([True])
    with torch.inference_mode():
        told = torch.from_numpy(levels)[None]
        features = unpooled_features([symbols], told, net.step, q, 14, 14)
        plain = tiles.synthesize(net, features, told, q, a, 112, 112)[0].permute(1, 2, 0).numpy()
    assert np.abs(shown.astype(np.int16) - plain).max() <= 1


def test_pictures_have_an_analysis_and_a_level_head_of_their_own(face):
    torch.manual_seed(1)
    net = CodecNet(CodecNetConfig(32, (16, 32, 48), (1, 1, 2), (1, 1, 1), 2, 16, 16, pictures=True)).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
        net.level_head.quality[:], net.pictures_head.quality[:] = torch.eye(3)[0] * 9, torch.eye(3)[2] * 9
    model = integer_model({f"{PREFIX}{k}": v for k, v in integer_arrays(net, [face, face[:40, :72]]).items()})
    assert model is not None
    for (_, levels), way in zip(model.encode([(face, 50, True), (face, 50, False)]), (0, 2), strict=True):
        assert (levels == way).all()
    with torch.inference_mode():
        logits = net.level_logits(torch.zeros(2, 32, 14, 14), torch.tensor([50, 50]), torch.tensor([True, False]))
    assert (logits.argmax(1) == torch.tensor([0, 2])[:, None, None]).all()
    pixels = tiles.unit(torch.from_numpy(np.stack([face, face])).permute(0, 3, 1, 2))
    q, ways = torch.tensor([50, 50]), torch.tensor([True, False])
    with torch.inference_mode():
        mixed = net.analyze(pixels, q, ways)
        for i, way in enumerate((True, False)):
            alone = net.analyze(pixels[i : i + 1], q[:1], ways[i : i + 1], way)
            transform = net.analysis if way else net.pictures
            assert torch.equal(alone, transform(pixels[i : i + 1], q[:1], ways[i : i + 1]))
            torch.testing.assert_close(mixed[i : i + 1], alone)
            # To a few units of the integers' features, of which a symbol has hundreds.
            features = model.analyze(face[None], [50], [way], 1)[0].astype(np.float32)
            expected = alone[0].permute(1, 2, 0).numpy()
            unit = np.exp2(np.round(np.log2(np.abs(features).max((0, 1)) / np.abs(expected).max((0, 1)))))
            assert np.abs(features / unit - expected).max() < 0.02 * np.abs(expected).max()
    assert not torch.allclose(mixed[0], mixed[1], atol=1e-2)


def test_no_plan_lets_a_sum_leave_32_bits():
    rng = np.random.default_rng(0)
    source = Span(np.full(64, 1000.0), -8191, 8191)
    weight, bias = rng.standard_normal((16, 64, 1, 1)), rng.standard_normal(16)
    integers, offsets, shift = plan(weight, bias, source, np.full(16, 500.0))
    assert integers.dtype == np.int16 and offsets.dtype == np.int32
    sums = np.abs(integers.astype(np.int64)).reshape(16, -1).sum(1) * 8191 + np.abs(offsets.astype(np.int64))
    assert (sums < WORD).all()
    for n in range(16):  # one bit more would not do
        real = weight[n] * 500.0 / 1000.0
        assert not fits(real, np.float64(bias[n] * 500.0), int(shift[n]) + 1, source)
    with pytest.raises(WeightsError, match="32 bits"):
        plan(weight * 1e6, bias, source, np.full(16, 500.0))


def test_damaged_tensors_are_refused(tensors):
    broken = {**tensors, "synthesis.up.weight": np.full_like(tensors["synthesis.up.weight"], 32767)}
    with pytest.raises(InvalidInputError, match="could leave 32 bits"):
        Model(broken)
    with pytest.raises(WeightsError, match="integer networks can't be used"):
        integer_model({f"{PREFIX}{name}": value for name, value in broken.items()})
    with pytest.raises(InvalidInputError, match="no tensor integers.synthesis.step"):
        Model({name: value for name, value in tensors.items() if name != "synthesis.step"})
    with pytest.raises(InvalidInputError, match="dtype"):
        Model({**tensors, "synthesis.step": tensors["synthesis.step"].astype(np.int64)})
    assert integer_model({}) is None


def test_arguments_are_checked(codec, face):
    network = codec.model.integers
    ((symbols, levels),) = network.encode([(face, 40, True)])
    for coded, text in [
        ((symbols[:-1], levels, 112, 112, 40, True), "these levels keep"),
        ((symbols, levels, 112, 112, 0, True), "allowed are 1 to 100"),
        ((symbols, levels, 112, 121, 40, True), "14 x 14"),
        ((symbols, levels, 0, 112, 40, False), "allowed are 1 to"),
        ((symbols, levels + 3, 112, 112, 40, True), "allowed are 0 to 2"),
        ((symbols.astype(np.int32), levels, 112, 112, 40, True), "int16"),
    ]:
        with pytest.raises(InvalidInputError, match=text):
            network.synthesize([coded])
    with pytest.raises(InvalidInputError, match="uint8"):
        network.encode([(face.astype(np.float32), 40, True)])
    with pytest.raises(InvalidInputError, match="scales are chosen on pictures"):
        integer_arrays(codec.model.net, [])
    assert Reaches() == {}
