"""The neural baseline: CompressAI's bmshj2018 models (Balle et al., ICLR 2018), trained by
benchmarks/train_bmshj2018.py.

One checkpoint holds one network for each rate. Its files carry the networks' entropy-coded strings behind a lean
header: one byte for the network and, for the hyperprior, two for the length of the first string; sizes are known to be
112 x 112, as in the other facial codecs.
"""

import functools
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...encoder.refine import BETAS, step_rate
from ...errors import InvalidInputError, MissingDependencyError, WeightsError
from ...format.geometry import SIDE
from ...format.weights import load_arrays
from ...metric.identity import Recognizer, file_sha256, load_torchscript
from ...metric.objective import SEARCHED_IDENTITY, Objective
from ..interface import EvaluatedCodec, Pixels

ARCHITECTURES = ("factorized", "hyperprior")
STEPS = 6  # of lfic's effort 1
# Times as long as lfic's. 12 LFW faces, casia's cosine and bytes: without steps 0.266; 49.2, at 1 0.287; 49.2, at 4
# 0.366; 50.4, at 10 0.444; 53.1, at 25 0.453; 407.
STEP = 8.0
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


@functools.cache
def own_objective() -> Objective:
    """What face-v1 was trained for."""
    return Objective.trained(json.loads(load_arrays("face-v1")[1]["training"])["config"])


def refined(
    network: Any, pixels: torch.Tensor, side: int, recognizer: Recognizer, quality: int, steps: int
) -> torch.Tensor:
    """Better features of one face than the analysis gives: the same steps as lfic's effort (lfic/encoder/refine.py).

    Args:
        network: a factorised prior, in eval mode. pixels: float [1, 3, 112, 112] in 0..1.
        side: that the network is run at. quality: of lfic's, which says beta. steps: of Adam.

    Returns:
        float [1, M, h, w], to be rounded and coded. Bits are counted under noise, pixels behind rounding that gradients
        pass; every other step looks at the mirrored face.
    """
    objective = own_objective().searched()
    beta = objective.beta(quality, True)
    with torch.no_grad():
        y = network.g_a(pad(pixels, side))
        sights = [(one, recognizer(one)) for one in (pixels, pixels.flip(-1))]
    y = y.clone().requires_grad_(True)
    rate = float(y.detach().std()) * STEP * step_rate(quality, True)
    optimizer = torch.optim.Adam([y], betas=BETAS)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * (1 - 0.8 * step / max(1, steps - 1))
        decoded = network.g_s(y + (y.round() - y).detach())[..., :SIDE, :SIDE]
        likelihoods = network.entropy_bottleneck(y, training=True)[1]
        original, target = sights[step % 2]
        shown = decoded.flip(-1) if step % 2 else decoded
        distortion = objective.distortion(recognizer, shown, original, target, quality, True)
        optimizer.zero_grad()
        torch.autograd.backward(-torch.log2(likelihoods).sum() / beta + distortion.sum())
        optimizer.step()
    out: torch.Tensor = y.detach()
    return out


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
        self.identity: str = about.get("identity", "")
        self.steps: list[float] = about["lambdas"]
        self.refinement: tuple[Recognizer, int] | None = None  # through which recogniser, in how many steps

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

    def refine(self, recognizer: Recognizer, steps: int) -> None:
        """From here on files are refined while they are written.

        Raises:
            InvalidInputError: the networks were trained for pixels, or have a hyperprior.
        """
        if self.hyper or not self.identity:
            raise InvalidInputError(
                "bmshj2018 is refined where it is a factorised prior that was trained with --identity: its networks "
                "are of lfic's qualities then"
            )
        self.refinement = recognizer, steps

    def features(self, x: torch.Tensor, setting: int) -> torch.Tensor:
        """Refined features of one face, float [1, M, h, w]."""
        assert self.refinement is not None
        recognizer, steps = self.refinement
        with torch.enable_grad():
            return refined(self.networks[setting], x, self.side, recognizer, round(self.steps[setting]), steps)

    @torch.no_grad()
    def encode(self, images: Sequence[Pixels], setting: int) -> list[bytes]:
        """uint8 [112, 112, 3] each -> files of network ``setting``."""
        out = []
        for image in images:  # one by one: a batch's bits depend on its composition
            x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
            if self.refinement:
                strings = self.networks[setting].entropy_bottleneck.compress(self.features(x, setting))
            else:
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


def bmshj2018(
    checkpoint: str | os.PathLike[str],
    settings: Sequence[int] | None = None,
    effort: int = 0,
    recognizer: str | None = None,
) -> EvaluatedCodec:
    """The trained baseline; its settings are the numbers of its networks, from few bytes to many.

    effort: as lfic's 1 and 2, 6 and 12 steps on the features of each face, through ``recognizer`` (TorchScript).
    """
    baseline = Baseline(checkpoint)
    if wrong := [setting for setting in settings or () if not 0 <= setting < baseline.count]:
        raise InvalidInputError(
            f"a setting of bmshj2018 is {wrong[0]}; {checkpoint} has networks 0 to {baseline.count - 1}"
        )
    name, key, looks_through = "bmshj2018" + (" identity" if baseline.identity else ""), "", ""
    if effort:
        if recognizer is None:
            raise InvalidInputError("bmshj2018 with an effort looks through a recogniser: give --encoder-recognizer")
        baseline.refine(load_torchscript(recognizer), STEPS * effort)
        looks_through = file_sha256(recognizer)
        name, key = (
            f"{name} effort {effort}",
            f" effort {effort} identity {SEARCHED_IDENTITY:g} recognizer {looks_through[:16]}",
        )
    return EvaluatedCodec(
        name,
        tuple(settings or range(baseline.count)),
        baseline.encode,
        baseline.decode,
        lambda data: 3 if baseline.hyper else 1,
        f"{baseline.architecture} {file_sha256(checkpoint)[:16]}{key}",
        threads=False,
        looks_through=looks_through,
        loss=(baseline.identity,) if baseline.identity else (),
        encoder=pathlib.Path(str(recognizer)).stem if effort else "",
    )
