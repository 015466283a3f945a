"""torchrun ... ddp_gradient.py CONFIG OUT STEP: the gradient of one step of a run, as its processes share it and as one
has it alone."""

import sys

import torch
from safetensors.torch import save_file

from lfic.data.facepack import FacePack
from lfic.metric.identity import load_torchscript
from lfic.train.batches import batches
from lfic.train.config import TrainConfig
from lfic.train.objective import Objective
from lfic.train.state import Trainer
from lfic.train.world import World

config, out, step = TrainConfig.load(sys.argv[1]), sys.argv[2], int(sys.argv[3])
faces, recognizer = FacePack(config.data), load_torchscript(config.recognizer)


def gradient(world):
    """The loss and every parameter's gradient."""
    net = Trainer(config, world).net
    wrapped = world.wrap(net)  # must live until the backward pass is over
    torch.manual_seed(step)
    batch = next(batches(faces, config, world, step)).to(world.device)
    assert len(batch.pixels) == config.batch // world.size
    loss, _, _ = Objective(config, world, recognizer, len(faces))(wrapped, batch, step)
    loss.backward()
    return {"loss": world.mean(loss.detach()).reshape(1)} | {
        name: p.grad.contiguous() for name, p in net.named_parameters()
    }


world = World.join(config.device)
assert world.size == 2 and world.any(world.rank == 1, False) == (True, False)
shared = gradient(world)
world.leave()
if world.first:
    save_file(shared, f"{out}/shared.safetensors")
    save_file(gradient(World()), f"{out}/alone.safetensors")
