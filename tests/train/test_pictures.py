"""Whole pictures beside template crops: what a step sees, and the warp of their faces onto the template."""

import numpy as np
import pytest
import torch
from PIL import Image
from train_faces import settings
from train_pictures import PICTURES, make_picture_packs

from lfic.align import TEMPLATE_112
from lfic.data.picturepack import PicturePack
from lfic.train.cut import face_of, photo
from lfic.train.picture_loss import on_template
from lfic.train.pictures import PictureSteps, stacked
from lfic.train.synthetic import KINDS, synthetic, wall
from lfic.train.world import World


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return PicturePack(make_picture_packs(tmp_path_factory.mktemp("pictures"))[0])


def steps_of(pack, seed=1, world=None, **changes):
    return PictureSteps(pack, settings(**(PICTURES | changes)).data, seed, world or World())


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(vars(one).values(), vars(other).values()))


def test_pictures_are_a_function_of_seed_and_step(pack):
    steps, again = steps_of(pack), steps_of(pack)
    far = steps[40]
    found = [steps[step] for step in range(6)]
    assert all(same(batch, again[step]) for step, batch in enumerate(found)) and same(far, again[40])
    assert len({batch.pixels.shape for batch in found}) > 1 and not same(found[0], steps_of(pack, seed=2)[0])
    for batch in found:
        assert batch.pixels.dtype == torch.uint8 and batch.pixels.shape[0] == 3
        assert {*batch.pixels.shape[2:]} <= {48, 64, 80}
        assert batch.quality.min() >= 1 and batch.quality.max() <= 100
        assert ((batch.face > 0) == batch.visible).all() and batch.face.max() <= 1 and not batch.aligned.any()


def test_processes_draw_rows_of_the_whole(pack):
    whole, part = (steps_of(pack, world=World(rank, size), picture_batch=4)[3] for rank, size in ((0, 1), (1, 2)))
    assert torch.equal(whole.pixels[2:], part.pixels) and torch.equal(whole.quality[2:], part.quality)


class Dots:
    """A pack of one picture, a soft dot at one landmark."""

    def __init__(self, k, size=(160, 140)):
        turn = np.array([[0.98, -0.2], [0.2, 0.98]])
        self.landmarks = (TEMPLATE_112 - 56) @ turn.T + np.array(size) / 2
        y, x = np.mgrid[: size[1], : size[0]]
        self.pixels = 255 * np.exp(-((x - self.landmarks[k, 0]) ** 2 + (y - self.landmarks[k, 1]) ** 2) / 18)

    def photo(self, i):
        return Image.fromarray(np.repeat(np.rint(self.pixels).astype(np.uint8)[..., None], 3, 2)), self.landmarks


@pytest.mark.parametrize("side", [64, 112, 176])
def test_the_warp_takes_landmarks_onto_the_template(side):
    """Cut, turned, mirrored and scaled, then warped: the dot is where the template has that landmark."""
    seen = 0
    for seed in range(24):
        k = seed % 5
        pixels, landmarks = photo(Dots(k), 0, side, side + 16, np.random.default_rng(seed))
        batch = stacked([(pixels, landmarks)], torch.ones(1), torch.ones(1)).to("cpu")
        if not batch.visible[0]:
            continue
        rows, columns = np.clip(np.rint(landmarks[:, ::-1]), 0, [side - 1, side + 15]).astype(int).T
        place = int(pixels[rows, columns, 0].argmax())  # another landmark than k where it is mirrored
        weight = on_template(batch.pixels, batch.matrix)[0, 0].double()
        weight = weight * (weight > 0.3 * weight.max())
        y, x = torch.meshgrid(torch.arange(112.0), torch.arange(112.0), indexing="ij")
        near = ((x - TEMPLATE_112[place, 0]) ** 2 + (y - TEMPLATE_112[place, 1]) ** 2 < 400).double() * weight
        center = torch.stack([(near * x).sum(), (near * y).sum()]) / near.sum()
        assert (center - torch.from_numpy(TEMPLATE_112[place])).norm() < 0.5
        seen += 1
    assert seen > 4


def test_faces_too_small_or_outside_do_not_count():
    assert face_of(TEMPLATE_112, 112, 112)[1] > 0.4
    assert face_of(TEMPLATE_112 * 0.3 + 20, 112, 112)[1] == 0  # too small
    assert face_of(TEMPLATE_112 + np.array([60, 0]), 112, 112)[1] == 0  # half of it is outside


def test_the_gradient_passes_the_warp():
    pixels = torch.rand(2, 3, 64, 80, requires_grad=True)
    matrix = torch.from_numpy(np.stack([face_of(TEMPLATE_112 * s + 4, 64, 80)[0] for s in (0.5, 0.6)])).float()
    out = on_template(pixels, matrix)
    assert out.shape == (2, 3, 112, 112)
    out.square().sum().backward()
    assert pixels.grad.isfinite().all() and (pixels.grad[:, :, 20:40, 20:50] != 0).all()


def test_synthetic_pictures():
    made = [synthetic(48, 64, np.random.default_rng([1, i])) for i in range(10 * KINDS)]
    drawn = [pixels for pixels in made if pixels is not None]
    assert 0 < len(drawn) < len(made) and all(p.shape == (48, 64, 3) and p.dtype == np.uint8 for p in drawn)
    assert any(len(np.unique(p.reshape(-1, 3), axis=0)) == 1 for p in drawn)  # one flat colour
    before = wall(np.full((48, 64, 3), 77, np.uint8), TEMPLATE_112 * 0.3 + 10, np.random.default_rng(1))
    assert {0, 255} >= set(before[-1, -1].tolist()) and (before == 77).any()
