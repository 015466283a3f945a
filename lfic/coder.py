"""The arithmetic coder by itself: numpy in, bytes out. Nothing between bytes and symbols is a float.

>>> import numpy as np
>>> from lfic import coder
>>> tables = coder.Tables.from_probabilities(np.array([[0.1, 0.8, 0.1], [0.3, 0.4, 0.3]]), offset=-1)
>>> symbols = np.array([0, 0, 1, -1, 0, 7], np.int32)  # 7 lies outside: it is escaped
>>> indexes = np.array([0, 0, 1, 1, 0, 1], np.int32)
>>> data = coder.encode(symbols, indexes, tables)
>>> coder.decode(data, indexes, tables).tolist()
[0, 0, 1, -1, 0, 7]

Bits with adaptive probabilities, in a stream of one's own:

>>> encoder, state = coder.RangeEncoder(), coder.AdaptiveBit()
>>> for bit in (1, 1, 1, 0, 1):
...     encoder.encode_adaptive(bit, state)
>>> data = encoder.finish()
>>> decoder, state = coder.RangeDecoder(data), coder.AdaptiveBit()
>>> [int(decoder.decode_adaptive(state)) for _ in range(5)]
[1, 1, 1, 0, 1]

Many bits in one call, each with the context whose state codes it (the start states may be trained):

>>> bits, contexts = np.array([1, 0, 1, 1], np.uint8), np.array([0, 1, 0, 0], np.uint8)
>>> encoder = coder.RangeEncoder()
>>> encoder.encode_bits(bits, contexts, coder.AdaptiveBits(np.array([40000, 9000], np.uint16)))
>>> decoder = coder.RangeDecoder(encoder.finish())
>>> decoder.decode_bits(contexts, coder.AdaptiveBits(np.array([40000, 9000], np.uint16))).tolist()
[1, 0, 1, 1]

Thousands of streams of one length, as one buffer and where each begins:

>>> many = np.array([[0, 0, 1, -1], [0, 1, 0, 0]], np.int16)
>>> rows = np.array([0, 0, 1, 1], np.uint8)
>>> buffer, offsets = coder.encode_packed(many, rows, tables, threads=2)
>>> bool((coder.decode_packed(buffer, offsets, rows, tables, threads=2) == many).all())
True

Streams of a bit a symbol or less come out of such a call, and of ``decode_batch``, up to 1.7 times as fast as one by
one.

Shapes and dtypes: symbols int32 or int16 [n], indexes uint8, int16 or int32 [n] (the table of each symbol); other
integers, lists and torch tensors on the CPU are converted where all values fit 32 bits. Contiguous symbols are read
where they lie; indexes are copied. ``decode`` gives int32 [n]. ``threads`` is 1 to 256, or 0 for one a core; the GIL is
released while C++ works. Objects have no shared state beyond tables, which are immutable, so calls from many threads
are safe; one ``RangeEncoder`` or ``RangeDecoder`` belongs to one thread at a time. Whoever writes to an argument during
a call gets bytes that nobody can foretell, and nothing worse. ``Tables`` and ``ContextModel`` can be pickled and
copied.

Damage raises ``lfic.CorruptStreamError`` where it can be told from data; wrong arguments raise
``lfic.InvalidInputError``. A damaged stream may also decode to other symbols: only a checksum tells that apart.
"""

import operator
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _coder
from ._coder import (
    AdaptiveBit,
    AdaptiveBits,
    RangeDecoder,
    RangeEncoder,
    decode,
    decode_batch,
    decode_packed,
    encode,
    encode_batch,
    encode_packed,
)
from .arguments import is_number, numbers, sequence_of
from .errors import InvalidInputError

__all__ = [
    "AdaptiveBit",
    "AdaptiveBits",
    "ContextModel",
    "RangeDecoder",
    "RangeEncoder",
    "Tables",
    "decode",
    "decode_batch",
    "decode_packed",
    "encode",
    "encode_batch",
    "encode_packed",
]

TOTAL = 1 << 16


class Tables(_coder.Tables):
    """K frequency tables, each over its own run of integers plus an escape; 16 bits of precision, immutable.

    Attributes: ``lows`` int32 [K] (first symbol of each table), ``starts`` int64 [K + 1] (where each table's
    frequencies begin), ``frequencies`` uint16 [starts[-1]] (each at least 1; a table sums to at most 65535, its escape
    takes the rest of 65536).
    """

    @classmethod
    def from_frequencies(cls, tables: Iterable[tuple[int, ArrayLike]]) -> Self:
        """Tables from (low, frequencies) pairs: low int, frequencies integers [n], each >= 1, sum <= 65535."""
        pairs = [table_of(k, table) for k, table in enumerate(sequence_of("tables", tables))]
        for k, (_, frequencies) in enumerate(pairs):
            if frequencies.ndim != 1 or not np.issubdtype(frequencies.dtype, np.integer):
                raise InvalidInputError(
                    f"table {k}: frequencies must be integers [n]; found {frequencies.dtype} {frequencies.shape}"
                )
            if frequencies.size and (frequencies.min() < 1 or frequencies.max() > 65535):
                raise InvalidInputError(
                    f"table {k}: frequencies run from {frequencies.min()} to {frequencies.max()}; allowed are 1 to "
                    "65535"
                )
        starts = np.cumsum([0] + [len(f) for _, f in pairs]).astype(np.int64)
        flat = np.concatenate([f for _, f in pairs]).astype(np.uint16) if pairs else np.zeros(0, np.uint16)
        return cls(np.array([low for low, _ in pairs], np.int32), starts, flat)

    @classmethod
    def from_probabilities(cls, p: ArrayLike, offset: ArrayLike = 0, escape: float = 1e-4) -> Self:
        """Tables from probabilities, rounded to integers once.

        Args:
            p: float [K, A], non-negative; row k is normalised. Column a stands for symbol ``offset + a``. Zeros at both
                ends are left out; others become the least frequency.
            offset: symbol of column 0, an integer for all tables or integers [K].
            escape: probability kept for symbols outside a table, in 0..0.5.
        """
        p = numbers("p", p)
        if p.ndim != 2 or p.size == 0:
            raise InvalidInputError(f"p has shape {p.shape}; needed is [tables, symbols]")
        with np.errstate(over="ignore"):
            totals = p.sum(1)
        if not np.isfinite(p).all() or (p < 0).any() or (totals <= 0).any():
            raise InvalidInputError("p holds a negative or non-finite probability, or a row that sums to 0")
        if not is_number(escape) or not 0 <= escape <= 0.5:
            raise InvalidInputError(f"escape is {escape!r}; allowed are 0 to 0.5")
        offsets = np.asarray(offset)
        if not np.issubdtype(offsets.dtype, np.integer) or offsets.shape not in ((), (len(p),)):
            raise InvalidInputError(
                f"offset is {offsets.dtype} {offsets.shape}; needed is an integer, or integers [{len(p)}], one a table"
            )
        p = np.where(np.isfinite(totals)[:, None], p, p / p.max(1, keepdims=True))
        out = []
        for first, row in zip(np.broadcast_to(offsets, len(p)).tolist(), p, strict=True):
            keep = np.flatnonzero(row > 0)
            row = row[keep[0] : keep[-1] + 1]
            if len(row) > 65535 // 2:
                raise InvalidInputError(f"a table has {len(row)} symbols; at most 32767 get a frequency each")
            out.append((first + int(keep[0]), quantize_probabilities(row, max(1, round(escape * TOTAL)))))
        return cls.from_frequencies(out)

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a file: dict of ``lows``, ``starts``, ``frequencies``."""
        return {"lows": self.lows, "starts": self.starts, "frequencies": self.frequencies}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """The inverse of ``state``."""
        names = ("lows", "starts", "frequencies")
        if not isinstance(state, Mapping) or not set(names) <= set(state):
            found = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
            raise InvalidInputError(f"a state of tables is a dict of {', '.join(names)}; found {found}")
        return cls(*(np.ascontiguousarray(state[name]) for name in names))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.lows, self.starts, self.frequencies)


def table_of(k: int, table: Any) -> tuple[int, NDArray[Any]]:
    """One (low, frequencies) pair, checked as far as C++ does not."""
    try:
        low, frequencies = table
        return operator.index(low), np.asarray(frequencies)
    except (TypeError, ValueError):
        raise InvalidInputError(f"table {k} is {table!r:.60}; needed is (low, frequencies), integers") from None


def quantize_probabilities(p: NDArray[np.float64], escape_frequency: int) -> NDArray[np.int64]:
    """Probabilities [n] -> integers >= 1 that sum to 65536 - escape_frequency, largest remainders first."""
    budget = TOTAL - escape_frequency
    exact = p / p.sum() * budget
    out: NDArray[np.int64] = np.maximum(1, np.floor(exact)).astype(np.int64)
    rest = budget - out.sum()
    if rest > 0:
        order = np.argsort(out - exact)
        out[order[np.arange(rest) % len(out)]] += 1
    while rest < 0:  # the floors at 1 took too much: the largest give
        taken = min(-rest, int(out.max()) - 1)
        out[np.argmax(out)] -= taken
        rest += taken
    return out


class ContextModel(_coder.ContextModel):
    """The integer context model of the file format; see docs/FORMAT.md and csrc/coder/context_model.hpp.

    Args:
        arrays: dict of integer arrays as ``lfic.network.entropy.EntropyModel.export`` gives them, completed by
            ``active``, ``table_map`` and ``level_prior``.
        tables: ``Tables`` that ``table_map`` points into.
        simd: "auto", or one variant by name ("scalar", "avx2", "neon"); all give the same integers.

    A face is (symbols int16 [kept cells * C] in coding order, levels uint8 [ceil(h/4), ceil(w/4)], h, w, quality
    1..100, aligned); h and w count cells of the feature grid, ``aligned`` needs 14 x 14 of them. Methods:

    - ``encode(*face, coded_levels=False)`` -> bytes. With ``coded_levels`` the level map stands first in the stream.
    - ``decode(data, h, w, quality, aligned, levels=None)`` -> (symbols, levels). ``levels=None``: they are in the
      stream. Grids of more than ``max_symbols`` coefficients are refused before memory is taken.
    - ``decode_levels(data, h, w, quality, aligned)`` -> levels, from the head of the stream alone.
    - ``predict(*face)`` -> table index int16 [n] (-1 where a channel is inactive) and integer mean int32 [n].
    - ``cost(*face)`` -> ideal bits float32 [kept cells] from the tables, escapes at one bit a step.
    - ``encode_batch(faces, threads)``, ``cost_batch(faces, threads)``: lists of faces (for ``encode_batch`` with
      ``coded_levels`` as an optional 7th entry); ``decode_batch(streams, threads)``: a list of (data, h, w, quality,
      aligned, levels or None).
    - ``encode_rows(symbols, levels, h, w, quality, aligned, coded, threads)`` -> (list of bytes, ideal bits float64
      [N]): many faces of one grid as int16 [N, K] (the first symbols of a row count, as many as its levels keep), uint8
      [N, rows, columns], int64 [N], bool [N], bool [N] (whether the level map is coded). ``cost_rows`` of the same ->
      the bits alone. ``decode_rows(payloads, levels, h, w, quality, aligned, coded, threads)`` -> (symbols, levels,
      list of (row, what was wrong)): it goes on where a payload is damaged.

    Attributes: ``simd``, the variant in use; ``channels``; ``table_set``, the tables; ``level_prior`` uint16
    [17, 8, 16, 2], start probabilities of the level map's bits.
    """

    def __init__(self, arrays: Mapping[str, Any], tables: Tables, simd: str = "auto") -> None:
        if not isinstance(arrays, Mapping) or not isinstance(tables, Tables) or not isinstance(simd, str):
            raise InvalidInputError(
                f"a context model is made of a dict of arrays, Tables and the name of a variant; found "
                f"{type(arrays).__name__}, {type(tables).__name__} and {simd!r}"
            )
        super().__init__(dict(arrays), tables, simd)
        self.table_set = tables
        self.level_prior: NDArray[np.uint16] = arrays["level_prior"]
        self._made_of = dict(arrays), tables, simd

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._made_of
