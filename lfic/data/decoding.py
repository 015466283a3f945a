"""lfic files, and pictures of other formats, to pixels: what data sets and webdataset decode with."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInputError
from .records import LFIC

if TYPE_CHECKING:
    from ..codec import Codec

Form: TypeAlias = Literal["tensor", "numpy", "pil"]


class Decoder:
    """lfic files, and pictures of other formats, to pixels; its codec is loaded where it first decodes.

    Args:
        device: of torch.
        out: "tensor": uint8 [3, H, W]; "numpy": uint8 [H, W, 3]; "pil".
    """

    def __init__(self, device: str = "cpu", out: Form = "tensor") -> None:
        if out not in ("tensor", "numpy", "pil"):
            raise InvalidInputError(f"out is {out!r}; allowed are 'tensor', 'numpy' and 'pil'")
        self.device, self.out = device, out

    def codec(self, model: int) -> "Codec":
        """What reads files of a model's number; of a former one that is the model after it, loaded once."""
        from ..codec import load_codec
        from ..format.container import FORMER, MODELS

        users = {former: user for user, former in FORMER.items()}
        return load_codec(MODELS[users.get(model, model)], self.device)

    def __call__(self, blobs: Sequence[bytes]) -> list[Any]:
        """Pictures of any sizes and formats, in their order.

        Raises:
            LficError: one can't be decoded.
        """
        from ..format import layers
        from ..format.container import MAGIC

        found: dict[int, Any] = {}
        by_model: dict[int, list[int]] = {}
        for i, blob in enumerate(blobs):
            if blob[:1] == bytes([MAGIC]):
                by_model.setdefault(layers.read(blob).model, []).append(i)
            else:
                found[i] = self._shown(picture(blob))
        for model, places in by_model.items():
            codec, some = self.codec(model), [blobs[i] for i in places]
            found.update(zip(places, self._decoded(codec, some)))
        return [found[i] for i in range(len(blobs))]

    def _decoded(self, codec: "Codec", blobs: list[bytes]) -> list[Any]:
        if self.out == "pil":
            return list(codec.decode_batch(blobs))
        if self.out == "numpy":
            return list(codec.decode_batch(blobs, "numpy"))
        from ..format import layers

        sizes: dict[tuple[int, int], list[int]] = {}
        for i, blob in enumerate(blobs):
            read = layers.read(blob)
            sizes.setdefault((read.height, read.width), []).append(i)
        out: list[Any] = [None] * len(blobs)
        for places in sizes.values():
            for i, pixels in zip(places, codec.decode_batch([blobs[i] for i in places], "tensor")):
                out[i] = pixels
        return out

    def _shown(self, pixels: NDArray[np.uint8]) -> Any:
        if self.out == "numpy":
            return pixels
        if self.out == "pil":
            from PIL import Image

            return Image.fromarray(pixels)
        import torch

        return torch.from_numpy(pixels).to(self.device).permute(2, 0, 1)


def picture(data: bytes) -> NDArray[np.uint8]:
    """A picture of any format that Pillow reads -> uint8 [H, W, 3]."""
    from ..image import open_image, to_rgb

    return to_rgb(open_image("a record", data))


def only_thread() -> None:
    """One torch thread in a worker of a DataLoader: the workers are the parallelism, and threads do not fork."""
    from torch.utils.data import get_worker_info

    if get_worker_info() is not None:
        import torch

        torch.set_num_threads(1)


def decode(key: str, data: bytes) -> Any:
    """A handler of webdataset's ``.decode()``: uint8 [3, H, W] of a .lfic, None of anything else, which is left to the
    handlers after it."""
    if not key.endswith(LFIC):
        return None
    only_thread()
    return Decoder()([data])[0]
