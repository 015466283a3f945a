"""Bounds: at most so many bytes, or at least so much likeness."""

import pytest
import torch

import lfic
from lfic.encoder import search
from lfic.encoder.draft import files, first_drafts
from lfic.encoder.rate_control import EFFORT_TRIALS, Search, last_true
from lfic.errors import InvalidInputError, MissingDependencyError
from lfic.metric.identity import Recognizer


@pytest.mark.parametrize("max_bytes", [120, 200, 300, 500])
def test_max_bytes_is_kept_and_used(codec, face, max_bytes):
    data = codec.encode(face, max_bytes=max_bytes)
    assert len(data) <= max_bytes
    info = codec.probe(data)
    if info.quality < 100:
        assert len(codec.encode(face, quality=info.quality + 1, aligned=info.aligned)) > max_bytes


def test_a_bound_below_quality_1_is_used_as_well(codec, photo):
    image = photo(160, 160)
    lowest = len(codec.encode(image, quality=1, resolution="full"))
    bound = lowest - 4
    data = codec.encode(image, max_bytes=bound, resolution="full")
    assert 0.9 * bound <= len(data) <= bound
    assert (codec.probe(data).levels == 2).all()
    least = len(
        files(
            codec.model, first_drafts(codec.model, [image], 1, False, torch.full((1, 5, 5), 2, dtype=torch.uint8)), True
        )[0]
    )
    between = (least + bound) // 2
    smaller = codec.encode(image, max_bytes=between, resolution="full")
    assert least <= len(smaller) <= between and codec.probe(data).quality > codec.probe(smaller).quality


def test_bounds_of_a_batch_are_found_together(codec, face, photo):
    """Of a batch as of each alone, with some five analyses a face; what can't be met is told in its place."""
    faces = [face, face[:, ::-1].copy(), face // 2, photo(60, 50), face]
    seen = []
    hook = codec.model.net.analysis.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    found = codec.encode_batch(faces, max_bytes=200, aligned=None)
    hook.remove()
    assert sum(seen) <= 6 * len(faces) and len(seen) < 20
    for data, image in zip(found, faces):
        info = codec.probe(data)
        assert len(data) <= 200
        if info.quality < 100:
            assert len(codec.encode(image, quality=info.quality + 1, aligned=info.aligned)) > 200 - 2
    mixed = codec.encode_batch([face, photo(9, 9)], max_bytes=25, errors="return")
    assert isinstance(mixed[0], InvalidInputError) and isinstance(mixed[1], bytes) and len(mixed[1]) <= 25


def test_max_bytes_with_effort(codec, face, monkeypatch):
    calls, real = [], search.improve
    monkeypatch.setattr(search, "improve", lambda *args: calls.append(args) or real(*args))
    data = codec.encode(face, max_bytes=200, effort=1)
    assert 170 < len(data) <= 200
    assert 1 <= len(calls) <= EFFORT_TRIALS


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("last", [0, 1, 2, 39, 40, 41, 70, 99, 100])
@pytest.mark.parametrize("curve", [lambda q: 0.03 * q, lambda q: (q / 100) ** 3, lambda q: float(q > 60) + q / 1e6])
def test_a_search_ends_at_the_last_quality_that_holds(curve, strict, last):
    target = curve(last) if not strict else curve(last + 1)
    found = Search(target, strict, {40: curve(40)})
    while not found.done:
        q = found.next()
        assert 1 <= q <= 100 and q not in found.tried
        found.tried[q] = curve(q)
    assert found.last == last
    assert len(found.tried) <= 13


def test_max_bytes_that_can_not_be_met(codec, face, photo):
    with pytest.raises(InvalidInputError, match="smallest file of this image has"):
        codec.encode(face, max_bytes=9)
    with pytest.raises(InvalidInputError, match="smallest file of this picture has"):
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


def test_min_similarity_is_the_smallest_file_that_is_like_enough(recognizing_codec, face):
    low, high = (recognizing_codec.encode(face, min_similarity=s) for s in (0.98, 0.995))
    assert len(low) < len(high)
    target = recognizing_codec.embed([face])
    for data, bound in ((low, 0.98), (high, 0.995)):
        assert float((recognizing_codec.embed([recognizing_codec.decode(data)]) * target).sum()) >= bound
    with pytest.raises(InvalidInputError, match="not even quality 100"):
        recognizing_codec.encode(face, min_similarity=1.0)


def test_the_bundled_recogniser_serves_where_none_is_given(codec, face):
    """0 is a stranger and 1 the same picture, though the cosine of strangers is 0.84 there."""
    small, large = (codec.encode(face, min_similarity=s, aligned=True) for s in (0.3, 0.8))
    assert len(small) < len(large)
    target = codec.embed([face])
    assert float((codec.embed([codec.decode(large)]) * target).sum()) >= 1 - 0.2 * (1 - 0.838)


def test_what_needs_a_recogniser_says_so(face):
    codec = lfic.load_codec(recognizer=None)
    for call in (lambda: codec.embed([face]), lambda: codec.encode(face, min_similarity=0.5)):
        with pytest.raises(MissingDependencyError, match="recognizer"):
            call()


def test_embeddings_that_are_no_numbers_are_refused(face, photo):
    class Broken(torch.nn.Module):
        def forward(self, pixels):
            return pixels.flatten(1)[:, :8] * float("nan")

    codec = lfic.load_codec(recognizer=Recognizer(Broken()))
    place = [[30, 40], [60, 40], [45, 55], [35, 70], [55, 70]]
    for options in ({}, {"faces": [place]}):
        with pytest.raises(InvalidInputError, match="no number"):
            codec.encode(face if not options else photo(200, 200), min_similarity=0.5, **options)
