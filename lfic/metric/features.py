"""Intermediate features of a recogniser, the perceptual part of the identity term.

    d(x, x') = mean over maps k, mean over places of |n_k(x) - n_k(x')|**2,   range 0..4

n: unit length over the channels;

after Johnson et al. 2016 and, with the normalisation, Zhang et al. 2018 (LPIPS without its learned weights). The maps
are the last one of each resolution that the network computes, those of no more than three channels or of a single cell
left out.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..arguments import sequence_of
from ..errors import InvalidInputError


class LastMaps:
    """Keeps the last feature map of each resolution of what it is shown."""

    def __init__(self) -> None:
        self.found: dict[tuple[int, int], Tensor] = {}

    def see(self, value: object) -> None:
        """Keep it if it is a feature map."""
        if (
            isinstance(value, torch.Tensor)
            and value.ndim == 4
            and value.shape[1] > 3
            and value.shape[2] * value.shape[3] > 1
        ):
            self.found[value.shape[2], value.shape[3]] = value

    def maps(self) -> list[Tensor]:
        """Float [N, C, h, w] each, the largest resolution first."""
        return [self.found[size] for size in sorted(self.found, key=lambda size: -size[0] * size[1])]


def run_with_maps(network: nn.Module, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
    """(what the network gives, its ``LastMaps.maps()``). The network is a module, a GraphModule (torch.export), or
    frozen TorchScript."""
    keep = LastMaps()
    if isinstance(network, torch.jit.ScriptModule):
        out: Tensor = interpret(network, pixels, keep)
    elif isinstance(network, torch.fx.GraphModule):
        result = GraphReader(network, keep).run(pixels)
        out = result[0] if isinstance(result, (tuple, list)) else result
    else:
        hooks = [
            module.register_forward_hook(lambda m, i, out: keep.see(out))
            for module in network.modules()
            if not list(module.children())
        ]
        try:
            out = network(pixels)
        finally:
            for hook in hooks:
                hook.remove()
    if not keep.found:
        raise InvalidInputError(
            "this recogniser shows no feature maps: its layers are no modules of their own; leave the feature weight "
            "at 0"
        )
    return out, keep.maps()


class GraphReader(torch.fx.Interpreter):
    """Runs a GraphModule node by node and shows each result."""

    def __init__(self, module: torch.fx.GraphModule, keep: LastMaps) -> None:
        super().__init__(module)
        self.keep = keep

    def run_node(self, n: torch.fx.Node) -> Any:
        out = super().run_node(n)
        if n.op in ("call_function", "call_method", "call_module"):
            self.keep.see(out)
        return out


def interpret(network: torch.jit.ScriptModule, pixels: Tensor, keep: LastMaps) -> Any:
    """Runs a frozen TorchScript network, whose layers no hook can reach, one operator after the other."""
    graph = network.inlined_graph
    arguments = list(graph.inputs())
    known = {arguments[0].debugName(): network, arguments[1].debugName(): pixels}
    for node in graph.nodes():
        inputs = [known[value.debugName()] for value in node.inputs()]
        kind = node.kind()
        if kind == "prim::Constant":
            result: Any = node.output().toIValue()
        elif kind == "prim::ListConstruct":
            result = inputs
        elif kind == "prim::TupleConstruct":
            result = tuple(inputs)
        elif kind == "prim::GetAttr":
            result = getattr(inputs[0], node.s("name"))
        elif kind.startswith("aten::") and node.outputsSize() == 1:
            result = call(node.schema(), inputs)
            keep.see(result)
        else:
            raise InvalidInputError(
                f"this TorchScript recogniser uses {kind}, which can't be followed for its features; leave the "
                "feature weight at 0"
            )
        known[node.output().debugName()] = result
    return known[next(graph.outputs()).debugName()]


def call(schema: str, inputs: Sequence[Any]) -> Any:
    """Run the aten operator of a node's schema, such as "aten::sub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1)
    -> Tensor"."""
    name, _, overload = schema.partition("(")[0].removeprefix("aten::").partition(".")
    operator = getattr(getattr(torch.ops.aten, name), overload or "default")
    arguments = operator._schema.arguments
    named = {argument.name: value for argument, value in zip(arguments, inputs) if argument.kwarg_only}
    return operator(*inputs[: len(inputs) - len(named)], **named)


def normalize_maps(maps: Sequence[Tensor]) -> list[Tensor]:
    """Maps of unit length over the channels, divided by the root of how many maps there are."""
    return [x * torch.rsqrt(x.square().sum(1, keepdim=True) + 1e-8) / len(maps) ** 0.5 for x in maps]


def feature_distance(maps: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """The distance above of two lists of maps out of ``normalize_maps``, at least one each: float [N]."""
    maps, target = sequence_of("maps", maps), sequence_of("target", target)
    shapes = [
        [tuple(one.shape) if isinstance(one, Tensor) else type(one).__name__ for one in x] for x in (maps, target)
    ]
    if not maps or shapes[0] != shapes[1] or not all(isinstance(one, Tensor) and one.ndim == 4 for one in maps):
        raise InvalidInputError(
            f"maps have shapes {shapes[0]} and the target {shapes[1]}; both are lists of float tensors [N, C, h, w]"
        )
    terms = [(a - b).square().sum(1).mean((1, 2)) for a, b in zip(maps, target)]
    out: Tensor = sum(terms[1:], start=terms[0])
    return out
