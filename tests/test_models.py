"""Two models: face-v2 codes pictures, and faces on the template as face-v1 does."""

import dataclasses

import numpy as np
import pytest

import lfic
from lfic import decoder, encoding
from lfic.errors import ContainerError, WeightsError
from lfic.format import container, layers
from lfic.format.container import CODED_MAP, Header
from lfic.format.parts import coded_by

POINTS = [[92.5, 105.9], [125.7, 105.9], [110.4, 124.2], [96.9, 142.8], [123.0, 142.8]]


@pytest.fixture(scope="module")
def first():
    return lfic.load_codec("face-v1")


def pixels(image):
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("options", [{}, {"quality": 9}, {"max_bytes": 120}, {"effort": 1}, {"container": "bare"}])
def test_faces_on_the_template_are_those_of_the_first_model(codec, first, face, options):
    data = codec.encode(face, **options)
    assert data == first.encode(face, **options)
    form = options.get("container", "file")
    info = lfic.probe(data, container=form)
    assert info.model == "face-v1" and info.aligned
    assert (pixels(codec.decode(data, container=form)) == pixels(first.decode(data, container=form))).all()
    if "effort" not in options:
        assert encoding.load("face-v2").encode(face, **options) == data


def test_what_is_off_the_template_is_the_second_models(codec, first, face, photo):
    for data in (
        codec.encode(photo(90, 130)),
        codec.encode(face, aligned=False),
        codec.encode(np.tile(face[::2, ::2], (2, 2, 1))),
    ):
        assert lfic.probe(data).model == "face-v2" and not lfic.probe(data).aligned
        with pytest.raises(ContainerError, match="written by model face-v2; this codec has face-v1"):
            first.decode(data)
        with pytest.raises(ContainerError, match="written by model face-v2; these weights are face-v1"):
            decoder.bundled("face-v1").decode(data)


def test_files_of_the_first_model_are_read_whatever_they_hold(codec, first, photo):
    for data in (first.encode(photo(90, 130)), first.encode(photo(200, 260), faces=[POINTS], quality=20)):
        assert lfic.probe(data).model == "face-v1"
        shown = pixels(first.decode(data))
        for other in (codec.decode(data), lfic.decode(data), encoding.load("face-v2").decode(data)):
            assert (pixels(other) == shown).all()
        assert codec.to_bare(data) == first.to_bare(data)
        assert codec.probe(data) == lfic.probe(data) == first.probe(data)


def test_a_photo_has_streams_of_both(codec, first, photo):
    data = codec.encode(photo(200, 260), faces=[POINTS], quality=20)
    read = layers.read(data)
    assert read.model == 1 and [coded_by(stream.header) for stream in read.streams] == [1, 0]
    (layer,) = read.layers
    alone, same = (
        container.write(dataclasses.replace(layer.stream.header, model=model), layer.stream.payload) for model in (0, 1)
    )
    (found,) = codec.decode_faces(data)
    assert (pixels(found.image) == pixels(first.decode(alone))).all()
    assert (pixels(codec.decode(same)) == pixels(found.image)).all()  # which no encoder writes
    (other,) = decoder.decode_faces(data)
    assert (pixels(other.image) == pixels(found.image)).all()


def test_batches_of_both(codec, face, photo):
    images = [
        face,
        np.tile(face[::2, ::2], (2, 2, 1)),
        face[:, ::-1],
        photo(50, 70),
        np.tile(face[::2, ::2], (2, 2, 1)),
    ]
    blobs = codec.encode_batch(images, quality=35)
    assert [lfic.probe(data).model[-1] for data in blobs] == ["1", "2", "1", "2", "2"]
    assert blobs == [codec.encode(image, quality=35) for image in images]
    assert blobs == encoding.load("face-v2").encode_batch(images, quality=35)
    alone = [pixels(codec.decode(data)) for data in blobs]
    for shown in (codec.decode_batch(blobs), encoding.load("face-v2").decode_batch(blobs, threads=2)):
        assert all((pixels(one) == other).all() for one, other in zip(shown, alone, strict=True))
    bounded = codec.encode_batch(images, max_bytes=300)
    assert bounded == [codec.encode(image, max_bytes=300) for image in images]
    assert max(map(len, bounded)) <= 300


def test_likeness_is_bounded_by_either(recognizing_codec, face, photo):
    blobs = recognizing_codec.encode_batch([face, np.tile(face[::2, ::2], (2, 2, 1))], min_similarity=0.9)
    assert [lfic.probe(data).model for data in blobs] == ["face-v1", "face-v2"]


def test_headers_say_which(codec):
    for model in (0, 1):
        for aligned in (True, False):
            header = Header(112, 112, 40, CODED_MAP, aligned, model=model)
            assert coded_by(header) == codec.model.part(header).number == (1 if model and not aligned else 0)
    assert codec.model.numbers == (1, 0) and codec.model.of(True).numbers == (0,)


def test_a_model_is_not_its_own_template():
    assert decoder.load("face-v1").template is None and decoder.load("face-v2").template.number == 0
    with pytest.raises(WeightsError, match="have no look 'vivid'"):
        lfic.format.look.look_path("face-v2", "vivid")
