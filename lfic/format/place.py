"""Where a face layer lies: the similarity transform between the 112 x 112 template and the picture, in integers.

    x, y    13 bits each   the template's centre, at ((2 x + 1) / 2^14 of the width, (2 y + 1) / 2^14 of the height)
    scale    9 bits        2^(scale / 64 - 3) picture pixels to one of the template: 1/8 to 32
    angle    9 bits        angle / 512 turns, clockwise as the picture is seen

Everything that decoders compute from it is an integer; docs/FORMAT.md has the formulas.
"""

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidInputError
from .geometry import SIDE

POSITIONS, SCALES, ANGLES = 1 << 13, 512, 512
OCTAVE = 64  # scales to a factor of two
LEAST_OCTAVE = -3
ONE = 24  # fraction bits of template coordinates
PICTURE_ONE = 16  # and of picture coordinates
INVERSE = [round(2 ** (-j / OCTAVE) * 2**30) for j in range(OCTAVE)]
COSINE = [round(math.cos(2 * math.pi * k / ANGLES) * 2**30) for k in range(ANGLES)]


@dataclasses.dataclass(frozen=True)
class Place:
    """x, y 0..8191, scale 0..511, angle 0..511."""

    x: int
    y: int
    scale: int
    angle: int

    @classmethod
    def nearest(cls, matrix: ArrayLike, width: int, height: int) -> "Place":
        """The place next to a similarity transform, float [2, 3], from template to picture pixels (integers: centres).

        Raises:
            InvalidInputError: the centre lies outside the picture, or the scale outside 1/8 to 32.
        """
        m = np.asarray(matrix, np.float64)
        size = math.hypot(m[0, 0], m[1, 0])
        centre = m[:, :2] @ np.full(2, (SIDE - 1) / 2) + m[:, 2] + 0.5
        if not (0 <= centre[0] < width and 0 <= centre[1] < height):
            raise InvalidInputError(
                f"the face's centre is at ({centre[0]:.1f}, {centre[1]:.1f}), outside the {width} x {height} picture"
            )
        scale = round((math.log2(size) - LEAST_OCTAVE) * OCTAVE) if size > 0 else -1
        if not 0 <= scale < SCALES:
            raise InvalidInputError(f"a face of {SIDE * size:.1f} pixels can't be a layer; allowed are 14 to 3584")
        angle = round(math.atan2(m[1, 0], m[0, 0]) / (2 * math.pi) * ANGLES) % ANGLES
        x, y = (int(c / side * POSITIONS) for c, side in zip(centre, (width, height), strict=True))
        return cls(min(x, POSITIONS - 1), min(y, POSITIONS - 1), scale, angle)

    def matrix(self, width: int, height: int, size: int = 0) -> NDArray[np.float64]:
        """Pixels of a layer of SIDE * 2^size -> picture pixels, float64 [2, 3]; integers are pixel centres on both
        sides."""
        step = 2 ** (self.scale / OCTAVE + LEAST_OCTAVE - size)
        turn = 2 * math.pi * self.angle / ANGLES
        a, b = step * math.cos(turn), step * math.sin(turn)
        linear = np.array([[a, -b], [b, a]])
        centre = np.array([(2 * self.x + 1) * width, (2 * self.y + 1) * height]) / (2 * POSITIONS) - 0.5
        return np.concatenate([linear, (centre - linear @ np.full(2, ((SIDE << size) - 1) / 2))[:, None]], 1)

    def steps(self) -> tuple[int, int]:
        """(cosine, sine) / scale: what a template coordinate moves by to a picture pixel, in 2^-24."""
        octave, j = divmod(self.scale, OCTAVE)
        shift = 60 - ONE + LEAST_OCTAVE + octave
        half = 1 << (shift - 1)
        sine = COSINE[(self.angle - ANGLES // 4) % ANGLES]
        return (COSINE[self.angle] * INVERSE[j] + half) >> shift, (sine * INVERSE[j] + half) >> shift

    def centre(self, width: int, height: int) -> tuple[int, int]:
        """The template's centre in the picture, in 2^-16 pixels from its left and upper edge."""
        unit = PICTURE_ONE - POSITIONS.bit_length()
        return (2 * self.x + 1) * width << unit, (2 * self.y + 1) * height << unit

    def halvings(self, size: int = 0) -> int:
        """How often a layer of SIDE * 2^size pixels is halved before it is painted, not to alias: 0 to 3."""
        return max(0, -((self.scale + OCTAVE * (LEAST_OCTAVE - size) + OCTAVE // 2) // OCTAVE))

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """The pixels that may be painted: (left, top, right, bottom), clipped to the picture; may be empty."""
        # Half a diagonal of the template, 80 pixels, at a scale that is rounded up to a whole octave's 64th.
        octave, j = divmod(self.scale, OCTAVE)
        reach = (80 << (PICTURE_ONE + 30 + octave + LEAST_OCTAVE)) // INVERSE[j]
        x, y = self.centre(width, height)
        left, right = max(0, (x - reach) >> PICTURE_ONE), min(width, ((x + reach) >> PICTURE_ONE) + 1)
        top, bottom = max(0, (y - reach) >> PICTURE_ONE), min(height, ((y + reach) >> PICTURE_ONE) + 1)
        return left, top, max(left, right), max(top, bottom)
