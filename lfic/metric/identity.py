"""Identity term: how far the embedding of the reconstruction is from the embedding of the original.

    d(x, x') = 1 - <e(x), e(x')>,   e unit vectors of a frozen recogniser,   range 0..2

The recogniser's own preprocessing (size, range, colour order, alignment) is declared with it in ``Recognizer``.
"""

import contextlib
import hashlib
import pathlib
import types
import warnings

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import InvalidInputError, MissingDependencyError, WeightsError
from .features import normalised, run_with_maps


def uncompiled(pixels):
    """A context in which TorchScript runs as it stands where pixels are on a GPU: there it compiles anew for every
    number of faces, seconds each."""
    return torch.jit.optimized_execution(False) if pixels.is_cuda else contextlib.nullcontext()


class Recognizer(nn.Module):
    """A frozen face recogniser with its preprocessing: pixels float [N, 3, H, W], RGB in 0..1 -> unit embeddings [N,
    D].

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
        with uncompiled(pixels):
            return F.normalize(self.network(self.prepared(pixels)), dim=1)

    def describe(self, pixels):
        """(unit embeddings [N, D], feature maps as ``features.normalised`` gives them) of pixels float [N, 3, H, W] in
        0..1."""
        with uncompiled(pixels):
            embedding, maps = run_with_maps(self.network, self.prepared(pixels))
        return F.normalize(embedding, dim=1), normalised(maps)

    def prepared(self, pixels):
        """Pixels as the network takes them."""
        if pixels.ndim != 4 or pixels.shape[1] != 3:
            raise InvalidInputError(f"pixels have shape {tuple(pixels.shape)}; a recogniser takes [N, 3, H, W]")
        if pixels.shape[-2:] != (self.size, self.size):
            pixels = F.interpolate(pixels, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False)
        if self.order == "BGR":
            pixels = pixels.flip(1)
        # Channels last in memory: convolutions on a CPU are up to a quarter faster, forward and backward.
        return ((pixels - self.mean) * self.scale).contiguous(memory_format=torch.channels_last)


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


def load_exported(path, device="cpu", **preprocessing):
    """A recogniser from a file that ``torch.export.save`` wrote, its batch dimension dynamic; preprocessing as for
    ``load_torchscript``."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise WeightsError(f"no recogniser at {path}: give the path of a torch.export file")
    try:
        network = torch.export.load(str(path)).module()
    except Exception as error:  # the reader raises many kinds on a damaged file
        raise WeightsError(
            f"{path} is no file of torch.export: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from None
    # An exported graph has one mode for good, and refuses to be asked for another.
    network.train = types.MethodType(lambda self, mode=True: self, network)
    network.eval = types.MethodType(lambda self: self, network)
    preprocessing.setdefault("name", path.stem)
    return Recognizer(network, **preprocessing).to(device)


def load_recognizer(text, device="cpu"):
    """A recogniser by name: "facenet:vggface2", "facenet:casia-webface", a torch.export file (.pt2), or a TorchScript
    file."""
    if text.startswith("facenet:"):
        return load_facenet(text.removeprefix("facenet:"), device=device)
    return (load_exported if str(text).endswith(".pt2") else load_torchscript)(text, device)


def file_sha256(path):
    """Hex SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity_distance(embedding, target):
    """1 - cosine similarity of unit embeddings [N, D]: float [N] in 0..2."""
    return 1 - (embedding * target).sum(1)


class RecognizerEnsemble(nn.Module):
    """Several recognisers as one, so that a codec does not please one alone.

    The embeddings are joined, each scaled by the root of its share of the weights: the joint vector has unit length and
    the product of two of them is the weighted mean of the recognisers' cosine similarities.

    Args:
        recognizers: ``Recognizer`` modules.
        weights: positive numbers, one for each; None: equal.
    """

    def __init__(self, recognizers, weights=None):
        super().__init__()
        weights = [1.0] * len(recognizers) if weights is None else list(weights)
        if not recognizers or len(weights) != len(recognizers) or not all(w > 0 for w in weights):
            raise InvalidInputError(
                f"{len(recognizers)} recognisers with weights {weights}; give at least one, and a positive weight "
                "for each"
            )
        self.recognizers = nn.ModuleList(recognizers)
        self.roots = [(w / sum(weights)) ** 0.5 for w in weights]

    @classmethod
    def of(cls, recognizers):
        """From one recogniser (returned as it is), a list of recognisers, or a list of (recogniser, weight)."""
        if isinstance(recognizers, nn.Module):
            return recognizers
        pairs = [entry if isinstance(entry, tuple) else (entry, 1.0) for entry in recognizers]
        return cls([recognizer for recognizer, _ in pairs], [weight for _, weight in pairs])

    def forward(self, pixels):
        """Pixels float [N, 3, H, W] in 0..1 -> joint unit embeddings [N, sum of D]."""
        return torch.cat([root * one(pixels) for one, root in zip(self.recognizers, self.roots)], 1)

    def describe(self, pixels):
        """(joint unit embeddings, the feature maps of all), weighted so that distances are weighted means as well."""
        embeddings, maps = [], []
        for one, root in zip(self.recognizers, self.roots):
            embedding, some = one.describe(pixels)
            embeddings.append(root * embedding)
            maps += [root * x for x in some]
        return torch.cat(embeddings, 1), maps


FACENET_URL = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/"
FACENET_FILES = {"vggface2": "20180402-114759-vggface2.pt", "casia-webface": "20180408-102900-casia-webface.pt"}


def load_facenet(name="vggface2", path=None, sha256=None, device="cpu"):
    """facenet-pytorch's InceptionResnetV1: RGB 160 x 160, (255 p - 127.5) / 128.

    Args:
        name: "vggface2" or "casia-webface".
        path: the weights file; None: torch's cache, into which it is downloaded (about 110 MB) with a progress bar on
            first use.
        sha256: hex digest that the file must have, or None.

    Raises:
        MissingDependencyError: facenet-pytorch is not installed.
        WeightsError: the file can't be had, has another digest, or does not hold this network. There are never random
            weights.
    """
    if name not in FACENET_FILES:
        raise InvalidInputError(f"no facenet recogniser {name!r}; there are {sorted(FACENET_FILES)}")
    try:
        from facenet_pytorch import InceptionResnetV1
    except ImportError:
        raise MissingDependencyError(
            "this recogniser needs facenet-pytorch: pip install --no-deps facenet-pytorch"
        ) from None
    file = FACENET_FILES[name]
    if path is None:
        path = pathlib.Path(torch.hub.get_dir()) / "checkpoints" / file
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                torch.hub.download_url_to_file(FACENET_URL + file, str(path))
            except OSError as error:
                raise WeightsError(
                    f"could not download {FACENET_URL + file} ({error}): fetch it where there is a network and put "
                    f"it at {path}"
                ) from None
    path = pathlib.Path(path)
    if not path.is_file():
        raise WeightsError(f"no weights at {path}: leave path out to download {FACENET_URL + file}")
    if sha256 is not None and file_sha256(path) != sha256.lower():
        raise WeightsError(
            f"{path} has SHA-256 {file_sha256(path)}, expected {sha256}: delete it and download it again"
        )
    network = InceptionResnetV1(pretrained=None, classify=False)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)  # tensors only: no code in the file is run
        state = {key: value for key, value in state.items() if not key.startswith("logits.")}
        network.load_state_dict(state, strict=True)
    except Exception as error:  # the unpickler raises many kinds on a damaged file
        raise WeightsError(f"{path} does not hold {name}'s weights: {str(error).splitlines()[0]}") from None
    return Recognizer(network, size=160, mean=127.5 / 255, scale=255 / 128, name=f"facenet-{name}").to(device)
