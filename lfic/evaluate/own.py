"""lfic itself as a codec under test, and the key that its results are kept under."""

import contextlib
import functools
import hashlib
import json
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..encoder.options import DEFAULT_MODEL, Resolution
from ..format.look import Look, look_path
from .cache import content_key
from .interface import EvaluatedCodec, Pixels, Setting

PACKAGE = pathlib.Path(__file__).parents[1]
BUNDLED = "dlib-resnet"  # the recogniser that ships
COMPILED = {".so", ".pyd"}
# Folders and modules of lfic/ that decide over neither files nor pictures. ``kernels`` is walked by itself, since it
# may lie elsewhere; weights have a key of their own.
APART = {
    "__init__",
    "__main__",
    "assets",
    "bulk",
    "cli",
    "data",
    "demo",
    "errors",
    "evaluate",
    "files",
    "kernels",
    "pillow_plugin",
    "train",
    "weights",
}
KERNELS_APART = {"bench"}  # benchmarks


def lfic_codec(
    weights: str = DEFAULT_MODEL,
    settings: Sequence[int] = (5, 15, 30, 45, 60, 80),
    effort: int = 0,
    name: str = "lfic",
    device: str = "cpu",
    recognizer: str | None = None,
    whole: bool = False,
    layers: bool = False,
    look: Look = "faithful",
    resolution: Resolution = "auto",
) -> EvaluatedCodec:
    """lfic itself, through its public batch calls; the faces stand on the template, so it is told so.

    whole: it is given whole pictures; layers: it looks for faces in them, and codes those as layers. look: how its
    files are shown. resolution: "full": no picture is coded smaller than it is.
    A 112 x 112 file has 3 bytes of header and 2 of checksum. ``recognizer``: TorchScript file of the network that the
    encoder's efforts look through, None: the one that ships; it should be none of those that measure.
    """
    import lfic

    from ..metric.identity import file_sha256, load_torchscript
    from ..network.load import AnyRecognizer

    eyes: AnyRecognizer = "bundled" if effort else None
    if recognizer and effort:
        eyes = load_torchscript(recognizer, device)
    codec = lfic.load_codec(weights, device=device, recognizer=eyes)
    looks_through = "" if eyes is None else eyes if isinstance(eyes, str) else file_sha256(str(recognizer))
    key = f" recognizer {looks_through[:16]}" if looks_through else ""
    found = FoundFaces(device) if whole and layers else None

    def encode(images: Sequence[Pixels], quality: Setting) -> list[bytes]:
        faces = found.of(images) if found else None
        aligned = None if whole else True
        return codec.encode_batch(
            list(images), quality=int(quality), effort=effort, aligned=aligned, faces=faces, resolution=resolution
        )

    name += " layers" if found else ""
    name += "" if look == "faithful" else f" {look}"
    name += "" if resolution == "auto" else f" {resolution}"
    shown = "" if look == "faithful" else f" {look} {weights_key(str(look_path(parts_of(weights)[-1], look)))}"
    way = (" layers" if found else " whole" if whole else "") + ("" if resolution == "auto" else " full")
    return EvaluatedCodec(
        name if effort == 0 else f"{name} effort {effort}",
        tuple(settings),
        encode,
        lambda files: codec.decode_batch(files, out="numpy", look=look),
        lambda data: 5,
        f"{weights_key(weights)} code {code_key()} effort {effort}{key}{way}{shown} {device}",
        threads=False,
        batch=16 if whole else 64,
        fine_settings=tuple(range(1, 101)),
        region_levels=None
        if whole and (found or resolution == "auto")
        else lambda image, quality: codec.region_levels(image, quality=quality, aligned=None if whole else True),
        looks_through=looks_through,
        loss=recognizers_in_loss(weights),
        encoder="" if eyes is None else BUNDLED if isinstance(eyes, str) else pathlib.Path(str(recognizer)).stem,
    )


def recognizers_in_loss(weights: str) -> tuple[str, ...]:
    """Names of the recognisers that the training of a weights file looked through, and that of the model whose networks
    code its faces, as their metadata say."""
    from ..format.weights import load_arrays

    found: list[str] = []
    for part in parts_of(weights):
        config = json.loads(load_arrays(part)[1].get("training", "{}")).get("config", {})
        named = (config.get("loss") or config).get("recognizer") or []
        found += [named] if isinstance(named, str) else named
    return tuple(dict.fromkeys(BUNDLED if name == "bundled" else pathlib.PurePath(name).stem for name in found))


def parts_of(weights: str) -> list[str]:
    """A weights file, or a bundled name, and the bundled model whose networks code its faces on the template."""
    from ..format import tensors
    from ..format.container import FORMER, MODELS
    from ..format.weights import model_number, weights_path

    former = FORMER.get(model_number(tensors.metadata(weights_path(weights))))
    return [weights] if former is None else [weights, MODELS[former]]


class FoundFaces:
    """The faces that the detector finds in pictures; each picture is looked through once."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.known: dict[str, list[NDArray[np.float32]]] = {}

    def of(self, images: Sequence[Pixels]) -> list[list[NDArray[np.float32]]]:
        """Landmarks float [5, 2] of each face of each picture; of one without a face, none."""
        from ..encoder.layers import places_of
        from ..errors import InvalidInputError
        from ..faces import detect

        out = []
        for image in images:
            key = content_key(image)
            if key not in self.known:
                self.known[key] = []
                for face in detect(image, self.device):
                    with contextlib.suppress(InvalidInputError):  # too small, or its centre outside
                        places_of([face.landmarks], image.shape[1], image.shape[0])
                        self.known[key].append(face.landmarks)
            out.append(self.known[key])
        return out


@functools.cache
def code_key(package: pathlib.Path = PACKAGE, kernels: pathlib.Path | None = None) -> str:
    """Hash of the code that decides over lfic's files and pictures: 12 hex digits.

    It takes in every module and compiled extension below ``package`` and ``kernels`` (by default those that are in
    use) but what ``APART`` and ``KERNELS_APART`` name. So a file that is added counts by itself; at worst results are
    computed again that need not be.
    """
    if kernels is None:
        import lfic.kernels

        kernels = pathlib.Path(lfic.kernels.__file__).parent
    digest = hashlib.sha256()
    for folder, apart in ((package, APART), (kernels, KERNELS_APART)):
        for path in deciding_files(folder, apart):
            digest.update(b"%s\0%s\0" % (path.relative_to(folder).as_posix().encode(), path.read_bytes()))
    return digest.hexdigest()[:12]


def deciding_files(folder: pathlib.Path, apart: set[str]) -> Iterator[pathlib.Path]:
    """Modules and compiled extensions below a folder, in a fixed order, without the folders and modules named."""
    for entry in sorted(folder.iterdir()):
        if entry.name.split(".")[0] in apart:
            continue
        for path in sorted(entry.rglob("*")) if entry.is_dir() else [entry]:
            if path.suffix in {".py", *COMPILED}:
                yield path


def weights_key(weights: str) -> str:
    """Hash of a weights file, and of its template's, so that results of other weights are never taken for these."""
    from ..metric.identity import file_sha256

    path = pathlib.Path(weights)
    if not path.is_file():
        path = PACKAGE / "weights" / f"{weights}.safetensors"
    if not path.is_file():
        return weights
    return " ".join([file_sha256(path)[:16], *map(weights_key, parts_of(str(path))[1:])])
