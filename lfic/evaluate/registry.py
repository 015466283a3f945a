"""The codecs that ``lfic evaluate --codecs`` knows: name -> a function that makes an ``EvaluatedCodec``."""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

from .interface import EvaluatedCodec
from .own import lfic_codec
from .peers.avif import avif
from .peers.jpeg import jpeg, mozjpeg
from .peers.jpeg2000 import jpeg2000
from .peers.jxl import jxl
from .peers.minimal_avif import minimal_avif
from .peers.webp import webp


def on_first_use(module: str, name: str, **options: Any) -> EvaluatedCodec:
    """A codec of a module that takes long to import or needs what may not be installed."""
    codec: EvaluatedCodec = getattr(importlib.import_module(f".peers.{module}", __package__), name)(**options)
    return codec


CODECS: dict[str, Callable[..., EvaluatedCodec]] = {
    "lfic": lfic_codec,
    "lfic-full": partial(lfic_codec, resolution="full"),
    "lfic-layers": partial(lfic_codec, layers=True),
    "lfic-vivid": partial(lfic_codec, look="vivid"),
    "jpeg": jpeg,
    "jpeg444": partial(jpeg, subsampling="4:4:4"),
    "jpeg-grey": partial(jpeg, grey=True),
    "jpeg-half": partial(jpeg, settings=(15, 25, 40, 60, 80), scale=0.5),
    "mozjpeg": mozjpeg,
    "jpeg2000": jpeg2000,
    "jpeg2000-grey": partial(jpeg2000, grey=True, settings=(60, 40, 25, 17)),
    "jpeg2000-half": partial(jpeg2000, scale=0.5, settings=(30, 20, 12, 8)),
    "webp": webp,
    "webp-grey-48": partial(webp, settings=(0, 20, 50, 75, 90), scale=48 / 112, grey=True),
    "webp-grey-64": partial(webp, settings=(0, 10, 30, 50, 75), scale=64 / 112, grey=True),
    "webp-small": partial(webp, settings=(0, 10, 30, 60), scale=0.75),
    "avif": avif,
    "avif444": partial(avif, subsampling="4:4:4"),
    "avif-grey": partial(avif, subsampling="4:0:0", grey=True),
    "avif-minimal": minimal_avif,
    "avif-half": partial(avif, settings=(30, 45, 60, 75), scale=0.5),
    "jxl": jxl,
    "jxl-grey": partial(jxl, grey=True),
    "jxl-half": partial(jxl, settings=(20, 45, 65, 80), scale=0.5),
    "eigenface": partial(on_first_use, "facial", "eigenface"),
    "dictionary": partial(on_first_use, "facial", "dictionary"),
    "bmshj2018": partial(on_first_use, "neural", "bmshj2018"),
}
