"""The metric's terms: values, ranges, gradients against finite differences, and what they refuse."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from lfic.align import TEMPLATE_112
from lfic.errors import InvalidInputError, WeightsError
from lfic.metric import (
    AdversarialMetric,
    HybridMetric,
    PatchDiscriminator,
    Recognizer,
    RecognizerEnsemble,
    l1,
    landmark_weight,
    load_facenet,
    ms_ssim,
    mse,
    texture,
)
from lfic.metric.features import feature_distance, normalize_maps
from lfic.metric.identity import identity_distance, load_exported, load_recognizer, load_torchscript


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def pictures(count=2, height=24, width=28, dtype=torch.float32):
    return torch.rand(count, 3, height, width, dtype=dtype), torch.rand(count, 3, height, width, dtype=dtype)


def tiny_recognizer(side=24, seed=0, **settings):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.Tanh(), nn.Flatten(), nn.Linear(4 * (side // 4) ** 2, 8))
    return Recognizer(network, size=side, scale=2.0, **settings)


def levels(count, rows=2, columns=2):
    return nn.functional.one_hot(torch.randint(0, 3, (count, rows, columns)), 3).permute(0, 3, 1, 2).float()


def check_gradient(function, at, directions=3):
    """The directional derivative of a float64 function equals its central difference."""
    at = at.double().requires_grad_(True)
    (gradient,) = torch.autograd.grad(function(at), at)
    for _ in range(directions):
        direction = torch.randn_like(at)
        h = 1e-5
        with torch.no_grad():
            numeric = (function(at + h * direction) - function(at - h * direction)) / (2 * h)
        assert float((gradient * direction).sum()) == pytest.approx(float(numeric), rel=1e-4, abs=1e-7)


def test_pixel_values():
    x, y = torch.full((1, 3, 16, 16), 0.25), torch.full((1, 3, 16, 16), 0.75)
    assert l1(x, y).item() == pytest.approx(0.5) and mse(x, y).item() == pytest.approx(0.25)
    weight = torch.zeros(1, 1, 16, 16)
    weight[..., :8] = 1
    assert mse(x, y, weight).item() == pytest.approx(0.125)


def test_texture_counts_patterns_where_the_target_is_smooth():
    at = torch.arange(32)
    smooth = (0.3 + 0.001 * at).expand(1, 3, 32, 32)  # squared gradient 1e-6: masks a hundredth
    busy = torch.rand(1, 3, 32, 32)
    pattern = 0.02 * ((at[:, None] + at) % 2).expand(1, 3, 32, 32)
    assert texture(smooth + 0.1, smooth).item() == pytest.approx(0, abs=1e-9)  # a shift of all pixels is no texture
    # Each pixel but those of the last row and column differs by 0.02 from both neighbours.
    expected = 0.02**2 * 2 * 31 / 32 / (1 + 1e-6 / 1e-4)
    assert texture(smooth + pattern, smooth).item() == pytest.approx(expected, rel=5e-3)
    assert texture(busy + pattern, busy).item() < expected / 100
    assert texture(smooth + pattern, smooth, torch.full((1, 1, 32, 32), 0.5)).item() == pytest.approx(
        expected / 2, rel=5e-3
    )


@pytest.mark.parametrize("side", [11, 40, 112, 176])
def test_ms_ssim_is_one_for_equal_pictures_and_falls_with_noise(side):
    x = nn.functional.interpolate(torch.rand(1, 3, 6, 6), (side, side), mode="bicubic").clamp(0, 1)
    noise = torch.randn_like(x)
    values = [ms_ssim((x + s * noise).clamp(0, 1), x).item() for s in (0.0, 0.03, 0.1, 0.4)]
    assert values[0] == pytest.approx(1, abs=1e-5)
    assert values == sorted(values, reverse=True) and 0 <= values[-1] < 0.9


def test_ms_ssim_of_flat_pictures_is_the_luminance_term():
    a, b = 0.2, 0.6
    x, y = torch.full((1, 3, 176, 176), a, dtype=torch.float64), torch.full((1, 3, 176, 176), b, dtype=torch.float64)
    luminance = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
    assert ms_ssim(x, y).item() == pytest.approx(luminance**0.1333, abs=1e-6)


def test_ms_ssim_is_bounded_where_pictures_are_opposite():
    x = torch.rand(1, 3, 48, 48)
    x.requires_grad_(True)
    value = ms_ssim(x, 1 - x.detach())
    value.sum().backward()
    assert 0 <= value.item() <= 1 and torch.isfinite(x.grad).all()


@pytest.mark.parametrize("term", [l1, mse, ms_ssim, texture])
def test_pixel_gradients(term):
    x, y = pictures(dtype=torch.float64)
    x = torch.where((x - y).abs() < 1e-3, y + 0.01, x)  # L1 has a kink where pixels are equal
    check_gradient(lambda p: term(p, y).sum(), x)


@pytest.mark.parametrize("term", [l1, mse, ms_ssim, texture])
@pytest.mark.parametrize("shape", [(3, 24, 24), (1, 1, 24, 24), (1, 3, 24, 25)])
def test_pixel_terms_refuse_other_shapes(term, shape):
    with pytest.raises(InvalidInputError, match="3, H, W"):
        term(torch.rand(shape), torch.rand(1, 3, 24, 24))


def test_bytes_and_small_pictures_are_refused():
    with pytest.raises(InvalidInputError, match="floats"):
        mse(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(InvalidInputError, match="at least 11"):
        ms_ssim(torch.rand(1, 3, 10, 40), torch.rand(1, 3, 10, 40))


def test_landmark_weight_follows_the_face():
    template = torch.tensor(TEMPLATE_112)[None]
    weight = landmark_weight(template, 112, 112, floor=0.25)
    assert weight.shape == (1, 1, 112, 112) and 0.25 <= weight.min() < 0.26 and weight.max() <= 1
    assert weight[0, 0, 70, 56] > 0.98 and weight[0, 0, 2, 2] < 0.3
    moved = landmark_weight(template + torch.tensor([20, 10]), 140, 140, floor=0.25)
    assert torch.allclose(moved[0, 0, 10:122, 20:132], weight[0, 0], atol=1e-4)
    with pytest.raises(InvalidInputError, match=r"\[N, 5, 2\]"):
        landmark_weight(torch.zeros(5, 2), 8, 8)
    with pytest.raises(InvalidInputError, match="floor"):
        landmark_weight(template, 8, 8, floor=2)


def test_recogniser_gives_unit_vectors_and_stays_frozen():
    recognizer = tiny_recognizer().train()
    embedding = recognizer(pictures(3, 40, 40)[0])
    assert torch.allclose(embedding.norm(dim=1), torch.ones(3), atol=1e-6)
    assert not recognizer.network.training and not any(p.requires_grad for p in recognizer.parameters())
    flipped = tiny_recognizer(order="BGR")
    x = pictures()[0]
    assert torch.allclose(flipped(x.flip(1)), tiny_recognizer()(x))
    with pytest.raises(InvalidInputError, match="order"):
        tiny_recognizer(order="GBR")
    with pytest.raises(InvalidInputError, match="3, H, W"):
        recognizer(torch.rand(3, 24, 24))


def test_identity_distance_range_and_gradient():
    recognizer = tiny_recognizer().double()
    x, y = pictures(4, 24, 24, torch.float64)
    distance = identity_distance(recognizer(x), recognizer(y))
    assert (distance >= 0).all() and (distance <= 2).all()
    assert identity_distance(recognizer(x), recognizer(x)).abs().max() < 1e-12
    assert identity_distance(recognizer(x), -recognizer(x)).min() == pytest.approx(2)
    target = recognizer(y)
    check_gradient(lambda p: identity_distance(recognizer(p), target).sum(), x)


def test_ensemble_is_the_weighted_mean_of_similarities():
    first, second = tiny_recognizer(seed=1), tiny_recognizer(seed=2, side=16)
    joint = RecognizerEnsemble.of([(first, 3.0), (second, 1.0)])
    x, y = pictures(3)
    expected = 0.75 * identity_distance(first(x), first(y)) + 0.25 * identity_distance(second(x), second(y))
    assert torch.allclose(identity_distance(joint(x), joint(y)), expected, atol=1e-6)
    assert RecognizerEnsemble.of(first) is first
    for recognizers, weights in (([], None), ([first], [0.0]), ([first], [1.0, 2.0])):
        with pytest.raises(InvalidInputError, match="positive weight"):
            RecognizerEnsemble(recognizers, weights)


def test_recognisers_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="no recogniser"):
        load_torchscript(tmp_path / "none.pt")
    (tmp_path / "bad.pt").write_bytes(b"not a network")
    with pytest.raises(WeightsError, match="TorchScript"):
        load_torchscript(tmp_path / "bad.pt")
    with pytest.raises(InvalidInputError, match="casia-webface"):
        load_facenet("lfw")


def test_facenet_never_has_random_weights(tmp_path, monkeypatch):
    facenet = pytest.importorskip("facenet_pytorch")
    with pytest.raises(WeightsError, match="no weights"):
        load_facenet(path=tmp_path / "none.pt")
    (tmp_path / "bad.pt").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="does not hold"):
        load_facenet(path=tmp_path / "bad.pt")
    with pytest.raises(WeightsError, match="SHA-256"):
        load_facenet(path=tmp_path / "bad.pt", sha256="0" * 64)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *a, **k: (_ for _ in ()).throw(OSError("no network")))
    with pytest.raises(WeightsError, match="could not download"):
        load_facenet()
    network = facenet.InceptionResnetV1().eval()
    torch.save(network.state_dict(), tmp_path / "whole.pt")
    recognizer = load_facenet(path=tmp_path / "whole.pt")
    x = torch.rand(1, 3, 160, 160)
    with torch.no_grad():
        assert torch.allclose(recognizer(x), network((x * 255 - 127.5) / 128), atol=1e-5)


@pytest.mark.parametrize("loss", ["lsgan", "hinge"])
def test_adversarial_values_and_where_gradients_go(loss):
    metric = AdversarialMetric(loss, feature_matching=0)
    x, y = pictures(2, 32, 32)
    x.requires_grad_(True)
    chosen = levels(2)
    metric.eval()
    score, real = metric.discriminator(x, chosen)[0], metric.discriminator(y, chosen)[0]
    assert score.shape == (2, 1, 4, 4)
    if loss == "lsgan":
        expected, other = (score - 1).square(), ((real - 1).square() + score.square()) / 2
    else:
        expected, other = -score, (1 - real).relu() + (1 + score).relu()
    assert torch.allclose(metric(x, y, chosen), expected.mean((1, 2, 3)))
    assert torch.allclose(metric.discriminator_loss(x, y, chosen), other.mean((1, 2, 3)))
    metric(x, y, chosen).sum().backward()
    assert x.grad.abs().sum() > 0 and all(p.grad is None for p in metric.parameters())
    x.grad = None
    metric.discriminator_loss(x, y, chosen).sum().backward()
    assert x.grad is None and all(p.grad is not None for p in metric.discriminator.parameters())


def test_the_discriminator_sees_the_levels():
    net = PatchDiscriminator(8).eval()
    x = pictures(1, 32, 32)[0]
    fine, coarse = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    fine[:, 0], coarse[:, 2] = 1, 1
    assert not torch.allclose(net(x, fine)[0], net(x, coarse)[0])
    with pytest.raises(InvalidInputError, match="one-hot"):
        net(x, torch.zeros(1, 2, 2, 2))


def test_adversarial_gradient_and_feature_matching():
    metric = AdversarialMetric(discriminator=PatchDiscriminator(8)).double().eval()
    x, y = pictures(1, 32, 32, torch.float64)
    chosen = levels(1).double()
    check_gradient(lambda p: metric(p, y, chosen).sum(), x)
    bare = AdversarialMetric(feature_matching=0, discriminator=metric.discriminator)
    assert metric(y, y, chosen).item() == pytest.approx(bare(y, y, chosen).item())
    assert metric(x, y, chosen).item() > bare(x, y, chosen).item()


def test_a_discriminator_learns_to_tell():
    metric = AdversarialMetric(discriminator=PatchDiscriminator(8))
    optimizer = torch.optim.Adam(metric.parameters(), lr=5e-3)
    chosen = levels(4)
    real, fake = torch.rand(4, 3, 32, 32) * 0.2 + 0.8, torch.rand(4, 3, 32, 32) * 0.2
    first = metric.discriminator_loss(fake, real, chosen).mean().item()
    for _ in range(40):
        optimizer.zero_grad()
        loss = metric.discriminator_loss(fake, real, chosen).mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * first


def staged_network():
    """Feature maps of two resolutions; the last of each counts."""
    torch.manual_seed(3)
    stage = [
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, 2, 1),
        nn.PReLU(12),
        nn.Conv2d(12, 12, 1),
    ]
    return nn.Sequential(*stage, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 6)).eval()


def test_features_are_the_last_maps_of_each_resolution():
    network = staged_network()
    recognizer = Recognizer(network, size=32, mean=0.5, scale=2.0)
    x, y = pictures(3, 32, 32)
    embedding, maps = recognizer.describe(x)
    assert torch.equal(embedding, recognizer(x)) and [m.shape for m in maps] == [(3, 8, 16, 16), (3, 12, 8, 8)]
    expected = torch.zeros(3)
    for layers in (3, 6):
        one, other = (nn.functional.normalize(network[:layers]((p - 0.5) * 2), dim=1) for p in (x, y))
        expected += (one - other).square().sum(1).mean((1, 2)) / 2
    distance = feature_distance(maps, recognizer.describe(y)[1])
    assert torch.allclose(distance, expected, atol=1e-5) and (distance > 0).all() and (distance <= 4).all()
    assert feature_distance(maps, maps).abs().max() == 0
    opposite = feature_distance(
        normalize_maps([torch.ones(1, 4, 2, 2)] * 3), normalize_maps([-torch.ones(1, 4, 2, 2)] * 3)
    )
    assert opposite.item() == pytest.approx(4)
    assert not list(network[0]._forward_hooks)


def test_features_of_files_are_those_of_the_module(tmp_path):
    class Centred(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = staged_network()
            self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).reshape(1, 3, 1, 1))

        def forward(self, x):
            return self.network((x - self.mean) / 0.25)

    network = Centred().eval()
    x = pictures(3, 32, 32)[0]
    wanted = Recognizer(network, size=32).describe(x)
    torch.jit.trace(network, torch.zeros(2, 3, 32, 32)).save(str(tmp_path / "traced.pt"))
    torch.export.save(
        torch.export.export(network, (torch.zeros(2, 3, 32, 32),), dynamic_shapes=({0: torch.export.Dim("n")},)),
        tmp_path / "net.pt2",
    )
    for recognizer in (load_torchscript(tmp_path / "traced.pt", size=32), load_exported(tmp_path / "net.pt2", size=32)):
        x.requires_grad_(True)
        embedding, maps = recognizer.train().describe(x)
        assert torch.allclose(embedding, wanted[0], atol=1e-5) and torch.allclose(
            recognizer(x[:1]), wanted[0][:1], atol=1e-5
        )
        assert len(maps) == 2 and all(torch.allclose(a, b, atol=1e-5) for a, b in zip(maps, wanted[1]))
        (gradient,) = torch.autograd.grad(feature_distance(maps, [m.detach().flip(0) for m in maps]).sum(), x)
        assert gradient.abs().sum() > 0 and not any(p.requires_grad for p in recognizer.parameters())
    assert (
        load_recognizer(str(tmp_path / "net.pt2")).name == "net"
        and load_recognizer(str(tmp_path / "traced.pt")).name == "traced"
    )
    (tmp_path / "bad.pt2").write_bytes(b"not an archive")
    with pytest.raises(WeightsError, match="torch.export"):
        load_recognizer(str(tmp_path / "bad.pt2"))
    with pytest.raises(WeightsError, match="no recogniser"):
        load_recognizer(str(tmp_path / "none.pt2"))
    with pytest.raises(InvalidInputError, match="casia-webface"):
        load_recognizer("facenet:lfw")


def test_networks_whose_features_cannot_be_seen_say_so():
    class Bare(nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    x = pictures(1, 24, 24)[0]
    with pytest.raises(InvalidInputError, match="feature maps"):
        Recognizer(Bare(), size=24).describe(x)

    @torch.jit.script
    def branch(x):
        if bool(x.sum() > 0):
            x = x * 2
        return x.mean((2, 3))

    class Branching(nn.Module):
        def forward(self, x):
            return branch(x)

    with pytest.raises(InvalidInputError, match="prim::If"):
        Recognizer(torch.jit.script(Branching().eval()), size=24).describe(x)


def test_features_gradient_and_ensemble():
    recognizer = Recognizer(staged_network(), size=32).double()
    x, y = pictures(2, 32, 32, torch.float64)
    check_gradient(lambda p: feature_distance(recognizer.describe(p)[1], recognizer.describe(y)[1]).sum(), x)
    other = Recognizer(staged_network(), size=16, scale=1.0).double()
    joint = RecognizerEnsemble([recognizer, other], [3.0, 1.0])
    expected = sum(
        w * feature_distance(r.describe(x)[1], r.describe(y)[1]) for r, w in ((recognizer, 0.75), (other, 0.25))
    )
    assert torch.allclose(feature_distance(joint.describe(x)[1], joint.describe(y)[1]), expected)
    assert torch.equal(joint.describe(x)[0], joint(x))
    plain, full = HybridMetric(joint), HybridMetric(joint, feature_weight=2.0)
    seen = torch.tensor([True, False])
    assert torch.allclose(full(x, y).total, plain(x, y).total + 2 * expected) and torch.allclose(
        full(x, y).features, expected
    )
    part = full(x, y, seen=seen, embedding=torch.zeros(1, 12))
    assert torch.allclose(part.features, expected * seen) and torch.allclose(part.identity, plain(x, y).identity * seen)
    assert full(x, x).total.abs().max() < 1e-9


def test_hybrid_is_the_weighted_sum():
    recognizer, gan = tiny_recognizer(), AdversarialMetric(discriminator=PatchDiscriminator(8)).eval()
    metric = HybridMetric(
        recognizer, pixel_weight=3.0, identity_weight=0.5, adversarial_weight=0.1, adversarial=gan
    ).eval()
    x, y = pictures(2, 32, 32)
    chosen = levels(2)
    terms = metric(x, y, levels=chosen)
    expected = 3 * mse(x, y) + 0.5 * identity_distance(recognizer(x), recognizer(y)) + 0.1 * gan(x, y, chosen)
    assert torch.allclose(terms.total, expected, atol=1e-6)
    textured = HybridMetric(pixel_weight=3.0, texture_weight=7.0)(x, y)
    assert torch.allclose(textured.total, 3 * (mse(x, y) + 7 * texture(x, y)), atol=1e-6) and torch.equal(
        textured.texture, texture(x, y)
    )
    seen = torch.tensor([False, True])
    part = HybridMetric(recognizer, pixel_weight=3.0)(x, y, seen=seen)
    assert part.identity[0] == 0 and torch.allclose(part.identity[1], terms.identity[1], atol=1e-6)
    assert HybridMetric(recognizer)(x, x).total.abs().max() < 1e-5
    assert HybridMetric(pixel="ms_ssim")(x, y).identity.sum() == 0


def test_hybrid_gradient():
    metric = HybridMetric(tiny_recognizer().double())
    x, y = pictures(2, 24, 24, torch.float64)
    check_gradient(lambda p: metric(p, y).total.sum(), x)


def test_hybrid_refuses_what_makes_no_sense():
    for settings, text in (
        ({"pixel": "psnr"}, "ms_ssim"),
        ({"pixel_weight": -1.0}, "at least 0"),
        ({"identity_weight": float("nan")}, "at least 0"),
        ({"adversarial_weight": 1.0}, "AdversarialMetric"),
        ({"feature_weight": 1.0}, "recogniser"),
        ({"texture_weight": -1.0}, "at least 0"),
    ):
        with pytest.raises(InvalidInputError, match=text):
            HybridMetric(**settings)
    with pytest.raises(InvalidInputError, match="lsgan"):
        AdversarialMetric("wgan")
    x, y = pictures(1, 32, 32)
    with pytest.raises(InvalidInputError, match="levels"):
        HybridMetric(adversarial_weight=1.0, adversarial=AdversarialMetric())(x, y)
    with pytest.raises(InvalidInputError, match="no pixel weight"):
        HybridMetric(pixel="ms_ssim")(x, y, weight=torch.ones(1, 1, 32, 32))


def test_the_package_does_not_load_torch():
    code = "import sys, lfic, lfic.metric; assert 'torch' not in sys.modules; lfic.metric.HybridMetric"
    code += "; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


class Shaped(torch.nn.Module):
    """A network that gives its embeddings in some form."""

    def __init__(self, form):
        super().__init__()
        self.form = form

    def forward(self, x):
        return self.form(x.mean((2, 3)))


def test_embeddings_with_two_more_axes_are_flattened():
    pixels = torch.rand(2, 3, 112, 112)
    plain, deep = (Recognizer(Shaped(form), size=112)(pixels) for form in (lambda e: e, lambda e: e[..., None, None]))
    assert torch.equal(plain, deep) and deep.shape == (2, 3)


@pytest.mark.parametrize(
    "form", [lambda e: (e, e), lambda e: {"e": e}, lambda e: e[0], lambda e: e[:, :, None].repeat(1, 1, 2)]
)
def test_a_network_that_gives_something_else_is_named(form):
    with pytest.raises(InvalidInputError, match=r"the recogniser odd gives .* for 2 faces; needed is one tensor"):
        Recognizer(Shaped(form), size=112, name="odd")(torch.rand(2, 3, 112, 112))
