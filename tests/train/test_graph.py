"""Steps as a CUDA graph captures them: their form, which any device can run, and on a GPU the capture itself."""

import pytest
import torch
from train_faces import config, make_pack, make_recognizer
from train_faces import settings as settings_of

from lfic.data.sources import open_faces
from lfic.errors import InvalidInputError
from lfic.network.net import CodecNet, CodecNetConfig
from lfic.train.batches import Steps, batches
from lfic.train.graph import GraphedStep
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
