"""torchrun ... ddp_gradient.py CONFIG OUT STEP: the gradient of one step of a run, as its processes share it and as one
has it alone."""

import sys

import torch
from safetensors.torch import save_file

from lfic.data.sources import open_faces
from lfic.train.batches import Steps, batches
from lfic.train.config import TrainConfig
from lfic.train.loop import make_loss
from lfic.train.picture_loss import Pictures
from lfic.train.state import Trainer
from lfic.train.world import World

config, out, step = TrainConfig.load(sys.argv[1]), sys.argv[2], int(sys.argv[3])
faces = open_faces(config.data.faces)


def gradient(world):
    """The loss and every parameter's gradient."""
    trainer = Trainer(config, world)
    net = trainer.net
    wrapped = world.wrap(net)  # must live until the backward pass is over
    torch.manual_seed(step)
    drawn = Steps(faces, config.data, config.loss.identity_share, config.run.seed, world)
    batch = next(batches(drawn, step, config.schedule.steps)).to(world.device)
    assert len(batch.pixels) == config.data.batch // world.size
    crops = make_loss(config, trainer, len(faces))
    loss, _, _ = crops(wrapped, batch, step)
    loss.backward()
    if config.data.pictures:
        pictures = Pictures(crops, config.data, config.run.seed, step, config.schedule.steps)
        pictures.fetch()
        loss = loss + pictures.backward(wrapped, step)[0]
    return {"loss": world.mean(loss.detach()).reshape(1)} | {
        name: p.grad.contiguous() for name, p in net.named_parameters()
    }


world = World.join(config.run.device)
assert world.size == 2 and world.any(world.rank == 1, False) == (True, False)
shared = gradient(world)
world.leave()
if world.first:
    save_file(shared, f"{out}/shared.safetensors")
    save_file(gradient(World()), f"{out}/alone.safetensors")
