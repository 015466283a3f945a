"""JPEG XL by libjxl."""

import importlib.util
from collections.abc import Sequence

from ...errors import MissingDependencyError
from ..interface import EvaluatedCodec
from .pillow import package_version, pillow_codec


def jxl(
    settings: Sequence[int] = (1, 5, 11, 20, 34, 52), effort: int = 7, scale: float = 1.0, grey: bool = False
) -> EvaluatedCodec:
    """JPEG XL, lossy, bare codestream; settings are qualities."""
    if importlib.util.find_spec("pillow_jxl") is None:
        raise MissingDependencyError("JPEG XL needs pillow-jxl-plugin: pip install pillow-jxl-plugin")
    import pillow_jxl  # noqa: F401  registers the format

    return pillow_codec(
        f"JPEG XL e{effort}",
        settings,
        "JXL",
        lambda q: {"quality": q, "effort": effort, "use_container": False, "num_threads": 1},
        jxl_header,
        f"pillow_jxl {package_version('pillow-jxl-plugin')}",
        range(96),
        scale=scale,
        grey=grey,
    )


def jxl_header(data: bytes) -> int:
    """12 bytes are counted as fixed: 2 of signature, about 4 of size and metadata, and the frame header. They are
    packed bit by bit, so that no number of bytes is exact."""
    return min(12, len(data))
