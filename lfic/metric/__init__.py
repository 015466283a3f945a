"""The hybrid semantic fidelity metric: pixels, identity and, if asked for, a GAN; see docs/metric.md.

    from lfic.metric import HybridMetric

Names are looked up when first used, so that importing the package does not load torch.
"""

import importlib

_HOMES = {
    "HybridMetric": "hybrid",
    "AdversarialMetric": "adversarial",
    "PatchDiscriminator": "adversarial",
    "Recognizer": "identity",
    "RecognizerEnsemble": "identity",
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
__all__ = sorted(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__():
    return __all__
