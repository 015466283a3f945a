"""A photo with face layers: what is coded, what it costs, what comes back."""

import numpy as np
import pytest
from PIL import Image

import lfic
from lfic import ContainerError, InvalidInputError
from lfic.align import align, template_matrix
from lfic.encoder import layers
from lfic.encoder.background import uncovered
from lfic.format.compose import coverage

LANDMARKS = np.array(
    [[205.0, 101.7], [240.6, 97.4], [225.3, 117.0], [211.6, 139.2], [243.7, 135.5]]
)  # of the astronaut


@pytest.fixture(scope="module")
def astronaut():
    """uint8 [300, 320, 3]: a photo with one face, some 70 pixels wide."""
    import skimage.data

    return skimage.data.astronaut()[:300, 60:380]


@pytest.fixture(scope="module")
def landmarks():
    return LANDMARKS - (60, 0)


@pytest.fixture(scope="module")
def three(astronaut, landmarks):
    """A photo of three people, one of them turned, and their landmarks."""
    turned = np.rot90(astronaut)
    width = astronaut.shape[1]
    photo = np.concatenate([astronaut, astronaut[:, ::-1], turned[:300, :300]], 1)
    mirrored = np.array([2 * width - 1, 0]) + landmarks[[1, 0, 2, 4, 3]] * (-1, 1)
    upward = np.stack([2 * width + landmarks[:, 1], width - 1 - landmarks[:, 0]], 1)
    return photo, [landmarks, mirrored, upward]


def test_a_photo_comes_back_with_its_face_sharp(codec, astronaut, landmarks):
    plain, layered = (codec.encode(astronaut, max_bytes=700, faces=faces) for faces in (None, [landmarks]))
    assert len(layered) <= 700 and len(plain) <= 700
    face = np.asarray(align(Image.fromarray(astronaut), landmarks), float)

    def error(data):
        out = codec.decode(data)
        assert out.size == (320, 300)
        return ((np.asarray(align(out, landmarks), float) - face) ** 2).mean()

    assert error(layered) < 0.8 * error(plain)  # at equal bytes; it was 0.7 of what face-v1 made of plain ones


def test_large_faces_keep_their_pixels(codec, astronaut, landmarks):
    """From a high quality on; what is painted is then nearer to the picture than 112 x 112 pixels could be."""
    photo = np.asarray(Image.fromarray(astronaut).resize((640, 600), Image.Resampling.BICUBIC))
    points = [np.asarray(landmarks) * 2]
    errors = {}
    for quality, side in ((59, 112), (60, 224), (90, 224)):
        data = codec.encode(photo, quality=quality, background_quality=10, faces=points)
        (found,) = codec.decode_faces(data)
        assert found.image.size == (side, side) and found.template.size == (112, 112)
        assert np.abs(found.landmarks - points[0]).max() < 8
        left, top = points[0].min(0).astype(int)
        right, bottom = points[0].max(0).astype(int)
        region = np.s_[top:bottom, left:right]
        errors[quality] = ((np.asarray(codec.decode(data), float)[region] - photo[region]) ** 2).mean()
    assert errors[90] < errors[60] < 0.8 * errors[59]
    like = codec.encode(photo, min_similarity=0.5, faces=points)
    assert codec.decode_faces(like)[0].image.size == (112, 112)


def test_probe_lists_the_layers(codec, three):
    photo, faces = three
    data = codec.encode(photo, quality=30, faces=faces)
    info = lfic.probe(data)
    assert (info.width, info.height, info.model, len(info.layers)) == (940, 300, "face-v2", 3)
    assert info.bytes == len(data) > info.payload_bytes > sum(layer.payload_bytes for layer in info.layers)
    for layer in info.layers:
        assert layer.quality == 30 and layer.levels.shape == (4, 4)
        assert min(np.abs(layer.matrix - template_matrix(points)).max() for points in faces) < 3


def test_decode_faces_gives_the_crops_themselves(codec, three):
    """Not resampled: exactly what the codec makes of the crops as they were cut."""
    photo, faces = three
    data = codec.encode(photo, quality=45, background_quality=1, faces=faces)
    found = codec.decode_faces(data)
    cut = layers.Photo(photo, layers.places_of(faces, 940, 300)).crops
    expected = codec.decode_batch(codec.encode_batch(cut, quality=45, aligned=True), out="numpy")
    assert len(found) == 3
    for one, pixels, points in zip(found, expected, [faces[k] for k in order_of(found, faces)]):
        np.testing.assert_array_equal(np.asarray(one.image), pixels)
        assert one.quality == 45 and np.abs(one.landmarks - points).max() < 6
    crop = codec.encode(cut[0], quality=45, aligned=True)
    (alone,) = codec.decode_faces(crop)
    np.testing.assert_array_equal(np.asarray(alone.image), np.asarray(codec.decode(crop)))
    assert codec.decode_faces(codec.encode(photo, quality=5)) == []


def order_of(found, faces):
    """For each face found the number of the landmarks nearest to it."""
    return [int(np.argmin([np.abs(one.landmarks - points).mean() for points in faces])) for one in found]


def test_a_batch_of_all_kinds(codec, astronaut, landmarks, face, photo):
    images = [astronaut, face, photo(90, 70), astronaut]
    faces = [[landmarks], None, None, None]
    blobs = codec.encode_batch(images, quality=20, faces=faces)
    alone = [codec.encode(image, quality=20, faces=one) for image, one in zip(images, faces)]
    assert [len(b) for b in blobs] == pytest.approx([len(b) for b in alone], abs=2)
    for image, out in zip(images, codec.decode_batch(blobs, out="numpy")):
        assert out.shape == image.shape
    together = codec.decode_batch([blobs[0], blobs[3]], out="tensor")
    assert tuple(together.shape) == (2, 3, 300, 320)


def test_files_without_faces_are_as_before(codec, face, photo):
    for image in (face, photo(60, 75)):
        assert codec.encode(image, quality=33, faces=[]) == codec.encode(image, quality=33)
        assert codec.encode(image, quality=33)[1] >> 5 & 3 == 1


def test_bounds_are_kept_and_used(codec, three):
    photo, faces = three
    sizes = []
    for bound in (400, 900, 2500):
        data = codec.encode(photo, max_bytes=bound, faces=faces)
        assert len(data) <= bound
        sizes.append(len(data))
    assert sizes[2] > 2000 and sizes[1] > 700  # steps of the scale are coarse for a background of 940 x 300
    with pytest.raises(InvalidInputError, match="smallest file of this picture and its 3 faces has"):
        codec.encode(photo, max_bytes=60, faces=faces)
    fixed = codec.encode(photo, max_bytes=900, face_quality=10, faces=faces)
    assert {layer.quality for layer in lfic.probe(fixed).layers} == {10}


def test_a_large_picture_fits_into_few_bytes(codec, photo):
    """Where no region can be pooled further the picture is coded at a part of its size, without a face in it."""
    large = photo(700, 900)
    data = codec.encode(large, max_bytes=200)
    info = lfic.probe(data)
    assert len(data) <= 200 and info.scale <= 0.25 and info.layers == () and data[1] >> 5 & 3 == 2
    assert codec.decode(data).size == (900, 700)
    error = np.abs(np.asarray(codec.decode(data), float).mean((0, 1)) - large.mean((0, 1))).max()
    assert error < 8  # its colours on the whole are right
    with pytest.raises(InvalidInputError, match="smallest file of this picture has .* bytes: allow more, or shrink it"):
        codec.encode(large, max_bytes=20)


def test_likeness_is_asked_of_every_face(recognizing_codec, three):
    photo, faces = three
    crops = layers.Photo(photo, layers.places_of(faces, 940, 300)).crops
    data = recognizing_codec.encode(photo, min_similarity=0.9, faces=faces)
    shown = [one.image for one in recognizing_codec.decode_faces(data)]
    assert float((recognizing_codec.embed(shown) * recognizing_codec.embed(crops)).sum(1).min()) >= 0.9


def test_effort_serves_the_faces(codec, astronaut, landmarks):
    first, second = (codec.encode(astronaut, quality=40, faces=[landmarks], effort=effort) for effort in (0, 1))
    assert first != second and abs(len(first) - len(second)) < 0.2 * len(first)


def test_the_detector_finds_them(codec, three, monkeypatch):
    photo, _ = three
    assert len(lfic.probe(codec.encode(photo, quality=10, faces="auto")).layers) >= 2  # the turned one may be missed
    monkeypatch.setitem(__import__("sys").modules, "facenet_pytorch", None)
    lfic.faces.detector.cache_clear()
    assert lfic.probe(codec.encode(photo, quality=10, faces="auto")).layers == ()  # no detector, no layers
    lfic.faces.detector.cache_clear()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"faces": "all"}, "faces is 'all'; allowed are None, 'auto' and landmarks"),
        ({"faces": [np.zeros((4, 2))]}, r"face 1: landmarks have shape \(4, 2\); needed are five points"),
        ({"faces": [LANDMARKS * 0.01]}, "face 1: a face of .* pixels can't be a layer"),
        ({"faces": [LANDMARKS + 1000]}, "face 1: the face's centre is at .* outside the 320 x 300 picture"),
        ({"faces": [LANDMARKS] * 65}, "there are 65 faces; allowed are 64"),
        ({"face_quality": 0}, "face_quality is 0; allowed are the integers 1 to 100"),
        ({"background_quality": 101}, "background_quality is 101; allowed are the integers 1 to 100"),
    ],
)
def test_what_is_wrong_is_said(codec, astronaut, options, message):
    with pytest.raises(InvalidInputError, match=message):
        codec.encode(astronaut, **options)
    if isinstance(options.get("faces"), list):
        with pytest.raises(InvalidInputError, match="faces has 3 entries for 2 images"):
            codec.encode_batch([astronaut] * 2, faces=[None] * 3)


def test_damage_is_told(codec, astronaut, landmarks):
    data = codec.encode(astronaut, quality=20, faces=[landmarks])
    for at in range(0, len(data), 7):
        broken = bytearray(data)
        broken[at] ^= 0x55
        with pytest.raises((lfic.CorruptStreamError, ContainerError)):
            codec.decode(bytes(broken))
    with pytest.raises(ContainerError, match="allowed are 5000"):
        codec.decode(data, max_pixels=5000)


def test_the_background_goes_on_under_the_layers(astronaut, landmarks):
    """What is covered is filled from around it, and what is seen stays what it is."""
    (place,) = layers.places_of([landmarks], 320, 300)
    left = coverage([place], 320, 300)
    marked = astronaut.copy()
    marked[left == 0] = (0, 255, 0)
    filled = uncovered(marked, left, 0)
    np.testing.assert_array_equal(filled[left == 256], marked[left == 256])
    green = filled[left == 0].astype(int)
    assert (green[:, 1] - green[:, [0, 2]].mean(1)).mean() < 40
    assert uncovered(marked, left, 8).shape == (75, 80, 3)
    nothing = uncovered(marked, np.zeros_like(left), 12)
    assert nothing.shape == (38, 40, 3)


@pytest.mark.parametrize("quality", range(1, 101))
def test_the_backgrounds_scale_rises(quality):
    reduction, of_stream = layers.background_step(quality)
    assert 1 <= of_stream <= 100 and 0 <= reduction <= 15
    if quality > 1:
        before, _ = layers.background_step(quality - 1)
        assert reduction <= before and layers.background_for(quality) >= layers.background_for(quality - 1)
    assert layers.background_for(100) == 100
