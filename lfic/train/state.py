"""What a run consists of between two steps, and its checkpoints."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidInputError, WeightsError
from ..network.load import load_model
from ..network.net import CodecNet, CodecNetConfig
from ..network.transform import Block
from .adversary import Adversary
from .checkpoint import (
    load_tensors,
    newest,
    optimizer_state,
    read_state,
    restore_optimizer,
    restore_parameters,
    save_tensors,
    write_checkpoint,
)
from .config import TrainConfig, sectioned
from .schedule import averaging
from .sections import NetworkConfig, ScheduleConfig
from .soap import Soap
from .world import World

# Parts of a weights file's network that code pictures, and those that they take the place of.
PICTURES = {"pictures.": "analysis.", "pictures_head.": "level_head."}


def network_config(sizes: NetworkConfig | Mapping[str, Any]) -> CodecNetConfig:
    """``CodecNetConfig`` of a configuration's section; what a stored one lacks is at its default."""
    values = vars(sizes) if isinstance(sizes, NetworkConfig) else sizes
    known: dict[str, Any] = {
        field.name: tuple(values[field.name]) if isinstance(values[field.name], list) else values[field.name]
        for field in dataclasses.fields(CodecNetConfig)
        if field.name in values
    }
    return CodecNetConfig(**known)


def begin_with(net: CodecNet, tensors: Mapping[str, Tensor], place: str) -> None:
    """Load a network that may have fewer blocks in its transforms: those that it lacks change nothing at first."""
    missing = sorted(set(net.state_dict()) - set(tensors))
    blocks = {name.rsplit(".", 2)[0]: net.get_submodule(name.rsplit(".", 2)[0]) for name in missing}
    strange = sorted(set(tensors) - set(net.state_dict()))
    strange += [name for name, block in blocks.items() if not isinstance(block, Block)]
    if strange or any(not name.startswith(("analysis.", "synthesis.")) for name in missing):
        raise InvalidInputError(
            f"{place} holds another network: {', '.join((strange or missing)[:4])} ...; only the transforms may have "
            "more blocks"
        )
    net.load_state_dict(tensors, strict=False)
    for block in blocks.values():
        assert isinstance(block, Block)
        torch.nn.init.zeros_(block.project.weight)


def starting_tensors(start: str, pictures: bool = False) -> Mapping[str, Tensor]:
    """The network of a checkpoint folder, averaged (which lags, and is a better place to go on from than the last
    step), or of a weights file; pictures: with the analysis and the level head that it has for pictures."""
    folder = pathlib.Path(start)
    if folder.is_dir():
        tensors = load_tensors(folder, "average")
        if not tensors:
            raise WeightsError(f"{folder} is not a checkpoint folder: it has no average.safetensors")
        return tensors
    state: Mapping[str, Tensor] = load_model(start)[0].state_dict()
    # What is trained is one analysis; that of pictures joins it in the export.
    one = {name: tensor for name, tensor in state.items() if not name.startswith(tuple(PICTURES))}
    if not pictures:
        return one
    others = {
        own + name.removeprefix(prefix): tensor
        for prefix, own in PICTURES.items()
        for name, tensor in state.items()
        if name.startswith(prefix)
    }
    if not others:
        raise WeightsError(f"{start} has no analysis of its own for pictures: set [network] start_pictures = false")
    return one | others


def make_optimizer(parameters: list[torch.nn.Parameter], schedule: ScheduleConfig) -> torch.optim.Optimizer:
    """The optimiser that a schedule names."""
    if schedule.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=schedule.learning_rate, betas=(0.9, 0.99))
    return Soap(parameters, lr=schedule.learning_rate, every=schedule.basis_every)


class Trainer:
    """State of a run: network, its moving average, optimiser, step; the adversary, where there is one.

    ``seconds``: how long the run has taken so far. ``frozen``: whether the transform is the averaged one and stays so.
    """

    def __init__(self, config: TrainConfig, world: World | None = None):
        world = world or World()
        self.config, self.schedule, self.world = config, config.schedule, world
        torch.set_num_threads(config.run.threads)
        torch.manual_seed(config.run.seed)
        self.net_config = network_config(config.network)
        self.net = CodecNet(self.net_config).to(world.device)
        self.net.to(memory_format=torch.channels_last)
        self.names = [name for name, _ in self.net.named_parameters()]
        self.parameters = [parameter for _, parameter in self.net.named_parameters()]
        if config.network.start:
            tensors = starting_tensors(config.network.start, config.network.start_pictures)
            begin_with(self.net, tensors, config.network.start)
        prefixes = ("level_head.",) if config.schedule.levels_only else tuple(config.schedule.learns)
        if prefixes:
            self.learn_only(prefixes)
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        self.optimizer = make_optimizer(self.parameters, config.schedule)
        self.adversary = Adversary(config.loss, world) if config.loss.adversarial_weight else None
        self.step = 0
        self.seconds = 0.0
        self.frozen = False
        self.entropy_alone = False  # whether this process has frozen the transform
        self.out = pathlib.Path(config.run.out)
        if world.first:
            self.out.mkdir(parents=True, exist_ok=True)

    def learn_only(self, prefixes: tuple[str, ...]) -> None:
        """Freeze all parameters but those whose names begin with one of ``prefixes``, which must each have some."""
        for prefix in prefixes:
            if not any(name.startswith(prefix) for name in self.names):
                parts = sorted({name.partition(".")[0] + "." for name in self.names})
                raise InvalidInputError(f"[schedule] learns has {prefix!r}: no parameter's name begins so; {parts} do")
        for name, parameter in zip(self.names, self.parameters):
            parameter.requires_grad_(name.startswith(prefixes))

    def prepare(self) -> None:
        """Bring the network into the state in which the next step trains it."""
        if self.step >= self.schedule.entropy_step and not self.entropy_alone:
            self.freeze_transform()
        rounded = self.step >= self.schedule.integers_from * self.schedule.steps
        self.net.entropy.integers = self.entropy_alone or rounded

    def freeze_transform(self) -> None:
        """From here on only the entropy model learns, on the transform that is exported: the averaged one.

        ``value_scale`` stays as well, as the head that chooses levels reads it.
        """
        with torch.no_grad():
            for name, parameter, mean in zip(self.names, self.parameters, self.average):
                parameter.requires_grad_(name.startswith("entropy.") and name != "entropy.value_scale")
                if not self.frozen:
                    parameter.copy_(mean)
        self.frozen = self.entropy_alone = True

    def advance(self) -> None:
        """Count a step whose parameters are in place, and move the average."""
        decay = averaging(self.step, self.schedule)
        self.step += 1
        with torch.no_grad():
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - decay)

    def averaged_net(self) -> CodecNet:
        """A copy of the network with the averaged weights."""
        net = CodecNet(self.net_config).to(self.world.device)
        with torch.no_grad():
            for (_, parameter), mean in zip(net.named_parameters(), self.average):
                parameter.copy_(mean)
        return net.eval()

    def save(self) -> None:
        """Write a checkpoint folder of safetensors (network, average, optimiser) in the place of the one before."""
        if not self.world.first:
            return

        def fill(folder: pathlib.Path) -> None:
            for part, tensors in (("net", self.parameters), ("average", self.average)):
                save_tensors(dict(zip(self.names, tensors)), folder, part)
            save_tensors(optimizer_state(self.optimizer, self.names, self.parameters), folder, "optimizer")
            if self.adversary:
                self.adversary.save(folder)

        state = {
            "step": self.step,
            "seconds": self.seconds,
            "frozen": self.frozen,
            "config": self.config.sections(),
        }
        write_checkpoint(self.out, fill, state)

    def resume(self) -> bool:
        """Continue from the newest whole checkpoint; False where there is none.

        Raises:
            WeightsError: the checkpoint is damaged.
            InvalidInputError: it is of another network or optimiser.
        """
        place = newest(self.out)
        if place is None:
            return False
        state = read_state(place)
        self._check_same(sectioned(state["config"]), place)
        self.step, self.seconds = state["step"], state["seconds"]
        self.frozen = state.get("frozen", False)
        restore_parameters(place, "net", self.names, self.parameters)
        restore_parameters(place, "average", self.names, self.average)
        restore_optimizer(self.optimizer, self.names, self.parameters, load_tensors(place, "optimizer"))
        if self.adversary:
            self.adversary.load(place)
        return True

    def _check_same(self, stored: Mapping[str, Any], place: pathlib.Path) -> None:
        """Refuse to go on as another network or with another optimiser; what a stored configuration lacks is not
        known."""
        wanted = self.config.sections()
        settings = [("network", key) for key in wanted["network"] if not key.startswith("start")] + [
            ("schedule", "optimizer")
        ]
        for section, key in settings:
            found, given = stored.get(section, {}).get(key, wanted[section][key]), wanted[section][key]
            if found != given:
                raise InvalidInputError(
                    f"[{section}] {key} is {given!r}, but {place} was written with {found!r}: give that back, or "
                    "another [run] out"
                )
