"""Steps as a CUDA graph captures them: their form, which any device can run, and on a GPU the capture itself."""

import contextlib
import dataclasses
import types

import pytest
import torch
from safetensors.torch import load_file
from train_faces import config, make_pack, make_recognizer
from train_faces import settings as settings_of
from train_pictures import make_picture_packs, picture_config

from lfic.data.sources import open_faces
from lfic.errors import InvalidInputError, LficError
from lfic.metric.identity import Recognizer, RecognizerEnsemble
from lfic.metric.resnet import FaceResNet
from lfic.network.net import CodecNet, CodecNetConfig
from lfic.train import soap
from lfic.train.batches import Batch, Steps, batches
from lfic.train.graph import GraphedStep, Pending
from lfic.train.identity import load_recognizers
from lfic.train.loop import make_loss
from lfic.train.loss import TrainingLoss
from lfic.train.picture_loss import PictureLoss, Pictures
from lfic.train.pictures import PictureBatch
from lfic.train.state import Trainer
from lfic.train.steps import EagerStep
from lfic.train.world import World


@pytest.mark.parametrize("integers", [False, True])
def test_all_cells_cost_what_the_kept_ones_do(integers):
    """The entropy model at every cell, as a GPU computes it, against the kept cells alone: bits and gradients."""
    torch.manual_seed(0)
    net = CodecNet(CodecNetConfig(8, (16, 16, 16), (1, 1, 1), (1, 1, 1), 4, 32, 16))
    net.entropy.integers = integers
    pixels, quality, aligned = torch.rand(3, 3, 112, 112), torch.tensor([1, 40, 100]), torch.tensor([True, False, True])
    found = []
    for net.entropy.everywhere in (False, True):
        torch.manual_seed(1)
        net.zero_grad()
        out = net(pixels, quality, aligned, 0.5)
        out.bits.sum().backward()
        found.append((out.bits.detach(), torch.cat([p.grad.flatten() for p in net.entropy.parameters()])))
    assert len(set(out.levels.flatten().tolist())) == 3
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-3)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    recognizer = str(make_recognizer(folder / "tiny.pt"))
    return config(
        make_pack(folder),
        folder / "run",
        batch=12,
        generic=0.4,
        recognizer=recognizer,
        identity_from=0,
        identity_share=1.0,
        level_faces=3,
    )


def steps_of(settings, faces, world):
    return Steps(faces, settings.data, settings.loss.identity_share, settings.run.seed, world)


def test_the_form_that_is_captured_gives_the_same_loss(settings):
    world = World()
    trainer, faces = Trainer(settings, world), open_faces(settings.data.faces)
    batch = next(batches(steps_of(settings, faces, world), 1, settings.schedule.steps))
    batch = batch.to(world.device)
    assert batch.aligned.any() and not batch.aligned.all()
    found = []
    for captured in (False, True):
        recognizer = load_recognizers(settings.loss, world.device)
        objective = TrainingLoss(settings.loss, settings.schedule, world, recognizer, len(faces), captured=captured)
        torch.manual_seed(1)
        trainer.net.zero_grad()
        loss, figures, _ = objective(trainer.net, batch, 3)
        loss.backward()
        found.append((loss.detach(), *figures.values(), torch.cat([p.grad.flatten() for p in trainer.parameters])))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5, equal_nan=True)


def test_what_a_graph_needs_is_said():
    with pytest.raises(InvalidInputError, match="graphs is true; it needs device"):
        settings_of(graphs=True)
    with pytest.raises(InvalidInputError, match="identity_share"):
        settings_of(graphs=True, device="cuda")
    settings_of(graphs=True, device="cuda", identity_share=1.0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_replayed_step_does_what_an_eager_one_does(settings):
    one = settings.changed(run={"device": "cuda", "graphs": True}, schedule={"optimizer": "soap"})
    found = []
    for graphed in (False, True):
        world = World.join("cuda")
        trainer, faces = Trainer(one, world), open_faces(one.data.faces)
        data = batches(steps_of(one, faces, world), 0, one.schedule.steps)
        stepper = (GraphedStep if graphed else EagerStep)(trainer, make_loss(one, trainer, len(faces)))
        for step in range(4):
            torch.manual_seed(step)
            stepper.step(next(data).to(world.device), step, 1e-3)
        stepper.settle()
        found.append(torch.cat([p.detach().flatten() for p in trainer.parameters]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-2, atol=1e-3)


class StandIn(GraphedStep):
    """A graph that computes its step anew when it is replayed: all but the capture itself, on any device."""

    def capture(self, batch, step):
        captured = self.inputs(batch)
        self.steps = [*getattr(self, "steps", []), step]
        captured.graph = types.SimpleNamespace(replay=lambda: self.compute(captured, step))
        self.gradient(captured, step)
        captured.moving = self.optimizer.moving()
        torch.manual_seed(step)
        return captured

    def compute(self, captured, step):
        self.optimizer.zero_grad()
        loss, norm, captured.figures = self.gradient(captured, step)
        captured.judged = torch.stack([loss, norm]).float()
        with torch.no_grad():
            for parameter, state, group in captured.moving:
                soap.update(parameter, state, group, *self.scales.unbind())

    def look(self, captured, batch, step):
        return Pending(batch, step, captured.judged.clone(), types.SimpleNamespace(synchronize=lambda: None))


def graphed_and_eager(settings, monkeypatch, late=lambda: False):
    """(world, trainer, batches, stepper) for each way of taking steps."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    for make in (EagerStep, StandIn):
        world = World()
        trainer, faces = Trainer(settings, world), open_faces(settings.data.faces)
        loss = make_loss(settings, trainer, len(faces))
        loss.captured = make is StandIn
        data = batches(steps_of(settings, faces, world), 0, settings.schedule.steps)
        yield world, trainer, data, make(trainer, loss, late)


def test_a_graphed_run_does_what_an_eager_one_does_but_for_the_graph(settings, monkeypatch):
    settings = settings.changed(schedule={"optimizer": "soap", "identity_from": 2, "hard_from": 0.7})
    found = []
    for world, trainer, data, stepper in graphed_and_eager(settings, monkeypatch):
        losses = []
        for step in range(6):
            trainer.prepare()
            torch.manual_seed(step)
            losses.append(float(stepper.step(next(data).to(world.device), step, 1e-3)["loss"]))
            trainer.advance()
        stepper.settle()
        found.append((losses, torch.cat([p.detach().flatten() for p in trainer.parameters])))
    assert stepper.steps == [2, 3, 5]  # from the identity term on; then integers, then hard rates
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-3)
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-2, atol=1e-3)


def test_a_graphed_step_that_is_no_number_is_told_at_the_next_or_before_saving(settings, monkeypatch):
    settings = settings.changed(schedule={"optimizer": "soap"})
    for last in ("step", "settle"):
        *_, (world, trainer, data, stepper) = graphed_and_eager(settings, monkeypatch, lambda: True)
        stepper.step(next(data).to(world.device), 0, 1e-3)
        assert stepper.over
        stepper.settle()
        batch = next(data).to(world.device)
        stepper.step(dataclasses.replace(batch, pixels=batch.pixels * float("nan")), 1, 1e-3)
        with pytest.raises(LficError, match=r"loss is nan, .* at step 1: the batch is in .*bad-batch"):
            stepper.settle() if last == "settle" else stepper.step(batch, 2, 1e-3)
        assert load_file(trainer.out / "bad-batch.safetensors")["pixels"].isnan().all()


@pytest.fixture(scope="module")
def with_pictures(tmp_path_factory):
    """Settings of a run on crops and pictures of two shapes, each face seen by one of two recognisers."""
    folder = tmp_path_factory.mktemp("pictures")
    recognizers = [str(make_recognizer(folder / f"{seed}.pt", seed)) for seed in (5, 6)]
    chosen = {"identity_share": 1.0, "picture_sides": [48, 64], "optimizer": "soap", "level_faces": 2}
    chosen |= {"hard_from": 1.0, "integers_from": 1.0}
    packs = make_picture_packs(folder)
    return picture_config(packs, recognizers, folder / "run", batch=8, picture_batch=4, generic=0.4, **chosen)


def losses_of(settings, captured):
    """(the loss of crops, that of pictures) as a run has it."""
    world = World()
    trainer, faces = Trainer(settings, world), open_faces(settings.data.faces)
    recognizers = load_recognizers(settings.loss, world.device)
    loss = TrainingLoss(settings.loss, settings.schedule, world, recognizers, len(faces), captured=captured)
    return trainer, faces, Pictures(loss, settings.data, settings.run.seed, 1, settings.schedule.steps)


def test_recognizers_that_share_out_a_batch_by_rows_measure_what_drawn_ones_do(with_pictures):
    """The same faces given to the same recognisers: terms of crops and pictures are equal."""
    found = []
    for captured in (False, True):
        trainer, faces, pictures = losses_of(with_pictures, captured)
        loss = pictures.loss.crops
        loss.drawn.draw = lambda count: (torch.arange(count) >= count // 2).long()
        batch = next(batches(steps_of(with_pictures, faces, World()), 1, 6)).to(torch.device("cpu"))
        pictures.fetch()
        torch.manual_seed(1)
        loss.loss = pictures.loss.loss = dataclasses.replace(loss.loss, level_faces=0)
        total, figures, _ = loss(trainer.net, batch, 3)
        more, others = pictures.loss(trainer.net, pictures.batch, 3)
        (total + more).backward()
        grads = torch.cat([p.grad.flatten() for p in trainer.parameters if p.grad is not None])
        found.append((total.detach(), more.detach(), *figures.values(), *others.values(), grads))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5, equal_nan=True)


def test_each_size_of_pictures_has_a_graph_and_a_step_does_what_an_eager_one_does(with_pictures, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    found = []
    for make in (EagerStep, StandIn):
        trainer, faces, pictures = losses_of(with_pictures, True)
        stepper = make(trainer, pictures.loss.crops, lambda: False, pictures)
        data = batches(steps_of(with_pictures, faces, World()), 1, 6)
        figures = []
        for step in range(1, 6):
            pictures.fetch()
            torch.manual_seed(step)
            figures.append(
                {k: float(v) for k, v in stepper.step(next(data).to(torch.device("cpu")), step, 1e-3).items()}
            )
        stepper.settle()
        found.append((figures, torch.cat([p.detach().flatten() for p in trainer.parameters])))
    assert 4 > len(stepper.steps) == len(stepper.graphs) > 1
    for one, other in zip(*(figures for figures, _ in found)):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-4, nan_ok=True)
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-2, atol=1e-3)


def test_what_is_captured_asks_for_no_number(monkeypatch):
    """On the meta device there are none: a shape or a branch that depended on one would be an error."""
    monkeypatch.setattr(torch, "autocast", lambda *args, **keys: contextlib.nullcontext())  # meta has no autocast
    meta = torch.device("meta")
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, 2), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    recognizers = RecognizerEnsemble([Recognizer(network).to(meta), Recognizer(FaceResNet()).to(meta)])
    chosen = settings_of(
        recognizer=["a", "b"], recognizer_shares=[1, 1], identity_from=0, chroma_weight=1.0, texture_weight=1.0
    )
    net = CodecNet(CodecNetConfig(8, (16, 16, 16), (1, 1, 1), (1, 1, 1), 4, 32, 16)).to(meta)
    net.entropy.everywhere = net.entropy.integers = True
    loss = TrainingLoss(chosen.loss, chosen.schedule, World(device=meta), recognizers, 9, captured=True)

    def some(*shape, dtype=torch.float32):
        return torch.empty(shape, dtype=dtype, device=meta)

    yes, numbers = some(6, dtype=torch.bool), some(6, dtype=torch.int64)
    crops = Batch(some(6, 3, 112, 112), None, None, yes, None, numbers, numbers, yes)
    pictures = PictureBatch(some(6, 3, 48, 64), some(6, 2, 3), yes, numbers, numbers)
    with pytest.raises(RuntimeError):
        bool(crops.aligned.any())
    for total in (loss(net, crops, 9)[0], PictureLoss(loss, 6)(net, pictures, 9)[0]):
        total.backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
