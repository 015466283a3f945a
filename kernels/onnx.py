"""The operations for torch.onnx, which knows none but PyTorch's own.

    torch.onnx.export(model, args, "model.onnx", dynamo=True, custom_translation_table=lfic.kernels.onnx.translations())

They become standard operators (opset 18), with the same order of sums and one rounding for each operation. Rounded
values alone: there is no noise in a model that is run, and no gradient. Needs onnxscript.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import torch

Value: TypeAlias = Any  # of a graph under construction
REGION, SYMBOL_LIMIT = 4, 32767.0
# By level: the cell of a region, numbered in raster order, that each of its 16 cells is written from.
OWNERS = [
    [(y >> level << level) * REGION + (x >> level << level) for y in range(4) for x in range(4)] for level in range(3)
]


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """What torch.onnx.export takes as ``custom_translation_table``.

    Raises:
        ImportError: onnxscript is not installed.
    """
    try:
        from onnxscript import opset18
    except ImportError as error:
        raise ImportError(f"ONNX needs onnxscript ({error}): pip install 'lfic[onnx]'") from None
    graph = Graph(opset18)
    return {
        torch.ops.lfic.rap_dense.default: as_function(graph.dense),
        torch.ops.lfic.rap_quantize.default: as_function(graph.quantize),
        torch.ops.lfic.rap_unpool.default: as_function(graph.unpool),
    }


def as_function(method: Callable[..., Any]) -> Callable[..., Any]:
    """torch.onnx writes attributes onto what it is given, which methods have none of."""

    @functools.wraps(method)
    def call(*inputs: Any, **options: Any) -> Any:
        return method(*inputs, **options)

    return call


class Graph:
    """Writes the operations with the operators of an opset."""

    def __init__(self, op: Any) -> None:
        self.op = op

    # --- the operations ------------------------------------------------------------------------------------------

    def dense(
        self,
        y: Value,
        levels: Value,
        gain: Value,
        step: Value,
        quality: Value,
        noise: Value = None,
        seed: Value = None,
        mixed: bool = False,
        dtype: int = 1,
    ) -> tuple[Value, Value]:
        """``rap_quantize_dense``: (features, symbols at every cell)."""
        if noise is not None or seed is not None:
            raise ValueError("ONNX has rounded symbols alone: export without noise and seed")
        self.check(dtype)
        op = self.op
        symbols, cells = self.symbols(y, levels, gain, quality)
        steps = self.chosen(self.table(step, quality), cells)
        height, width = self.size(y)
        return self.cropped(op.Mul(symbols, steps), height, width), self.cropped(symbols, height, width)

    def quantize(
        self, y: Value, levels: Value, gain: Value, quality: Value, indexes: Value = None, tail: bool = True
    ) -> tuple[Value, Value, Value]:
        """``rap_quantize`` without table indexes: (symbols in coding order, counts, nothing)."""
        if indexes is not None:
            raise ValueError("ONNX has symbols alone: export without indexes")
        op = self.op
        height, width = self.size(y)
        dense, _ = self.symbols(y, levels, gain, quality)
        dense = op.Where(op.IsNaN(dense), self.floats(0.0), dense)
        values = self.by_region(dense)  # [N, P, C]
        kept = self.kept(levels, height, width)  # bool [N, P]
        whole = op.Mul(height, width)
        rank = op.Sub(self.cumulative(kept), self.ints(1))
        place = op.Where(kept, rank, whole)  # what is not kept goes behind the rest, and is cut off
        index = op.Expand(op.Unsqueeze(place, self.ints(2)), op.Shape(values))
        count, channels = op.Shape(y, start=0, end=1), op.Shape(y, start=1, end=2)
        empty = op.Expand(self.floats(0.0), op.Concat(count, op.Add(whole, self.ints(1)), channels, axis=0))
        packed = op.ScatterElements(empty, index, values, axis=1)
        packed = op.Slice(packed, self.ints(0), whole, self.ints(1))
        rows = op.Reshape(packed, op.Concat(count, op.Mul(whole, channels), axis=0))
        counts = op.ReduceSum(op.Cast(kept, to=7), self.ints(1), keepdims=0)
        nothing = op.Cast(op.Constant(value=tensor([], 0)), to=5)
        return op.Cast(rows, to=5), op.Mul(counts, channels), nothing

    def unpool(
        self, symbols: Value, levels: Value, step: Value, quality: Value, height: Value, width: Value, dtype: int = 1
    ) -> Value:
        """``rap_unpool``: features, float32."""
        self.check(dtype)
        op = self.op
        height, width = (
            op.Reshape(op.Cast(side, to=7), self.ints(1)) if not isinstance(side, int) else self.ints(side)
            for side in (height, width)
        )
        rows, columns = self.regions(levels)
        count, channels = op.Shape(levels, start=0, end=1), op.Shape(step, start=2, end=3)
        rank = op.Sub(self.cumulative(self.kept(levels, height, width)), self.ints(1))  # [N, P]
        flat = op.Cast(op.Reshape(levels, op.Concat(count, self.ints(-1), axis=0)), to=7)  # [N, regions]
        within = op.Gather(op.Constant(value=tensor(OWNERS, 3, 16)), flat, axis=0)  # [N, regions, 16]
        regions = op.Range(op.Squeeze(self.ints(0)), op.Squeeze(op.Mul(rows, columns)), op.Squeeze(self.ints(1)))
        first = op.Mul(op.Unsqueeze(regions, self.ints(1)), self.ints(16))
        owner = op.Reshape(op.Add(within, first), op.Shape(rank))
        source = op.GatherElements(rank, owner, axis=1)  # [N, P]
        rows_of = op.Cast(op.Reshape(symbols, op.Concat(count, self.ints(-1), channels, axis=0)), to=1)
        # One more cell of zeros stands for what a row is too short to hold.
        blank = op.Expand(self.floats(0.0), op.Concat(count, self.ints(1), channels, axis=0))
        last = op.Shape(rows_of, start=1, end=2)
        index = op.Unsqueeze(op.Min(source, last), self.ints(2))
        index = op.Expand(index, op.Concat(op.Shape(source), channels, axis=0))
        values = op.GatherElements(op.Concat(rows_of, blank, axis=1), index, axis=1)  # [N, P, C]
        shape = op.Concat(count, rows, columns, self.ints(4, 4), channels, axis=0)
        grid = op.Transpose(op.Reshape(values, shape), perm=[0, 5, 1, 3, 2, 4])
        grid = op.Reshape(grid, op.Concat(count, channels, self.times(rows, 4), self.times(columns, 4), axis=0))
        steps = self.chosen(self.table(step, quality), self.cells(levels))
        return self.cropped(op.Mul(grid, steps), height, width)

    @staticmethod
    def check(dtype: Any) -> None:
        if dtype not in (1, torch.float32):
            raise ValueError(f"dtype is {dtype}; ONNX has float32 alone")

    # --- their parts -----------------------------------------------------------------------------------------------

    def symbols(self, y: Value, levels: Value, gain: Value, quality: Value) -> tuple[Value, Value]:
        """Rounded symbols at every cell of a grid padded to whole regions, and their levels at these cells."""
        op = self.op
        rows, columns = self.regions(levels)
        height, width = self.size(y)
        y = op.Cast(y, to=1)
        behind = op.Concat(
            self.ints(0, 0, 0, 0, 0, 0),
            op.Sub(self.times(rows, 4), height),
            op.Sub(self.times(columns, 4), width),
            axis=0,
        )
        y = op.Pad(y, behind, self.floats(0.0))
        ones = op.Pad(
            op.Expand(self.floats(1.0), op.Concat(self.ints(1, 1), height, width, axis=0)), behind, self.floats(0.0)
        )
        gains, cells = self.table(gain, quality), self.cells(levels)
        found = None
        for level in (2, 1, 0):
            total, there = y, ones
            for _ in range(level):
                total, there = self.fours(total), self.fours(there)
            # A footprint that lies outside has no cells, and is thrown away.
            mean = op.Mul(total, op.Div(self.floats(1.0), op.Max(there, self.floats(1.0))))
            scaled = op.Mul(mean, self.channel(gains, level))
            rounded = op.Round(op.Clip(scaled, self.scalar(-SYMBOL_LIMIT), self.scalar(SYMBOL_LIMIT)))
            rounded = self.repeated(rounded, 1 << level)
            found = rounded if found is None else op.Where(op.Equal(cells, self.ints(level)), rounded, found)
        return found, cells

    def fours(self, x: Value) -> Value:
        """Sums of 2 x 2, (a + b) + (c + d): [N, C, h, w] -> half of either side."""
        op = self.op
        a, b, c, d = (
            op.Slice(x, self.ints(dy, dx), self.ints(2**31 - 1, 2**31 - 1), self.ints(2, 3), self.ints(2, 2))
            for dy in (0, 1)
            for dx in (0, 1)
        )
        return op.Add(op.Add(a, b), op.Add(c, d))

    def repeated(self, x: Value, times: int) -> Value:
        """Every cell ``times`` over in both directions."""
        if times == 1:
            return x
        op = self.op
        scales = op.Constant(value_floats=[1.0, 1.0, float(times), float(times)])
        return op.Resize(
            x, None, scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        )

    def cells(self, levels: Value) -> Value:
        """uint8 [N, hr, wr] -> int64 [N, 1, 4 hr, 4 wr]."""
        x = self.op.Cast(self.op.Unsqueeze(levels, self.ints(1)), to=1)
        return self.op.Cast(self.repeated(x, REGION), to=7)

    def kept(self, levels: Value, height: Value, width: Value) -> Value:
        """Which cells of a grid have symbols, in coding order: bool [N, 16 regions]."""
        op = self.op
        rows, columns = self.regions(levels)
        y, x = (self.counted(self.times(n, 4)) for n in (rows, columns))
        side = op.Where(
            op.Equal(self.cells(levels), self.ints(2)), self.ints(4), op.Add(self.cells(levels), self.ints(1))
        )  # 1, 2, 4 for levels 0, 1, 2
        down, right = op.Unsqueeze(y, self.ints(0, 1, 3)), op.Unsqueeze(x, self.ints(0, 1, 2))
        here = op.And(op.Equal(op.Mod(down, side), self.ints(0)), op.Equal(op.Mod(right, side), self.ints(0)))
        inside = op.And(op.Less(down, height), op.Less(right, width))
        chosen = self.by_region(op.Cast(op.And(here, inside), to=1))
        return op.Cast(op.Squeeze(chosen, self.ints(2)), to=9)

    def by_region(self, x: Value) -> Value:
        """[N, C, 4 hr, 4 wr] -> [N, 16 hr wr, C], a region's cells after one another."""
        op = self.op
        count, channels = op.Shape(x, start=0, end=1), op.Shape(x, start=1, end=2)
        rows, columns = (op.Div(op.Shape(x, start=at, end=at + 1), self.ints(4)) for at in (2, 3))
        four = self.ints(4)
        x = op.Reshape(x, op.Concat(count, channels, rows, four, columns, four, axis=0))
        x = op.Transpose(x, perm=[0, 2, 4, 3, 5, 1])
        return op.Reshape(x, op.Concat(count, self.times(op.Mul(rows, columns), 16), channels, axis=0))

    def cumulative(self, kept: Value) -> Value:
        return self.op.CumSum(self.op.Cast(kept, to=7), self.ints(1))

    def counted(self, length: Value) -> Value:
        """0 to length - 1."""
        return self.op.Range(self.op.Squeeze(self.ints(0)), self.op.Squeeze(length), self.op.Squeeze(self.ints(1)))

    def table(self, values: Value, quality: Value) -> Value:
        """float [Q, 3, C] -> [N, 3, C]."""
        return self.op.Gather(values, quality, axis=0)

    def channel(self, values: Value, level: int) -> Value:
        """[N, 3, C] at a level -> [N, C, 1, 1]."""
        row = self.op.Gather(values, self.op.Squeeze(self.ints(level)), axis=1)
        return self.op.Unsqueeze(row, self.ints(2, 3))

    def chosen(self, values: Value, cells: Value) -> Value:
        """[N, 3, C] by the cells' levels -> [N, C, 4 hr, 4 wr]."""
        op = self.op
        fine = op.Where(op.Equal(cells, self.ints(1)), self.channel(values, 1), self.channel(values, 0))
        return op.Where(op.Equal(cells, self.ints(2)), self.channel(values, 2), fine)

    def cropped(self, x: Value, height: Value, width: Value) -> Value:
        return self.op.Slice(x, self.ints(0, 0), self.op.Concat(height, width, axis=0), self.ints(2, 3))

    def size(self, y: Value) -> tuple[Value, Value]:
        """(height, width), int64 [1] each."""
        return self.op.Shape(y, start=2, end=3), self.op.Shape(y, start=3, end=4)

    def regions(self, levels: Value) -> tuple[Value, Value]:
        """(rows, columns), int64 [1] each."""
        return self.op.Shape(levels, start=1, end=2), self.op.Shape(levels, start=2, end=3)

    def times(self, value: Value, factor: int) -> Value:
        return self.op.Mul(value, self.ints(factor))

    def ints(self, *values: int) -> Value:
        return self.op.Constant(value_ints=list(values))

    def floats(self, *values: float) -> Value:
        return self.op.Constant(value_floats=list(values))

    def scalar(self, value: float) -> Value:
        return self.op.Constant(value_float=value)


def tensor(values: list[list[int]], *shape: int) -> Any:
    """int64, as onnx has constants that are no list."""
    import onnx

    return onnx.helper.make_tensor("values", onnx.TensorProto.INT64, shape, [v for row in values for v in row])
