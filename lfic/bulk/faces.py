"""Photos to faces: a record for each, found, cut out and encoded; the face layers of .lfic files as they are."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..data.records import LFIC, Record
from ..errors import InvalidInputError
from ..files import write_atomically
from ..format.geometry import SIDE
from .work import CodecChoice, Outcome, Work, batches, frames_note, guarded, reason, together

if TYPE_CHECKING:  # names alone: they load torch
    import numpy as np
    from numpy.typing import NDArray

    from ..faces import Face
    from ..format.layers import Picture

PREVIEW_SIDE = 1600  # pixels: a larger photo is shrunk
MOST_MARGIN = 4 * SIDE


@dataclasses.dataclass
class FaceFinding(Work):
    """A record for each face of a photo: KEY-1, KEY-2 and so on, the largest first.

    ``meta`` of each: source (the photo's name), face (its number, from 1), box, four numbers (left, top, right,
    bottom), and landmarks, five pairs, in pixels of the photo as it is seen, probability. A layer of an .lfic file is
    copied, its bytes not coded anew; it has no probability.

    Attributes:
        codec: which one.
        encoding: options of ``Codec.encode_batch``.
        crop: "template": turned and scaled onto the recognisers' template; "square": upright, the box made square.
        margin: pixels of surroundings on every side of the 112 x 112, 0 to 448.
        least_probability: of a face, 0 to 1.
        turned: look at a photo without a face turned.
        preview: folder for the photos with their faces drawn in; None: none is written.
        replaces: whether previews replace other files in their places, which is an error of that photo otherwise. The
            photo itself is never replaced.
    """

    codec: CodecChoice = dataclasses.field(default_factory=CodecChoice)
    encoding: dict[str, Any] = dataclasses.field(default_factory=dict)
    crop: str = "template"
    margin: int = 0
    least_probability: float = 0.9
    turned: bool = True
    preview: str | None = None
    replaces: bool = dataclasses.field(default=False, repr=False)  # no setting that a resumed run has to share

    def prepare(self) -> None:
        from ..faces import detector

        if self.crop not in ("template", "square"):
            raise InvalidInputError(f"crop is {self.crop!r}; allowed are 'template' and 'square'")
        if not 0 <= self.margin <= MOST_MARGIN:
            raise InvalidInputError(f"margin is {self.margin}; allowed are 0 to {MOST_MARGIN} pixels")
        if not 0 <= self.least_probability <= 1:
            raise InvalidInputError(f"least_probability is {self.least_probability}; allowed are 0 to 1")
        if self.encoding.get("min_similarity") is not None and not self.aligned:
            raise InvalidInputError("min_similarity needs faces on the template without a margin")
        self.loaded = self.codec.load()
        self.loaded.encode_batch([], **self.encoding)
        detector(self.codec.device)

    @property
    def aligned(self) -> bool:
        """Whether the crops are the template itself."""
        return self.crop == "template" and self.margin == 0

    @property
    def without_effect(self) -> str | None:
        """What the notes say of copied faces where options ask for other crops or bytes; None where none does."""
        bounds = any(self.encoding.get(name) is not None for name in ("quality", "max_bytes", "min_similarity"))
        if self.aligned and self.preview is None and not bounds and not self.encoding.get("effort"):
            return None
        return "its faces are copied as they were coded: crop, margin, preview and what encodes have no effect on them"

    def at_once(self) -> int:
        return 16

    def target(self, record: Record) -> str | None:
        return f"{record.key}-1{LFIC}"

    def __call__(self, records: Sequence[Record]) -> list[Outcome]:
        outcomes: list[Outcome] = [Outcome()] * len(records)
        photos = []
        for i, record in enumerate(records):
            copied = self._copied(record) if record.is_lfic and record.error is None else None
            if copied is None:
                photos.append(i)
            else:
                outcomes[i] = copied
        found: list[Outcome] = [Outcome()] * len(photos)
        some = [records[i] for i in photos]
        for batch in batches(some, self._read, lambda photo: photo[0].shape[0] * photo[0].shape[1], found):
            self._search(some, batch, found)
        for i, outcome in zip(photos, found, strict=True):
            outcomes[i] = outcome
        return outcomes

    def _read(self, record: Record) -> "tuple[NDArray[np.uint8], str | None]":
        """(uint8 [H, W, 3], what is said of an animation)."""
        import numpy as np

        from ..image import open_image, to_rgb

        if record.is_lfic:
            return np.asarray(self.loaded.decode(record.data).convert("RGB")), None
        image = open_image(record.path or record.name, record.data)
        return to_rgb(image), frames_note(image)

    # --- photos ---

    def _search(
        self, records: Sequence[Record], batch: "list[tuple[int, tuple[Any, str | None]]]", outcomes: list[Outcome]
    ) -> None:
        """Outcomes of some photos: find, cut out, encode."""
        from ..faces import detect_batch

        def find(photos: list[Any]) -> "list[list[Face]]":
            return detect_batch(photos, self.codec.device, self.least_probability, self.turned)

        pixels = [photo for _, (photo, _) in batch]
        faces = together(list(enumerate(pixels)), find)
        crops = [
            (place, number, self._cut(photo, face))
            for place, (photo, found) in enumerate(zip(pixels, faces, strict=True))
            if not isinstance(found, Exception)
            for number, face in enumerate(found)
        ]
        # A face that is as large as the template has it would become smaller than that.
        options = {"resolution": "full"} | self.encoding | {"aligned": True if self.aligned else None}
        coded = together(
            [(i, crop) for i, (_, _, crop) in enumerate(crops)],
            lambda some: self.loaded.encode_batch(some, **options),
        ) if crops else []  # fmt: skip
        for place, (i, (photo, note)) in enumerate(batch):
            found = faces[place]
            if isinstance(found, Exception):
                outcomes[i] = Outcome(error=reason(found), note=note)
                continue
            mine = [data for (owner, _, _), data in zip(crops, coded, strict=True) if owner == place]
            outcomes[i] = self._outcome(records[i], found, mine, note)
            if self.preview is not None:
                try:
                    self._draw(photo, found, records[i], pathlib.Path(self.preview))
                except (InvalidInputError, OSError) as error:
                    outcomes[i] = dataclasses.replace(outcomes[i], error=f"no preview: {error}")

    def _draw(self, photo: "NDArray[np.uint8]", faces: "Sequence[Face]", record: Record, folder: pathlib.Path) -> None:
        """The photo's preview, where that replaces nothing that it must not."""
        path, data = folder.joinpath(*f"{record.key}.jpg".split("/")), drawn(photo, faces)
        if path.exists():
            if record.path is not None and path.samefile(record.path):
                raise InvalidInputError(f"{path} is the photo itself: give another folder for previews")
            if path.read_bytes() == data:  # its preview, of a portion that is done again
                return
            if not self.replaces:
                raise InvalidInputError(f"{path} exists: give --overwrite, or another folder for previews")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)

    def _outcome(self, record: Record, faces: "Sequence[Face]", coded: Sequence[Any], note: str | None) -> Outcome:
        """The records of one photo's faces."""
        made, errors = [], []
        for number, (face, data) in enumerate(zip(faces, coded, strict=True), 1):
            if isinstance(data, Exception):
                errors.append(f"face {number}: {reason(data)}")
                continue
            meta = {
                "source": record.origin,
                "face": number,
                "box": [round(float(value), 2) for value in face.box],
                "landmarks": [[round(float(value), 2) for value in point] for point in face.landmarks],
                "probability": round(face.probability, 5),
            }
            made.append(Record(f"{record.key}-{number}", LFIC, data, meta))
        if not faces:
            note = "no face" if note is None else f"no face; {note}"
        return Outcome(tuple(made), "; ".join(errors) or None, note)

    def _cut(self, photo: "NDArray[np.uint8]", face: "Face") -> "NDArray[np.uint8]":
        """A face out of its photo: uint8 [S, S, 3], S = 112 + 2 * margin."""
        import numpy as np

        from ..align import template_matrix, warp

        side = SIDE + 2 * self.margin
        if self.aligned:
            return np.asarray(face.crop)
        if self.crop == "template":
            return np.asarray(warp(photo, template_matrix(face.landmarks, self.margin), side))
        left, top, right, bottom = (float(value) for value in face.box)
        scale = max(right - left, bottom - top) / SIDE
        x, y = (left + right) / 2, (top + bottom) / 2
        middle = (side - 1) / 2
        matrix = np.array([[scale, 0, x - scale * middle], [0, scale, y - scale * middle]])
        return np.asarray(warp(photo, matrix, side))

    # --- .lfic files ---

    def _copied(self, record: Record) -> Outcome | None:
        """The faces that a file holds; None where it is a picture like any other."""
        from ..format import layers

        def copy() -> Outcome:
            data = record.data
            picture = layers.read(data)
            if picture.plain and picture.background is not None:
                if not picture.background.header.aligned:
                    return Outcome()
                meta = {"source": record.origin, "face": 1} | where(None, picture)
                return Outcome((Record(f"{record.key}-1", LFIC, data, record.meta | meta),), note=self.without_effect)
            if not picture.layers:  # coded smaller, but whole: its faces are looked for
                return Outcome()
            return Outcome(tuple(layer_records(record, picture)), note=self.without_effect)

        outcome = guarded(copy)
        return outcome if outcome.records or outcome.error or outcome.note else None


def layer_records(record: Record, picture: "Picture") -> list[Record]:
    """A record for each layer: the bytes of its payload stay, and so do its pixels, 112, 224 or 448 a side."""
    from ..format import container

    made = []
    for number, layer in enumerate(picture.layers, 1):
        header = layer.stream.header
        header = dataclasses.replace(header, checksum=picture.checksum)
        data = container.write(header, bytes(layer.stream.payload))
        meta = {"source": record.origin, "face": number} | where(
            layer.place.matrix(picture.width, picture.height), picture
        )
        made.append(Record(f"{record.key}-{number}", LFIC, data, meta))
    return made


def where(matrix: Any, picture: "Picture") -> dict[str, Any]:
    """box and landmarks of a face on the template, float [2, 3] from it to the picture's pixels; None: it is the
    picture. The box is that of the template's corners, within the picture."""
    import numpy as np

    from ..align import TEMPLATE_112

    m = np.array([[1.0, 0, 0], [0, 1, 0]]) if matrix is None else np.asarray(matrix)
    corners = np.array([[-0.5, -0.5], [SIDE - 0.5, -0.5], [-0.5, SIDE - 0.5], [SIDE - 0.5, SIDE - 0.5]])
    corners = np.clip(corners @ m[:, :2].T + m[:, 2], -0.5, [picture.width - 0.5, picture.height - 0.5])
    points = TEMPLATE_112 @ m[:, :2].T + m[:, 2]
    return {
        "box": [round(float(value), 2) for value in (*corners.min(0), *corners.max(0))],
        "landmarks": [[round(float(value), 2) for value in point] for point in points],
    }


def drawn(photo: "NDArray[np.uint8]", faces: "Sequence[Face]") -> bytes:
    """A photo with the boxes and landmarks of its faces, as JPEG of at most PREVIEW_SIDE pixels a side."""
    import io

    from PIL import Image, ImageDraw

    image = Image.fromarray(photo)
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    scale = image.width / photo.shape[1]
    pen = ImageDraw.Draw(image)
    line = max(1, round(max(image.size) / 400))
    for number, face in enumerate(faces, 1):
        box = [float(value) * scale for value in face.box]
        pen.rectangle(box, outline=(0, 255, 0), width=line)
        pen.text((box[0] + 2 * line, box[1] + line), f"{number}  {face.probability:.3f}", fill=(0, 255, 0))
        for x, y in face.landmarks * scale:
            pen.ellipse([x - line, y - line, x + line, y + line], fill=(255, 0, 0))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
