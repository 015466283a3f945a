"""GAN as a metric: a discriminator's opinion of a reconstruction, given the region levels it was coded with.

    least squares (Mao et al. 2017)
        generator (D(x') - 1)**2, discriminator ((D(x) - 1)**2 + D(x')**2) / 2, range 0..
    hinge (Lim and Ye 2017)
        generator -D(x'), range any; discriminator max(0, 1 - D(x)) + max(0, 1 + D(x')), range 0..
    feature matching (Wang et al. 2018)
        mean over layers of |f_k(x) - f_k(x')|, range 0..

It is off by default: a generator that pleases a discriminator may invent detail, which no biometric use can afford.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from ..arguments import integer, one_of
from ..errors import InvalidInputError
from ..format.geometry import LEVELS

AROUND, DETAIL = 2, 6.0  # pixels on every side that the mean is of, and what makes detail about as large as levels are


class PatchDiscriminator(nn.Module):
    """Score of every patch (Isola et al. 2017); the layers before it are spectrally normalised (Miyato et al. 2018).

    It sees a pixel's difference from the mean about it: colours are the pixel term's. With pixels as they are, and with
    a score that is normalised as well, it took originals and reconstructions by lfic for the same for hundreds of
    steps.

    Args:
        width: channels of the first layer; doubled by each of the two layers after it.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        width = integer("width", width, 1, 4096)
        sizes = [3 + LEVELS, width, 2 * width, 4 * width]
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(a, b, 4, stride=2, padding=1)) for a, b in itertools.pairwise(sizes)
        )
        self.score = nn.Conv2d(sizes[-1], 1, 3, padding=1)

    def forward(self, pixels: Tensor, levels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Pixels float [N, 3, H, W] in 0..1, level weights float [N, 3, hr, wr] -> (scores [N, 1, H/8, W/8], each
        layer's features)."""
        if levels.ndim != 4 or levels.shape[:2] != (len(pixels), LEVELS):
            raise InvalidInputError(
                f"levels have shape {tuple(levels.shape)}; expected [{len(pixels)}, {LEVELS}, rows, columns] one-hot "
                "weights"
            )
        mean = F.avg_pool2d(F.pad(pixels, (AROUND,) * 4, mode="replicate"), 2 * AROUND + 1, 1)
        x = torch.cat([DETAIL * (pixels - mean), F.interpolate(levels, pixels.shape[-2:], mode="nearest")], 1)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.score(x), features


class AdversarialMetric(nn.Module):
    """The discriminator with its two losses.

    Args:
        loss: "lsgan" or "hinge".
        feature_matching: weight of the feature matching in ``forward``.
        discriminator: a module with the interface of ``PatchDiscriminator``; None: a fresh one.
    """

    def __init__(
        self, loss: str = "lsgan", feature_matching: float = 1.0, discriminator: nn.Module | None = None
    ) -> None:
        super().__init__()
        one_of("loss", loss, "lsgan", "hinge")
        self.loss, self.feature_matching = loss, feature_matching
        self.discriminator = discriminator or PatchDiscriminator()

    def forward(self, pixels: Tensor, target: Tensor, levels: Tensor) -> Tensor:
        """The generator's loss, float [N]; gradients reach ``pixels``, never the discriminator or the levels."""
        levels = levels.detach()
        frozen = [p for p in self.discriminator.parameters() if p.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(False)
        try:
            score, features = self.discriminator(pixels, levels)
            with torch.no_grad():
                wanted = self.discriminator(target, levels)[1]
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)
        out: Tensor = ((score - 1).square() if self.loss == "lsgan" else -score).mean((1, 2, 3))
        if self.feature_matching:
            matches = [(a - b).abs().mean((1, 2, 3)) for a, b in zip(features, wanted)]
            out = out + self.feature_matching * sum(matches) / len(matches)
        return out

    def discriminator_loss(self, pixels: Tensor, target: Tensor, levels: Tensor) -> Tensor:
        """The discriminator's loss, float [N]; the reconstruction gets no gradient."""
        levels = levels.detach()
        fake: Tensor = self.discriminator(pixels.detach(), levels)[0]
        real: Tensor = self.discriminator(target, levels)[0]
        if self.loss == "lsgan":
            return ((real - 1).square() + fake.square()).mean((1, 2, 3)) / 2
        return (F.relu(1 - real) + F.relu(1 + fake)).mean((1, 2, 3))
