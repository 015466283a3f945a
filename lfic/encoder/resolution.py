"""Pictures without layers that are coded smaller than they are.

picture -> smaller picture -> what codes any picture -> file of that -> ``as_reduced`` -> file of the picture
"""

import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from ..format import container, layers
from ..format.compose import resolution_for, shrunk
from .draft import Pixels, Transforms
from .rate_control import Manner, largest_files

MOST_THREADS = 16  # that look at pictures
TOGETHER = 256  # pictures that are made smaller together, so that memory does not grow with the batch


@dataclasses.dataclass(frozen=True, eq=False)
class Reduced:
    """What is coded in a picture's place: pixels uint8 [h, w, 3], at its own quality."""

    pixels: Pixels
    quality: int
    reduction: int
    width: int  # of the picture
    height: int

    def more_bytes(self, model: Transforms) -> int:
        """What ``as_reduced`` adds to a file by ``model``."""
        height, width = self.pixels.shape[:2]
        own = container.Header(width, height, 1, 0, model=model.number, weights=model.weights)
        stream = layers.Stream(own, b"")
        photo = layers.Picture(self.width, self.height, stream, self.reduction, (), True, own.model, own.weights)
        return len(layers.write(photo)) - len(container.write(own, b""))


def reduced(pixels: Pixels, quality: int, threads: int = 1) -> Reduced | None:
    """What is coded in the place of a picture uint8 [H, W, 3] at a quality, or None: the picture itself."""
    reduction, own = resolution_for(pixels, quality, threads)
    if not reduction:
        return None
    return Reduced(shrunk(pixels, reduction, threads), own, reduction, pixels.shape[1], pixels.shape[0])


def all_reduced(pictures: Mapping[int, Pixels], quality: Sequence[int], threads: int) -> dict[int, Reduced]:
    """``reduced`` of many pictures, by index, without those that stay as they are. quality: of each of all pictures."""
    if len(pictures) < 2:
        found = [reduced(pixels, quality[i], threads) for i, pixels in pictures.items()]
    else:
        with ThreadPoolExecutor(min(threads, MOST_THREADS, len(pictures))) as pool:
            found = list(pool.map(lambda i: reduced(pictures[i], quality[i]), pictures))
    return {i: one for i, one in zip(pictures, found, strict=True) if one is not None}


def as_reduced(data: bytes, small: Reduced) -> bytes:
    """The file of the smaller picture -> that of the picture."""
    read = layers.read(data, container.MAX_PIXELS)
    return layers.write(dataclasses.replace(read, width=small.width, height=small.height, reduction=small.reduction))


def largest_reduced(
    model: Transforms, pixels: Pixels, at_full_size: int, max_bytes: int, manner: Manner
) -> bytes | None:
    """The best file of at most ``max_bytes`` of a picture at the size that a quality has it coded at.

    at_full_size: that quality, the largest whose file fits where the picture has its own size; 0: none does. None where
    its size is the picture's own, or where no file of it fits.
    """
    small = reduced(pixels, max(at_full_size, 1), manner.threads)
    if small is None or max_bytes <= (more := small.more_bytes(model.of(False))):
        return None
    room = max_bytes - more
    own = dataclasses.replace(manner, aligned=False, bare=False)
    (found,) = largest_files(model, model.tensor([small.pixels]), room, own, coarsest=False)
    return as_reduced(found, small) if isinstance(found, bytes) else None
