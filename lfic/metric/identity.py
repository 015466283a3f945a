"""Identity term: how far the embedding of the reconstruction is from the embedding of the original.

    d(x, x') = 1 - <e(x), e(x')>,   e unit vectors of a frozen recogniser,   range 0..2

The recogniser's own preprocessing (size, range, colour order, alignment) is declared with it in ``Recognizer``.
"""
import contextlib
import hashlib
import pathlib
import warnings

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import InvalidInputError, WeightsError


class Recognizer(nn.Module):
    """A frozen face recogniser with its preprocessing: pixels float [N, 3, H, W], RGB in 0..1 -> unit embeddings [N, D].

    Args:
        network: any module from preprocessed pixels to embeddings [N, D]; it is put in eval mode and frozen.
        size: side of the square that the network takes, in pixels; other sizes are resized (bilinear, antialiased).
        mean, scale: the network sees (pixels - mean) * scale, per channel or one number.
        order: "RGB" or "BGR".
        name: for tables and logs.
    """

    def __init__(self, network, size=112, mean=0.0, scale=255.0, order="RGB", name="recogniser"):
        super().__init__()
        if order not in ("RGB", "BGR"):
            raise InvalidInputError(f"order is {order!r}; allowed are 'RGB' and 'BGR'")
        self.network = network.eval()
        for parameter in self.network.parameters():
            parameter.requires_grad_(False)
        self.size, self.order, self.name = size, order, name
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float32).reshape(-1, 1, 1), persistent=False)

    def train(self, mode=True):
        """Stays in eval mode: a frozen network's statistics must not move."""
        return super().train(False)

    def forward(self, pixels):
        if pixels.ndim != 4 or pixels.shape[1] != 3:
            raise InvalidInputError(f"pixels have shape {tuple(pixels.shape)}; a recogniser takes [N, 3, H, W]")
        if pixels.shape[-2:] != (self.size, self.size):
            pixels = F.interpolate(pixels, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False)
        if self.order == "BGR":
            pixels = pixels.flip(1)
        return F.normalize(self.network((pixels - self.mean) * self.scale), dim=1)


def load_torchscript(path, device="cpu", **preprocessing):
    """A recogniser from a TorchScript file; preprocessing as for ``Recognizer`` (default: RGB 112 x 112 in 0..255)."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise WeightsError(f"no recogniser at {path}: give the path of a TorchScript file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            network = torch.jit.load(str(path), map_location=device).eval()
        except RuntimeError as error:
            raise WeightsError(f"{path} is not a TorchScript file: {str(error).splitlines()[0]}") from None
        with contextlib.suppress(RuntimeError):  # freezing folds batch norms into convolutions; it only makes it faster
            network = torch.jit.freeze(network)
    preprocessing.setdefault("name", path.stem)
    return Recognizer(network, **preprocessing).to(device)


def file_sha256(path):
    """Hex SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity_distance(embedding, target):
    """1 - cosine similarity of unit embeddings [N, D]: float [N] in 0..2."""
    return 1 - (embedding * target).sum(1)
