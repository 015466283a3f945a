"""What is done to records in a worker: pictures to lfic files and back, many together."""

import abc
import contextlib
import dataclasses
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ..arguments import integer
from ..data.records import LFIC, Record
from ..encoder.options import check_bounds
from ..errors import InvalidInputError, LficError

if TYPE_CHECKING:  # names alone: they load torch, and the process that hands out the work needs none
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from ..codec import Codec
    from ..encoding import Encoder

BATCH_PIXELS = 1 << 20  # of pictures that are coded together: larger ones gain nothing by it and take memory

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one record: the records made of it, why it failed, and what else is to be said of it."""

    records: tuple[Record, ...] = ()
    error: str | None = None
    note: str | None = None


class Work(abc.ABC):
    """A description of work that a process can be sent, and which does it there."""

    @abc.abstractmethod
    def prepare(self) -> None:
        """Load what is needed and check every option.

        Raises:
            LficError: an option is wrong, or something that it needs is not there.
        """

    @abc.abstractmethod
    def __call__(self, records: Sequence[Record]) -> list[Outcome]:
        """An outcome for each record; nothing that a record holds raises."""

    @abc.abstractmethod
    def at_once(self) -> int:
        """How many records make a portion of some seconds."""

    def target(self, record: Record) -> str | None:
        """The name of what a record becomes, where that is known beforehand."""
        return None

    def weight(self, record: Record) -> int:
        """Bytes that a record takes, before or after the work, as far as that is known: a portion has few of them."""
        return size_of(record)


def size_of(record: Record) -> int:
    """A record's bytes, without reading them."""
    if record.content is not None:
        return len(record.content)
    try:
        return os.stat(record.path or "").st_size
    except OSError:
        return 0


@dataclasses.dataclass
class CodecChoice:
    """The codec that a worker loads.

    Attributes:
        model: bundled model, or the path of a weights file; None: the default.
        device: of torch.
        recognizer: as ``--recognizer`` has it, see ``lfic.metric.identity.load_recognizer``.
    """

    model: str | None = None
    device: str = "cpu"
    recognizer: str = "bundled"

    def load(self) -> "Codec":
        """The codec itself."""
        from ..codec import DEFAULT_MODEL, load_codec
        from ..network.load import usable_device

        usable_device(self.device)
        if self.recognizer == "bundled":
            return load_codec(self.model or DEFAULT_MODEL, self.device)
        from ..metric.identity import load_recognizer

        return load_codec(self.model or DEFAULT_MODEL, self.device, load_recognizer(self.recognizer, self.device))

    def load_for(self, options: Mapping[str, Any]) -> "Codec | Encoder":
        """What encodes by these options and decodes: integers where they do it, which take a tenth of the memory."""
        from .. import encoding
        from ..encoder.options import DEFAULT_MODEL

        plain = self.device == "cpu" and self.recognizer == "bundled" and options.get("faces") is None
        model = encoding.load(self.model or DEFAULT_MODEL) if plain and encoding.serves(options) else None
        return model or self.load()


@dataclasses.dataclass
class Transcoding(Work):
    """Pictures to .lfic, and .lfic to pictures.

    Attributes:
        to: suffix of what comes out; None: each record becomes the other kind, .lfic or .png. What has it already is
            passed on as it is.
        codec: which one.
        encoding: options of ``Codec.encode_batch``.
        max_pixels: of a picture that is decoded; None: the codec's bound.
    """

    to: str | None = None
    codec: CodecChoice = dataclasses.field(default_factory=CodecChoice)
    encoding: dict[str, Any] = dataclasses.field(default_factory=dict)
    max_pixels: int | None = None

    def __post_init__(self) -> None:
        if self.to not in (None, LFIC):
            check_suffix(str(self.to))
        if self.max_pixels is not None:
            self.max_pixels = integer("max_pixels", self.max_pixels, 1)
        given = {name: self.encoding.get(name) for name in ("quality", "max_bytes", "min_similarity")}
        layers = {name: self.encoding.get(name) for name in ("face_quality", "background_quality")}
        check_bounds(**given, effort=self.encoding.get("effort", 0), **layers)

    def prepare(self) -> None:
        self.loaded = self.codec.load_for(self.encoding)
        self.loaded.encode_batch([], **self.encoding)
        if self.encoding.get("faces") == "auto":
            from ..faces import detector

            detector(self.codec.device)

    def at_once(self) -> int:
        slow = self.encoding.get("effort") or self.encoding.get("min_similarity") is not None
        return 16 if slow or self.encoding.get("faces") is not None else 64

    def suffix(self, record: Record) -> str:
        """Of what a record becomes."""
        return self.to or (".png" if record.is_lfic else LFIC)

    def target(self, record: Record) -> str | None:
        return record.key + self.suffix(record)

    def weight(self, record: Record) -> int:
        from ..format import layers

        weight = size_of(record)
        if record.is_lfic and self.suffix(record) != LFIC:
            with contextlib.suppress(LficError):
                picture = layers.read(record.data)
                weight = max(weight, 2 * picture.width * picture.height)  # of a PNG file, about
        return weight

    def __call__(self, records: Sequence[Record]) -> list[Outcome]:
        outcomes: list[Outcome | None] = [None] * len(records)
        encoded, decoded = [], []
        for i, record in enumerate(records):
            suffix = self.suffix(record)
            if record.suffix == suffix and record.error is None:
                outcomes[i] = passed_on(record)
            elif suffix == LFIC:
                encoded.append(i)
            else:
                decoded.append(i)
        for indexes, way in ((encoded, self._encode), (decoded, self._decode)):
            for i, outcome in zip(indexes, way([records[i] for i in indexes]), strict=True):
                outcomes[i] = outcome
        return [outcome for outcome in outcomes if outcome is not None]

    def _encode(self, records: Sequence[Record]) -> list[Outcome]:
        from ..image import open_image, to_rgb

        notes = {}

        def read(record: Record) -> "NDArray[np.uint8]":
            image = open_image(record.path or record.name, record.data)
            notes[record.key] = frames_note(image)
            return to_rgb(image)

        def outcome(record: Record, data: bytes) -> Outcome:
            return Outcome((made(record, LFIC, data),), note=notes.get(record.key))

        return in_batches(
            records,
            read,
            lambda image: image.shape[0] * image.shape[1],
            lambda images: self.loaded.encode_batch(images, **self.encoding),
            outcome,
        )

    def _decode(self, records: Sequence[Record]) -> list[Outcome]:
        from ..format import container, layers
        from ..image import open_image

        most = container.MAX_PIXELS if self.max_pixels is None else self.max_pixels
        lfic = [i for i, record in enumerate(records) if record.is_lfic]
        found: dict[int, Outcome] = {}

        def size(data: bytes) -> int:
            picture = layers.read(data, most)
            return picture.width * picture.height

        def outcome(record: Record, image: "Image.Image") -> Outcome:
            return Outcome((made(record, self.suffix(record), picture_bytes(image, self.suffix(record))),))

        decoded = in_batches(
            [records[i] for i in lfic],
            lambda record: record.data,
            size,
            lambda blobs: self.loaded.decode_batch(blobs, max_pixels=most),
            outcome,
        )
        found.update(zip(lfic, decoded, strict=True))
        for i, record in enumerate(records):
            if i not in found:  # a picture of another format

                def convert(record: Record = record) -> Outcome:
                    return outcome(record, open_image(record.path or record.name, record.data))

                found[i] = guarded(convert)
        return [found[i] for i in range(len(records))]


def made(record: Record, suffix: str, data: bytes) -> Record:
    """What a record becomes: its key and what is known of it stay."""
    return Record(record.key, suffix, data, record.meta)


def passed_on(record: Record) -> Outcome:
    """A record that stays as it is, with its bytes read."""
    return guarded(lambda: Outcome((made(record, record.suffix, record.data),)))


def guarded(work: Callable[[], Outcome]) -> Outcome:
    """What ``work`` returns, or the outcome that says why it failed."""
    try:
        return work()
    except Exception as error:
        return Outcome(error=reason(error))


def reason(error: Exception) -> str:
    """One line for an error; its type where it is none of lfic's."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, LficError):
        return str(error)
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no more is known'}"


def in_batches(
    records: Sequence[Record],
    read: Callable[[Record], Any],
    pixels: Callable[[Any], int],
    work: Callable[[list[Any]], Sequence[Any]],
    outcome: Callable[[Record, Any], Outcome],
) -> list[Outcome]:
    """An outcome for each record: outcome(record, one of work([read(record), ...])), in batches of BATCH_PIXELS.

    A batch that fails is done again one by one, so that one bad record spoils no other.
    """
    outcomes: list[Outcome] = [Outcome()] * len(records)
    for batch in batches(records, read, pixels, outcomes):
        for i, found in zip([i for i, _ in batch], together(batch, work), strict=True):

            def finish(i: int = i, found: Any = found) -> Outcome:
                if isinstance(found, Exception):
                    raise found
                return outcome(records[i], found)

            outcomes[i] = guarded(finish)
    return outcomes


def batches(
    records: Sequence[Record], read: Callable[[Record], T], pixels: Callable[[T], int], outcomes: list[Outcome]
) -> Iterator[list[tuple[int, T]]]:
    """Lists of (index, what was read); what can't be read goes to ``outcomes``."""
    batch: list[tuple[int, T]] = []
    size = 0
    for i, record in enumerate(records):
        try:
            item = read(record)
            count = pixels(item)
        except Exception as error:
            outcomes[i] = Outcome(error=reason(error))
            continue
        if batch and size + count > BATCH_PIXELS:
            yield batch
            batch, size = [], 0
        batch.append((i, item))
        size += count
    if batch:
        yield batch


def together(batch: Sequence[tuple[int, T]], work: Callable[[list[T]], Sequence[Any]]) -> list[Any]:
    """A result or an exception for each item."""
    try:
        return list(work([item for _, item in batch]))
    except Exception as error:
        if len(batch) == 1:
            return [error]
        return [result for one in batch for result in together([one], work)]


def frames_note(image: "Image.Image") -> str | None:
    """What is said of an animation."""
    frames = getattr(image, "n_frames", 1)
    return f"the first of {frames} frames" if frames > 1 else None


def check_suffix(suffix: str) -> str:
    """Pillow's name of the format that a suffix stands for.

    Raises:
        InvalidInputError: Pillow writes no such files.
    """
    from PIL import Image

    kind = Image.registered_extensions().get(suffix.lower())
    if kind not in Image.SAVE:
        raise InvalidInputError(f"Pillow writes no {suffix} files; use .png, .jpg or .webp, for example")
    return str(kind)


def picture_bytes(image: "Image.Image", suffix: str) -> bytes:
    """An image in the format of a suffix."""
    buffer = io.BytesIO()
    if suffix.lower() in (".jpg", ".jpeg") and image.mode not in ("RGB", "L"):
        image = image.convert("RGB")
    image.save(buffer, check_suffix(suffix))
    return buffer.getvalue()
