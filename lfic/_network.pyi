from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

class Model:
    """The integer networks; tensors by name as csrc/network/network.hpp lists them, without "integers.". simd: "auto",
    "scalar", "avx2", "avxvnni", "avx512", "neon", "wasm". Safe to use from several threads."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]], simd: str = "auto") -> None: ...
    @property
    def channels(self) -> int: ...
    @property
    def simd(self) -> str: ...
    @property
    def has_analysis(self) -> bool: ...
    def synthesize(
        self,
        coded: Sequence[tuple[NDArray[np.int16], NDArray[np.uint8], int, int, int, bool]],
        threads: int = 1,
    ) -> list[NDArray[np.uint8]]:
        """(symbols, levels, height, width, quality, aligned) each -> uint8 [height, width, 3]."""
    def encode(
        self, images: Sequence[tuple[NDArray[np.uint8], int, bool]], threads: int = 1
    ) -> list[tuple[NDArray[np.int16], NDArray[np.uint8]]]:
        """(image uint8 [H, W, 3], quality, aligned) each -> (symbols [kept cells * C], levels [rows, columns])."""
    def analyze(
        self, images: NDArray[np.uint8], quality: Sequence[int], aligned: Sequence[bool], threads: int = 1
    ) -> NDArray[np.int16]:
        """uint8 [N, H, W, 3] -> features int16 [N, ceil(H/8), ceil(W/8), channels]."""
    def choose_levels(
        self, features: NDArray[np.int16], height: int, width: int, quality: int, aligned: bool
    ) -> NDArray[np.uint8]:
        """The level head's choice: uint8 [rows, columns]."""
    def pool(
        self, features: NDArray[np.int16], levels: NDArray[np.uint8], height: int, width: int, quality: int
    ) -> NDArray[np.int16]:
        """Symbols in coding order, int16 [kept cells * channels]."""
