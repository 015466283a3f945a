"""What an encoder's search minimises: J = bits + beta(quality) * D, as the model was trained but for identity, whose
weight is the search's own; the other weights are stored with the network's."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..format.quality import exponential
from .identity import Recognizer, RecognizerEnsemble, identity_distance
from .pixel import mse, template_weight, texture

# Of identity in a search, whatever training had; face-v1's had 1. At effort 1 that takes 2 to 6 % fewer bytes at equal
# likeness, by a judge that neither training nor the search sees, and as many at equal PSNR (docs/log/encoder-steps.md).
SEARCHED_IDENTITY = 4.0


@dataclasses.dataclass(frozen=True)
class Objective:
    """Weights of J; the defaults are those of the first model.

    beta and the pixel weight beside identity are exponential in the quality, from ``..._low`` at 1 to ``..._high`` at
    100; ``crop_beta``: factor of beta on the template. ``pixel_only``: weight where there is no identity term;
    ``floor``: pixel weight of an aligned crop far from the face. ``texture``: weight of that term beside a squared
    error of weight 1. ``identity``: weight of that term.
    """

    beta_low: float = 3000.0
    beta_high: float = 700000.0
    crop_beta: float = 1.0
    pixel_low: float = 30.0
    pixel_high: float = 30.0
    pixel_only: float = 60.0
    floor: float = 0.25
    texture: float = 0.0
    identity: float = 1.0

    @classmethod
    def trained(cls, config: Mapping[str, Any]) -> "Objective":
        """From the training configuration in a weights file's metadata (a dict, possibly of an older version)."""
        loss = config.get("loss", config)  # settings stood at the top level before they had sections
        pixel = loss.get("pixel_weight", cls.pixel_low)
        return cls(
            loss.get("beta_low", cls.beta_low),
            loss.get("beta_high", cls.beta_high),
            loss.get("crop_beta", cls.crop_beta),
            pixel,
            loss.get("pixel_weight_high") or pixel,
            loss.get("pixel_only_weight", cls.pixel_only),
            loss.get("face_floor", cls.floor),
            loss.get("texture_weight", cls.texture),
        )

    def searched(self) -> "Objective":
        """The same for a search at encode time."""
        return dataclasses.replace(self, identity=SEARCHED_IDENTITY)

    def beta(self, quality: int, aligned: bool) -> float:
        """Bits that a unit of D is worth."""
        return exponential(self.beta_low, self.beta_high, quality) * (self.crop_beta if aligned else 1)

    def distortion(
        self,
        recognizer: Recognizer | RecognizerEnsemble | None,
        pixels: Tensor,
        original: Tensor,
        target: Tensor | None,
        quality: int,
        aligned: bool,
    ) -> Tensor:
        """D, float [N]: weighted squared error, texture and, with ``target``, identity; 0 upwards.

        pixels, original float [N, 3, H, W] in 0..1; target: embeddings [N, D] of the originals, or None; quality
        1..100 and aligned are those of all N.
        """
        weight = template_weight(self.floor).to(pixels) if aligned else None
        error: Tensor = mse(pixels, original, weight)
        if self.texture:
            error = error + self.texture * texture(pixels, original, weight)
        if target is None or recognizer is None:
            return self.pixel_only * error
        # So that a stranger is as far away for every recogniser, 1.
        identity: Tensor = identity_distance(recognizer(pixels), target) / (1 - recognizer.unlike)
        return exponential(self.pixel_low, self.pixel_high, quality) * error + self.identity * identity
