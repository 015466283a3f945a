"""Small batches by replaying CUDA graphs: one graph per bucket of N, so that any N costs one launch.

>>> import torch
>>> from lfic.kernels import rap_quantize
>>> from lfic.kernels.graphs import Graphed
>>> gain = torch.full((100, 3, 16), 2.0)
>>> encode = Graphed(lambda y, levels, quality: rap_quantize(y, levels, gain, quality), largest=8)
>>> y, levels = torch.randn(3, 16, 14, 14), torch.zeros(3, 4, 4, dtype=torch.uint8)
>>> quality = torch.zeros(3, dtype=torch.int64)
>>> symbols, counts = encode(y, levels, quality)
>>> symbols.shape
torch.Size([3, 3136])
"""

import contextlib
import dataclasses
import threading
from collections.abc import Callable

import torch
from torch import Tensor

Result = Tensor | tuple[Tensor, ...]


@dataclasses.dataclass
class Captured:
    """Buffers of inputs, a function that fills the outputs and returns them, and when both were last in use."""

    inputs: list[Tensor]
    replay: Callable[[], Result]
    used: torch.cuda.Event | None = None


def bucket(count: int, largest: int) -> int:
    """Smallest power of two that is not below ``count``, at most ``largest``."""
    return min(1 << max(0, count - 1).bit_length(), largest)


class Graphed:
    """A function of batch-first tensors, captured once per bucket of N and set of shapes, dtypes and devices.

    Args:
        function: tensors [N, ...] -> tensor or tuple of tensors [N, ...], without gradients or a word to the host. What
            it closes over (gain tables) is read where it lay at capture: change it in place.
        largest: batches above it are cut into pieces.
        captures: how many graphs are kept, each with buffers of its own; the one that was used longest ago is dropped
            first.

    Calling it returns tensors of their own. Rows that fill a bucket up are zeros. On the CPU the same buckets and
    buffers are used, and the function is called instead of a replay. Threads take turns; calls on several CUDA streams
    wait for one another on the device, since they share the buffers.
    """

    def __init__(self, function: Callable[..., Result], largest: int = 64, captures: int = 32) -> None:
        if largest < 1 or captures < 1:
            raise ValueError(f"largest is {largest} and captures is {captures}; both must be at least 1")
        self.function, self.largest, self.captures = function, largest, captures
        self.captured: dict[object, Captured] = {}
        self.lock = threading.Lock()

    def __call__(self, *tensors: Tensor) -> Result:
        counts = {len(t) for t in tensors}
        if len(counts) != 1:
            raise ValueError(f"tensors have {sorted(counts)} rows; all need the same number")
        (count,) = counts
        if count == 0:
            return self.function(*tensors)
        pieces = [self.piece(*(t[at : at + self.largest] for t in tensors)) for at in range(0, count, self.largest)]
        if len(pieces) == 1:
            return pieces[0]
        if isinstance(pieces[0], Tensor):
            return torch.cat([piece for piece in pieces if isinstance(piece, Tensor)])
        return tuple(map(torch.cat, zip(*pieces)))

    @torch.no_grad()
    def piece(self, *tensors: Tensor) -> Result:
        """One replay."""
        count = len(tensors[0])
        size = bucket(count, self.largest)
        key = (size, *((t.shape[1:], t.dtype, t.device, channels_last(t)) for t in tensors))
        with self.lock:
            held = self.captured.pop(key, None)
            if held is None:
                while len(self.captured) >= self.captures:
                    self.drop(next(iter(self.captured)))
                held = self.capture(size, tensors)
            self.captured[key] = held  # the newest stand last
            cuda = tensors[0].device.type == "cuda"
            with torch.cuda.device(tensors[0].device) if cuda else contextlib.nullcontext():
                if held.used is not None:  # by the call before, maybe on another stream
                    torch.cuda.current_stream().wait_event(held.used)
                for buffer, tensor in zip(held.inputs, tensors):
                    buffer[:count].copy_(tensor)
                    buffer[count:].zero_()
                outputs = held.replay()
                every = (outputs,) if isinstance(outputs, Tensor) else outputs
                copies = tuple(output[:count].clone() for output in every)
                if cuda:
                    held.used = held.used or torch.cuda.Event()
                    held.used.record()
        return copies[0] if isinstance(outputs, Tensor) else copies

    def drop(self, key: object) -> None:
        """Give a graph's memory back once the device is through with it."""
        used = self.captured.pop(key).used
        if used is not None:
            used.synchronize()

    def capture(self, size: int, tensors: tuple[Tensor, ...]) -> "Captured":
        """One bucket."""
        inputs = [
            torch.zeros_like(
                t[:1].expand(size, *t.shape[1:]),
                memory_format=torch.channels_last if channels_last(t) else torch.contiguous_format,
            )
            for t in tensors
        ]
        if tensors[0].device.type != "cuda":
            return Captured(inputs, lambda: self.function(*inputs))
        with torch.cuda.device(tensors[0].device):
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):  # kernels compile and libraries start before the capture
                for _ in range(2):
                    self.function(*inputs)
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                outputs = self.function(*inputs)

        def replay() -> Result:
            graph.replay()
            return outputs

        return Captured(inputs, replay)


def channels_last(tensor: Tensor) -> bool:
    """Whether features lie channels-last; the buffers then do as well, and the kernels read them as they are."""
    return tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()
