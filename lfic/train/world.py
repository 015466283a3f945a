"""The processes that train together, as torchrun starts them; one process alone is a world of one."""

import dataclasses
import os
from collections.abc import Sequence

import torch
from torch import Tensor, distributed, nn

from ..errors import InvalidInputError, MissingDependencyError


@dataclasses.dataclass(frozen=True)
class World:
    """This process: its rank, how many there are, and the device that it computes on."""

    rank: int = 0
    size: int = 1
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))

    @classmethod
    def join(cls, device: str = "cpu") -> "World":
        """Read what torchrun put into the environment, and meet the others: NCCL between GPUs, gloo between CPUs.

        device: "cpu", "cuda" (with torchrun each process takes the GPU of its local rank), or "cuda:N".
        """
        try:
            place = torch.device(device)
        except RuntimeError:
            raise InvalidInputError(f"[run] device is {device!r}; allowed are 'cpu', 'cuda' and 'cuda:N'") from None
        rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if place.type == "cuda":
            if not torch.cuda.is_available():
                raise MissingDependencyError(
                    "[run] device is 'cuda', but this PyTorch sees no CUDA device: set device = \"cpu\""
                )
            place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) if place.index is None else place.index)
            torch.cuda.set_device(place)
        if size > 1 and not distributed.is_initialized():
            distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
        return cls(rank, size, place)

    def leave(self) -> None:
        """The end of the group, where there is one."""
        if self.size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()

    @property
    def first(self) -> bool:
        """True in the one process that writes files and prints."""
        return self.rank == 0

    def rows(self, whole: Tensor) -> Tensor:
        """This process's share of a batch: [N, ...] -> [N / size, ...]."""
        share = len(whole) // self.size
        return whole[self.rank * share : (self.rank + 1) * share]

    def draw(self, shape: Sequence[int], device: torch.device | None = None) -> Tensor:
        """Uniform random numbers like ``torch.rand``, equal to this process's rows of those that a single process would
        draw."""
        return self.rows(torch.rand(shape[0] * self.size, *shape[1:], device=device))

    def wrap(self, module: nn.Module) -> nn.Module:
        """A module whose backward pass leaves the mean of all processes' gradients; keep it until that is over."""
        if self.size == 1 or not any(p.requires_grad for p in module.parameters()):
            return module
        return torch.nn.parallel.DistributedDataParallel(module)

    def any(self, *flags: Tensor | bool) -> tuple[bool, ...]:
        """For each flag: is it true in any process? Tuple of bool."""
        found = torch.stack([torch.as_tensor(flag, device=self.device).float() for flag in flags])
        if self.size > 1:
            distributed.all_reduce(found, distributed.ReduceOp.MAX)
        return tuple(flag > 0 for flag in found.tolist())

    def mean(self, values: Tensor) -> Tensor:
        """Mean of a float tensor over the processes."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values / self.size
