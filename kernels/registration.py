"""torch.library: schemas, one implementation per device, fakes, autograd, vmap. Called through ops.py."""

import functools
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

import torch
from torch import Tensor

from . import cpu
from ._compat import has_triton
from ._grid import channels_last, expect_features, expect_gradients, expect_grid

Maybe = TypeVar("Maybe", Tensor, Tensor | None)

library = torch.library.Library("lfic", "DEF")
library.define("rap_offsets(Tensor levels, SymInt height, SymInt width) -> (Tensor, Tensor)")
library.define(
    "rap_quantize(Tensor y, Tensor levels, Tensor gain, Tensor quality, Tensor? indexes, bool tail=True) -> (Tensor, "
    "Tensor, Tensor)"
)
library.define(
    "rap_dense(Tensor y, Tensor levels, Tensor gain, Tensor step, Tensor quality, Tensor? noise, Tensor? seed, "
    "bool mixed, ScalarType dtype) -> (Tensor, Tensor)"
)
library.define(
    "rap_dense_backward(Tensor? grad_features, Tensor? grad_symbols, Tensor y, Tensor levels, Tensor gain, Tensor "
    "step, Tensor quality, Tensor? noise, Tensor? seed, bool to_y, bool to_gain, bool to_step) -> (Tensor, Tensor, "
    "Tensor)"
)
library.define(
    "rap_unpool(Tensor symbols, Tensor levels, Tensor step, Tensor quality, SymInt height, SymInt width, ScalarType "
    "dtype) -> Tensor"
)
library.define("rap_unpool_backward(Tensor grad, Tensor symbols, Tensor levels, Tensor step, Tensor quality) -> Tensor")


# --- CPU -------------------------------------------------------------------------------------------------------------

for name in ("rap_offsets", "rap_quantize", "rap_dense", "rap_dense_backward", "rap_unpool", "rap_unpool_backward"):
    library.impl(name, getattr(cpu, name), "CPU")


# --- CUDA ------------------------------------------------------------------------------------------------------------


def nhwc(x: Maybe) -> Maybe:
    """The same values in channels-last memory (as they are, where they already lie so)."""
    return None if x is None else x.contiguous(memory_format=torch.channels_last)


@functools.cache
def triton_kernels() -> tuple[ModuleType, ...]:
    """The modules with the kernels: imported on first use, so that nothing needs triton on a CPU."""
    if not has_triton():
        raise ImportError(
            "triton is not installed: tensors on CUDA devices need it (pip install triton), those on the CPU do not"
        )
    import_module = functools.partial(importlib.import_module, package=__package__)
    try:
        return tuple(map(import_module, (".quantize", ".dense", ".unpool", ".offsets")))
    except Exception as error:  # whatever a triton raises that does not fit the machine or this torch
        raise ImportError(
            f"triton is installed but cannot be imported ({type(error).__name__}: {error}): tensors on CUDA devices "
            "need it (pip install --force-reinstall triton), those on the CPU do not"
        ) from error


@torch.library.impl(library, "rap_offsets", "CUDA")
def _(levels: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    expect_grid((levels.shape[0], 1, height, width), levels)
    with torch.cuda.device(levels.device):
        found: tuple[Tensor, Tensor] = triton_kernels()[3].rap_offsets(levels.contiguous(), height, width)
    return found


@torch.library.impl(library, "rap_quantize", "CUDA")
def _(
    y: Tensor, levels: Tensor, gain: Tensor, quality: Tensor, indexes: Tensor | None, tail: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    expect_features(y.shape, y=y)
    expect_grid(y.shape, levels, quality, (gain,), indexes=indexes, device=y.device)
    with torch.cuda.device(y.device):
        symbols, counts, tables = triton_kernels()[0].rap_quantize(
            nhwc(y),
            levels.contiguous(),
            gain.contiguous(),
            quality.contiguous(),
            None if indexes is None else indexes.contiguous(),
            tail,
        )
    return symbols, counts, symbols.new_empty(0) if tables is None else tables


@torch.library.impl(library, "rap_dense", "CUDA")
def _(
    y: Tensor,
    levels: Tensor,
    gain: Tensor,
    step: Tensor,
    quality: Tensor,
    noise: Tensor | None,
    seed: Tensor | None,
    mixed: bool,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    expect_features(y.shape, y=y, noise=noise)
    expect_grid(y.shape, levels, quality, (gain, step), seed, device=y.device)
    with torch.cuda.device(y.device):
        outputs: tuple[Tensor, Tensor] = triton_kernels()[1].rap_dense(
            nhwc(y),
            levels.contiguous(),
            gain.contiguous(),
            step.contiguous(),
            quality.contiguous(),
            nhwc(noise),
            seed,
            mixed,
            dtype,
        )
    return outputs


@torch.library.impl(library, "rap_dense_backward", "CUDA")
def _(
    grad_features: Tensor | None,
    grad_symbols: Tensor | None,
    y: Tensor,
    levels: Tensor,
    gain: Tensor,
    step: Tensor,
    quality: Tensor,
    noise: Tensor | None,
    seed: Tensor | None,
    to_y: bool,
    to_gain: bool,
    to_step: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    expect_gradients(grad_features, grad_symbols)
    expect_features(y.shape, y=y, noise=noise, grad_features=grad_features, grad_symbols=grad_symbols)
    expect_grid(y.shape, levels, quality, (gain, step), seed, device=y.device)
    with torch.cuda.device(y.device):
        grads: tuple[Tensor, Tensor, Tensor] = triton_kernels()[1].rap_dense_backward(
            nhwc(grad_features),
            nhwc(grad_symbols),
            nhwc(y),
            levels.contiguous(),
            gain.contiguous(),
            step.contiguous(),
            quality.contiguous(),
            nhwc(noise),
            seed,
            to_y,
            to_gain,
            to_step,
        )
    return grads


@torch.library.impl(library, "rap_unpool", "CUDA")
def _(
    symbols: Tensor, levels: Tensor, step: Tensor, quality: Tensor, height: int, width: int, dtype: torch.dtype
) -> Tensor:
    expect_grid((levels.shape[0], step.shape[2], height, width), levels, quality, (step,), symbols=symbols)
    with torch.cuda.device(levels.device):
        features: Tensor = triton_kernels()[2].rap_unpool(
            symbols.contiguous(), levels.contiguous(), step.contiguous(), quality.contiguous(), height, width, dtype
        )
    return features


@torch.library.impl(library, "rap_unpool_backward", "CUDA")
def _(grad: Tensor, symbols: Tensor, levels: Tensor, step: Tensor, quality: Tensor) -> Tensor:
    expect_features(grad.shape, grad=grad)
    expect_grid(grad.shape, levels, quality, (step,), symbols=symbols, device=grad.device)
    with torch.cuda.device(levels.device):
        to_step: Tensor = triton_kernels()[2].rap_unpool_backward(
            nhwc(grad), symbols.contiguous(), levels.contiguous(), step, quality.contiguous()
        )
    return to_step


# --- fakes: shapes and memory of the results, without values ---------------------------------------------------------


@torch.library.register_fake("lfic::rap_offsets", lib=library)
def _(levels: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    count, rows, columns = levels.shape
    return levels.new_empty((count, rows * columns), dtype=torch.int32), levels.new_empty((count,), dtype=torch.int64)


@torch.library.register_fake("lfic::rap_quantize", lib=library)
def _(
    y: Tensor, levels: Tensor, gain: Tensor, quality: Tensor, indexes: Tensor | None, tail: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    count, channels, height, width = y.shape
    symbols = y.new_empty((count, height * width * channels), dtype=torch.int16)
    return (
        symbols,
        y.new_empty((count,), dtype=torch.int64),
        symbols.new_empty(0) if indexes is None else torch.empty_like(symbols),
    )


@torch.library.register_fake("lfic::rap_dense", lib=library)
def _(
    y: Tensor,
    levels: Tensor,
    gain: Tensor,
    step: Tensor,
    quality: Tensor,
    noise: Tensor | None,
    seed: Tensor | None,
    mixed: bool,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    return channels_last(y.shape, dtype, y.device), channels_last(y.shape, dtype, y.device)


@torch.library.register_fake("lfic::rap_dense_backward", lib=library)
def _(
    grad_features: Tensor | None,
    grad_symbols: Tensor | None,
    y: Tensor,
    levels: Tensor,
    gain: Tensor,
    step: Tensor,
    quality: Tensor,
    noise: Tensor | None,
    seed: Tensor | None,
    to_y: bool,
    to_gain: bool,
    to_step: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        channels_last(y.shape, y.dtype, y.device) if to_y else y.new_empty(0),
        gain.new_empty(gain.shape) if to_gain else gain.new_empty(0),
        step.new_empty(step.shape) if to_step else step.new_empty(0),
    )


@torch.library.register_fake("lfic::rap_unpool", lib=library)
def _(
    symbols: Tensor, levels: Tensor, step: Tensor, quality: Tensor, height: int, width: int, dtype: torch.dtype
) -> Tensor:
    return channels_last((levels.shape[0], step.shape[2], height, width), dtype, levels.device)


@torch.library.register_fake("lfic::rap_unpool_backward", lib=library)
def _(grad: Tensor, symbols: Tensor, levels: Tensor, step: Tensor, quality: Tensor) -> Tensor:
    return step.new_empty(step.shape)


# --- autograd --------------------------------------------------------------------------------------------------------


def save_dense(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    y, levels, gain, step, quality, noise, seed, mixed, _ = inputs
    if mixed:  # noise that the features do not hold enters no gradient
        noise = seed = None
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(y, levels, gain, step, quality, noise, seed)


def dense_backward(ctx: Any, grad_features: Tensor | None, grad_symbols: Tensor | None) -> tuple[Tensor | None, ...]:
    nothing: list[Tensor | None] = [None] * 9
    if grad_features is None and grad_symbols is None:
        return tuple(nothing)
    need = need_y, need_gain, need_step = [ctx.needs_input_grad[i] for i in (0, 2, 3)]
    form = DenseBackward.apply if transformed() else torch.ops.lfic.rap_dense_backward
    grads = form(grad_features, grad_symbols, *ctx.saved_tensors, *need)
    nothing[0] = grads[0] if need_y else None
    nothing[2] = grads[1] if need_gain else None
    nothing[3] = grads[2] if need_step else None
    return tuple(nothing)


def save_unpool(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs[:4])


def unpool_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    form = UnpoolBackward.apply if transformed() else torch.ops.lfic.rap_unpool_backward
    grad_step = form(grad, *ctx.saved_tensors) if ctx.needs_input_grad[2] else None
    return None, None, grad_step, None, None, None, None


torch.library.register_autograd("lfic::rap_dense", dense_backward, setup_context=save_dense, lib=library)
torch.library.register_autograd("lfic::rap_unpool", unpool_backward, setup_context=save_unpool, lib=library)


def no_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    pass


def refused(ctx: Any, *_: Any) -> Any:
    """In place of second derivatives, which would otherwise be taken for zero."""
    raise NotImplementedError(
        "rap_quantize_dense and rap_unpool have first derivatives alone: a gradient of their gradient was asked for "
        "(create_graph=True, torch.func.hessian, a gradient penalty)"
    )


for backward_of in ("rap_dense_backward", "rap_unpool_backward"):
    torch.library.register_autograd(f"lfic::{backward_of}", refused, setup_context=no_context, lib=library)


class Dense(torch.autograd.Function):
    """The same rule once more: torch.func.grad sees through a Function, not through a registered operation. See
    ``dense``."""

    generate_vmap_rule = True
    setup_context = staticmethod(save_dense)
    backward = staticmethod(dense_backward)

    @staticmethod
    def forward(*inputs: Any) -> Any:
        return torch.ops.lfic.rap_dense(*inputs)


class Unpool(torch.autograd.Function):
    """As ``Dense``."""

    generate_vmap_rule = True
    setup_context = staticmethod(save_unpool)
    backward = staticmethod(unpool_backward)

    @staticmethod
    def forward(*inputs: Any) -> Any:
        return torch.ops.lfic.rap_unpool(*inputs)


class DenseBackward(torch.autograd.Function):
    """As ``Dense``, for its gradient, which torch.func.grad takes as something to be differentiated in turn."""

    generate_vmap_rule = True
    setup_context = staticmethod(no_context)
    backward = staticmethod(refused)

    @staticmethod
    def forward(*inputs: Any) -> Any:
        return torch.ops.lfic.rap_dense_backward(*inputs)


class UnpoolBackward(torch.autograd.Function):
    """As ``DenseBackward``."""

    generate_vmap_rule = True
    setup_context = staticmethod(no_context)
    backward = staticmethod(refused)

    @staticmethod
    def forward(*inputs: Any) -> Any:
        return torch.ops.lfic.rap_unpool_backward(*inputs)


# Whether torch.func.grad, vmap or the like is at work. To call a Function takes three times as long as all else of a
# small call.
transformed: Callable[[], bool] = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)


def offsets(*inputs: Any) -> tuple[Tensor, Tensor]:
    """rap_offsets as registered."""
    outputs: tuple[Tensor, Tensor] = torch.ops.lfic.rap_offsets(*inputs)
    return outputs


def quantize(*inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    """rap_quantize as registered; the third result is empty without indexes."""
    outputs: tuple[Tensor, Tensor, Tensor] = torch.ops.lfic.rap_quantize(*inputs)
    return outputs


def dense(*inputs: Any) -> tuple[Tensor, Tensor]:
    """rap_dense, differentiable under torch.func as well."""
    outputs: tuple[Tensor, Tensor]
    outputs = Dense.apply(*inputs) if transformed() else torch.ops.lfic.rap_dense(*inputs)
    return outputs


def unpool(*inputs: Any) -> Tensor:
    """rap_unpool, as ``dense``."""
    output: Tensor = Unpool.apply(*inputs) if transformed() else torch.ops.lfic.rap_unpool(*inputs)
    return output


# --- vmap: the mapped dimension joins N; mapped tables become more rows -----------------------------------------------


Dims = tuple[int | None, ...]  # the mapped dimension of each argument; None: unmapped


def join(x: Maybe, dim: int | None, size: int) -> Maybe:
    """[.., B, ..] or unmapped [N, ...] -> [B * N, ...]."""
    if x is None:
        return None
    x = x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
    return x.flatten(0, 1)


def split(x: Tensor, size: int) -> Tensor:
    """[B * N, ...] -> [B, N, ...]; what is empty because it was not asked for gets a dimension all the same."""
    return x.unflatten(0, (size, -1)) if x.ndim > 1 or x.numel() else x.expand(size, *x.shape)


def rows_for(quality: Tensor, dim: int | None, table: int, size: int) -> Tensor:
    """Qualities [B, N] pointing into tables that were joined to [B * Q, 3, C].

    One that is out of range must not become a row of another table: on the CPU it stays out of range, and is refused,
    elsewhere it is clamped, as it is without vmap.
    """
    quality = quality.expand(size, *quality.shape) if dim is None else quality.movedim(dim, 0)
    rows = torch.arange(size, device=quality.device)[:, None] * table + quality.clamp(0, table - 1)
    if quality.device.type == "cpu":
        rows = torch.where(quality < 0, quality, torch.where(quality < table, rows, size * table + quality))
    return rows.flatten()


@torch.library.register_vmap("lfic::rap_offsets", lib=library)
def _(info: Any, in_dims: Dims, levels: Tensor, height: int, width: int) -> tuple[tuple[Tensor, ...], Dims]:
    starts, counts = torch.ops.lfic.rap_offsets(join(levels, in_dims[0], info.batch_size), height, width)
    return (split(starts, info.batch_size), counts.unflatten(0, (info.batch_size, -1))), (0, 0)


@torch.library.register_vmap("lfic::rap_quantize", lib=library)
def _(
    info: Any,
    in_dims: Dims,
    y: Tensor,
    levels: Tensor,
    gain: Tensor,
    quality: Tensor,
    indexes: Tensor | None,
    tail: bool = True,
) -> tuple[tuple[Tensor, ...], Dims]:
    size, rows = info.batch_size, gain.shape[0 if in_dims[2] is None else (in_dims[2] == 0)]
    symbols, counts, tables = torch.ops.lfic.rap_quantize(
        join(y, in_dims[0], size),
        join(levels, in_dims[1], size),
        join(gain, in_dims[2], size),
        rows_for(quality, in_dims[3], rows, size),
        join(indexes, in_dims[4], size),
        tail,
    )
    return (split(symbols, size), counts.unflatten(0, (size, -1)), split(tables, size)), (0, 0, 0)


def refuse_seed(seed: Tensor | None, info: Any) -> None:
    if seed is not None and info.randomness != "different":
        raise RuntimeError(
            'rap_quantize_dense with a seed draws other noise for every image: call vmap(..., randomness="different")'
        )


@torch.library.register_vmap("lfic::rap_dense", lib=library)
def _(
    info: Any,
    in_dims: Dims,
    y: Tensor,
    levels: Tensor,
    gain: Tensor,
    step: Tensor,
    quality: Tensor,
    noise: Tensor | None,
    seed: Tensor | None,
    mixed: bool,
    dtype: torch.dtype,
) -> tuple[tuple[Tensor, ...], Dims]:
    refuse_seed(seed, info)
    size, rows = info.batch_size, gain.shape[0 if in_dims[2] is None else (in_dims[2] == 0)]
    features, symbols = torch.ops.lfic.rap_dense(
        join(y, in_dims[0], size),
        join(levels, in_dims[1], size),
        join(gain, in_dims[2], size),
        join(step, in_dims[3], size),
        rows_for(quality, in_dims[4], rows, size),
        join(noise, in_dims[5], size),
        seed,
        mixed,
        dtype,
    )
    return (split(features, size), split(symbols, size)), (0, 0)


@torch.library.register_vmap("lfic::rap_dense_backward", lib=library)
def _(
    info: Any,
    in_dims: Dims,
    grad_features: Tensor | None,
    grad_symbols: Tensor | None,
    y: Tensor,
    levels: Tensor,
    gain: Tensor,
    step: Tensor,
    quality: Tensor,
    noise: Tensor | None,
    seed: Tensor | None,
    to_y: bool,
    to_gain: bool,
    to_step: bool,
) -> tuple[tuple[Tensor, ...], Dims]:
    refuse_seed(seed, info)
    size, rows = info.batch_size, gain.shape[0 if in_dims[4] is None else (in_dims[4] == 0)]
    grads = torch.ops.lfic.rap_dense_backward(
        join(grad_features, in_dims[0], size),
        join(grad_symbols, in_dims[1], size),
        join(y, in_dims[2], size),
        join(levels, in_dims[3], size),
        join(gain, in_dims[4], size),
        join(step, in_dims[5], size),
        rows_for(quality, in_dims[6], rows, size),
        join(noise, in_dims[7], size),
        seed,
        to_y,
        to_gain,
        to_step,
    )
    return tuple(split(grad, size) for grad in grads), (0, 0, 0)


@torch.library.register_vmap("lfic::rap_unpool", lib=library)
def _(
    info: Any,
    in_dims: Dims,
    symbols: Tensor,
    levels: Tensor,
    step: Tensor,
    quality: Tensor,
    height: int,
    width: int,
    dtype: torch.dtype,
) -> tuple[Tensor, int]:
    size, rows = info.batch_size, step.shape[0 if in_dims[2] is None else (in_dims[2] == 0)]
    features = torch.ops.lfic.rap_unpool(
        join(symbols, in_dims[0], size),
        join(levels, in_dims[1], size),
        join(step, in_dims[2], size),
        rows_for(quality, in_dims[3], rows, size),
        height,
        width,
        dtype,
    )
    return split(features, size), 0


@torch.library.register_vmap("lfic::rap_unpool_backward", lib=library)
def _(
    info: Any, in_dims: Dims, grad: Tensor, symbols: Tensor, levels: Tensor, step: Tensor, quality: Tensor
) -> tuple[Tensor, int]:
    size, rows = info.batch_size, step.shape[0 if in_dims[3] is None else (in_dims[3] == 0)]
    grad_step = torch.ops.lfic.rap_unpool_backward(
        join(grad, in_dims[0], size),
        join(symbols, in_dims[1], size),
        join(levels, in_dims[2], size),
        join(step, in_dims[3], size),
        rows_for(quality, in_dims[4], rows, size),
    )
    return split(grad_step, size), 0
