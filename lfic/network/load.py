"""A loaded model: weights file -> networks, context model and everything else that encoding and decoding need."""

import contextlib
import dataclasses
import functools
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import coder
from ..arguments import is_integer, shown
from ..errors import InvalidInputError, MissingDependencyError, WeightsError
from ..files import PathLike, write_atomically
from ..format.container import FORMER, MODELS
from ..format.geometry import STRIDE, cell_grid
from ..format.integers import PREFIX, IntegerModel, integer_model
from ..format.parts import Parts
from ..format.weights import (
    FORMAT,
    context_arrays,
    context_entries,
    context_model,
    digest,
    load_arrays,
    model_number,
    template_part,
    weights_bytes,
)
from ..kernels import rap_unpool
from ..metric.identity import Recognizer, RecognizerEnsemble, load_recognizer, similarity
from ..metric.objective import Objective
from . import exact, tiles
from .arithmetic import checked_precision, computing
from .entropy import EntropyModel
from .net import CodecNet, CodecNetConfig
from .places import Places
from .rap import pooled_symbols
from .restored import compact, restored
from .surroundings import undisturbed

Pixels = NDArray[np.uint8]  # [H, W, 3], RGB
AnyRecognizer: TypeAlias = Recognizer | RecognizerEnsemble | Literal["bundled"] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Model(Parts):
    """What a codec computes with; nothing of it changes.

    net: ``CodecNet`` in eval mode. context: the integer context model. gain, step float32 [100, 3, C]: what a pooled
    feature is multiplied by before it is rounded, and a symbol afterwards. objective: what efforts 1 to 3 minimise.
    device: where the networks run. looks_through: the recogniser of efforts and ``embed``, "bundled" until it is first
    needed, or None. number, weights: what files say of the model (``format.container.Header``). metadata: of the
    weights file. dtype: what convolutions of the analysis and the synthesis compute in. integers: these networks as a
    CPU computes them where the weights hold them; what decodes, and what encodes without effort, is then the same on
    every machine. unit: float [C], powers of two, how many of their features' integers are 1.0; None where they hold
    no analysis. source: the weights file's name, or its whole path. template, former: ``format.parts.Parts``.
    """

    net: CodecNet
    context: coder.ContextModel
    gain: Tensor
    step: Tensor
    objective: Objective
    device: torch.device
    looks_through: AnyRecognizer
    number: int
    metadata: dict[str, str]
    dtype: torch.dtype = torch.float32
    integers: IntegerModel | None = None
    unit: Tensor | None = None
    weights: bytes = b""
    source: str = ""
    template: Self | None = None
    former: Self | None = None

    @functools.cached_property
    @undisturbed
    def recognizer(self) -> Recognizer | RecognizerEnsemble | None:
        """The recogniser, on the device."""
        if isinstance(self.looks_through, str):
            with self.computing(gradients=True):  # what is made in inference mode could not take part in gradients
                return load_recognizer(self.looks_through, self.device)
        return self.looks_through

    @functools.cached_property
    def places(self) -> Places:
        """What tells whether faces stand on the template, on the device."""
        with self.computing(gradients=True):
            return Places(self.net.entropy, self.gain, self.step)

    def computing(self, gradients: bool = False) -> contextlib.AbstractContextManager[None]:
        """The state of torch in which the model computes, float32 where gradients are taken."""
        return computing(self.device, torch.float32 if gradients else self.dtype, gradients)

    def analyze(self, pixels: Tensor, quality: Tensor, aligned: Tensor, alike: bool | None = None) -> Tensor:
        """uint8 [N, 3, H, W] -> float32 features [N, C, ceil(H/8), ceil(W/8)]; alike: as ``CodecNet.analyze``."""
        if self.integers is not None and self.unit is not None:
            return exact.analyze(self.integers, self.unit, pixels, quality, aligned)
        return tiles.analyze(self.net, pixels, quality, aligned, alike).float()

    def region_levels(self, y: Tensor, quality: Tensor, aligned: Tensor) -> Tensor:
        """What RAP decides of what ``analyze`` gave: uint8 [N, hr, wr]; in float32 whatever the precision."""
        if self.integers is not None and self.unit is not None and len(y):
            size = STRIDE * y.shape[2], STRIDE * y.shape[3]
            return exact.region_levels(self.integers, self.unit, y, size, quality, aligned)
        with computing(self.device):
            return self.net.region_levels(y, quality, aligned)

    def drafted(
        self, pixels: Tensor, quality: Sequence[int], aligned: bool, levels: Any = None
    ) -> tuple[list[Tensor], NDArray[np.uint8], list[NDArray[np.int16]]]:
        """What the networks say of pictures uint8 [N, 3, H, W] on the device: features float [1, C, h, w] of each,
        levels uint8 [N, rows, columns], given or theirs, and the symbols of each."""
        q, a = self.conditions(quality, aligned, len(pixels))
        with self.computing():
            y = self.analyze(pixels, q, a, aligned)
            maps = self.region_levels(y, q, a) if levels is None else torch.as_tensor(levels, device=self.device)
            symbols = pooled_symbols(y, maps, self.gain, q)
        return [y[i : i + 1] for i in range(len(y))], maps.cpu().numpy(), symbols

    def pooled(
        self, features: Sequence[Tensor], levels: NDArray[np.uint8], quality: Sequence[int]
    ) -> list[NDArray[np.int16]]:
        """The symbols of features at levels uint8 [N, rows, columns] and qualities of the caller's."""
        q, _ = self.conditions(quality, False, len(levels))
        with self.computing():
            y = torch.cat(list(features)) if len(features) > 1 else features[0]
            return pooled_symbols(y, torch.from_numpy(levels).to(self.device), self.gain, q)

    def tensor(self, images: Sequence[Pixels] | Tensor) -> Tensor:
        """Arrays uint8 [H, W, 3] of one size, or a tensor uint8 [N, 3, H, W] anywhere -> uint8 [N, 3, H, W] on the
        device."""
        if isinstance(images, Tensor):
            return images.to(self.device)
        return torch.from_numpy(np.stack(images)).to(self.device).permute(0, 3, 1, 2)

    def conditions(self, quality: int | Sequence[int], aligned: bool, count: int) -> tuple[Tensor, Tensor]:
        """What the networks are told of ``count`` faces: quality int64 [N], aligned bool [N]."""
        a = torch.full((count,), aligned, dtype=torch.bool, device=self.device)
        if isinstance(quality, int):
            return torch.full((count,), quality, dtype=torch.int64, device=self.device), a
        q = torch.tensor(quality, dtype=torch.int64)
        if self.device.type == "cuda":  # a copy from other memory would wait for all that was launched before it
            q = q.pin_memory()
        return q.to(self.device, non_blocking=True), a

    def embed(self, images: Sequence[Pixels] | Tensor) -> Tensor:
        """Identity embeddings of images of one size: float [N, D], unit length.

        Raises:
            MissingDependencyError: the model has no recogniser.
            InvalidInputError: the recogniser answers with what is no number.
        """
        if self.recognizer is None:
            raise MissingDependencyError(
                "this needs a face recogniser, and the codec was loaded with recognizer=None: leave that out for the "
                "one that ships, or pass recognizer=lfic.metric.load_torchscript(PATH)"
            )
        with computing(self.device):
            found: Tensor = self.recognizer(tiles.unit(self.tensor(images)))
        if not bool(torch.isfinite(found).all()):
            raise InvalidInputError(
                "the recogniser answers with what is no number (NaN or infinity): likeness can't be measured with it"
            )
        return found

    def similarity(self, images: Sequence[Pixels] | Tensor, target: Tensor) -> Tensor:
        """How like images of one size are to the people of embeddings float [N, D]: float [N], 1 for the same picture
        and about 0 for a stranger (``lfic.metric.identity.similarity``)."""
        found = self.embed(images)
        assert self.recognizer is not None
        return similarity(self.recognizer, found, target)

    def reconstruct(
        self,
        faces: Sequence[tuple[NDArray[np.int16], NDArray[np.uint8]]],
        qualities: Sequence[int],
        aligned: Sequence[bool],
        height: int,
        width: int,
    ) -> Tensor:
        """What files show: (symbols, levels) of faces of one size -> uint8 [N, 3, height, width]."""
        symbols = torch.zeros(len(faces), max(len(symbols) for symbols, _ in faces), dtype=torch.int16)
        for row, (values, _) in zip(symbols, faces, strict=True):
            row[: len(values)] = torch.from_numpy(values)
        levels = torch.from_numpy(np.stack([levels for _, levels in faces]))
        return self.shown(symbols, levels, torch.tensor(list(qualities)), torch.tensor(list(aligned)), height, width)

    def shown(
        self, symbols: Tensor, levels: Tensor, quality: Tensor, aligned: Tensor, height: int, width: int
    ) -> Tensor:
        """The same from tensors anywhere: symbols int16 [N, K], of which a row's first ones count, levels uint8
        [N, rows, columns], quality int64 [N], aligned bool [N] -> uint8 [N, 3, height, width] on the device."""
        if self.integers is not None:
            return exact.shown(self.integers, symbols, levels, quality, aligned, height, width)
        symbols, levels, q, a = (x.to(self.device, non_blocking=True) for x in (symbols, levels, quality, aligned))
        with self.computing():
            features = rap_unpool(symbols, levels, self.step, q - 1, *cell_grid(height, width))
            return tiles.synthesize(self.net, features, levels, q, a, height, width)


def load(
    name: PathLike,
    device: str | torch.device = "cpu",
    recognizer: AnyRecognizer = "bundled",
    precision: str = "float32",
) -> Model:
    """A bundled model by name, or a weights file.

    Raises:
        WeightsError: no such model, or a damaged file.
        InvalidInputError: a device that torch can't use here, or no such precision.
    """
    device, dtype = usable_device(device), checked_precision(precision)
    arrays, metadata = load_arrays(name)
    path = os.fspath(name)
    source = os.path.abspath(path) if path.endswith(".safetensors") else path
    model = made_of(arrays, metadata, source, device, recognizer, dtype)
    if model.number not in FORMER:
        return model
    former = load(MODELS[FORMER[model.number]], device, recognizer, precision)
    return dataclasses.replace(model, template=on_template(model, former, template_part(arrays)), former=former)


@undisturbed
def on_template(model: Model, former: Model, arrays: Mapping[str, NDArray[Any]]) -> Model:
    """What codes faces of ``model`` on the template: the networks of ``former``, and the entropy model of ``arrays``;
    errors as ``load``."""
    context = context_model(arrays)
    try:
        entropy = entropy_of(context_arrays(arrays), former.net.entropy)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"the weights {model.source} hold no entropy model of faces: {error}") from None
    net = former.net.with_entropy(entropy.to(former.device))
    return dataclasses.replace(
        former,
        net=net,
        context=context,
        number=model.number,
        metadata=model.metadata,
        weights=model.weights,
        source=model.source,
        former=former,
    )


def entropy_of(arrays: Mapping[str, Any], like: EntropyModel) -> EntropyModel:
    """An entropy model out of its integers, for the features that another one is for."""
    hidden1, hidden2 = len(arrays["W1"]), arrays["b2"].shape[1]
    out = EntropyModel(like.channels, like.groups, hidden1, hidden2, len(like.b_quality))
    with torch.no_grad():
        out.value_scale.copy_(like.value_scale)
    out.restore(arrays)
    for parameter in out.parameters():
        parameter.requires_grad_(False)
    return out.float().eval()  # whatever torch's default dtype is


@undisturbed
def made_of(
    arrays: Mapping[str, NDArray[Any]],
    metadata: dict[str, str],
    source: str,
    device: str | torch.device,
    recognizer: AnyRecognizer,
    dtype: torch.dtype = torch.float32,
) -> Model:
    """What a weights file holds -> ``Model``; errors as ``load``."""
    device = usable_device(device)
    check_recognizer(recognizer)
    net, context = networks_of(arrays, metadata, source)
    net.to(device)
    with torch.inference_mode():
        gain, step = net.gain.contiguous(), net.step.contiguous()
    net.to(memory_format=torch.channels_last)
    try:
        objective = Objective.trained(json.loads(metadata.get("training") or "{}").get("config", {})).searched()
    except (ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"the weights {source} do not say how they were trained: {error}") from None
    number, weights = model_number(metadata), weights_bytes(metadata)
    integers = integer_model(arrays) if device.type == "cpu" and dtype == torch.float32 else None
    unit = None
    if integers is not None and integers.has_analysis:
        # Their gains, not what this machine's exp makes of the network's: symbols are then the same everywhere.
        unit = torch.exp2(torch.from_numpy(arrays[f"{PREFIX}analysis.unit"].astype(np.float32)))
        gain = torch.from_numpy(arrays[f"{PREFIX}analysis.gain"]) * unit
    return Model(
        net,
        context,
        gain,
        step,
        objective,
        device,
        recognizer,
        number,
        metadata,
        dtype,
        integers,
        unit,
        weights,
        source,
    )


def check_recognizer(recognizer: object) -> None:
    """Refuse what can't be a codec's recogniser when it is given, not when it is first looked through."""
    bundled = isinstance(recognizer, str) and recognizer == "bundled"
    if recognizer is None or bundled or isinstance(recognizer, (Recognizer, RecognizerEnsemble)):
        return
    raise InvalidInputError(
        f"recognizer is {shown(recognizer)}; allowed are 'bundled', None and what lfic.metric loads: of a file "
        "lfic.metric.load_recognizer(PATH)"
    )


def usable_device(device: str | torch.device) -> torch.device:
    """``torch.device``, tried: a clear error instead of one from deep inside torch."""
    if not isinstance(device, (str, torch.device)):
        raise InvalidInputError(
            f"device {shown(device)} can't be used here: a name such as 'cpu' or 'cuda:0' is needed"
        )
    try:
        torch.zeros(1, device=device).cpu()
        return torch.device(device)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInputError(f"device {str(device)!r} can't be used here: {reason}; 'cpu' always works") from None


def load_model(
    name: PathLike, device: str | torch.device = "cpu"
) -> tuple[CodecNet, coder.ContextModel, dict[str, str]]:
    """(CodecNet in eval mode, ContextModel, metadata) of a bundled model or a file."""
    arrays, metadata = load_arrays(name)
    net, context = networks_of(arrays, metadata, os.fspath(name))
    return net.to(device), context, metadata


def networks_of(
    arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str], source: str
) -> tuple[CodecNet, coder.ContextModel]:
    """(CodecNet in eval mode, ContextModel) of what a weights file holds, on the CPU; errors as ``load``."""
    try:
        whole = restored(arrays)
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsError(f"the weights {source} do not fit together: {error}") from None
    state = {k.removeprefix("net."): torch.from_numpy(v).float() for k, v in whole.items() if k.startswith("net.")}
    if not state and "source" in metadata:
        raise WeightsError(f"the weights {source} hold integers alone: lfic.decode and dlfic use them, codecs do not")
    context = context_model(arrays)
    try:
        config = config_of(json.loads(metadata["config"]))
        with torch.device("meta"):  # what does not fit costs nothing
            wanted = CodecNet(config).state_dict()
        for name, tensor in state.items():
            if name in wanted and wanted[name].shape != tensor.shape:
                raise ValueError(f"{name} has shape {list(tensor.shape)}, and {list(wanted[name].shape)} is needed")
        net = CodecNet(config)
        missing, unexpected = net.load_state_dict(state, strict=False)
        # Files carry the entropy network's integers: for the encoder's gradients they are as good as its floats.
        net.entropy.restore(context_arrays(arrays))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"the weights {source} hold no model that this lfic knows: {error}") from None
    missing = [k for k in missing if not k.startswith("entropy.") or k == "entropy.value_scale"]
    if missing or unexpected:
        raise WeightsError(f"the weights {source} do not fit the network: missing {missing}, unexpected {unexpected}")
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    return net.float().eval(), context  # whatever torch's default dtype is


# Of a stored configuration's sizes, so that a damaged one asks for no endless network.
MOST_CHANNELS, MOST_BLOCKS = 4096, 64


def config_of(stored: Any) -> CodecNetConfig:
    """``CodecNetConfig`` of a weights file's; ValueError where a size is none."""
    if not isinstance(stored, dict):
        raise ValueError(f"their configuration is {stored!r:.60}, no table of sizes")
    settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
    for name, value in settings.items():
        if name == "pictures" and isinstance(value, bool):
            continue
        sizes = value if isinstance(value, tuple) else (value,)
        low, high = (0, MOST_BLOCKS) if name.endswith("_blocks") else (1, MOST_CHANNELS)
        if not all(is_integer(size) and low <= size <= high for size in sizes):
            raise ValueError(f"{name} is {value!r:.60}; allowed are {low} to {high}")
    return CodecNetConfig(**settings)


def save_model(
    path: PathLike,
    net: CodecNet,
    context_arrays: Mapping[str, Any],
    tables_state: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, str],
    integers: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Write a weights file atomically. ``context_arrays`` as for ``lfic.coder.ContextModel``; metadata: strings;
    integers: what ``lfic.network.integers.integer_arrays`` gave."""
    from safetensors.numpy import save

    arrays: dict[str, NDArray[Any]] = {}
    for key, value in net.state_dict().items():
        if not key.startswith("entropy.") or key == "entropy.value_scale":
            arrays[f"net.{key}"] = value.detach().cpu().half().numpy()
    arrays |= context_entries(context_arrays, tables_state)
    arrays |= {f"{PREFIX}{key}": value for key, value in (integers or {}).items()}
    arrays = {key: np.ascontiguousarray(value) for key, value in compact(arrays).items()}
    told = {**metadata, "format": FORMAT, "config": json.dumps(dataclasses.asdict(net.config))}
    write_atomically(path, save(arrays, {**told, "digest": digest(arrays, told)}))
