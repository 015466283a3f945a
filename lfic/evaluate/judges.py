"""Recognisers that judge: aligned uint8 crops in, unit embeddings out, the same bits every time."""

import hashlib
import os
import pathlib
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InvalidInputError
from ..metric.identity import Recognizer, file_sha256, load_bundled, open_torchscript
from .interface import EvaluatedCodec

# Larger batches fall out of the cache of a CPU core; one fixed size keeps the arithmetic the same in every run.
BATCH = 16


class Judge:
    """A frozen recogniser with a name and a key that changes when its weights or its preprocessing do.

    Args:
        recognizer: ``lfic.metric.identity.Recognizer``.
        key: text that identifies the weights; embeddings are kept under it.
        file: SHA-256 of the network's file, if it has one.
    """

    def __init__(self, recognizer: Recognizer, key: str, device: str = "cpu", file: str = "") -> None:
        self.recognizer, self.key, self.device, self.file = recognizer.to(device), key, device, file
        self.name: str = recognizer.name

    @torch.inference_mode()
    def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 [N, H, W, 3] -> float32 [N, D], unit length."""
        pixels = np.asarray(pixels)
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3:
            raise InvalidInputError(f"pixels are {pixels.dtype} {pixels.shape}; needed are uint8 [N, H, W, 3]")
        out = []
        for start in range(0, len(pixels), BATCH):
            part = pixels[start : start + BATCH]
            filled = np.concatenate([part, np.repeat(part[-1:], BATCH - len(part), 0)])
            x = torch.from_numpy(filled).to(self.device).permute(0, 3, 1, 2).contiguous().float() / 255
            out.append(self.recognizer(x)[: len(part)].cpu().numpy())
        return np.concatenate(out).astype(np.float32) if out else np.zeros((0, 1), np.float32)


def load_judge(path: str | os.PathLike[str], device: str = "cpu", **preprocessing: Any) -> Judge:
    """A judge from a TorchScript file.

    ``preprocessing`` as in ``lfic.metric.identity.Recognizer``; the default is RGB, 112 x 112, 0..255. On a CPU the
    network is optimised for inference, which makes it about twice as fast as it is loaded.
    """
    path = pathlib.Path(path)
    network: torch.nn.Module = open_torchscript(path, device)
    if str(device) == "cpu":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = optimized(path, network, preprocessing.get("size", 112))
    preprocessing.setdefault("name", path.stem)
    settings = ",".join(f"{k}={v}" for k, v in sorted(preprocessing.items()) if k != "name")
    key = hashlib.sha256(f"{file_sha256(path)} {settings} {device} torch {torch.__version__}".encode()).hexdigest()[:24]
    return Judge(Recognizer(network, **preprocessing), key, device, file_sha256(path))


def impartial(codec: EvaluatedCodec, judges: Iterable[Judge]) -> list[Judge]:
    """Those of the judges that may judge a codec: not the one that its encoder looks through while it encodes."""
    if codec.looks_through == "bundled":
        return [j for j in judges if not is_bundled(j.recognizer)]
    return [j for j in judges if not codec.looks_through or j.file != codec.looks_through]


def is_bundled(recognizer: Recognizer) -> bool:
    """Whether a recogniser is the one that ships, possibly from another file: it sees the same in any picture."""
    bundled = load_bundled()  # kept for encoders, which differentiate through it: not loaded in inference mode
    picture = torch.linspace(0, 1, 3 * 112 * 112).reshape(1, 3, 112, 112).sin().abs()
    with torch.inference_mode():
        own, other = bundled(picture), recognizer(picture)
    return own.shape == other.shape and float((own * other).sum()) > 0.99


def optimized(path: pathlib.Path, network: torch.nn.Module, size: int) -> torch.nn.Module:
    """The network rewritten for inference, or as it was where the rewriting fails or changes what it computes.

    Raises:
        InvalidInputError: it does not take pictures of that size, or gives no tensor.
    """
    x = torch.rand(BATCH, 3, size, size, generator=torch.Generator().manual_seed(1)) * 255
    try:
        with torch.inference_mode():
            expected = network(x)
    except RuntimeError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise InvalidInputError(
            f"{path} can't be run on float [{BATCH}, 3, {size}, {size}] in 0..255: {lines[-1] if lines else error}"
        ) from None
    if not isinstance(expected, torch.Tensor):
        raise InvalidInputError(f"{path} gives a {type(expected).__name__}; needed is a tensor of embeddings [N, D]")
    try:
        fast = torch.jit.optimize_for_inference(torch.jit.freeze(open_torchscript(path)))
        with torch.inference_mode():
            found = fast(x)
    except RuntimeError:  # some operators have no counterpart there
        return network
    return fast if torch.allclose(expected, found, rtol=1e-3, atol=1e-3 * float(expected.abs().max())) else network
