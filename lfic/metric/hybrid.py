"""The hybrid metric: pixel, identity and adversarial terms in one differentiable number per picture.

    d(x, x') = w_p (pixel(x, x') + w_t texture(x, x')) + w_i (1 - <e(x), e(x')>) + w_f features(x, x') + w_a GAN(x')

(after Chen and He 2018; the texture and the feature term are not theirs).

The loss of a codec is bits + beta * d; the bits come from the entropy model that writes the file.
"""

import dataclasses

import torch
from torch import Tensor, nn

from ..arguments import is_number, one_of
from ..errors import InvalidInputError
from . import pixel as pixel_terms
from .features import feature_distance
from .identity import RecognizerEnsemble, Recognizers, identity_distance

RANGE = 2.0  # what no picture in 0..1 exceeds, filtered or with noise, and nearly every one in 0..255 does


@dataclasses.dataclass
class MetricTerms:
    """``total`` float [N], and the unweighted terms float [N] (0 where a term is off)."""

    total: Tensor
    pixel: Tensor
    identity: Tensor
    adversarial: Tensor
    features: Tensor
    texture: Tensor


class HybridMetric(nn.Module):
    """Pixels, identity and GAN with weights; smaller is better, 0 for equal pictures (with the GAN off).

    Args:
        recognizers: a ``Recognizer``, or a list of recognisers or of (recogniser, weight); None: no identity term, and
            then ``identity_weight`` may not be given.
        pixel: "mse", "l1" or "ms_ssim" (then 1 - MS-SSIM).
        pixel_weight, identity_weight, adversarial_weight, feature_weight: not negative; ``identity_weight`` None: 1
            where there is a recogniser; the last two are 0, off, by default. ``feature_weight`` is that of the
            recognisers' intermediate features and needs one.
        adversarial: an ``AdversarialMetric``, needed where its weight is not 0.
        texture_weight: not negative, beside a pixel term of weight 1; 0, off, by default.
    """

    def __init__(
        self,
        recognizers: Recognizers | None = None,
        pixel: str = "mse",
        pixel_weight: float = 30.0,
        identity_weight: float | None = None,
        adversarial_weight: float = 0.0,
        adversarial: nn.Module | None = None,
        feature_weight: float = 0.0,
        texture_weight: float = 0.0,
    ) -> None:
        super().__init__()
        one_of("pixel", pixel, "mse", "l1", "ms_ssim")
        asked = bool(identity_weight)
        identity_weight = float(recognizers is not None) if identity_weight is None else identity_weight
        weights = {
            "pixel": pixel_weight,
            "identity": identity_weight,
            "adversarial": adversarial_weight,
            "feature": feature_weight,
            "texture": texture_weight,
        }
        for name, value in weights.items():
            if not (is_number(value) and value >= 0):
                raise InvalidInputError(f"{name}_weight is {value!r}; a number of at least 0 is needed")
        if asked and recognizers is None:
            raise InvalidInputError(
                f"identity_weight is {identity_weight}, but there is no recogniser: pass one, or leave the weight out"
            )
        if adversarial_weight and adversarial is None:
            raise InvalidInputError("adversarial_weight is not 0: pass an AdversarialMetric as adversarial")
        if feature_weight and recognizers is None:
            raise InvalidInputError("feature_weight is not 0: pass a recogniser, whose features they are")
        self.recognizer = None if recognizers is None else RecognizerEnsemble.of(recognizers)
        self.pixel = pixel
        self.pixel_weight, self.identity_weight = pixel_weight, identity_weight
        self.adversarial_weight, self.adversarial, self.feature_weight = adversarial_weight, adversarial, feature_weight
        self.texture_weight = texture_weight
        self._seen_range = False

    def check_range(self, pixels: Tensor, target: Tensor) -> None:
        """Refuse pixels in 0..255: on the CPU always, on a GPU, which it would hold up, in the first call alone."""
        pixel_terms.check_pair(pixels, target)
        if target.numel() and not target.is_meta and (not self._seen_range or not target.is_cuda):
            highest = float(target.detach().amax())
            if highest > RANGE:
                raise InvalidInputError(f"target goes up to {highest:g}; pixels are in 0..1: divide them by 255")
            self._seen_range = True

    def pixel_term(self, pixels: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """The pixel term alone, float [N]; weight float [N or 1, 1, H, W] or None."""
        if self.pixel == "ms_ssim":
            if weight is not None:
                raise InvalidInputError("MS-SSIM takes no pixel weight; use pixel='mse' or 'l1'")
            return 1 - pixel_terms.ms_ssim(pixels, target)
        return (pixel_terms.l1 if self.pixel == "l1" else pixel_terms.mse)(pixels, target, weight)

    def forward(
        self,
        pixels: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        levels: Tensor | None = None,
        seen: Tensor | None = None,
        embedding: Tensor | None = None,
        pixel_weight: Tensor | float | None = None,
        identity_weight: Tensor | float | None = None,
        adversarial_weight: float | None = None,
    ) -> MetricTerms:
        """Distance of reconstructions from originals: ``MetricTerms``.

        Args:
            pixels, target: float [N, 3, H, W] in 0..1.
            weight: pixel weights float [N or 1, 1, H, W], or None.
            levels: one-hot region levels float [N, 3, rows, columns]; needed by the GAN.
            seen: bool [N], the pictures that the recognisers see; None: all.
            embedding: the originals' embeddings [number seen, D], where they are known; None, or where features count:
                computed.
            pixel_weight, identity_weight: float [N] or numbers, adversarial_weight: a number, in the place of the
                constructor's.
        """
        self.check_range(pixels, target)
        pixel_weight = self.pixel_weight if pixel_weight is None else pixel_weight
        identity_weight = self.identity_weight if identity_weight is None else identity_weight
        error = self.pixel_term(pixels, target, weight)
        identity, adversarial, features, texture = (torch.zeros_like(error) for _ in range(4))
        if self.texture_weight:
            texture = pixel_terms.texture(pixels, target, weight)
        total = pixel_weight * (error + self.texture_weight * texture)
        if self.recognizer is not None and (seen is None or seen.any()):
            some = slice(None) if seen is None else seen

            def spread(distance: Tensor) -> Tensor:
                if seen is None:
                    return distance
                return torch.zeros_like(error).masked_scatter(seen, distance.to(error.dtype))

            if self.feature_weight:
                with torch.no_grad():
                    embedding, wanted = self.recognizer.describe(target[some])
                found, maps = self.recognizer.describe(pixels[some])
                features = spread(feature_distance(maps, wanted))
                total = total + self.feature_weight * features
            else:
                if embedding is None:
                    with torch.no_grad():
                        embedding = self.recognizer(target[some])
                found = self.recognizer(pixels[some])
            identity = spread(identity_distance(found, embedding))
            total = total + identity_weight * identity
        adversarial_weight = self.adversarial_weight if adversarial_weight is None else adversarial_weight
        if adversarial_weight:
            if self.adversarial is None:
                raise InvalidInputError("the adversarial term needs an AdversarialMetric; this metric was made without")
            if levels is None:
                raise InvalidInputError("the adversarial term needs levels, float [N, 3, rows, columns]")
            adversarial = self.adversarial(pixels, target, levels)
            total = total + adversarial_weight * adversarial
        return MetricTerms(total, error, identity, adversarial, features, texture)
