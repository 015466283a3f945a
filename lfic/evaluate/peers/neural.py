"""The neural baseline: CompressAI's bmshj2018 models (Balle et al., ICLR 2018), trained by
benchmarks/train_bmshj2018.py.

One checkpoint holds one network for each rate. Its files carry the networks' entropy-coded strings behind a lean
header: one byte for the network and, for the hyperprior, two for the length of the first string; sizes are known to be
112 x 112, as in the other facial codecs.
"""

import functools
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...errors import InvalidInputError, MissingDependencyError, WeightsError
from ...format.geometry import SIDE
from ...metric.identity import file_sha256
from ..interface import EvaluatedCodec, Pixels

ARCHITECTURES = ("factorized", "hyperprior")
PADDED = 128  # these networks need multiples of 16 (factorised) and 64 (hyperprior)


def build(architecture: str, channels: int, latent: int) -> Any:
    """An untrained network: CompressAI's FactorizedPrior or ScaleHyperprior with N = channels, M = latent."""
    try:
        from compressai.models import FactorizedPrior, ScaleHyperprior
    except ImportError as error:
        raise MissingDependencyError(
            f"the neural baseline needs CompressAI ({error}): pip install compressai"
        ) from None
    if architecture not in ARCHITECTURES:
        raise InvalidInputError(f"architecture is {architecture!r}; allowed are {ARCHITECTURES}")
    return (FactorizedPrior if architecture == "factorized" else ScaleHyperprior)(channels, latent)


def padding(architecture: str) -> int:
    """Side that the network is run at: 112 itself is a multiple of 16."""
    return SIDE if architecture == "factorized" else PADDED


def pad(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """float [N, 3, 112, 112] -> [N, 3, side, side], the edge repeated at the right and the bottom."""
    return torch.nn.functional.pad(pixels, (0, side - pixels.shape[3], 0, side - pixels.shape[2]), mode="replicate")


class Baseline:
    """The networks of one checkpoint and the framing of their files.

    The networks are built when the first file is written or read: what a cache holds is reported without CompressAI.
    """

    def __init__(self, checkpoint: str | os.PathLike[str]) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(checkpoint, "pt") as file:
                about = json.loads((file.metadata() or {})["bmshj2018"])
                self.tensors = {name: file.get_tensor(name) for name in list(file.keys())}
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise WeightsError(f"{checkpoint} is no checkpoint of benchmarks/train_bmshj2018.py: {error}") from None
        self.architecture: str = about["architecture"]
        self.channels, self.latent, self.count = about["channels"], about["latent"], len(about["lambdas"])
        self.side, self.hyper = padding(self.architecture), self.architecture == "hyperprior"

    @functools.cached_property
    def networks(self) -> list[Any]:
        """From few bytes to many."""
        out = []
        for k in range(self.count):
            network = build(self.architecture, self.channels, self.latent)
            prefix = f"{k}."
            network.load_state_dict(
                {name[len(prefix) :]: tensor for name, tensor in self.tensors.items() if name.startswith(prefix)}
            )
            network.update(force=True)
            out.append(network.eval())
        return out

    @torch.inference_mode()
    def encode(self, images: Sequence[Pixels], setting: int) -> list[bytes]:
        """uint8 [112, 112, 3] each -> files of network ``setting``."""
        out = []
        for image in images:  # one by one: a batch's bits depend on its composition
            x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
            strings = [group[0] for group in self.networks[setting].compress(pad(x, self.side))["strings"]]
            head = bytes([setting]) + (len(strings[0]).to_bytes(2, "big") if self.hyper else b"")
            out.append(head + b"".join(strings))
        return out

    @torch.inference_mode()
    def decode(self, files: Sequence[bytes]) -> list[Pixels]:
        """Files -> uint8 [112, 112, 3] each."""
        out = []
        for data in files:
            if len(data) < 3 or data[0] >= self.count:
                raise InvalidInputError(
                    f"a bmshj2018 file of {len(data)} bytes names network {data[0] if data else 'none'}; there are "
                    f"{self.count}"
                )
            if self.hyper:
                end = 3 + int.from_bytes(data[1:3], "big")
                strings, cell = [[data[3:end]], [data[end:]]], 64
            else:
                strings, cell = [[data[1:]]], 16
            shape = (self.side // cell, self.side // cell)
            x = self.networks[data[0]].decompress(strings, shape)["x_hat"][0, :, :SIDE, :SIDE]
            out.append((x.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())
        return out


def bmshj2018(checkpoint: str | os.PathLike[str], settings: Sequence[int] | None = None) -> EvaluatedCodec:
    """The trained baseline; its settings are the numbers of its networks, from few bytes to many."""
    baseline = Baseline(checkpoint)
    return EvaluatedCodec(
        "bmshj2018",
        tuple(settings or range(baseline.count)),
        baseline.encode,
        baseline.decode,
        lambda data: 3 if baseline.hyper else 1,
        f"{baseline.architecture} {file_sha256(checkpoint)[:16]}",
        threads=False,
    )
