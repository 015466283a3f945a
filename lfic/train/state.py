"""What a run consists of between two steps, and its checkpoints."""

import dataclasses
import json
import os
import pathlib
import shutil

import torch

from ..errors import InvalidInputError, WeightsError
from ..network.load import load_model
from ..network.net import CodecNet, CodecNetConfig
from ..network.transform import Block
from .adversary import Adversary
from .checkpoint import load_tensors, optimizer_state, restore_optimizer, save_tensors
from .soap import Soap
from .world import World


def network_config(config):
    """``CodecNetConfig`` of a training configuration, a dict, possibly of an earlier version that lacks some keys."""
    known = [field.name for field in dataclasses.fields(CodecNetConfig) if field.name in config]
    return CodecNetConfig(
        **{name: tuple(config[name]) if isinstance(config[name], list) else config[name] for name in known}
    )


def begin_with(net, tensors, place):
    """Load a network that may have fewer blocks in its transforms: those that it lacks change nothing at first."""
    missing = sorted(set(net.state_dict()) - set(tensors))
    blocks = {name.rsplit(".", 2)[0] for name in missing}
    strange = sorted(set(tensors) - set(net.state_dict())) + [
        b for b in blocks if not isinstance(net.get_submodule(b), Block)
    ]
    if strange or any(not name.startswith(("analysis.", "synthesis.")) for name in missing):
        raise InvalidInputError(
            f"{place} holds another network: {', '.join((strange or missing)[:4])} ...; only the transforms may have "
            "more blocks"
        )
    net.load_state_dict(tensors, strict=False)
    for block in blocks:
        torch.nn.init.zeros_(net.get_submodule(block).project.weight)


def starting_tensors(start):
    """The network of a checkpoint folder, averaged (which lags, and is a better place to go on from than the last
    step), or of a weights file."""
    folder = pathlib.Path(start)
    if folder.is_dir():
        tensors = load_tensors(folder, "average")
        if not tensors:
            raise WeightsError(f"{folder} is not a checkpoint folder: it has no average.safetensors")
        return tensors
    return load_model(start)[0].state_dict()


class Trainer:
    """State of a run: network, its moving average, optimiser, step; the adversary, where there is one."""

    def __init__(self, config, world=World()):
        self.config, self.world = config, world
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.net_config = network_config(vars(config))
        self.net = CodecNet(self.net_config).to(world.device, memory_format=torch.channels_last)
        self.names = [name for name, _ in self.net.named_parameters()]
        self.parameters = [parameter for _, parameter in self.net.named_parameters()]
        if config.start:
            begin_with(self.net, starting_tensors(config.start), config.start)
        if config.levels_only:
            for name, parameter in self.net.named_parameters():
                parameter.requires_grad_(name.startswith("level_head."))
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        if config.optimizer == "adam":
            self.optimizer = torch.optim.Adam(self.parameters, lr=config.learning_rate, betas=(0.9, 0.99))
        else:
            self.optimizer = Soap(self.parameters, lr=config.learning_rate, every=config.basis_every)
        self.adversary = Adversary(config, world) if config.adversarial_weight else None
        self.step = 0
        self.seconds = 0.0
        self.frozen = False  # whether the transform is the averaged one and stays so
        self.out = pathlib.Path(config.out)
        if world.first:
            self.out.mkdir(parents=True, exist_ok=True)

    def save(self):
        """Write a checkpoint folder of safetensors (network, average, optimiser), then rename it into place."""
        if not self.world.first:
            return
        fresh, place, old = self.out / "checkpoint.new", self.out / "checkpoint", self.out / "checkpoint.old"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        for part, tensors in (("net", self.parameters), ("average", self.average)):
            save_tensors(dict(zip(self.names, tensors)), fresh, part)
        save_tensors(optimizer_state(self.optimizer, self.names, self.parameters), fresh, "optimizer")
        if self.adversary:
            self.adversary.save(fresh)
        (fresh / "state.json").write_text(
            json.dumps(
                {"step": self.step, "seconds": self.seconds, "frozen": self.frozen, "config": vars(self.config)},
                indent=1,
            )
        )
        shutil.rmtree(old, ignore_errors=True)
        if place.exists():
            os.rename(place, old)
        os.rename(fresh, place)
        shutil.rmtree(old, ignore_errors=True)

    def resume(self):
        """Continue from the newest whole checkpoint; False where there is none."""
        place = next(
            (p for p in (self.out / "checkpoint", self.out / "checkpoint.old") if (p / "state.json").is_file()), None
        )
        if place is None:
            return False
        state = json.loads((place / "state.json").read_text())
        self.step, self.seconds = state["step"], state["seconds"]
        self.frozen = state.get("frozen", False)
        net, average = load_tensors(place, "net"), load_tensors(place, "average")
        with torch.no_grad():
            for name, parameter, mean in zip(self.names, self.parameters, self.average):
                parameter.copy_(net[name])
                mean.copy_(average[name])
        restore_optimizer(self.optimizer, self.names, self.parameters, load_tensors(place, "optimizer"))
        if self.adversary:
            self.adversary.load(place)
        return True

    def freeze_transform(self):
        """From here on only the entropy model learns, on the transform that is exported: the averaged one.

        ``value_scale`` stays as well, as the head that chooses levels reads it.
        """
        with torch.no_grad():
            for name, parameter, mean in zip(self.names, self.parameters, self.average):
                parameter.requires_grad_(name.startswith("entropy.") and name != "entropy.value_scale")
                if not self.frozen:
                    parameter.copy_(mean)
        self.frozen = True

    def averaged_net(self):
        """A copy of the network with the averaged weights."""
        net = CodecNet(self.net_config).to(self.world.device)
        with torch.no_grad():
            for (_, parameter), mean in zip(net.named_parameters(), self.average):
                parameter.copy_(mean)
        return net.eval()
