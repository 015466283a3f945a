"""Whole pictures beside template crops: what a step sees, and the warp of their faces onto the template."""

import numpy as np
import pytest
import torch
from PIL import Image
from train_faces import settings
from train_pictures import PICTURES, make_picture_packs

from lfic.align import TEMPLATE_112
from lfic.data.picturepack import PicturePack
from lfic.metric.pixel import template_weight
from lfic.train.cut import face_of, photo
from lfic.train.loss import TrainingLoss
from lfic.train.picture_loss import PictureLoss, faces_in, on_template
from lfic.train.pictures import PictureSteps, stacked, without_face
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
        assert batch.visible.dtype == torch.bool and not batch.aligned.any()


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
    assert face_of(TEMPLATE_112, 112, 112)[1]
    assert not face_of(TEMPLATE_112 * 0.3 + 20, 112, 112)[1]  # too small
    assert not face_of(TEMPLATE_112 + np.array([60, 0]), 112, 112)[1]  # half of it is outside


def test_pixels_weigh_by_how_far_they_are_on_the_face():
    landmarks = (TEMPLATE_112 - 56) @ np.array([[0.0, -0.5], [0.5, 0.0]]) + [70, 60]  # turned by a quarter, and smaller
    matrix = torch.from_numpy(np.stack([face_of(points, 112, 140)[0] for points in (TEMPLATE_112, landmarks)])).float()
    upright, turned = faces_in(matrix, 112, 140)
    torch.testing.assert_close(upright[:, :, :112], template_weight(0.0)[0])
    assert upright[0, :, 125:].max() < 0.01 and turned.max() > 0.99
    back = on_template(turned[None].expand(1, 3, -1, -1), matrix[1:])[:, :1]
    assert (back - template_weight(0.0)).abs().max() < 0.05


def test_a_background_counts_less_where_a_face_is_seen(pack):
    chosen = settings(**PICTURES, background_weight=0.1, pixel_weight=20.0, pixel_only_weight=50.0)
    loss = PictureLoss(TrainingLoss(chosen.loss, chosen.schedule, World(), None, 9), 2)
    faces = [(np.zeros((112, 160, 3), np.uint8), landmarks) for landmarks in (TEMPLATE_112, None)]
    batch = stacked(faces, torch.tensor([30, 30]), torch.tensor([-1, -1])).to(torch.device("cpu"))
    area = 160 / 112
    for identity, background in ((True, 5.0), (False, 50.0)):
        weights = loss.weights(batch, area, identity)
        each = weights.map * weights.pixel[:, None, None, None] / area
        assert abs(each[0, 0, 5, 150] - background) < 0.01
        assert abs(each[0, 0, 68, 56] - (20 if identity else 50)) < 0.2 and (each[1] - 50).abs().max() < 1e-4


def test_a_face_is_left_out_as_a_layer_leaves_it(pack):
    rng = np.random.default_rng(0)
    pixels = np.full((100, 120, 3), 90, np.uint8)
    pixels[40:80, 40:80] = rng.integers(0, 256, (40, 40, 3))
    left, landmarks = without_face(pixels, (TEMPLATE_112 - 56) * 0.7 + 60)
    assert landmarks is None and left.shape == pixels.shape and np.ptp(left[45:75, 45:75]) < 20
    assert (left[:5] == 90).all()
    outside = TEMPLATE_112 + 300
    assert without_face(pixels, outside)[1] is outside
    found = [steps_of(pack, picture_uncovered=share, picture_synthetic=0.0)[1].visible for share in (0.0, 1.0)]
    assert found[0].any() and not found[1].any()


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
