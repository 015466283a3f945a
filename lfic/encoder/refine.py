"""Gradient steps on the features of one batch at encode time: the decoder and the format stay as they are.

One analysis pass is a guess for all faces (the amortisation gap of Campos et al. 2019); a few steps of Adam on

    bits(y) + beta * D(y)

with rounding passed straight through close part of it. Every other step looks at the mirrored face, so that the
features suit the person rather than one sight of one recogniser.
"""

import torch
from torch import Tensor

from ..format.quality import exponential
from ..network.load import Model

# Of Adam, in units of the entropy model's normalised features; falls to a fifth. At qualities 1 and 100, exponential in
# between: where symbols are fine, so are steps. Found by trial at six steps and qualities 1 to 80
# (docs/log).
RATES, PIXELS_ALONE, BETAS = (0.035, 0.009), 0.3, (0.7, 0.9)


def step_rate(quality: int, identity: bool) -> float:
    """Adam's first learning rate at a quality, lower where pixels count alone."""
    return exponential(*RATES, quality) * (1 if identity else PIXELS_ALONE)


def refine(
    model: Model,
    y: Tensor,
    levels: Tensor,
    original: Tensor,
    target: Tensor | None,
    quality: int,
    aligned: bool,
    steps: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Better features float [N, C, h, w], and the distortion D before and after, float [N].

    Args:
        model: ``Model``: its network, objective and recogniser.
        y: float [N, C, h, w], of the analysis. levels: uint8 [N, hr, wr], kept.
        original: float [N, 3, H, W] in 0..1. target: its embeddings [N, D], or None where identity does not count.
        quality: int. aligned: bool. steps: int, at least 1.
    """
    net, objective, recognizer = model.net, model.objective, model.recognizer
    q = torch.full((len(y),), quality, device=y.device)
    a = torch.full((len(y),), aligned, device=y.device)
    beta, unit = objective.beta(quality, aligned), torch.exp(-net.entropy.value_scale.detach())[:, None, None]
    with torch.no_grad():
        mirrored = original.flip(-1)
        mirrored_target = None if target is None or recognizer is None else recognizer(mirrored)
        sights = [(original, target), (mirrored, mirrored_target)]
    with torch.enable_grad():
        z = (y.detach() / unit).clone().requires_grad_(True)
        rate = step_rate(quality, target is not None)
        optimizer = torch.optim.Adam([z], betas=BETAS)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = rate * (1 - 0.8 * step / max(1, steps - 1))
            pixels, bits = net.code(z * unit, levels, q, a, *original.shape[-2:])
            distortion = objective.distortion(
                recognizer, pixels.flip(-1) if step % 2 else pixels, *sights[step % 2], quality, aligned
            )
            if step == 0:
                before = distortion.detach()
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward((bits / beta + distortion).sum())
            optimizer.step()
    with torch.no_grad():
        y = z * unit
        after = objective.distortion(
            recognizer, net.code(y, levels, q, a, *original.shape[-2:])[0], *sights[0], quality, aligned
        )
    return y.detach(), before, after
