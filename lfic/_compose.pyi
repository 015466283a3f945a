import numpy as np
from numpy.typing import NDArray

def enlarge(
    background: NDArray[np.uint8], exponent: int, width: int, height: int, threads: int = 1
) -> NDArray[np.uint8]: ...
def paint(
    picture: NDArray[np.uint8], template: NDArray[np.uint8], x: int, y: int, scale: int, angle: int, threads: int = 1
) -> None: ...
def cover(left: NDArray[np.int32], x: int, y: int, scale: int, angle: int, threads: int = 1) -> None: ...
