"""Steps as a CUDA graph captures them: their form, which any device can run, and on a GPU the capture itself."""

import dataclasses
import types

import pytest
import torch
from safetensors.torch import load_file
from train_faces import config, make_pack, make_recognizer
from train_faces import settings as settings_of

from lfic.data.sources import open_faces
from lfic.errors import InvalidInputError, LficError
from lfic.network.net import CodecNet, CodecNetConfig
from lfic.train import soap
from lfic.train.batches import ON_DEVICE, Steps, batches
from lfic.train.graph import GraphedStep, Pending
from lfic.train.identity import load_recognizers
from lfic.train.loop import make_loss
from lfic.train.loss import TrainingLoss
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
        self.batch = dataclasses.replace(batch, **{name: getattr(batch, name).clone() for name in ON_DEVICE})
        self.captured = [*getattr(self, "captured", []), step]
        self.graph = types.SimpleNamespace(replay=lambda: self.compute(step))
        self.gradient(step)
        self.moving = self.optimizer.moving()
        torch.manual_seed(step)

    def compute(self, step):
        self.optimizer.zero_grad()
        loss, norm, self.figures = self.gradient(step)
        self.judged = torch.stack([loss, norm]).float()
        with torch.no_grad():
            for parameter, state, group in self.moving:
                soap.update(parameter, state, group, *self.scales.unbind())

    def look(self, batch, step):
        return Pending(batch, step, self.judged.clone(), types.SimpleNamespace(synchronize=lambda: None))


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
    assert stepper.captured == [2, 3, 5]  # from the identity term on; then integers, then hard rates
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
