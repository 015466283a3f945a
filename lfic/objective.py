"""What an encoder's search minimises: J = bits + beta(quality) * D, as the model was trained (stored with its weights)."""
import dataclasses

import torch

from .metric.identity import identity_distance
from .metric.pixel import mse, template_weight, texture


@dataclasses.dataclass(frozen=True)
class Objective:
    """Weights of J; the defaults are those of the first model.

    beta and the pixel weight beside identity are exponential in the quality, from ``..._low`` at 1 to ``..._high`` at 100.
    ``pixel_only``: weight where there is no identity term; ``floor``: pixel weight of an aligned crop far from the face. ``texture``:
    weight of that term beside a squared error of weight 1.
    """

    beta_low: float = 3000.0
    beta_high: float = 700000.0
    pixel_low: float = 30.0
    pixel_high: float = 30.0
    pixel_only: float = 60.0
    floor: float = 0.25
    texture: float = 0.0

    @classmethod
    def trained(cls, config):
        """From the training configuration in a weights file's metadata (a dict, possibly of an older version)."""
        pixel = config.get("pixel_weight", cls.pixel_low)
        return cls(
            config.get("beta_low", cls.beta_low), config.get("beta_high", cls.beta_high), pixel,
            config.get("pixel_weight_high") or pixel, config.get("pixel_only_weight", cls.pixel_only), config.get("face_floor", cls.floor),
            config.get("texture_weight", cls.texture),
        )

    def beta(self, quality):
        """Bits that a unit of D is worth."""
        return exponential(self.beta_low, self.beta_high, quality)

    def distortion(self, recognizer, pixels, original, target, quality, aligned):
        """D, float [N]: weighted squared error, texture and, where ``target`` embeddings [N, D] are given, identity; 0 upwards.

        pixels, original float [N, 3, H, W] in 0..1; quality 1..100 and aligned are those of all N.
        """
        weight = template_weight(self.floor).to(pixels) if aligned else None
        error = mse(pixels, original, weight)
        if self.texture:
            error = error + self.texture * texture(pixels, original, weight)
        if target is None:
            return self.pixel_only * error
        return exponential(self.pixel_low, self.pixel_high, quality) * error + identity_distance(recognizer(pixels), target)


def exponential(low, high, quality):
    """From low at quality 1 to high at quality 100."""
    return low * (high / low) ** ((quality - 1) / 99)
