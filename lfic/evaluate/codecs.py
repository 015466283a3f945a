"""Codecs behind one small interface, each at the settings that serve small faces best.

A codec at one setting turns images (uint8 [H, W, 3], RGB) into files and files into images; ``header`` says how many
bytes of a file would be the same for every face, so that tables can show a second column without them.
"""

import dataclasses
import functools
import importlib.util
import io
import struct

import numpy as np
from PIL import Image, features

from ..errors import InvalidInputError, MissingDependencyError


@dataclasses.dataclass(frozen=True)
class Codec:
    """A codec and its settings.

    Attributes:
        name: for tables.
        settings: quality steps to measure, from few bytes to many; each is passed to ``encode``.
        encode: (images, setting) -> list of bytes.
        decode: list of bytes -> list of uint8 [H, W, 3].
        header: bytes -> number of fixed bytes in that file.
        version: libraries, weights and fixed settings: results are kept under name, version and setting.
        batch: images per call.
        threads: whether calls may run in several threads.
        region_levels: (image, setting) -> uint8 [rows, columns] for codecs with RAP, for heat maps.
        looks_through: SHA-256 of the recogniser's file that the encoder looks through; that network does not judge this
        codec.
    """

    name: str
    settings: tuple
    encode: object
    decode: object
    header: object = staticmethod(lambda data: 0)
    version: str = ""
    batch: int = 16
    threads: bool = True
    region_levels: object = None
    looks_through: str = ""

    def key(self, setting):
        return f"{self.name}|{self.version}|{setting}"


def from_function(name, function, version):
    """A codec given as one function: list of uint8 images -> (list of bytes, list of decoded uint8 images).

    ``version`` has to change whenever the function's results would.
    """
    decoded = {}

    def encode(images, setting):
        files, images = function(images)
        decoded.update(zip(map(bytes, files), images))
        return list(files)

    return Codec(
        name, ("",), encode, lambda files: [decoded.pop(bytes(f)) for f in files], version=version, threads=False
    )


# ---- pictures around the coded ones: downscaled and grey variants


def shrink(image, scale):
    """A fraction of the size with a good filter; the decoder goes back to the full size with a bicubic one."""
    if scale == 1:
        return image
    return image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.LANCZOS)


def pillow_codec(name, settings, save, options, header, strip=None, scale=1.0, grey=False, version="", size=(112, 112)):
    """A codec that Pillow writes and reads. ``options``: setting -> keyword arguments of ``Image.save``."""

    def encode(images, setting):
        out = []
        for pixels in images:
            image = shrink(Image.fromarray(pixels), scale)
            if grey:
                image = image.convert("L")
            buffer = io.BytesIO()
            image.save(buffer, save, **options(setting))
            data = buffer.getvalue()
            out.append(strip(data) if strip else data)
        return out

    def decode(files):
        out = []
        for data in files:
            image = Image.open(io.BytesIO(data)).convert("RGB")
            if scale != 1:
                image = image.resize(size, Image.Resampling.BICUBIC)
            out.append(np.asarray(image))
        return out

    name += ("" if scale == 1 else f" x{scale:g}") + (" grey" if grey else "")
    return Codec(name, tuple(settings), encode, decode, header, version)


# ---- JPEG


def jpeg_segments(data):
    """Yield (marker, start, end) of a JPEG file's segments; a scan's entropy-coded bytes are not part of any."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise InvalidInputError(f"byte {at} of a JPEG file is {data[at]:#x}; a marker (0xff) was expected")
        marker = data[at + 1]
        if marker == 0xD9:
            return
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        yield marker, at, end
        at = end
        if marker == 0xDA:  # skip the scan: up to the next marker that is neither a stuffed 0xff nor a restart
            while at + 1 < len(data) and not (
                data[at] == 0xFF and data[at + 1] != 0 and not 0xD0 <= data[at + 1] <= 0xD7
            ):
                at += 1


def jpeg_strip(data):
    """Without APPn and comment segments: a decoder needs neither for a YCbCr or grey picture."""
    drop = [(start, end) for marker, start, end in jpeg_segments(data) if 0xE0 <= marker <= 0xEF or marker == 0xFE]
    for start, end in reversed(drop):
        data = data[:start] + data[end:]
    return data


def jpeg_header(data):
    """SOI, EOI and all segments but the Huffman tables, which are fitted to each picture."""
    return 4 + sum(end - start for marker, start, end in jpeg_segments(data) if marker != 0xC4)


def jpeg(settings=(3, 5, 7, 10, 15, 24, 40), subsampling="4:2:0", **variant):
    """JPEG by libjpeg-turbo: fitted Huffman tables, sequential (smaller than progressive here), no JFIF segment."""
    return pillow_codec(
        "JPEG" + ("" if subsampling == "4:2:0" else " " + subsampling),
        settings,
        "JPEG",
        lambda q: {"quality": q, "optimize": True, "subsampling": subsampling},
        jpeg_header,
        jpeg_strip,
        version=f"libjpeg-turbo {features.version('libjpeg_turbo')}",
        **variant,
    )


def mozjpeg(settings=(5, 8, 14, 26, 38)):
    """MozJPEG through jpeglib: trellis quantisation, its own tables, 4:2:0. Its progressive scans are then written as
    one sequential scan with fitted Huffman tables, from the same coefficients, which is some 7 % smaller at this size.
    jpeglib's choice of a library is global, so calls take turns."""
    if importlib.util.find_spec("jpeglib") is None:
        raise MissingDependencyError("MozJPEG needs jpeglib: pip install jpeglib")
    import pathlib
    import tempfile

    import jpeglib

    def encode(images, quality):
        out = []
        with tempfile.TemporaryDirectory() as folder:
            first, second = f"{folder}/progressive.jpg", f"{folder}/sequential.jpg"
            for pixels in images:
                jpeglib.version.set("mozjpeg403")
                image = jpeglib.from_spatial(np.ascontiguousarray(pixels))
                image.samp_factor = "4:2:0"
                image.write_spatial(first, qt=quality, flags=["+FORCE_BASELINE"])
                jpeglib.version.set("turbo130")
                jpeglib.read_dct(first).write_dct(second, flags=["+OPTIMIZE_CODING", "-PROGRESSIVE_MODE"])
                out.append(jpeg_strip(pathlib.Path(second).read_bytes()))
        return out

    return Codec(
        "MozJPEG",
        tuple(settings),
        encode,
        jpeg().decode,
        jpeg_header,
        f"mozjpeg 4.0.3 jpeglib {package_version('jpeglib')}",
        threads=False,
    )


# ---- JPEG 2000


def jpeg2000_segments(data):
    """Yield (marker, start, end) of a codestream's main and tile-part header."""
    at = 2
    while at + 4 <= len(data):
        marker = struct.unpack_from(">H", data, at)[0]
        if marker == 0xFF93:  # start of data
            yield marker, at, at + 2
            return
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        yield marker, at, end
        at = end


def jpeg2000_strip(data):
    """Without comments (OpenJPEG writes its name)."""
    for marker, start, end in reversed(list(jpeg2000_segments(data))):
        if marker == 0xFF64:
            data = data[:start] + data[end:]
    return data


def jpeg2000_header(data):
    """SOC, EOC and every segment up to the start of data."""
    return 4 + sum(end - start for _, start, end in jpeg2000_segments(data))


def jpeg2000(settings=(180, 120, 85, 60, 42, 28), mct=1, **variant):
    """JPEG 2000 by OpenJPEG: bare codestream, 9/7 wavelet, colour transform; settings are compression ratios."""
    if not features.check("jpg_2000"):
        raise MissingDependencyError("this Pillow has no JPEG 2000; install a wheel of pillow>=11.3 from PyPI")
    grey = variant.get("grey", False)
    return pillow_codec(
        "JPEG 2000" + ("" if mct or grey else " no-MCT"),
        settings,
        "JPEG2000",
        lambda r: {
            "no_jp2": True,
            "quality_mode": "rates",
            "quality_layers": [r],
            "irreversible": True,
            "mct": 0 if grey else mct,
        },
        jpeg2000_header,
        jpeg2000_strip,
        version=f"OpenJPEG {features.version('jpg_2000')}",
        **variant,
    )


# ---- WebP


def webp_header(data):
    """RIFF header, chunk header(s) and VP8's frame header (RFC 6386, 9.1)."""
    at = 12
    while data[at : at + 4] != b"VP8 ":
        if at + 8 > len(data):
            raise InvalidInputError("no VP8 chunk in a lossy WebP file")
        at += 8 + (struct.unpack_from("<I", data, at + 4)[0] + 1) // 2 * 2
    return at + 8 + 10


def webp(settings=(0, 4, 10, 20, 36, 60), method=6, **variant):
    """WebP, lossy, slowest method (always 4:2:0)."""
    if not features.check("webp"):
        raise MissingDependencyError("this Pillow has no WebP; install a wheel of pillow>=11.3 from PyPI")
    return pillow_codec(
        "WebP",
        settings,
        "WEBP",
        lambda q: {"quality": q, "method": method},
        webp_header,
        version=f"libwebp {features.version('webp')} m{method}",
        **variant,
    )


# ---- AVIF


def avif_header(data):
    """Everything but the payload of the mdat box, which holds the coded picture."""
    at, payload = 0, 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > len(data):
            raise InvalidInputError(f"box at byte {at} of an AVIF file has size {size}; the file has {len(data)} bytes")
        payload += size - 8 if kind == b"mdat" else 0
        at += size
    return len(data) - payload


def avif(settings=(8, 14, 21, 29, 38, 48), speed=4, subsampling="4:2:0", **variant):
    """AVIF by libaom through libavif; settings are qualities, ``speed`` 0 is the slowest."""
    if not features.check("avif"):
        raise MissingDependencyError("this Pillow has no AVIF; install a wheel of pillow>=11.3 from PyPI")
    return pillow_codec(
        f"AVIF s{speed}" + ("" if subsampling == "4:2:0" else " " + subsampling),
        settings,
        "AVIF",
        lambda q: {"quality": q, "speed": speed, "subsampling": subsampling, "codec": "aom", "max_threads": 1},
        avif_header,
        version=f"libavif {features.version('avif')}",
        **variant,
    )


# ---- JPEG XL


def jxl(settings=(1, 5, 11, 20, 34, 52), effort=7, **variant):
    """JPEG XL, lossy, bare codestream; settings are qualities. Its image header is bit-packed: 2 bytes of signature,
    about 4 of size and metadata, and the frame header; 12 bytes are counted as fixed."""
    if importlib.util.find_spec("pillow_jxl") is None:
        raise MissingDependencyError("JPEG XL needs pillow-jxl-plugin: pip install pillow-jxl-plugin")
    import pillow_jxl  # noqa: F401  registers the format

    return pillow_codec(
        f"JPEG XL e{effort}",
        settings,
        "JXL",
        lambda q: {"quality": q, "effort": effort, "use_container": False, "num_threads": 1},
        lambda data: min(12, len(data)),
        version=f"pillow_jxl {package_version('pillow-jxl-plugin')}",
        **variant,
    )


def package_version(name):
    import importlib.metadata

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


# ---- lfic


def lfic_codec(
    weights="face-v1", settings=(5, 15, 30, 45, 60, 80), effort=0, name="lfic", device="cpu", recognizer=None
):
    """lfic itself, through its public batch calls; the faces stand on the template, so it is told so.

    A 112 x 112 file has 3 bytes of header and 2 of checksum. ``recognizer``: TorchScript file of the network that the
    encoder's efforts look through; it should be none of those that measure.
    """
    import lfic

    from ..metric.identity import file_sha256, load_torchscript

    codec = lfic.load_codec(
        weights, device=device, recognizer=load_torchscript(recognizer, device) if recognizer and effort else None
    )
    looks_through = file_sha256(recognizer) if codec.model.recognizer else ""
    eyes = f" recogniser {looks_through[:16]}" if looks_through else ""
    return Codec(
        name if effort == 0 else f"{name} effort {effort}",
        tuple(settings),
        lambda images, quality: list(codec.encode_batch(list(images), quality=quality, effort=effort, aligned=True)),
        lambda files: codec.decode_batch(files, out="numpy"),
        lambda data: 5,
        f"{weights_key(weights)} code {code_key()} effort {effort}{eyes} {device}",
        threads=False,
        batch=64,
        region_levels=lambda image, quality: codec.region_levels(image, quality=quality, aligned=True),
        looks_through=looks_through,
    )


@functools.cache
def code_key():
    """Hash of what decides over lfic's files and pictures: its modules, kernels and coder, without its commands and
    plug-ins."""
    import hashlib
    import pathlib

    package, digest = pathlib.Path(__file__).parent.parent, hashlib.sha256()
    import lfic.kernels

    around = {
        "__main__.py",
        "align.py",
        "faces.py",
        "bulk.py",
        "cli.py",
        "demo.py",
        "errors.py",
        "info.py",
        "pillow_plugin.py",
        "bench.py",
        "baselines.py",
        "eager.py",
        "tune.py",
        "graphs.py",
    }
    kernels = pathlib.Path(lfic.kernels.__file__).parent
    for path in [
        *sorted(package.glob("*.py")),
        *sorted(package.glob("_coder*.so")),
        *sorted(kernels.glob("_rap*.so")),
        *sorted(kernels.rglob("*.py")),
    ]:
        if path.name not in around:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def weights_key(weights):
    """Hash of a weights file, so that results of other weights are never taken for these."""
    import pathlib

    from ..metric.identity import file_sha256

    path = pathlib.Path(weights)
    if not path.is_file():
        path = pathlib.Path(__file__).parent.parent / "weights" / f"{weights}.safetensors"
    return file_sha256(path)[:16] if path.is_file() else str(weights)


def learned(name, **options):
    """A codec of ``facial`` or ``neural``, imported on first use."""
    import importlib

    module = "neural" if name == "bmshj2018" else "facial"
    return getattr(importlib.import_module(f".{module}", __package__), name)(**options)


CODECS = {
    "lfic": lfic_codec,
    "jpeg": jpeg,
    "jpeg444": functools.partial(jpeg, subsampling="4:4:4"),
    "jpeg-grey": functools.partial(jpeg, grey=True),
    "jpeg-half": functools.partial(jpeg, settings=(15, 25, 40, 60, 80), scale=0.5),
    "mozjpeg": mozjpeg,
    "jpeg2000": jpeg2000,
    "jpeg2000-grey": functools.partial(jpeg2000, grey=True, settings=(60, 40, 25, 17)),
    "jpeg2000-half": functools.partial(jpeg2000, scale=0.5, settings=(30, 20, 12, 8)),
    "webp": webp,
    "webp-small": functools.partial(webp, settings=(0, 10, 30, 60), scale=0.75),
    "avif": avif,
    "avif444": functools.partial(avif, subsampling="4:4:4"),
    "avif-grey": functools.partial(avif, subsampling="4:0:0", grey=True),
    "avif-half": functools.partial(avif, settings=(30, 45, 60, 75), scale=0.5),
    "jxl": jxl,
    "jxl-grey": functools.partial(jxl, grey=True),
    "jxl-half": functools.partial(jxl, settings=(20, 45, 65, 80), scale=0.5),
    **{name: functools.partial(learned, name) for name in ("eigenface", "dictionary", "bmshj2018")},
}
