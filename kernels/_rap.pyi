"""Types of the extension module: csrc/rap/cpu.hpp by addresses. cpu.py holds the tensors and checks them beforehand.

An address is what ``Tensor.data_ptr`` gives, 0 where an argument is not given. A type is 0 (float32), 1 (float16) or
2 (bfloat16). Where a level, a quality or a type is out of range a call raises ValueError.
"""

# N, C, h, w, address of levels, address of quality, rows of the tables (-1: there are none). Levels and qualities are
# copied, then checked.
_Grid = tuple[int, int, int, int, int, int, int]
_View = tuple[int, int, int, int, int, int]  # address, type, the strides of [N, C, h, w] in elements
_Run = tuple[int, bool]  # threads at most, whether AVX2 is left alone

def offsets(grid: _Grid, starts: int, counts: int, /) -> None: ...
def quantize(
    grid: _Grid, y: _View, gain: int, indexes: int, symbols: int, tables: int, counts: int, run: _Run, /
) -> None: ...
def dense(
    grid: _Grid,
    y: _View,
    noise: _View | None,
    seed: int,
    mixed: bool,
    gain: int,
    step: int,
    type: int,
    features: int,
    symbols: int,
    run: _Run,
    /,
) -> None: ...
def dense_backward(
    grid: _Grid,
    grad_features: _View | None,
    grad_symbols: _View | None,
    y: _View,
    noise: _View | None,
    seed: int,
    gain: int,
    step: int,
    grad_y: int,
    to_gain: int,
    to_step: int,
    run: _Run,
    /,
) -> None: ...
def unpool(grid: _Grid, symbols: int, room: int, step: int, type: int, features: int, run: _Run, /) -> None: ...
def unpool_backward(grid: _Grid, grad: _View, symbols: int, room: int, to_step: int, run: _Run, /) -> None: ...
