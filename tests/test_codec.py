"""The chain on the shipped weights: sizes, rates, bounds, batches, damage."""

import numpy as np
import pytest
import torch
from PIL import Image

import lfic
from lfic.codec import Codec
from lfic.encoder import choose, search
from lfic.encoder.draft import estimate_bits, files, first_drafts
from lfic.encoder.rate_control import last_true
from lfic.errors import (
    ContainerError,
    CorruptStreamError,
    InvalidInputError,
    LficError,
    MissingDependencyError,
    WeightsError,
)
from lfic.format import container, level_map
from lfic.network import tiles
from lfic.network.load import Model


def psnr(a, b):
    return 10 * np.log10(255**2 / ((np.asarray(a, np.float64) - b) ** 2).mean())


# ------------------------------------------------------------------------------------------------ a face


def test_a_face_comes_back(codec, face):
    data = codec.encode(face, quality=40)
    image = codec.decode(data)
    assert (image.mode, image.size) == ("RGB", (112, 112))
    assert len(data) < 700
    # The mean colour alone gives 11 dB here.
    assert psnr(face, np.broadcast_to(face.mean((0, 1)), face.shape)) < 13
    assert psnr(image, face) > 20


def test_quality_trades_bytes_for_likeness(codec, face):
    sizes, likeness = [], []
    for quality in (1, 25, 50, 75, 100):
        data = codec.encode(face, quality=quality)
        sizes.append(len(data))
        likeness.append(psnr(codec.decode(data), face))
    assert sizes == sorted(sizes) and sizes[-1] > 3 * sizes[0]
    assert likeness == sorted(likeness) and likeness[-1] > likeness[0] + 2


def test_encoding_is_deterministic_and_batches_change_nothing(codec, face):
    faces = [face, face[:, ::-1].copy(), np.roll(face, 9, 0)]
    one_by_one = [codec.encode(f, quality=30) for f in faces]
    together = codec.encode_batch(faces, quality=30)
    # Symbols next to a rounding boundary may fall differently in another batch size; nothing else may differ.
    for a, b in zip(one_by_one, together):
        assert abs(len(a) - len(b)) <= 2
    assert codec.encode_batch(faces, quality=30) == together
    for blob, image in zip(together, codec.decode_batch(together)):
        alone = np.asarray(codec.decode(blob), np.int16)
        assert np.abs(alone - np.asarray(image)).max() <= 1


def test_the_cheaper_way_is_found_and_a_face_on_the_template_needs_one_pass(codec, face, monkeypatch):
    faces = [face, face[::-1].copy(), np.roll(face, 40, 1), face.transpose(1, 0, 2).copy()]
    ways = [codec.encode_batch(faces, quality=60, aligned=way) for way in (True, False)]
    for data, sizes in zip(codec.encode_batch(faces, quality=60), zip(*(map(len, way) for way in ways))):
        assert len(data) <= min(sizes) * 1.01 + 2
    assert any(len(free) < len(placed) for placed, free in zip(*ways))  # not all of them are on the template
    passes, real = [], choose.first_drafts
    monkeypatch.setattr(choose, "first_drafts", lambda *args, **rest: passes.append(args[3]) or real(*args, **rest))
    assert lfic.probe(codec.encode(face, quality=40)).aligned
    assert passes == [True]


def test_batch_of_several_sizes(codec, photo):
    images = [photo(112, 112), photo(40, 33), photo(112, 112), photo(9, 300)]
    blobs = codec.encode_batch(images, quality=20)
    for image, out in zip(images, codec.decode_batch(blobs, out="numpy")):
        assert out.shape == image.shape and out.dtype == np.uint8
    assert codec.decode_batch([]) == [] and codec.encode_batch([]) == []


def test_tensor_output(codec, face):
    blobs = codec.encode_batch([face, face[::-1].copy()], quality=20)
    pixels = codec.decode_batch(blobs, out="tensor")
    assert pixels.shape == (2, 3, 112, 112) and pixels.dtype == torch.uint8
    np.testing.assert_array_equal(pixels[1].permute(1, 2, 0), codec.decode_batch(blobs, out="numpy")[1])
    with pytest.raises(InvalidInputError, match="one size"):
        codec.decode_batch([blobs[0], codec.encode(face[:50])], out="tensor")
    with pytest.raises(InvalidInputError, match="jpeg"):
        codec.decode_batch(blobs, out="jpeg")


def test_module_functions(face):
    data = lfic.encode(Image.fromarray(face), quality=10)
    assert lfic.decode(data).size == (112, 112)
    assert lfic.probe(data).quality == 10


# ------------------------------------------------------------------------------------------------ sizes


@pytest.mark.parametrize(
    "height, width", [(1, 1), (1, 50), (7, 9), (8, 8), (37, 211), (112, 113), (105, 112), (250, 250)]
)
@pytest.mark.parametrize("quality", [3, 60])
def test_any_size_comes_back(codec, photo, height, width, quality):
    image = photo(height, width)
    data = codec.encode(image, quality=quality)
    assert np.asarray(codec.decode(data)).shape == image.shape
    info = codec.probe(data)
    assert (info.width, info.height, info.quality, info.bytes) == (width, height, quality, len(data))
    assert info.levels.shape == (-(-height // 32), -(-width // 32))


def test_padding_costs_almost_nothing(codec, photo):
    full, cut = photo(112, 112), photo(112, 112)[:105, :105]
    whole = len(codec.encode(full, quality=40, aligned=False))
    assert len(codec.encode(cut, quality=40)) <= whole + 3  # 3 bytes: the size in the header; both have 14 x 14 cells


def test_tiles_give_what_one_pass_gives(codec, photo, monkeypatch):
    image = photo(600, 421)
    net, q, a = codec.model.net, torch.tensor([50]), torch.tensor([False])
    pixels = codec.model.tensor([image])
    with torch.inference_mode():
        y = tiles.analyse(net, pixels, q, a)
        levels = net.region_levels(y, q, a)
        out = tiles.synthesise(net, y, levels, q, a, 600, 421)
        monkeypatch.setattr(tiles, "TILE", 24)
        y_tiled = tiles.analyse(net, pixels, q, a)
        out_tiled = tiles.synthesise(net, y, levels, q, a, 600, 421)
    assert (y_tiled - y).abs().max() < 1e-3 * y.abs().max()
    assert (out_tiled.int() - out.int()).abs().max() <= 1


@pytest.mark.slow
def test_twelve_megapixels(codec, photo):
    resource = pytest.importorskip("resource")  # Windows has none
    image = photo(3000, 4000)
    data = codec.encode(image, quality=15)
    out = np.asarray(codec.decode(data))
    assert out.shape == image.shape
    assert psnr(out, image) > 18
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 6 * 2**20  # KiB


# ------------------------------------------------------------------------------------------------ rate


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("quality", [1, 20, 40, 70, 100])
def test_real_bytes_are_the_estimated_bytes(codec, face, quality, aligned):
    draft = first_drafts(codec.model, [face], quality, aligned)[0]
    payload = len(files(codec.model, [draft], False)[0]) - 3
    estimate = estimate_bits(codec.model, draft) / 8
    assert abs(payload - estimate) <= 0.01 * estimate + 2


def test_level_map_bits_match_the_coder(codec, rng=np.random.default_rng(5)):
    for aligned in (True, False):
        rows, columns = (4, 4) if aligned else (9, 13)
        h, w = (14, 14) if aligned else (36, 52)
        levels = rng.integers(0, 3, (rows, columns)).astype(np.uint8)
        kept = sum(
            len(range(0, min(4, h - 4 * y), 1 << levels[y, x])) * len(range(0, min(4, w - 4 * x), 1 << levels[y, x]))
            for y in range(rows)
            for x in range(columns)
        )
        symbols = np.zeros(kept * codec.model.context.channels, np.int16)
        with_map = len(codec.model.context.encode(symbols, levels, h, w, 40, aligned, True))
        without = len(codec.model.context.encode(symbols, levels, h, w, 40, aligned, False))
        assert (
            abs(level_map.map_bits(codec.model.context.level_prior, levels, 40, aligned) / 8 - (with_map - without))
            <= 1.5
        )


# ------------------------------------------------------------------------------------------------ bounds


@pytest.mark.parametrize("max_bytes", [120, 200, 300, 500])
def test_max_bytes_is_kept_and_used(codec, face, max_bytes):
    data = codec.encode(face, max_bytes=max_bytes)
    assert len(data) <= max_bytes
    info = codec.probe(data)
    if info.quality < 100:
        assert len(codec.encode(face, quality=info.quality + 1, aligned=info.aligned)) > max_bytes


def test_a_bound_below_quality_1_is_used_as_well(codec, photo):
    image = photo(160, 160)
    lowest = len(codec.encode(image, quality=1))
    bound = lowest - 4
    data = codec.encode(image, max_bytes=bound)
    assert 0.9 * bound <= len(data) <= bound
    assert (codec.probe(data).levels == 2).all()
    least = len(
        files(
            codec.model, first_drafts(codec.model, [image], 1, False, torch.full((1, 5, 5), 2, dtype=torch.uint8)), True
        )[0]
    )
    between = (least + bound) // 2
    smaller = codec.encode(image, max_bytes=between)
    assert least <= len(smaller) <= between and psnr(codec.decode(data), image) > psnr(codec.decode(smaller), image)


def test_max_bytes_with_effort(codec, face):
    assert len(codec.encode(face, max_bytes=200, effort=1)) <= 200


def test_max_bytes_that_can_not_be_met(codec, photo):
    with pytest.raises(InvalidInputError, match="smallest file of this image has"):
        codec.encode(photo(250, 250), max_bytes=9)


@pytest.mark.parametrize("start", [1, 40, 100])
@pytest.mark.parametrize("last", [0, 1, 7, 39, 40, 41, 99, 100])
def test_last_true(start, last):
    tried = []

    def holds(at):
        tried.append(at)
        return at <= last

    assert last_true(holds, start) == last
    assert len(tried) == len(set(tried)) <= 14
    assert not tried or all(1 <= at <= 100 for at in tried)


class Histogram(torch.nn.Module):
    """Stands in for a recogniser where only the search is tested: a face's embedding is its 14 x 14 thumbnail."""

    def forward(self, pixels):
        small = torch.nn.functional.avg_pool2d(pixels, 8).flatten(1)
        return small - small.mean(1, keepdim=True)


@pytest.fixture(scope="module")
def recognising():
    from lfic.metric.identity import Recognizer

    return Codec(recognizer=Recognizer(Histogram(), scale=1.0))


def test_min_similarity_is_the_smallest_file_that_is_like_enough(recognising, face):
    low, high = (recognising.encode(face, min_similarity=s) for s in (0.98, 0.995))
    assert len(low) < len(high)
    target = recognising.embed([face])
    for data, bound in ((low, 0.98), (high, 0.995)):
        assert float((recognising.embed([recognising.decode(data)]) * target).sum()) >= bound
    with pytest.raises(InvalidInputError, match="not even quality 100"):
        recognising.encode(face, min_similarity=1.0)


def test_what_needs_a_recogniser_says_so(codec, face):
    for call in (lambda: codec.embed([face]), lambda: codec.encode(face, min_similarity=0.5)):
        with pytest.raises(MissingDependencyError, match="recognizer"):
            call()


# ------------------------------------------------------------------------------------------------ effort


@pytest.mark.parametrize("effort", [1, 3])
def test_an_effort_analyses_each_face_once(recognising, face, effort):
    """What the first draft knows of a face serves the search; the recogniser and the synthesis look again, the analysis
    does not."""
    seen = []
    hook = recognising.model.net.analysis.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    try:
        recognising.encode_batch([face, face[:, ::-1].copy()], quality=30, effort=effort, aligned=True)
    finally:
        hook.remove()
    assert sum(seen) == 2


@pytest.mark.parametrize("effort", [1, 2, 3])
@pytest.mark.parametrize("with_recogniser", [False, True])
def test_effort_lowers_the_loss(codec, recognising, face, effort, with_recogniser):
    used = recognising if with_recogniser else codec
    start = first_drafts(used.model, [face], 60, True)
    before = search.Candidate(used.model, start[0], face).losses([(start[0].levels, start[0].symbols)])[0]
    drafts, after = search.improve(used.model, start, [face], effort)
    assert after[0] <= before
    again = search.Candidate(used.model, drafts[0], face).losses([(drafts[0].levels, drafts[0].symbols)])[0]
    assert again == pytest.approx(after[0], rel=1e-5)
    assert after[0] < before  # gradient steps always give something
    data = files(used.model, drafts, True)[0]
    assert np.asarray(used.decode(data)).shape == face.shape


def test_level_search_goes_step_by_step_to_a_smaller_loss(codec, face):
    """From far too coarse a map: every round changes regions by one level, and J falls by more than the margin."""
    pooled = np.full((4, 4), 2, np.uint8)
    draft = first_drafts(codec.model, [face], 60, True, torch.from_numpy(pooled)[None])[0]
    candidate = search.Candidate(codec.model, draft, face)
    maps, losses = [pooled], candidate.losses([(pooled, draft.symbols)])
    np.testing.assert_array_equal(search.improve_levels(candidate, 0)[0], pooled)
    for rounds in (1, 2, 3):
        levels, symbols = search.improve_levels(candidate, rounds)
        np.testing.assert_array_equal(symbols, candidate.symbols(levels))
        assert np.abs(levels.astype(int) - maps[-1]).max() == 1
        losses += candidate.losses([(levels, symbols)])
        assert losses[-1] < losses[-2] - search.MARGIN
        maps.append(levels)
    found = search.promising(candidate, maps[-1], candidate.symbols(maps[-1]))
    assert len(found) == sum(1 if level in (0, 2) else 2 for level in maps[-1].flat) == len(set(found))
    assert all(abs(int(maps[-1][region]) - level) == 1 for region, level in found)


def test_symbol_gradient_is_the_derivative(codec, face):
    """Finite differences of D in single symbols, at a mixed level map."""
    levels = np.arange(16, dtype=np.uint8).reshape(4, 4) % 3
    draft = first_drafts(codec.model, [face], 80, True, torch.from_numpy(levels)[None])[0]
    candidate = search.Candidate(codec.model, draft, face)
    _, gradient = candidate.gradient(levels, draft.symbols)
    slope = search.symbol_gradient(candidate, levels, len(draft.symbols), gradient)
    k = int(np.argmax(np.abs(slope)))
    values = []
    for move in (-1, 1):
        symbols = draft.symbols.copy()
        symbols[k] += move
        with torch.no_grad():
            pixels = codec.model.net.synthesise(
                candidate.features(levels, symbols), candidate.maps([levels]), candidate.q, candidate.a, 112, 112
            )
            values.append(float(candidate.distortion(pixels)))
    assert (values[1] - values[0]) / 2 == pytest.approx(slope[k], rel=0.3)


# ------------------------------------------------------------------------------------------------ insight


def test_region_levels_are_those_of_the_file(codec, face):
    for quality in (10, 60):
        levels = codec.region_levels(face, quality)
        np.testing.assert_array_equal(levels, codec.probe(codec.encode(face, quality=quality)).levels)
        assert levels.dtype == np.uint8 and levels.max() <= 2


def test_probe_needs_no_pixels(codec, face, monkeypatch):
    data = codec.encode(face, quality=33, checksum=False, aligned=True)
    monkeypatch.setattr(Model, "reconstruct", None)
    info = lfic.probe(data)
    assert (info.width, info.height, info.model, info.quality, info.checksum, info.aligned) == (
        112,
        112,
        "face-v1",
        33,
        False,
        True,
    )
    assert info.bytes == len(data)


# ------------------------------------------------------------------------------------------------ wrong use


@pytest.mark.parametrize(
    "options, text",
    [
        ({"quality": 0}, "quality is 0"),
        ({"quality": 101}, "quality is 101"),
        ({"quality": 40.5}, "40.5"),
        ({"quality": True}, "True"),
        ({"max_bytes": 0}, "max_bytes is 0"),
        ({"effort": 4}, "effort is 4"),
        ({"max_bytes": 9, "min_similarity": 0.5}, "exclude"),
        ({"min_similarity": 2}, "min_similarity is 2"),
        ({"min_similarity": "0.5"}, "min_similarity is '0.5'"),
        ({"max_bytes": 300.5}, "max_bytes is 300.5"),
        ({"max_bytes": "300"}, "max_bytes is '300'"),
        ({"effort": True}, "effort is True"),
        ({"effort": 1.0}, "effort is 1.0"),
    ],
)
def test_options_out_of_range(codec, face, options, text):
    with pytest.raises(InvalidInputError, match=text):
        codec.encode(face, **options)


@pytest.mark.parametrize("device", ["bogus", "cuda:97", 1.5])
def test_devices_that_can_not_be_used(device):
    with pytest.raises(InvalidInputError, match="can't be used here"):
        lfic.load_codec(device=device)


def test_one_image_is_no_batch(codec, face):
    with pytest.raises(InvalidInputError, match="use encode"):
        codec.encode_batch(Image.fromarray(face))


def test_aligned_needs_the_standard_size(codec, photo):
    with pytest.raises(InvalidInputError, match="112 x 112"):
        codec.encode(photo(100, 100), aligned=True)


def test_too_large_images_are_refused_before_work(codec):
    huge = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (20_000, 10_000, 3))
    with pytest.raises(InvalidInputError, match="10000 x 20000"):
        lfic.codec.check_image(10_000, 20_000, None)
    assert huge.nbytes == 600_000_000


def test_files_of_other_weights_are_refused(codec, face, tmp_path):
    data = codec.encode(face, quality=5)
    header, payload = container.read(data)
    private = container.write(
        container.Header(112, 112, 5, header.level_mode, header.aligned, True, container.PRIVATE), bytes(payload)
    )
    for decode in (lfic.decode, codec.decode):
        with pytest.raises(ContainerError, match="private"):
            decode(private)
    assert (
        lfic.load_codec(lfic.format.weights.weights_path("face-v1")).encode(face, quality=5) == data
    )  # the same by path


def test_broken_weights_are_refused(tmp_path):
    from lfic.format.weights import load_arrays, weights_path

    with pytest.raises(WeightsError, match="bundled are"):
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


# ------------------------------------------------------------------------------------------------ damage


def test_truncated_at_every_length(codec, face):
    data = codec.encode(face, quality=10)
    for cut in range(len(data)):
        with pytest.raises((CorruptStreamError, ContainerError)):
            codec.decode(data[:cut])


def test_every_byte_flipped_is_noticed(codec, face):
    data = codec.encode(face, quality=10)
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0xFF
        with pytest.raises(LficError):
            codec.decode(bytes(damaged))


def test_without_a_checksum_damage_gives_an_error_or_an_image_of_the_stated_size(codec, face):
    data = codec.encode(face, quality=8, checksum=False)
    outcomes = {"error": 0, "image": 0}
    damaged = [data[:cut] for cut in range(len(data))]
    for at in range(len(data)):
        for flip in (0xFF, 1 << at % 8):
            damaged.append(data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :])
    for blob in damaged:
        try:
            header, _ = container.read(blob, max_pixels=1 << 20)
            image = codec.decode(blob, max_pixels=1 << 20)
        except LficError:
            outcomes["error"] += 1
        else:
            outcomes["image"] += 1
            assert image.size == (header.width, header.height)
    assert min(outcomes.values()) > 0


def test_bytes_after_the_end_are_noticed(codec, face):
    data = codec.encode(face, quality=8, checksum=False)
    with pytest.raises(CorruptStreamError):
        codec.decode(
            data + b"\x55\xaa" * 5
        )  # the decoder looks 8 bytes ahead: fewer may still be inside the last interval


@pytest.mark.parametrize("data", [b"", b"\xfc", b"GIF89a", "text", None, 7])
def test_other_things_are_refused(codec, data):
    with pytest.raises(LficError):
        codec.decode(data)


def test_threads_share_a_codec(codec, face):
    import concurrent.futures

    expected = codec.encode(face, quality=25)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for data in pool.map(lambda _: codec.encode(face, quality=25), range(8)):
            assert data == expected
