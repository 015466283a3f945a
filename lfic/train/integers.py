"""The last step of an export: the networks' integers, chosen on real pictures, and what they cost."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..data.base import FaceSource
from ..data.sources import template_crops
from ..errors import InvalidInputError, WeightsError
from ..files import PathLike, write_atomically
from ..format.container import FORMER, MODELS
from ..format.integers import PREFIX
from ..format.weights import FORMAT, digest, load_arrays, model_number
from ..image import open_image, to_rgb
from ..network.integers import crop_arrays, integer_arrays, picture_arrays, synthesis_arrays
from ..network.load import Model, Pixels, load_model
from ..network.net import CodecNet
from ..network.restored import compact, restored

LOOKED_AT = 192  # faces that scales are chosen on
MEASURED = 1000  # faces that the cost is measured on
QUALITIES = (1, 10, 25, 40, 60, 80, 100)
LARGEST = 512  # pixels of the longer side of what photos are shrunk to


def calibration_pictures(faces: FaceSource, photos: Sequence[PathLike] = ()) -> Iterator[Pixels]:
    """uint8 [H, W, 3] each: faces on the template, photos, and pictures that no camera takes."""
    rng = np.random.default_rng(0)
    some = np.sort(rng.permutation(len(faces))[:LOOKED_AT])
    yield from template_crops(faces, some)
    for path in photos:
        image = Image.fromarray(to_rgb(open_image(path)))
        image.thumbnail((LARGEST, LARGEST))
        yield np.asarray(image)
    yield from synthetic()


def measured_faces(faces: FaceSource, count: int) -> list[Pixels]:
    """Faces on the template, others than scales are chosen on where there are enough."""
    order = np.random.default_rng(0).permutation(len(faces))[::-1]
    return list(template_crops(faces, order[:count]))


def synthetic() -> Iterator[Pixels]:
    """Black, white, the saturated colours, noise, chequers and colour ramps, 112 x 112."""
    y, x = np.mgrid[:112, :112]
    for corner in np.ndindex(2, 2, 2):
        yield np.broadcast_to(np.array(corner, np.uint8) * 255, (112, 112, 3))
    yield np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    for side in (1, 8):
        yield np.repeat(((x // side + y // side) % 2 * 255).astype(np.uint8)[:, :, None], 3, 2)
    yield np.stack([2 * x, 2 * y, 255 - 2 * x], 2).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Cost:
    """At one quality, over faces: PSNR in dB between the pictures of the float decoder and of the integers, share of
    symbols and of region levels that changed, bits of the integers' files over those of the float networks, and mean
    likeness to the original of both (NaN without a recogniser)."""

    quality: int
    psnr: float
    symbols: float
    levels: float
    bits: float
    likeness_float: float
    likeness_integers: float


@torch.inference_mode()
def costs(
    model: Model, faces: Sequence[Pixels], qualities: Sequence[int] = QUALITIES, aligned: bool = True
) -> Iterator[Cost]:
    """What the integers of a model cost on faces uint8 [112, 112, 3], quality by quality; aligned: coded as such."""
    from ..encoder.draft import estimate_bits, first_drafts

    model = dataclasses.replace(model, template=None, former=None)  # its own networks, whatever the faces are coded as
    plain = dataclasses.replace(model, integers=None, unit=None)
    whole = [list(faces[i : i + 16]) for i in range(0, len(faces), 16)]
    for quality in qualities:
        squares = changed = total = maps = regions = before = after = 0.0
        likeness = []
        for group in whole:
            ours, theirs = (first_drafts(m, group, quality, aligned) for m in (model, plain))
            for a, b in zip(ours, theirs, strict=True):
                same = np.array_equal(a.levels, b.levels)
                maps, regions = maps + float((a.levels != b.levels).sum()), regions + a.levels.size
                if same:
                    changed, total = changed + float((a.symbols != b.symbols).sum()), total + a.symbols.size
                before, after = before + estimate_bits(plain, b), after + estimate_bits(model, a)
            shown = [
                m.reconstruct(
                    [(d.symbols, d.levels) for d in theirs], [quality] * len(group), [aligned] * len(group), 112, 112
                )
                for m in (model, plain)
            ]
            squares += float(((shown[0].float() - shown[1].float()) ** 2).mean((1, 2, 3)).sum())
            if model.looks_through is not None:
                target = model.embed(group)
                pictures = [list(x.permute(0, 2, 3, 1).contiguous().numpy()) for x in shown]
                likeness.append([model.similarity(p, target).sum().item() for p in pictures])
        seen = np.sum(likeness, 0) / len(faces) if likeness else np.full(2, np.nan)
        psnr = 10 * np.log10(255**2 / max(squares / len(faces), 1e-9))
        yield Cost(
            quality, psnr, changed / max(total, 1), maps / regions, after / before - 1, float(seen[1]), float(seen[0])
        )


def report(found: Sequence[Cost]) -> str:
    """The costs as a table."""
    lines = ["quality  PSNR to float  symbols changed  levels changed     bits  likeness float  integers"]
    for c in found:
        lines.append(
            f"{c.quality:7}  {c.psnr:10.2f} dB  {c.symbols:15.3%}  {c.levels:14.3%}  {c.bits:+7.3%}  "
            f"{c.likeness_float:14.5f}  {c.likeness_integers:8.5f}"
        )
    return "\n".join(lines)


def add_integers(name: PathLike, out: PathLike, faces: FaceSource, photos: Sequence[PathLike] = ()) -> None:
    """A weights file again, with the integers of its networks in place of those that it may have.

    Raises:
        WeightsError: no such weights, or networks that 32 bits can't hold.
    """
    from safetensors.numpy import save

    net = load_model(name)[0]
    arrays, metadata = load_arrays(name)
    arrays = {key: value for key, value in restored(arrays).items() if not key.startswith(PREFIX)}
    found = integer_arrays(net, calibration_pictures(faces, photos))
    arrays |= {f"{PREFIX}{key}": value for key, value in found.items()}
    arrays = {key: np.ascontiguousarray(value) for key, value in compact(arrays).items()}
    told = {**metadata, "digest": digest(arrays, metadata if metadata["format"] == FORMAT else None)}
    write_atomically(out, save(arrays, told))


# What a trained analysis is for -> (its modules in weights, how their integers are made).
PARTS: dict[str, tuple[tuple[str, str], Callable[..., dict[str, NDArray[Any]]]]] = {
    "crops": (("analysis", "level_head"), crop_arrays),
    "pictures": (("pictures", "pictures_head"), picture_arrays),
}


def add_analysis(
    name: PathLike,
    net: CodecNet,
    training: Mapping[str, Any],
    out: PathLike,
    faces: FaceSource,
    photos: Sequence[PathLike] = (),
    card: str | None = None,
    part: str = "pictures",
) -> None:
    """Weights again, with the analysis and the level head of a trained network. Files of before and files of these
    weights are decoded by the same numbers.

    Args:
        name: of the weights. net: trained from them with its decoder as it was. training: what the metadata are to say
            of that. card: the model card, where it is not to stay. part: what the analysis is for: "crops", those on
            the template (and all pictures where the weights have no analysis of their own for these), or "pictures",
            all others.

    Raises:
        WeightsError: no such weights, without integers, or the network has another decoder or other sizes.
    """
    from safetensors.numpy import save

    base = load_model(name)[0]
    arrays, metadata = load_arrays(name)
    if f"{PREFIX}analysis.unit" not in arrays:
        raise WeightsError(
            f"{name} hold no integers of an analysis: give them theirs first (lfic export WEIGHTS OUT --data FACES)"
        )
    check_decoder(base, net, name)
    modules, integers = PARTS[part]
    replaced = tuple(f"{prefix}{module}." for prefix in ("net.", PREFIX) for module in modules)
    unit = arrays[f"{PREFIX}analysis.unit"]
    arrays = {key: value for key, value in arrays.items() if not key.startswith(replaced)}
    for module, trained in zip(modules, (net.analysis, net.level_head), strict=True):
        for key, tensor in trained.state_dict().items():
            arrays[f"net.{module}.{key}"] = tensor.half().numpy()
    arrays |= {
        f"{PREFIX}{key}": value for key, value in integers(net, calibration_pictures(faces, photos), unit).items()
    }
    arrays = {key: np.ascontiguousarray(value) for key, value in compact(arrays).items()}
    pictures = base.config.pictures or part == "pictures"
    told = {
        **metadata,
        "format": FORMAT,
        "config": json.dumps(dataclasses.asdict(dataclasses.replace(base.config, pictures=pictures))),
        "training": json.dumps({**json.loads(metadata["training"]), part: dict(training)}),
        "card": metadata.get("card", "") if card is None else card,
    }
    write_atomically(out, save(arrays, {**told, "digest": digest(arrays, told)}))


# What decoding takes of a network beside its entropy model, whose floats weights don't hold, and the unit of features
# that the level head is told.
SHARED = ("synthesis.", "gains.", "entropy.value_scale")
ALIKE = 1e-3  # of a tensor's largest number: what its half precision and its integers may differ by


def check_decoder(base: CodecNet, net: CodecNet, name: PathLike) -> None:
    """Refuse a network whose analysis can't join the weights that ``base`` is of."""
    sizes = {key: value for key, value in dataclasses.asdict(base.config).items() if key != "pictures"}
    trained = dataclasses.asdict(net.config)
    for key, value in sizes.items():
        if trained[key] != value:
            raise WeightsError(f"{key} of the checkpoint is {trained[key]}, of {name} {value}: they must be equal")
    state = net.state_dict()
    for key, tensor in base.state_dict().items():
        if key.startswith(SHARED) and not alike(tensor, state.get(key, tensor[:0])):
            raise WeightsError(
                f"{key} of the checkpoint is not as in {name}: train from them with [schedule] learns = ['analysis.', "
                "'level_head.']"
            )


def alike(tensor: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are the same but for how weights hold them."""
    if tensor.shape != other.shape:
        return False
    return bool((tensor - other).abs().max() <= ALIKE * tensor.abs().max())


def write_look(
    name: PathLike,
    net: CodecNet,
    training: Mapping[str, Any],
    out: PathLike,
    faces: FaceSource,
    photos: Sequence[PathLike] = (),
    card: str = "",
) -> None:
    """What decoding takes of weights, with the synthesis of a trained network: another look of their files.

    Args:
        name: of the weights. net: trained from them, the synthesis alone. training: what the metadata are to say of
            that. card: the model card.

    Raises:
        WeightsError: no such weights, or the network has other gains, by which its synthesis reads symbols, or sizes
            that integers don't take.
    """
    from safetensors.numpy import save

    base = load_model(name)[0]
    arrays, metadata = load_arrays(name)
    if (former := FORMER.get(model_number(metadata))) is not None:
        raise WeightsError(f"files by {name} have another look by that of {MODELS[former]} alone: make one of that")
    trained = {key: tensor.half().float() for key, tensor in net.state_dict().items()}  # as a weights file has them
    other = [
        key
        for key, tensor in base.state_dict().items()
        if key.startswith("gains.") and not torch.equal(tensor, trained.get(key, tensor[:0]))
    ]
    if other:
        raise WeightsError(
            f"{other[0]} of the checkpoint is not as in {name}: train from them with [schedule] learns = ['synthesis.']"
        )
    kept = {key: value for key, value in arrays.items() if key.startswith(("context.", "tables."))}
    found = synthesis_arrays(net, calibration_pictures(faces, photos))
    kept |= {f"{PREFIX}{key}": np.ascontiguousarray(value) for key, value in found.items()}
    told = {"format": FORMAT, "source": metadata["digest"], "look": "vivid", "card": card}
    told["training"] = json.dumps(training)
    write_atomically(out, save(kept, {**told, "digest": digest(kept, told)}))


def photo_files(folder: str | None) -> list[pathlib.Path]:
    """The pictures of a folder, sorted."""
    if folder is None:
        return []
    found = sorted(p for p in pathlib.Path(folder).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    if not found:
        raise InvalidInputError(f"there are no pictures in {folder}")
    return found
