"""Identity term: how far the embedding of the reconstruction is from the embedding of the original.

    d(x, x') = 1 - <e(x), e(x')>,   e unit vectors of a frozen recogniser,   range 0..2

The recogniser's own preprocessing (size, range, colour order, alignment) is declared with it in ``Recognizer``.
"""

import contextlib
import functools
import hashlib
import io
import os
import pathlib
import types
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self, TypeAlias, TypedDict, Unpack, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..arguments import integer, is_number, numbers, one_of, sequence_of
from ..arguments import path as checked_path
from ..errors import InvalidInputError, MissingDependencyError, WeightsError
from ..files import PathLike
from .features import normalize_maps, run_with_maps

Device: TypeAlias = str | torch.device  # as torch takes it


class Preprocessing(TypedDict, total=False):
    """What a network wants to see, as ``Recognizer`` takes it."""

    size: int
    mean: float | Sequence[float]
    scale: float | Sequence[float]
    order: str
    name: str


def uncompiled(pixels: Tensor) -> contextlib.AbstractContextManager[None]:
    """A context in which TorchScript runs as it stands where pixels are on a GPU: there it compiles anew for every
    number of faces, seconds each."""
    if not pixels.is_cuda:
        return contextlib.nullcontext()
    plain: contextlib.AbstractContextManager[None] = torch.jit.optimized_execution(False)  # type: ignore[attr-defined]
    return plain


class Recognizer(nn.Module):
    """A frozen face recogniser with its preprocessing: pixels float [N, 3, H, W], RGB in 0..1 -> unit embeddings
    [N, D].

    Args:
        network: any module from preprocessed pixels to embeddings [N, D]; it is put in eval mode and frozen.
        size: side of the square that the network takes, in pixels; other sizes are resized (bilinear, antialiased).
        mean, scale: the network sees (pixels - mean) * scale, per channel or one number.
        order: "RGB" or "BGR".
        name: for tables and logs.
        unlike: mean cosine similarity of different people, -1 to 1 (exclusive): how much of a cosine says nothing.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        network: nn.Module,
        size: int = 112,
        mean: float | Sequence[float] = 0.0,
        scale: float | Sequence[float] = 255.0,
        order: str = "RGB",
        name: str = "recogniser",
        unlike: float = 0.0,
    ) -> None:
        super().__init__()
        one_of("order", order, "RGB", "BGR")
        if not is_number(unlike) or not -1 <= unlike < 1:
            raise InvalidInputError(f"unlike is {unlike!r}; allowed are -1 up to 1, exclusive")
        if not isinstance(network, nn.Module):
            raise InvalidInputError(f"network is a {type(network).__name__}; a torch module is needed")
        size = integer("size", size, 1, 4096)
        for name_of, value in (("mean", mean), ("scale", scale)):
            found = torch.as_tensor(value) if isinstance(value, Tensor) else torch.from_numpy(numbers(name_of, value))
            if found.numel() not in (1, 3) or not bool(torch.isfinite(found).all()):
                raise InvalidInputError(f"{name_of} is {value!r:.80}; needed is one number, or one for each channel")
        self.network = network.eval()
        for parameter in self.network.parameters():
            parameter.requires_grad_(False)
        self.size, self.order, self.name, self.unlike = size, order, name, unlike
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float32).reshape(-1, 1, 1), persistent=False)

    def __reduce__(self) -> tuple[Any, ...]:
        options = {"size": self.size, "mean": self.mean.cpu(), "scale": self.scale.cpu()}
        names = {"order": self.order, "name": self.name, "unlike": self.unlike}
        return unpacked, (*packed(self.network), {**options, **names}, str(self.mean.device))

    def train(self, mode: bool = True) -> Self:
        """Stays in eval mode: a frozen network's statistics must not move."""
        return super().train(False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Unit embeddings float [N, D]."""
        with uncompiled(pixels):
            return F.normalize(self.embedding(self.network(self.preprocess(pixels)), len(pixels)), dim=1)

    def embedding(self, found: object, count: int) -> Tensor:
        """What a network gave, as [N, D]; [N, D, 1, 1] is flattened.

        Raises:
            InvalidInputError: it is something else.
        """
        if isinstance(found, Tensor) and found.ndim >= 2 and len(found) == count and found[0].numel() == found.shape[1]:
            return found.flatten(1)
        shape = tuple(found.shape) if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise InvalidInputError(
            f"the recogniser {self.name} gives {shape} for {count} faces; needed is one tensor [N, D]: wrap the "
            "network so that it gives the embeddings alone"
        )

    def describe(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Pixels float [N, 3, H, W] in 0..1 -> (unit embeddings [N, D], feature maps as ``normalize_maps`` gives
        them)."""
        with uncompiled(pixels):
            embedding, maps = run_with_maps(self.network, self.preprocess(pixels))
        return F.normalize(self.embedding(embedding, len(pixels)), dim=1), normalize_maps(maps)

    def preprocess(self, pixels: Tensor) -> Tensor:
        """Pixels as the network takes them: size, order, range."""
        if pixels.ndim != 4 or pixels.shape[1] != 3:
            raise InvalidInputError(f"pixels have shape {tuple(pixels.shape)}; a recogniser takes [N, 3, H, W]")
        if pixels.shape[-2:] != (self.size, self.size):
            pixels = F.interpolate(pixels, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False)
        if self.order == "BGR":
            pixels = pixels.flip(1)
        # Channels last in memory: convolutions on a CPU are up to a quarter faster, forward and backward.
        return ((pixels - self.mean) * self.scale).contiguous(memory_format=torch.channels_last)


def packed(network: nn.Module) -> tuple[str, Any]:
    """(kind, contents) of a network for pickle, which by itself takes neither TorchScript nor exported graphs."""
    buffer = io.BytesIO()
    if isinstance(network, torch.jit.ScriptModule):
        torch.jit.save(network, buffer)
        return "torchscript", buffer.getvalue()
    if hasattr(network, "exported_program"):
        torch.export.save(network.exported_program, buffer)  # type: ignore[arg-type]
        return "exported", buffer.getvalue()
    return "module", network


def unpacked(kind: str, contents: Any, options: dict[str, Any], device: str) -> Recognizer:
    """The inverse: a recogniser where it was sent to."""
    network = contents
    if kind == "torchscript":
        network = torch.jit.load(io.BytesIO(contents), map_location=device)  # type: ignore[no-untyped-call]
    elif kind == "exported":
        network = module_of(torch.export.load(io.BytesIO(contents)))
    return Recognizer(network, **options).to(device)


def module_of(program: Any) -> Any:
    """An exported program's module. It has one mode for good, and refuses to be asked for another."""
    network = program.module()
    network.train = types.MethodType(lambda self, mode=True: self, network)
    network.eval = types.MethodType(lambda self: self, network)
    network.exported_program = program
    return network


def open_torchscript(path: PathLike, device: Device = "cpu") -> torch.jit.ScriptModule:
    """The network in a TorchScript file, in eval mode. Such a file is a program: open those that you trust.

    Raises:
        WeightsError: there is no such file, or it is none of TorchScript.
    """
    if not pathlib.Path(checked_path("path", path)).is_file():
        raise WeightsError(f"no recogniser at {path}: give the path of a TorchScript file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            network = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise WeightsError(f"{path} is not a TorchScript file: {str(error).splitlines()[0]}") from None
    module: torch.jit.ScriptModule = network.eval()
    return module


def load_torchscript(path: PathLike, device: Device = "cpu", **preprocessing: Unpack[Preprocessing]) -> Recognizer:
    """A recogniser from a TorchScript file; preprocessing as for ``Recognizer`` (default: RGB 112 x 112 in 0..255).

    Such a file is a program: open those that you trust.

    Raises:
        WeightsError: there is no such file, or it is none of TorchScript.
    """
    network = open_torchscript(path, device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(RuntimeError):  # freezing folds batch norms into convolutions; it only makes it faster
            network = torch.jit.freeze(network)
    preprocessing.setdefault("name", pathlib.Path(path).stem)
    return Recognizer(network, **preprocessing).to(device)


def load_exported(path: PathLike, device: Device = "cpu", **preprocessing: Unpack[Preprocessing]) -> Recognizer:
    """A recogniser from a file that ``torch.export.save`` wrote, its batch dimension dynamic; preprocessing as for
    ``load_torchscript``. Such a file is a program: open those that you trust."""
    path = pathlib.Path(checked_path("path", path))
    if not path.is_file():
        raise WeightsError(f"no recogniser at {path}: give the path of a torch.export file")
    try:
        network = module_of(torch.export.load(str(path)))
    except Exception as error:  # the reader raises many kinds on a damaged file
        raise WeightsError(
            f"{path} is no file of torch.export: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from None
    preprocessing.setdefault("name", path.stem)
    return Recognizer(network, **preprocessing).to(device)


def load_bundled(device: Device = "cpu") -> Recognizer:
    """The recogniser that ships with lfic, dlib's ResNet (lfic/metric/resnet.py), loaded once for a device."""
    return _bundled(str(device))


@functools.lru_cache(maxsize=4)
def _bundled(device: str) -> Recognizer:
    from .resnet import UNLIKE, load_resnet

    return Recognizer(load_resnet(), name="dlib-resnet", unlike=UNLIKE).to(device)


def load_recognizer(text: str, device: Device = "cpu") -> Recognizer:
    """A recogniser by name: "bundled", "facenet:vggface2", "facenet:casia-webface", a torch.export file (.pt2), or a
    TorchScript file."""
    text = os.fspath(checked_path("the recogniser", text))
    if text == "bundled":
        return load_bundled(device)
    if text.startswith("facenet:"):
        return load_facenet(text.removeprefix("facenet:"), device=device)
    return (load_exported if str(text).endswith(".pt2") else load_torchscript)(text, device)


def file_sha256(path: PathLike) -> str:
    """Hex SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity_distance(embedding: Tensor, target: Tensor) -> Tensor:
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

    def __init__(self, recognizers: Sequence[Recognizer], weights: Sequence[float] | None = None) -> None:
        super().__init__()
        recognizers = sequence_of("recognizers", recognizers)
        shares = [1.0] * len(recognizers) if weights is None else sequence_of("weights", weights)
        strange = [type(one).__name__ for one in recognizers if not isinstance(one, nn.Module)]
        if strange:
            raise InvalidInputError(f"recognizers holds a {strange[0]}; a list of Recognizer is needed")
        if not recognizers or len(shares) != len(recognizers) or not all(is_number(w) and w > 0 for w in shares):
            raise InvalidInputError(
                f"{len(recognizers)} recognisers with weights {shares}; give at least one, and a positive weight "
                "for each"
            )
        self.recognizers = nn.ModuleList(recognizers)
        self.roots = [(w / sum(shares)) ** 0.5 for w in shares]
        self.unlike = sum(root**2 * one.unlike for root, one in zip(self.roots, recognizers))
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stays in eval mode, as each of them does."""
        return super().train(False)

    @classmethod
    def of(cls, recognizers: "Recognizers") -> "Recognizer | RecognizerEnsemble":
        """From one recogniser (returned as it is), a list of recognisers, or a list of (recogniser, weight)."""
        if isinstance(recognizers, nn.Module):
            return recognizers
        given = sequence_of("recognizers", recognizers)
        pairs = [entry if isinstance(entry, tuple) and len(entry) == 2 else (entry, 1.0) for entry in given]
        return cls([recognizer for recognizer, _ in pairs], [weight for _, weight in pairs])

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels float [N, 3, H, W] in 0..1 -> joint unit embeddings [N, sum of D]."""
        return torch.cat([root * one(pixels) for one, root in self._weighted()], 1)

    def describe(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(joint unit embeddings, the feature maps of all), weighted so that distances are weighted means as well."""
        embeddings: list[Tensor] = []
        maps: list[Tensor] = []
        for one, root in self._weighted():
            embedding, some = one.describe(pixels)
            embeddings.append(root * embedding)
            maps += [root * x for x in some]
        return torch.cat(embeddings, 1), maps

    def _weighted(self) -> Iterator[tuple[Recognizer, float]]:
        return zip(cast(Iterable[Recognizer], self.recognizers), self.roots)


# One recogniser, several, or several with their weights.
Recognizers: TypeAlias = Recognizer | RecognizerEnsemble | Sequence[Recognizer | tuple[Recognizer, float]]

FACENET_URL = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/"
FACENET_FILES = {"vggface2": "20180402-114759-vggface2.pt", "casia-webface": "20180408-102900-casia-webface.pt"}


def load_facenet(
    name: str = "vggface2", path: PathLike | None = None, sha256: str | None = None, device: Device = "cpu"
) -> Recognizer:
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
    if not isinstance(name, str) or name not in FACENET_FILES:
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


def similarity(recognizer: "Recognizer | RecognizerEnsemble", embedding: Tensor, target: Tensor) -> Tensor:
    """Likeness of unit embeddings [N, D]: float [N], 1 for the same and about 0 for another person.

    The cosine similarity, less what different people have in common (``unlike``) and stretched to end at 1 again.
    """
    return 1 - identity_distance(embedding, target) / (1 - recognizer.unlike)
