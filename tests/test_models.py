"""Two models: face-v2 codes pictures, and faces on the template by face-v1's networks."""

import numpy as np
import pytest

import lfic
from lfic import decoder, encoding
from lfic.errors import ContainerError, WeightsError
from lfic.format import container, layers
from lfic.format.container import CODED_MAP, Header
from lfic.format.payload import decode_payloads

POINTS = [[92.5, 105.9], [125.7, 105.9], [110.4, 124.2], [96.9, 142.8], [123.0, 142.8]]


@pytest.fixture(scope="module")
def first():
    return lfic.load_codec("face-v1")


def pixels(image):
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("options", [{}, {"quality": 9}, {"max_bytes": 120}, {"effort": 1}, {"container": "bare"}])
def test_faces_on_the_template_have_an_entropy_model_of_their_own(codec, first, face, options):
    data, before = codec.encode(face, **options), first.encode(face, **options)
    form = options.get("container", "file")
    info = lfic.probe(data, container=form)
    assert info.model == "face-v2" and info.aligned
    if not {"effort", "max_bytes"} & set(options):  # the same symbols in fewer bytes
        assert len(data) < len(before)
        assert (pixels(codec.decode(data, container=form)) == pixels(first.decode(before, container=form))).all()
    if "effort" not in options:
        assert encoding.load("face-v2").encode(face, **options) == data
    with pytest.raises(ContainerError, match="written by model face-v2; this codec has face-v1"):
        first.decode(data, container=form)


def test_symbols_are_those_of_the_first_model(codec, first, face):
    (one,), (other,) = (
        decode_payloads(model.part(stream.header).context, [(stream.header, memoryview(stream.payload))])
        for model, stream in ((c.model, layers.read(c.encode(face)).streams[0]) for c in (codec, first))
    )
    assert (one[0] == other[0]).all() and (one[1] == other[1]).all()


@pytest.mark.parametrize("quality", [1, 40, 100])
def test_which_faces_stand_on_the_template_is_told_by_the_first_model(codec, first, face, quality):
    images = [face, np.tile(face[::2, ::2], (2, 2, 1)), face[:, ::-1], np.roll(face, 40, 1)]
    aligned = [[lfic.probe(data).aligned for data in c.encode_batch(images, quality=quality)] for c in (codec, first)]
    assert aligned[0] == aligned[1] and len(set(aligned[0])) == 2


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


def test_a_photo_has_streams_of_both(codec, photo):
    data = codec.encode(photo(200, 260), faces=[POINTS], quality=20)
    read = layers.read(data)
    parts = [codec.model.part(stream.header) for stream in read.streams]
    assert read.model == 1 and parts == [codec.model, codec.model.template]
    (layer,) = read.layers
    alone = container.write(layer.stream.header, layer.stream.payload)
    (found,) = codec.decode_faces(data)
    assert (pixels(found.image) == pixels(codec.decode(alone))).all()
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
    assert [lfic.probe(data).model[-1] for data in blobs] == ["2"] * 5
    assert [lfic.probe(data).aligned for data in blobs] == [True, False, True, False, False]
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
    assert [lfic.probe(data).aligned for data in blobs] == [True, False]


def test_headers_say_which(codec):
    model = codec.model
    parts = {(0, True): model.former, (0, False): model.former, (1, True): model.template, (1, False): model}
    for (number, aligned), part in parts.items():
        assert model.part(Header(112, 112, 40, CODED_MAP, aligned, model=number)) is part
    assert model.numbers == (1, 0) and model.of(True) is model.template and model.of(False) is model
    assert model.judge is model.template.judge is model.former and model.former.judge is model.former
    assert model.former.net.synthesis is model.template.net.synthesis


def test_a_model_is_not_its_own_template():
    first, second = decoder.load("face-v1"), decoder.load("face-v2")
    assert first.template is None and first.former is None
    assert (second.template.number, second.former.number) == (1, 0)
    assert second.template.network is second.former.network
    with pytest.raises(WeightsError, match="have no look 'vivid'"):
        lfic.format.look.look_path("face-v2", "vivid")
