"""The transforms and the level head as integers: what csrc/network computes with, out of a trained ``CodecNet``.

Every tensor between two layers gets a scale, integers to 1.0: per channel, but one power of two where SiLU reads it.
They are chosen so that what real pictures reach, with some room above, fills the tensor's range; what goes beyond is
clamped. Scales vanish into the weights:

    integer[n] = clamp((sum_k W[n, k] * input[k] + B[n]) >> shift[n])    W = w * scale_out / scale_in * 2^shift

Shifts are as large as they can be while W fits into int16 and no sum, in whatever order its terms are added, leaves
int32 (``plan``); csrc/network/plan.cpp proves the latter anew when a model is loaded.
"""

import copy
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import InvalidInputError, WeightsError
from ..format.geometry import ALIGNED_GRID, QUALITIES, SIDE, cell_grid
from ..kernels import rap_quantize_dense
from .net import CodecNet
from .tiles import unit
from .transform import Block, Condition

ROOM = 2.0  # ranges reach so many times as far as the pictures did that scales were chosen on
STREAM = 16383  # what blocks add to
INSIDE = 8191  # between a block's depthwise convolution and its first pointwise one
FEATURES = 16383  # of the analysis, so that differences are int16
DECODED = 8191  # features that the synthesis reads
HIDDEN = 16383  # SiLU's results
STEP_BITS = 7
MAX_STEP = (1 << 20) - 1  # times a symbol of 2047 that stays in int32
TOGETHER = 16  # faces that are looked at together
CALIBRATED = (1, 10, 25, 40, 60, 80, 100)  # qualities that pictures are looked at with
WORD = 2**31


@dataclasses.dataclass
class Reach:
    """The largest absolute values per channel, and the extremes, that a tensor has had."""

    channels: NDArray[np.float64]
    lowest: float
    highest: float


class Reaches(dict[str, Reach]):
    """What was seen of every module's result, by the module's name."""

    def see(self, name: str, x: Tensor) -> None:
        found = x.detach().abs().amax((0, 2, 3)).double().cpu().numpy()
        low, high = x.min().item(), x.max().item()
        if name in self:
            known = self[name]
            found, low, high = np.maximum(found, known.channels), min(low, known.lowest), max(high, known.highest)
        self[name] = Reach(found, low, high)

    def largest(self, *names: str) -> NDArray[np.float64]:
        """Per channel, over several tensors; a channel that hardly did anything may do more elsewhere."""
        out: NDArray[np.float64] = np.max([self[name].channels for name in names], 0)
        return np.maximum(out, max(np.median(out) / 4, 1e-6))


@torch.inference_mode()
def look(net: CodecNet, pictures: Iterable[NDArray[np.uint8]]) -> Reaches:
    """Run pictures uint8 [H, W, 3] both ways through the network at several qualities."""
    seen = Reaches()
    handles = []
    for name, module in net.named_modules():
        if isinstance(module, (nn.Conv2d, Block, Condition)):
            handles.append(module.register_forward_hook(lambda _m, _i, out, name=name: seen.see(name, out)))
    try:
        for group in same_size(pictures):
            show(net, group, seen)
    finally:
        for handle in handles:
            handle.remove()
    if not seen:
        raise InvalidInputError("scales are chosen on pictures; none were given")
    return seen


def same_size(pictures: Iterable[NDArray[np.uint8]]) -> Iterator[list[NDArray[np.uint8]]]:
    """Lists of at most ``TOGETHER`` pictures of one size; larger ones by themselves."""
    waiting: dict[tuple[int, ...], list[NDArray[np.uint8]]] = {}
    for picture in pictures:
        group = waiting.setdefault(picture.shape, [])
        group.append(picture)
        if len(group) == TOGETHER or picture.size > 3 * TOGETHER * SIDE**2:
            yield waiting.pop(picture.shape)
    yield from waiting.values()


def show(net: CodecNet, pictures: list[NDArray[np.uint8]], seen: Reaches) -> None:
    """One batch both ways, at every calibrated quality, on the template and off it."""
    device = next(net.parameters()).device
    pixels = unit(torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2))
    count, _, height, width = pixels.shape
    cells = cell_grid(height, width)
    for quality in CALIBRATED:
        q = torch.full((count,), quality, device=device)
        for aligned in (False, True) if cells == (ALIGNED_GRID, ALIGNED_GRID) else (False,):
            a = torch.full((count,), aligned, device=device)
            y = net.analyze(pixels, q, a)
            levels = net.region_levels(y, q, a)
            features = rap_quantize_dense(y.contiguous(), levels, net.gain, net.step, q - 1)[0]
            seen.see("features", y)
            seen.see("decoded", features)
            net.synthesize(features, levels, q, a, height, width)


@dataclasses.dataclass
class Span:
    """A tensor's integers: so many to 1.0 in each channel, and what they are clamped to."""

    scale: NDArray[np.float64]
    low: int
    high: int

    @classmethod
    def filling(cls, reach: NDArray[np.float64], limit: int) -> "Span":
        return cls(limit / (ROOM * reach), -limit, limit)

    def repeated(self, times: int) -> "Span":
        """Channels that space-to-depth made: c * times + place."""
        return Span(np.repeat(self.scale, times), self.low, self.high)


def plan(
    weight: NDArray[np.float64], bias: NDArray[np.float64], source: Span, target: NDArray[np.float64]
) -> tuple[NDArray[np.int16], NDArray[np.int32], NDArray[np.uint8]]:
    """A layer's integers.

    Args:
        weight: float [N, K, ...], K channels of ``source`` (1: depthwise, channel n reads channel n).
        bias: float [N] or [100, N]. target: float [N], integers to 1.0 of the result.

    Returns:
        (weight int16 like ``weight``, bias int32 like ``bias`` with rounding, shift uint8 [N]).
    """
    depthwise = weight.shape[1] == 1 and len(source.scale) == len(weight) > 1
    across = (-1, 1) if depthwise else (1, -1)
    ratio = target[:, None] / source.scale.reshape(across)
    real = weight * ratio.reshape(*ratio.shape, *[1] * (weight.ndim - 2))
    offset = bias * target
    shift = np.full(len(weight), -1)
    for n in range(len(weight)):
        for bits in range(22, -1, -1):
            if fits(real[n], offset[..., n], bits, source):
                shift[n] = bits
                break
        else:
            raise WeightsError(f"output {n} of a layer can't be computed in 32 bits: its weights are too large")
    scale = np.exp2(shift)
    integers, offsets = rounded(real, offset, scale)
    return integers.astype(np.int16), offsets.astype(np.int32), shift.astype(np.uint8)


def rounded(
    real: NDArray[np.float64], offset: NDArray[np.float64], scale: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights and biases at 2^shift, half of a unit of the result added to the latter."""
    weights = np.rint(real * scale.reshape(-1, *[1] * (real.ndim - 1)))
    return weights, np.rint(offset * scale) + np.floor(scale / 2)


def least_silu(bits: int) -> int:
    """What SiLU's integers never go below at so many fraction bits; its minimum is -0.2785."""
    return -((9126 << bits >> 15) + 2)


def fits(real: NDArray[np.float64], offset: NDArray[np.float64], bits: int, source: Span) -> bool:
    """Whether one output's weights are int16 and all its partial sums int32 at a shift."""
    weights, offsets = rounded(real[None], np.atleast_1d(offset)[:, None], np.exp2([bits]))
    if np.abs(weights).max() > 32767:
        return False
    ends = np.stack([weights * source.low, weights * source.high, np.zeros_like(weights)])
    most, least = ends.max(0).sum(), ends.min(0).sum()
    return bool(most + max(0, offsets.max()) < WORD and least + min(0, offsets.min()) >= -WORD)


class Export:
    """Collects the tensors of a network."""

    def __init__(self, net: CodecNet, seen: Reaches) -> None:
        self.net, self.seen = net, seen
        self.modules = dict(net.named_modules())
        self.arrays: dict[str, NDArray[Any]] = {}

    def parameter(self, name: str) -> NDArray[np.float64]:
        return self.net.get_parameter(name).detach().double().cpu().numpy()

    def anchored(self, name: str) -> NDArray[np.float64]:
        """[100, ...] of values at anchors."""
        owner = self.modules[name.rpartition(".")[0]]
        values = self.net.get_parameter(name).detach().double().cpu()
        table: Tensor = owner.anchors.table(values)
        return table.numpy()

    def layer(
        self,
        name: str,
        source: Span,
        target: Span,
        more: NDArray[np.float64] | float = 0.0,
        factor: float = 1.0,
        offset: float = 0.0,
    ) -> None:
        """A convolution's tensors. more: what is added to its bias, [100, N]; its real result is times ``factor`` plus
        ``offset``."""
        weight, bias = self.parameter(f"{name}.weight") * factor, self.parameter(f"{name}.bias") * factor + offset
        planned: tuple[NDArray[Any], ...] = plan(weight, bias + more, source, target.scale)
        for key, value in zip(("weight", "bias", "shift"), planned, strict=True):
            self.arrays[f"{name}.{key}"] = value
        self.arrays[f"{name}.range"] = np.array([target.low, target.high], np.int16)

    def silu(self, name: str, channels: int) -> tuple[Span, Span]:
        """(argument, result) of SiLU after a layer: a power of two to 1.0, at most 2^14 and at least 2^8."""
        reach = self.seen[name]
        largest = ROOM * max(reach.highest, min(-reach.lowest, 8.0), 0.05)
        bits = int(np.clip(np.floor(np.log2(HIDDEN / largest)), 8, 14))
        self.arrays[f"{name}.unit"] = np.array([bits], np.uint8)
        high = min(32767, int(np.ceil(ROOM * max(reach.highest, 0.05) * 2**bits)))
        argument = Span(np.full(channels, 2.0**bits), -32767, high)
        return argument, Span(argument.scale, least_silu(bits), high)

    def stage(self, name: str, stream: Span) -> None:
        """Blocks that add to one stream."""
        for i, block in enumerate(self.modules[name].children()):
            assert isinstance(block, Block)
            at = f"{name}.{i}"
            inside = Span.filling(self.seen.largest(f"{at}.depthwise"), INSIDE)
            self.layer(f"{at}.depthwise", stream, inside)
            argument, hidden = self.silu(f"{at}.expand", block.expand.out_channels)
            self.layer(f"{at}.expand", inside, argument)
            self.layer(f"{at}.project", hidden, stream)

    def stream(self, stage: str, *entries: str) -> Span:
        """The stream of a stage: what enters it and what each block makes of that."""
        blocks = [f"{stage}.{i}" for i in range(len(list(self.modules[stage].children())))]
        return Span.filling(self.seen.largest(*entries, *blocks), STREAM)

    def position(self, name: str, key: str, stream: Span) -> None:
        values = self.parameter(f"{name}.position").transpose(1, 2, 0) * stream.scale
        self.arrays[key] = np.clip(np.rint(values), -32767, 32767).astype(np.int16)

    def analysis(self, unit: NDArray[np.uint8] | None = None) -> Span:
        """-> the features' span. unit: fraction bits of the features, uint8 [C], that are given; none: chosen here."""
        fine = self.stream("analysis.fine", "analysis.lapped")
        self.layer("analysis.lapped", Span(np.full(48, 255.0), -255, 255), fine)
        self.stage("analysis.fine", fine)
        middle = self.stream("analysis.middle", "analysis.down", "analysis.condition")
        self.layer("analysis.down", fine.repeated(4), middle, self.anchored("analysis.condition.quality"))
        self.position("analysis.condition", "analysis.position", middle)
        self.stage("analysis.middle", middle)
        inner = self.stream("analysis.inner", "analysis.down_inner", "analysis.condition_inner")
        self.layer("analysis.down_inner", middle.repeated(4), inner, self.anchored("analysis.condition_inner.quality"))
        self.position("analysis.condition_inner", "analysis.position_inner", inner)
        self.stage("analysis.inner", inner)
        # Powers of two, so that features and gains are the same numbers in either unit.
        bits: NDArray[Any] | None = unit
        if bits is None:
            reach = self.seen.largest("features", "analysis.out")
            bits = np.clip(np.floor(np.log2(FEATURES / (ROOM * reach))), 0, 24)
        features = Span(np.exp2(bits.astype(np.float64)), -FEATURES, FEATURES)
        self.layer("analysis.out", inner, features)
        self.layer("analysis.detail", middle, features)
        self.arrays["analysis.unit"] = bits.astype(np.uint8)
        gain = self.net.gain.detach().cpu().numpy().astype(np.float32)
        self.arrays["analysis.gain"] = gain / features.scale.astype(np.float32)
        return features

    def level_head(self, features: Span) -> None:
        value = np.exp(self.parameter("entropy.value_scale"))
        three = np.concatenate([features.scale / value] * 3)
        source = Span(three, -2 * FEATURES, 2 * FEATURES)
        first, entered = self.silu("level_head.enter", 64)
        # Its result is read again after the mixing layer, as what that one adds to: both have one unit.
        bits = min(int(self.unit("level_head.enter")), int(self.unit_of("level_head.mix")))
        hidden = len(self.parameter("level_head.enter.bias"))
        for name in ("level_head.enter", "level_head.mix"):
            self.arrays[f"{name}.unit"] = np.array([bits], np.uint8)
        del first, entered
        wide = Span(np.full(hidden, 2.0**bits), -32767, 32767)
        self.layer("level_head.enter", source, wide)
        silu = Span(wide.scale, least_silu(bits), 32767)
        self.layer("level_head.mix", silu, wide)
        logits = Span(np.full(3, 512.0), -32767, 32767)
        self.layer("level_head.out", silu, logits, self.anchored("level_head.quality"))
        position = np.rint(self.parameter("level_head.position").transpose(1, 2, 0) * 512.0)
        self.arrays["level_head.position"] = position.astype(np.int16)

    def unit(self, name: str) -> int:
        return int(self.arrays[f"{name}.unit"][0])

    def unit_of(self, name: str) -> int:
        self.silu(name, 1)
        return self.unit(name)

    def synthesis(self) -> None:
        # A symbol of 1 stands for up to twice the feature that it came from, and for few pictures it is not 0.
        reach = np.maximum(self.seen.largest("decoded"), self.seen.largest("features") * 2 / ROOM)
        decoded = Span.filling(reach, DECODED)
        step = np.rint(self.net.step.detach().double().cpu().numpy() * decoded.scale * 2**STEP_BITS)
        self.arrays["synthesis.step"] = np.clip(step, 1, MAX_STEP).astype(np.int32)
        self.arrays["synthesis.range"] = np.array([-DECODED, DECODED], np.int16)
        inner = self.stream("synthesis.inner", "synthesis.enter_inner", "synthesis.condition_inner")
        quality = self.anchored("synthesis.condition_inner.quality")
        self.layer("synthesis.enter_inner", decoded.repeated(4), inner, quality)
        level = np.rint(self.parameter("synthesis.level") * inner.scale)
        self.arrays["synthesis.level"] = np.clip(level, -32767, 32767).astype(np.int16)
        self.position("synthesis.condition_inner", "synthesis.position_inner", inner)
        self.stage("synthesis.inner", inner)
        up = self.seen["synthesis.up_inner"].channels.reshape(-1, 4).max(1)
        seen = self.seen.largest("synthesis.condition", *self.blocks("synthesis.middle"))
        middle = Span.filling(np.maximum(seen, up), STREAM)
        self.layer("synthesis.up_inner", inner, middle.repeated(4))
        self.layer("synthesis.enter", decoded, middle, self.anchored("synthesis.condition.quality"))
        self.position("synthesis.condition", "synthesis.position", middle)
        self.stage("synthesis.middle", middle)
        up = self.seen["synthesis.up"].channels.reshape(-1, 4).max(1)
        fine = Span.filling(np.maximum(self.seen.largest(*self.blocks("synthesis.fine")), up), STREAM)
        self.layer("synthesis.up", middle, fine.repeated(4))
        self.stage("synthesis.fine", fine)
        # pixel = (x / 2 + 0.5) * 255
        self.layer("synthesis.lapped", fine, Span(np.ones(48), 0, 255), factor=127.5, offset=127.5)

    def blocks(self, stage: str) -> Iterator[str]:
        return (f"{stage}.{i}" for i, _ in enumerate(self.modules[stage].children()))


def supports(net: CodecNet) -> bool:
    """Whether csrc/network has the network's sizes: channels and widths in multiples of 16."""
    return all(size % 16 == 0 for size in (net.config.channels, *net.config.widths))


def integer_arrays(net: CodecNet, pictures: Iterable[NDArray[np.uint8]]) -> dict[str, NDArray[Any]]:
    """What a weights file holds of the integer networks, without the prefix "integers." (csrc/network/network.hpp).

    Args:
        net: any network with ``CodecNet``'s layers, in eval mode.
        pictures: uint8 [H, W, 3] each, on which scales are chosen: faces on the template, and photos.

    Raises:
        InvalidInputError: no pictures.
        WeightsError: sizes that are no multiples of 16, or a layer that 32 bits can't hold.
    """
    if not supports(net):
        raise WeightsError(
            f"the network has {net.config.channels} channels and widths {net.config.widths}: integer networks take "
            "multiples of 16"
        )
    pictures = list(pictures)
    export = Export(net, look(net, pictures))
    export.level_head(export.analysis())
    export.synthesis()
    if export.arrays["synthesis.step"].shape[0] != QUALITIES:
        raise WeightsError("the network has other qualities than 1 to 100")
    if net.pictures is not None:
        export.arrays |= picture_arrays(with_analysis(net, net.pictures), pictures, export.arrays["analysis.unit"])
    return export.arrays


def synthesis_arrays(net: CodecNet, pictures: Iterable[NDArray[np.uint8]]) -> dict[str, NDArray[Any]]:
    """The synthesis alone, as ``integer_arrays``: "synthesis.<layer>"."""
    export = Export(net, look(net, pictures))
    export.synthesis()
    return export.arrays


def with_analysis(net: CodecNet, analysis: nn.Module) -> CodecNet:
    """A network that shares all but its analysis and level head with another one: that analysis and the head of
    pictures, for everything."""
    out = copy.copy(net)
    head = net.level_head if net.pictures_head is None else net.pictures_head
    out._modules = {**net._modules, "analysis": analysis, "level_head": head, "pictures": None, "pictures_head": None}
    return out


# What pictures share with template crops: they have the same features, and no places.
SHARED = ("analysis.gain", "analysis.unit", "analysis.position", "analysis.position_inner", "level_head.position")
RENAMED = {"analysis": "pictures", "level_head": "pictures_head"}


def crop_arrays(
    net: CodecNet, pictures: Iterable[NDArray[np.uint8]], unit: NDArray[np.uint8]
) -> dict[str, NDArray[Any]]:
    """The analysis and the level head of template crops, as ``integer_arrays``; unit: of the features, uint8 [C]."""
    export = Export(net, look(net, pictures))
    export.level_head(export.analysis(unit))
    return export.arrays


def picture_arrays(
    net: CodecNet, pictures: Iterable[NDArray[np.uint8]], unit: NDArray[np.uint8]
) -> dict[str, NDArray[Any]]:
    """The analysis and the level head of pictures that are no template crops, as ``integer_arrays``:
    "pictures.<layer>" and "pictures_head.<layer>".

    Args:
        net: a network whose ``analysis`` and ``level_head`` these are. unit: of the features of the model that they
            join, uint8 [C].
    """
    found = {}
    for name, array in crop_arrays(net, pictures, unit).items():
        part, _, layer = name.partition(".")
        if name not in SHARED:
            found[f"{RENAMED[part]}.{layer}"] = array
    return found
