"""A photo as a background and a layer for each face: what goes into each, at which quality."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from ..align import TEMPLATE_112, template_matrix, warp
from ..arguments import sequence_of
from ..errors import InvalidInputError, MissingDependencyError
from ..format import layers
from ..format.compose import background_step, coverage, shrunk
from ..format.geometry import REGION, SIDE, STRIDE
from ..format.layers import Layer, Picture, Stream
from ..format.place import LEAST_OCTAVE, OCTAVE, Place
from .background import uncovered
from .choose import best_drafts
from .draft import Draft, Pixels, Transforms, first_drafts, header, payloads
from .options import Faces
from .rate_control import DEFAULT_QUALITY, last_true, shown

if TYPE_CHECKING:
    from ..network.load import Model

# From this quality on a face larger than the template is coded with more pixels than that. 24 faces of UTKFace that
# are 2.2 times as large, bytes, PSNR against the face at its size, SSIMULACRA2, casia's cosine:
#     112 x 112   quality 40: 220; 26.7; 13.5; 0.912   60: 431; 29.7; 44.2; 0.965   100: 1,211; 33.4; 68.3; 0.989
#     224 x 224   quality 20: 248; 27.6; 20.1; 0.723   40: 495; 31.1; 51.6; 0.904    60: 1,059; 34.7; 71.1; 0.972
# So below it pixels would be paid with likeness, and from it on nothing is lost.
LARGE_FROM = 60


def places_of(faces: Sequence[ArrayLike], width: int, height: int) -> list[Place]:
    """Landmarks float [5, 2] of each face, in pixels -> places, the largest first.

    Raises:
        InvalidInputError: landmarks of another shape, or of a face that can't be a layer.
    """
    found = []
    for number, landmarks in enumerate(faces, 1):
        try:
            points = np.asarray(landmarks, np.float64)
        except (TypeError, ValueError):
            raise InvalidInputError(f"face {number}: landmarks are no numbers; needed are five points [5, 2]") from None
        if points.shape != TEMPLATE_112.shape:
            raise InvalidInputError(
                f"face {number}: landmarks have shape {points.shape}; needed are five points [5, 2]"
            )
        try:
            found.append(Place.nearest(template_matrix(points), width, height))
        except InvalidInputError as error:
            raise InvalidInputError(f"face {number}: {error}") from None
    if len(found) > layers.MAX_LAYERS:
        raise InvalidInputError(f"there are {len(found)} faces; allowed are {layers.MAX_LAYERS}: choose the largest")
    return sorted(found, key=lambda place: -place.scale)


def chosen_places(
    wanted: Faces, pixels: Callable[[], Pixels], size: tuple[int, int], aligned: bool | None, device: str = "cpu"
) -> list[Place]:
    """Where a picture of ``size`` (height, width) gets layers; none: it is coded whole. pixels: asked for them where
    faces are looked for. Errors as ``places_of``."""
    if wanted is None:
        return []
    if isinstance(wanted, str):
        if wanted != "auto":
            raise InvalidInputError(f"faces is {wanted!r}; allowed are None, 'auto' and landmarks")
        return [] if aligned or size == (SIDE, SIDE) else detected_places(pixels(), device)
    return places_of(sequence_of("faces", wanted), size[1], size[0])


def detected_places(pixels: Pixels, device: str = "cpu") -> list[Place]:
    """The faces that the detector finds in uint8 [H, W, 3] and that can be layers; none where there is no detector."""
    from ..faces import detect

    try:
        found = detect(Image.fromarray(pixels), device)
    except MissingDependencyError:
        return []
    height, width = pixels.shape[:2]
    places = []
    for face in found:
        with contextlib.suppress(InvalidInputError):  # too small, too large, or its centre outside
            places += places_of([face.landmarks], width, height)
    return places[: layers.MAX_LAYERS]


def background_for(face_quality: int) -> int:
    """The background's quality that goes with one of the faces: half of it at low rates, where bytes are better spent
    on faces, and level with it at 100."""
    share = face_quality / 100
    return max(1, round(face_quality * (0.5 + 0.5 * share * share)))


@dataclasses.dataclass
class Photo:
    """What is known of a photo before any quality is chosen; crops and backgrounds are made once.

    pixels uint8 [H, W, 3]; places: of the layers; none: a picture that is a background alone, of any size.
    """

    pixels: Pixels
    places: Sequence[Place]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @functools.cached_property
    def crops(self) -> list[Pixels]:
        """The faces on the template, 112 x 112, each cut at its own place, so that it is painted back where it was."""
        return [self.crop(i, 0) for i in range(len(self.places))]

    def crop(self, i: int, size: int) -> Pixels:
        """A face with 112 * 2^size pixels a side."""
        return np.asarray(warp(self.pixels, self.places[i].matrix(*self.size, size), SIDE << size))

    @functools.cached_property
    def sizes(self) -> list[int]:
        """The size of a layer, 0 to 2, that comes next to what its face has in the picture."""
        wanted = [(place.scale + OCTAVE // 2) // OCTAVE + LEAST_OCTAVE for place in self.places]
        for most in range(layers.MAX_SIZE, 0, -1):
            found = [min(max(size, 0), most) for size in wanted]
            own = sum((SIDE << size) ** 2 for size in found if size)
            if own <= layers.MAX_COVER * self.size[0] * self.size[1]:
                return found
        return [0] * len(self.places)

    @functools.cached_property
    def left(self) -> NDArray[np.int32]:
        """How much of the background is seen, int32 [H, W] in 0..256."""
        return coverage(self.places, *self.size)

    @functools.cached_property
    def backgrounds(self) -> dict[int, tuple[Pixels, NDArray[np.bool_]]]:
        """By reduction: pixels, and which of their regions no pixel of is seen."""
        return {}

    def hidden(self, reduction: int) -> NDArray[np.bool_]:
        """Which regions of a background no one sees anything of: bool [rows, columns]."""
        n, k = layers.background_scale(reduction)
        edges = []
        for side, own in zip(self.size, layers.background_size(*self.size, reduction), strict=True):
            starts = np.arange(-(-own // (REGION * STRIDE)) + 1) * (REGION * STRIDE << k)
            edges.append((np.minimum(starts[:-1] // n, side), np.minimum(-(-starts[1:] // n), side)))
        (left, right), (top, bottom) = edges
        seen = np.pad(self.left > 0, ((0, 1), (0, 1)))
        rows = np.logical_or.reduceat(seen, np.stack([top, bottom], 1).ravel(), 0)[::2]
        out: NDArray[np.bool_] = ~np.logical_or.reduceat(rows, np.stack([left, right], 1).ravel(), 1)[:, ::2]
        return out

    def background(self, reduction: int) -> tuple[Pixels, NDArray[np.bool_]]:
        """``backgrounds``, made when first asked for. Where no layer covers anything the picture is made smaller by
        integers, as the C API does it."""
        if reduction not in self.backgrounds:
            small = uncovered(self.pixels, self.left, reduction) if self.places else shrunk(self.pixels, reduction)
            self.backgrounds[reduction] = small, self.hidden(reduction)
        return self.backgrounds[reduction]


def layered_file(
    model: Transforms,
    photo: Photo,
    face_quality: int,
    background_quality: int,
    effort: int,
    checksum: bool,
    threads: int = 1,
    large: bool = True,
) -> bytes:
    """The file of a photo: a layer for each face at one quality, the background at its own. large: large faces may have
    more than 112 x 112 pixels."""
    reduction, quality = background_step(background_quality)
    behind = background_draft(model, photo, reduction, quality)
    faces = face_drafts(model, photo, face_quality, effort, large)
    return assembled(model, photo, behind, reduction, faces, checksum, threads)


def face_drafts(model: Transforms, photo: Photo, quality: int, effort: int, large: bool) -> list[Draft]:
    """The faces' drafts: on the template, or where they are large and the quality is high at twice or four times its
    size, where the networks do not know of a template."""
    sizes = photo.sizes if large and quality >= LARGE_FROM else [0] * len(photo.places)
    found: dict[int, Draft] = {}
    for size in sorted(set(sizes)):
        chosen = [i for i, other in enumerate(sizes) if other == size]
        crops = [photo.crop(i, size) if size else photo.crops[i] for i in chosen]
        found.update(zip(chosen, best_drafts(model, crops, quality, effort, size == 0), strict=True))
    return [found[i] for i in range(len(sizes))]


def least_face_quality(model: "Model", photo: Photo, min_similarity: float, effort: int) -> int:
    """The smallest quality at which every face layer is that like its original (``Model.similarity``).

    Raises:
        InvalidInputError: not even quality 100 reaches it.
    """
    target = model.embed(photo.crops)

    def fails(quality: int) -> bool:
        drafts = best_drafts(model, photo.crops, quality, effort, True)
        similarity = model.similarity([shown(model, draft) for draft in drafts], target)
        return float(similarity.min()) < min_similarity

    quality = last_true(fails, DEFAULT_QUALITY) + 1
    if quality > 100:
        raise InvalidInputError(
            f"min_similarity is {min_similarity}, which not even quality 100 reaches for every face of this photo"
        )
    return quality


def background_draft(model: Transforms, photo: Photo, reduction: int, quality: int) -> Draft:
    """The background's draft; regions that no one sees are pooled as coarsely as goes."""
    model = model.of(False)
    pixels, hidden = photo.background(reduction)
    draft = first_drafts(model, [pixels], quality, False)[0]
    levels = np.where(hidden, np.uint8(2), draft.levels)
    if (levels != draft.levels).any():
        (symbols,) = model.pooled([draft.features], levels[None], [quality])
        draft = dataclasses.replace(draft, levels=levels, symbols=symbols)
    return draft


def assembled(
    model: Transforms,
    photo: Photo,
    behind: Draft,
    reduction: int,
    faces: Sequence[Draft],
    checksum: bool,
    threads: int = 1,
) -> bytes:
    """Drafts -> the whole file."""
    width, height = photo.size
    drafts = [behind, *faces]
    streams = [
        Stream(header(model, draft, checksum), payload)
        for draft, payload in zip(drafts, payloads(model, drafts, threads), strict=True)
    ]
    painted = tuple(Layer(place, stream) for place, stream in zip(photo.places, streams[1:], strict=True))
    return layers.write(Picture(width, height, streams[0], reduction, painted, checksum, model.number, model.weights))


def fitting(
    model: Transforms,
    pixels: Callable[[], Pixels],
    found: bytes | InvalidInputError,
    max_bytes: int,
    checksum: bool,
    auto: bool = True,
) -> bytes:
    """``found``, or where the picture does not fit as it is a file of a part of its size. Of a face, and unless
    ``auto``, the error is raised."""
    if isinstance(found, bytes):
        return found
    if not auto:
        raise found
    photo = Photo(pixels(), [])
    if photo.pixels.shape[0] * photo.pixels.shape[1] <= SIDE**2:
        raise found
    return largest_layered(model, photo, max_bytes, None, None, 0, checksum)


def largest_layered(
    model: Transforms,
    photo: Photo,
    max_bytes: int,
    face_quality: int | None,
    background_quality: int | None,
    effort: int,
    checksum: bool,
) -> bytes:
    """The best file of at most ``max_bytes``: both qualities rise together, or the one that is not given does.

    Raises:
        InvalidInputError: not even the least quality of both fits.
    """
    found: dict[int, bytes] = {}

    def coded(quality: int, effort: int) -> bytes:
        face = quality if face_quality is None else face_quality
        behind = background_quality
        if behind is None:
            behind = background_for(face) if face_quality is None and photo.places else quality
        return layered_file(model, photo, face, behind, effort, checksum)

    def fits(quality: int, effort: int) -> bool:
        found[quality] = coded(quality, effort)
        return len(found[quality]) <= max_bytes

    best = last_true(lambda quality: fits(quality, 0), DEFAULT_QUALITY)
    if effort and best:
        best = last_true(lambda quality: fits(quality, effort), best)
    if best:
        return found[best]
    count = len(photo.places)
    faces = f" and its {count} faces" if count > 1 else " and its face" if count else ""
    raise InvalidInputError(
        f"max_bytes is {max_bytes}, but the smallest file of this picture{faces} has {len(found[1])} bytes: allow "
        f"more, or {'name fewer faces' if faces else 'shrink it'}"
    )
