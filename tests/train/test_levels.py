"""What the head that chooses levels learns from."""

import pytest
import torch
from train_faces import config, make_pack, make_recognizer

from lfic.kernels import rap_quantize_dense
from lfic.metric.pixel import mse, template_weight, texture
from lfic.network.net import CodecNet, CodecNetConfig
from lfic.network.rap import region_totals
from lfic.train.checkpoint import load_tensors
from lfic.train.levels import level_loss, region_costs
from lfic.train.loop import run

SMALL = CodecNetConfig(8, (16, 16, 16), (1, 1, 1), (1, 1, 1), 4, 32, 16)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(1)
    return CodecNet(SMALL).eval().requires_grad_(False)


def faces(count, height=112, width=112):
    torch.manual_seed(2)
    return torch.nn.functional.interpolate(torch.rand(count, 3, 7, 7), (height, width), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("height, width, aligned", [(112, 112, True), (90, 71, False)])
def test_costs_are_those_of_the_whole_face_with_one_region_changed(net, height, width, aligned):
    pixels, quality, a = faces(2, height, width), torch.tensor([7, 70]), torch.full((2,), aligned)
    weight = template_weight().expand(2, -1, -1, -1) if aligned else torch.ones(2, 1, height, width)
    beta, pixel_weight = torch.tensor([900.0, 9000.0]), torch.tensor([20.0, 30.0])
    y = net.analyze(pixels, quality, a)
    others = torch.randint(0, 3, (2, -(-height // 32), -(-width // 32)), dtype=torch.uint8)
    region = torch.tensor([1, others[0].numel() - 1])
    costs = region_costs(
        net,
        y,
        others,
        region,
        pixels,
        quality,
        a,
        weight,
        beta,
        pixel_weight,
        10.0,
        lambda shown: shown.mean((1, 2, 3)),
    )
    assert costs.shape == (2, 3)
    for level in range(3):
        levels = others.clone()
        levels.view(2, -1)[[0, 1], region] = level
        shown, bits = net.code(y, levels, quality, a, height, width)
        distortion = pixel_weight * (mse(shown, pixels, weight) + 10 * texture(shown, pixels, weight)) + shown.mean(
            (1, 2, 3)
        )
        torch.testing.assert_close(costs[:, level], bits + beta * distortion, rtol=1e-4, atol=1e-3)


def test_region_sums_of_partial_regions():
    x = torch.arange(35.0).reshape(1, 1, 5, 7)
    sums = region_totals(x)
    assert sums.shape == (1, 1, 2, 2)
    torch.testing.assert_close(sums[0, 0, 1, 1], x[0, 0, 4:, 4:].sum())
    torch.testing.assert_close(sums.sum(), x.sum())


def test_the_head_learns_the_cheapest_levels(net):
    """Regions of noise among flat ones: after some steps the head chooses what is cheapest in each."""
    torch.manual_seed(3)
    pixels = torch.full((6, 3, 112, 112), 0.5)
    pixels[:, :, :64, :64] = torch.rand(6, 3, 64, 64)
    quality, a = torch.full((6,), 60), torch.ones(6, dtype=torch.bool)
    y = net.analyze(pixels, quality, a)
    symbols = rap_quantize_dense(y, torch.zeros(6, 4, 4, dtype=torch.uint8), net.gain, net.step, quality - 1)[1]
    assert symbols.abs().sum() > 0
    one = torch.ones(6, 4, 4, dtype=torch.uint8)
    weight, beta, pixel_weight = template_weight().expand(6, -1, -1, -1), torch.full((6,), 3e4), torch.full((6,), 30.0)
    costs = torch.stack(
        [
            region_costs(net, y, one, torch.full((6,), region), pixels, quality, a, weight, beta, pixel_weight)
            for region in range(16)
        ],
        2,
    )  # [6, 3, 16]
    scale = (costs - costs.mean(1, keepdim=True)).std().expand(6)
    head = net.level_head.requires_grad_(True)
    optimizer = torch.optim.Adam(head.parameters(), lr=3e-3)

    def excess():
        chosen = net.level_logits(y, quality, a).flatten(2).argmax(1, keepdim=True)
        return (costs.gather(1, chosen)[:, 0] - costs.min(1).values).sum()

    before = excess()
    for _ in range(400):
        optimizer.zero_grad()
        region = torch.randint(0, 16, (6,))
        level_loss(net.level_logits(y, quality, a), region, costs[torch.arange(6), :, region], scale).mean().backward()
        optimizer.step()
    assert before > 0 and excess() < 0.1 * before


def test_the_head_alone(tmp_path):
    """``levels_only``: nothing but the head that chooses levels moves."""
    pack, recognizer = make_pack(tmp_path), str(make_recognizer(tmp_path / "tiny.pt"))
    run(config(pack, tmp_path / "start", steps=1, recognizer=recognizer, identity_from=0, optimizer="adam"))
    trainer = run(
        config(
            pack,
            tmp_path / "head",
            start=str(tmp_path / "start" / "checkpoint"),
            levels_only=True,
            steps=2,
            recognizer=recognizer,
            identity_from=0,
            optimizer="adam",
        )
    )
    start = load_tensors(tmp_path / "start" / "checkpoint", "average")
    moved = {
        name for name, parameter in zip(trainer.names, trainer.parameters) if not torch.equal(parameter, start[name])
    }
    assert moved and all(name.startswith("level_head.") for name in moved)


def test_the_head_moves_in_a_run_only_where_levels_are_measured(tmp_path):
    pack, recognizer = make_pack(tmp_path), str(make_recognizer(tmp_path / "tiny.pt"))
    moved = []
    for faces_measured in (0, 1):
        settings = config(
            pack,
            tmp_path / str(faces_measured),
            steps=3,
            level_faces=faces_measured,
            recognizer=recognizer,
            identity_from=1,
            optimizer="adam",
        )
        torch.manual_seed(settings.run.seed)
        before = CodecNet(SMALL).level_head.out.weight
        moved.append(not torch.equal(run(settings).net.level_head.out.weight.detach(), before.detach()))
    assert moved == [False, True]
