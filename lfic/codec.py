"""The whole chain, written top to bottom, once.

    image -> analysis -> region levels -> pooled symbols -> context model + range coder -> container -> bytes
    bytes -> container -> range coder + context model -> dequantise, unpool -> synthesis -> image
"""
import dataclasses
import json
import threading

import numpy as np
import torch
from PIL import Image

from . import container, tiles, weights_io
from .container import CODED_MAP, MAX_PIXELS, MODELS, PRIVATE, STANDARD_SIDE
from .errors import ContainerError, InvalidInputError, MissingDependencyError
from .image import to_rgb
from .info import probe, uniform_levels
from .level_map import map_bits
from .objective import Objective
from .rap import pooled_symbols, region_grid, unpooled_features
from .search import improve

DEFAULT_QUALITY = 40
DEFAULT_MODEL = "face-v1"
# Bits with positions / without, of the same symbols: below it a face is taken as aligned. By quality, below 20 as there; linear in between.
# Of 128 LFW faces on the template 90 to 99 % are below it, depending on the quality; the others go the way that is cheaper.
CLEAR = {20: 0.72, 60: 0.81, 80: 0.87, 100: 0.91}
PIXELS_AT_ONCE = {"cpu": 16 * 112 * 112, "cuda": 512 * 112 * 112}  # of a batch; more falls out of a CPU core's cache


@dataclasses.dataclass
class Draft:
    """One face between the networks and the coder: levels uint8 [hr, wr], symbols int16 [kept cells * C]."""

    width: int
    height: int
    quality: int
    aligned: bool
    levels: np.ndarray
    symbols: np.ndarray

    @property
    def grid(self):
        """Feature cells (rows, columns)."""
        return -(-self.height // 8), -(-self.width // 8)

    @property
    def level_mode(self):
        """0, 1, 2: that level everywhere; 3: a map."""
        first = int(self.levels.flat[0])
        return first if (self.levels == first).all() else CODED_MAP


class Codec:
    """A loaded model. Safe to call from several threads; its state does not change.

    Args:
        name: bundled model ("face-v1") or path of a .safetensors file.
        device: where the networks run; the coder always runs on the CPU.
        recognizer: ``lfic.metric.identity.Recognizer`` for ``min_similarity``, ``embed`` and the search of higher
            efforts; None: those that need one say so.
        threads: coder threads of a batch, 1 to 256, or 0 for one a core.

    Raises:
        WeightsError: no such model, or a damaged file.
        InvalidInputError: a device that torch can't use here.
    """

    def __init__(self, name=DEFAULT_MODEL, device="cpu", recognizer=None, threads=1):
        device = usable_device(device)
        self.net, self.context, self.metadata = weights_io.load_model(name, device)
        self.device, self.recognizer, self.threads = device, recognizer, threads
        training = json.loads(self.metadata.get("training") or "{}").get("config", {})
        self.objective = Objective.trained(training)
        self.model_number = weights_io.model_number(self.metadata)
        with torch.inference_mode():
            self.gain, self.step = self.net.gain.contiguous(), self.net.step.contiguous()
        self.net.to(memory_format=torch.channels_last)

    # ------------------------------------------------------------------------------------------------ encoding

    def encode(self, image, **options):
        """One image -> bytes; options as for ``encode_batch``."""
        return self.encode_batch([image], **options)[0]

    def encode_batch(self, images, quality=DEFAULT_QUALITY, max_bytes=None, min_similarity=None, effort=0, aligned=None, checksum=True):
        """Images -> list of bytes.

        Args:
            images: PIL images, uint8 ndarrays [H, W, 3] or uint8 tensors [3, H, W]; sizes may differ.
            quality: 1 to 100; used where neither bound below is given.
            max_bytes: the file has at most so many bytes: the quality at which it fits while one more would not. Where
                not even quality 1 does, every region is pooled to level 2 and the search starts again.
            min_similarity: the smallest quality whose reconstruction has at least this cosine similarity of identity
                embeddings, -1 to 1; needs a recogniser.
            effort: 0 takes what the analysis network says. 1 to 3 improve it by the gradient of the loss that the model
                was trained with: 1 the features in six steps, 2 in twelve, 3 in 24, region levels and single symbols as well; each
                takes longer than the one before. Identity counts where there is a recogniser; without one they serve
                pixels alone, at some cost of likeness.
            aligned: True: the faces stand on the 112 x 112 template; False: they do not; None: of a 112 x 112 image
                that is told from what it costs, and in doubt it is coded both ways and the smaller file is kept.
            checksum: two more bytes that tell nearly all damage.

        Raises:
            InvalidInputError: an option out of range, an image that is none, a bound that can't be met.
            MissingDependencyError: an option needs a recogniser and the codec has none.
        """
        self._check_options(quality, max_bytes, min_similarity, effort)
        if isinstance(images, (Image.Image, str, bytes)):
            raise InvalidInputError(f"encode_batch takes a list of images; found one {type(images).__name__}: use encode for one image")
        pixels = [to_rgb(image) for image in images]
        for array in pixels:
            check_image(array.shape[1], array.shape[0], aligned)
        if max_bytes is not None:
            return [self._largest_quality(p, max_bytes, effort, aligned, checksum) for p in pixels]
        if min_similarity is not None:
            return [self._smallest_file(p, min_similarity, effort, aligned, checksum) for p in pixels]
        out = [None] * len(pixels)
        for group in self._groups([p.shape[:2] for p in pixels]):
            drafts = self._best_drafts([pixels[i] for i in group], quality, effort, aligned)
            for i, blob in zip(group, self._code(drafts, checksum)):
                out[i] = blob
        return out

    def _best_drafts(self, pixels, quality, effort, aligned):
        """Images of one size at one quality -> list of ``Draft``, aligned or not as costs less."""
        if aligned is not None or pixels[0].shape[:2] != (STANDARD_SIDE, STANDARD_SIDE):
            best = self.draft(pixels, quality, bool(aligned))
        else:
            best = self._cheaper_drafts(pixels, quality)
        if effort:
            for way in {draft.aligned for draft in best}:
                chosen = [i for i, draft in enumerate(best) if draft.aligned == way]
                improved, _ = improve(self, [best[i] for i in chosen], [pixels[i] for i in chosen], effort)
                for i, draft in zip(chosen, improved):
                    best[i] = draft
        return best

    def _cheaper_drafts(self, pixels, quality):
        """Images of 112 x 112 -> list of ``Draft``, aligned or not as costs less."""
        best = self.draft(pixels, quality, True)
        bits = [self.estimate_bits(d) for d in best]
        # A face that the positions help by so much is on the template: the networks need not run a second time.
        clear = np.interp(quality, list(CLEAR), list(CLEAR.values()))
        doubtful = [i for i, d in enumerate(best) if bits[i] > clear * self.estimate_bits(dataclasses.replace(d, aligned=False))]
        if doubtful:
            for i, other in zip(doubtful, self.draft([pixels[i] for i in doubtful], quality, False)):
                best[i] = min(best[i], other, key=self.estimate_bits)
        return best

    @torch.inference_mode()
    def draft(self, pixels, quality, aligned, levels=None):
        """Images uint8 [H, W, 3] of one size -> list of ``Draft``; levels uint8 [N, hr, wr] or None: the network's."""
        count, (height, width) = len(pixels), pixels[0].shape[:2]
        q, a = self._conditions(quality, aligned, count)
        y = tiles.analyse(self.net, self._tensor(pixels), q, a)
        if levels is None:
            levels = self.net.region_levels(y, q, a)
        symbols = pooled_symbols(y, levels, self.gain, q)
        maps = levels.cpu().numpy()
        return [Draft(width, height, quality, aligned, maps[i], symbols[i]) for i in range(count)]

    def _code(self, drafts, checksum):
        faces = [(d.symbols, d.levels, *d.grid, d.quality, d.aligned, d.level_mode == CODED_MAP) for d in drafts]
        payloads = self.context.encode_batch(faces, self.threads)
        return [container.write(self._header(d, checksum), payload) for d, payload in zip(drafts, payloads)]

    def _header(self, draft, checksum):
        return container.Header(draft.width, draft.height, draft.quality, draft.level_mode, draft.aligned, checksum, self.model_number)

    def estimate_bits(self, draft):
        """The model's rate of a draft in bits, header and checksum not counted: what the payload has, to a byte or two."""
        bits = float(self.context.cost(draft.symbols, draft.levels, *draft.grid, draft.quality, draft.aligned).sum())
        if draft.level_mode == CODED_MAP:
            bits += map_bits(self.context.level_prior, draft.levels, draft.quality, draft.aligned)
        return bits

    def _largest_quality(self, pixels, max_bytes, effort, aligned, checksum):
        found = {}

        def fits(quality, effort, aligned):
            draft = self._best_drafts([pixels], quality, effort, aligned)[0]
            found[quality, effort] = self._code([draft], checksum)[0], draft.aligned
            return len(found[quality, effort][0]) <= max_bytes

        # The way (aligned or not) is settled once, in the middle of the scale.
        fits(DEFAULT_QUALITY, 0, aligned)
        way = found[DEFAULT_QUALITY, 0][1]
        best = last_true(lambda quality: fits(quality, 0, way), DEFAULT_QUALITY)
        if effort:  # its files are somewhat smaller or larger: search on from there
            best = last_true(lambda quality: fits(quality, effort, way), best or 1)
        if best:
            return found[best, effort][0]
        # Even quality 1 is too large: pool everything as coarsely as it goes, and search again.
        rows, columns = region_grid(-(-pixels.shape[0] // 8), -(-pixels.shape[1] // 8))
        coarsest = torch.full((1, rows, columns), 2, dtype=torch.uint8, device=self.device)
        blobs = {}

        def coarse_fits(quality):
            blobs[quality] = self._code(self.draft([pixels], quality, way, coarsest), checksum)[0]
            return len(blobs[quality]) <= max_bytes

        best = last_true(coarse_fits, 1)
        if not best:
            raise InvalidInputError(f"max_bytes is {max_bytes}, but the smallest file of this image has {len(blobs[1])} bytes: allow more, or shrink the image")
        return blobs[best]

    def _smallest_file(self, pixels, min_similarity, effort, aligned, checksum):
        target, found = self.embed([pixels]), {}

        def fails(quality):
            found[quality] = self._code(self._best_drafts([pixels], quality, effort, aligned), checksum)[0]
            return float((self.embed([self.decode(found[quality])]) * target).sum()) < min_similarity

        quality = last_true(fails, DEFAULT_QUALITY) + 1
        if quality > 100:
            raise InvalidInputError(f"min_similarity is {min_similarity}, which not even quality 100 reaches for this image")
        return found[quality]

    # ------------------------------------------------------------------------------------------------ decoding

    def decode(self, data, max_pixels=MAX_PIXELS):
        """Bytes -> PIL image, RGB, the size that went in. Raises ``LficError`` subclasses for anything else."""
        return self.decode_batch([data], max_pixels=max_pixels)[0]

    def decode_batch(self, blobs, out="pil", max_pixels=MAX_PIXELS):
        """List of bytes -> list of PIL images ("pil") or ndarrays ("numpy"), or a uint8 tensor [N, 3, H, W] ("tensor").

        "tensor" needs files of one size; its result stays on the codec's device.

        Raises:
            ContainerError: no lfic file, or one that this codec's model did not write, or more than ``max_pixels``.
            CorruptStreamError: damage.
        """
        if out not in ("pil", "numpy", "tensor"):
            raise InvalidInputError(f"out is {out!r}; allowed are 'pil', 'numpy' and 'tensor'")
        read = [container.read(blob, max_pixels) for blob in blobs]
        for header, _ in read:
            if header.model != self.model_number:
                raise ContainerError(f"the file was written by model {MODELS[header.model]}; this codec has {MODELS[self.model_number]}: load the codec that wrote it")
        sizes = {(h.height, h.width) for h, _ in read}
        if out == "tensor" and len(sizes) > 1:
            raise InvalidInputError(f"out='tensor' needs files of one size; found {sorted(sizes)}")
        results = [None] * len(read)
        for group in self._groups([(h.height, h.width) for h, _ in read]):
            headers = [read[i][0] for i in group]
            pixels = self._reconstruct(headers, self._symbols([read[i] for i in group]))
            if out != "tensor":
                pixels = pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
            for i, image in zip(group, pixels):
                results[i] = Image.fromarray(image) if out == "pil" else image
        if out == "tensor":
            return torch.stack(results) if results else torch.zeros(0, 3, 0, 0, dtype=torch.uint8, device=self.device)
        return results

    def _symbols(self, read):
        """Headers and payloads -> list of (symbols, levels)."""
        streams = [(payload, *h.grid, h.quality, h.aligned, uniform_levels(h)) for h, payload in read]
        bound = max((h.grid[0] * h.grid[1] for h, _ in read), default=0) * self.context.channels
        return self.context.decode_batch(streams, self.threads, bound)

    @torch.inference_mode()
    def _reconstruct(self, headers, faces):
        """Headers of one size and their (symbols, levels) -> uint8 [N, 3, H, W]."""
        first = headers[0]
        q = torch.tensor([h.quality for h in headers], device=self.device)
        a = torch.tensor([h.aligned for h in headers], device=self.device)
        levels = torch.from_numpy(np.stack([levels for _, levels in faces])).to(self.device)
        features = unpooled_features([symbols for symbols, _ in faces], levels, self.step, q, *first.grid)
        return tiles.synthesise(self.net, features, levels, q, a, first.height, first.width)

    # ------------------------------------------------------------------------------------------------ insight

    def probe(self, data, max_pixels=MAX_PIXELS):
        """``Info`` of a file; decodes no pixels."""
        return probe(data, max_pixels, self.context)

    def region_levels(self, image, quality=DEFAULT_QUALITY, aligned=None):
        """What RAP decides for an image: levels uint8 [ceil(h/32), ceil(w/32)]."""
        self._check_options(quality, None, None, 0)
        return self._best_drafts([to_rgb(image)], quality, 0, aligned)[0].levels

    def embed(self, images):
        """Identity embeddings of images of one size: float [N, D], unit length. Needs a recogniser."""
        if self.recognizer is None:
            raise MissingDependencyError(
                "this needs a face recogniser: pass recognizer=lfic.metric.identity.load_torchscript(PATH), or on the "
                "command line --recognizer PATH"
            )
        with torch.inference_mode():
            return self.recognizer(tiles.unit(self._tensor([to_rgb(image) for image in images])))

    # ------------------------------------------------------------------------------------------------ helpers

    def _tensor(self, pixels):
        """Arrays uint8 [H, W, 3] -> uint8 [N, 3, H, W] on the device, channels last."""
        return torch.from_numpy(np.stack(pixels)).to(self.device).permute(0, 3, 1, 2)

    def _conditions(self, quality, aligned, count):
        return (
            torch.full((count,), quality, dtype=torch.int64, device=self.device),
            torch.full((count,), aligned, dtype=torch.bool, device=self.device),
        )

    def _groups(self, sizes):
        """Lists of indexes of one (height, width) each, as many as the networks take at once."""
        by_size = {}
        for i, size in enumerate(sizes):
            by_size.setdefault(tuple(size), []).append(i)
        for (height, width), indexes in by_size.items():
            step = max(1, PIXELS_AT_ONCE["cpu" if self.device.type == "cpu" else "cuda"] // (height * width))
            for start in range(0, len(indexes), step):
                yield indexes[start : start + step]

    def _check_options(self, quality, max_bytes, min_similarity, effort):
        if not is_integer(quality) or not 1 <= quality <= 100:
            raise InvalidInputError(f"quality is {quality!r}; allowed are the integers 1 to 100")
        if not is_integer(effort) or not 0 <= effort <= 3:
            raise InvalidInputError(f"effort is {effort!r}; allowed are the integers 0 to 3")
        if max_bytes is not None and min_similarity is not None:
            raise InvalidInputError("max_bytes and min_similarity exclude each other: give one")
        if max_bytes is not None and (not is_integer(max_bytes) or max_bytes < 1):
            raise InvalidInputError(f"max_bytes is {max_bytes!r}; an integer of at least 1 is needed")
        if min_similarity is not None:
            if not isinstance(min_similarity, (int, float, np.number)) or not -1 <= min_similarity <= 1:
                raise InvalidInputError(f"min_similarity is {min_similarity!r}; allowed are -1 to 1")
            if self.recognizer is None:
                self.embed([])


def is_integer(value):
    """Python's and numpy's integers; not bool, which is a mistake wherever a number is meant."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def usable_device(device):
    """``torch.device``, tried: a clear error instead of one from deep inside torch."""
    try:
        torch.zeros(1, device=device).cpu()
        return torch.device(device)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInputError(f"device {str(device)!r} can't be used here: {reason}; 'cpu' always works") from None


def check_image(width, height, aligned):
    """Refuse what the container can't hold."""
    if width * height > MAX_PIXELS or max(width, height) > container.MAX_SIDE:
        raise InvalidInputError(f"the image is {width} x {height}; allowed are {MAX_PIXELS} pixels and {container.MAX_SIDE} a side: shrink it or cut it")
    if aligned and (width, height) != (STANDARD_SIDE, STANDARD_SIDE):
        raise InvalidInputError(f"aligned=True needs {STANDARD_SIDE} x {STANDARD_SIDE} pixels; found {width} x {height}")


def last_true(holds, start, low=1, high=100):
    """The last of low..high for which ``holds`` (true up to a point, false after it), or low - 1.

    Strides that double lead away from ``start``, then the gap is halved. The answer has been tried, and so has its
    successor.
    """
    best, bad, stride = low - 1, high + 1, 4
    at = start
    while best + 1 < bad:
        if holds(at):
            best = at
        else:
            bad = at
        if bad == high + 1:
            at, stride = min(best + stride, high), stride * 2
        elif best == low - 1:
            at, stride = max(bad - stride, low), stride * 2
        else:
            at = (best + bad) // 2
    return best


_codecs = {}
_codecs_guard = threading.Lock()


def load_codec(name=DEFAULT_MODEL, device="cpu", recognizer=None, threads=1):
    """A ``Codec`` of a bundled model or a file. Without a recogniser it is loaded once and shared."""
    if recognizer is not None:
        return Codec(name, device, recognizer, threads)
    with _codecs_guard:
        key = (str(name), str(device), threads)
        if key not in _codecs:
            _codecs[key] = Codec(name, device, None, threads)
        return _codecs[key]


def encode(image, **options):
    """One image -> bytes with the default model; options as for ``Codec.encode_batch``."""
    return load_codec().encode(image, **options)


def decode(data, max_pixels=MAX_PIXELS):
    """Bytes -> PIL image, RGB, the size that went in."""
    header, _ = container.read(data, max_pixels)
    if header.model == PRIVATE:
        raise ContainerError("the file was written with private weights: decode it with load_codec(PATH OF THE WEIGHTS).decode")
    return load_codec(MODELS[header.model]).decode(data, max_pixels)
