"""The hybrid semantic fidelity metric: pixels, identity and, if asked for, a GAN; see docs/metric.md.

    from lfic.metric import HybridMetric

Names are looked up when first used, so that importing the package does not load torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ..extras import needed

if TYPE_CHECKING:
    from .adversarial import AdversarialMetric, PatchDiscriminator
    from .features import feature_distance
    from .hybrid import HybridMetric
    from .identity import (
        Recognizer,
        RecognizerEnsemble,
        load_bundled,
        load_exported,
        load_facenet,
        load_recognizer,
        load_torchscript,
    )
    from .pixel import l1, landmark_weight, ms_ssim, mse, texture

_HOMES = {
    "HybridMetric": "hybrid",
    "AdversarialMetric": "adversarial",
    "PatchDiscriminator": "adversarial",
    "Recognizer": "identity",
    "RecognizerEnsemble": "identity",
    "load_bundled": "identity",
    "load_exported": "identity",
    "load_facenet": "identity",
    "load_recognizer": "identity",
    "load_torchscript": "identity",
    "feature_distance": "features",
    "l1": "pixel",
    "mse": "pixel",
    "ms_ssim": "pixel",
    "texture": "pixel",
    "landmark_weight": "pixel",
}
__all__ = [
    "AdversarialMetric",
    "HybridMetric",
    "PatchDiscriminator",
    "Recognizer",
    "RecognizerEnsemble",
    "feature_distance",
    "l1",
    "landmark_weight",
    "load_bundled",
    "load_exported",
    "load_facenet",
    "load_recognizer",
    "load_torchscript",
    "ms_ssim",
    "mse",
    "texture",
]


if not TYPE_CHECKING:  # so that a checker tells a misspelt name

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        with needed():
            return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
