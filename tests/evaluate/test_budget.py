"""The largest file within a number of bytes."""

from evaluate_faces import crops

from lfic.evaluate.budget import fine_settings, largest_that_fits
from lfic.evaluate.peers import facial
from lfic.evaluate.peers.webp import webp
from lfic.evaluate.registry import CODECS

FACES = list(crops(2, 2)[0])


def test_largest_that_fits():
    codec = webp()
    settings = fine_settings(codec)
    sizes = [len(codec.encode(FACES[:1], s)[0]) for s in settings]
    data, image = largest_that_fits(codec, FACES[0], 900, settings)
    assert len(data) == max(s for s in sizes if s <= 900) and image.shape == (112, 112, 3)
    assert largest_that_fits(codec, FACES[0], 50, settings) is None


def test_settings_reach_beyond_the_grid():
    faces = facial.LinearFaceCodec.learn(crops(4, 4)[0], 56, 8).codec("dictionary", (120, 60, 20))
    for codec in [*(CODECS[name]() for name in ("jpeg", "mozjpeg", "webp", "jpeg2000", "jxl", "avif")), faces]:
        settings = fine_settings(codec)
        low, high = sorted((settings[0], settings[-1]))
        assert low <= min(codec.settings) and high >= max(codec.settings)
