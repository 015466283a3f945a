"""The coders that bench_coder.py measures behind one interface, and the streams that they code.

A coder is made with a ``Work`` and has ``encode(s) -> data`` and ``decode(s, data) -> int symbols [COUNT]`` for stream
``s`` of it. One that can't be imported raises ImportError or AttributeError when it is made.
"""

import importlib.util
import pathlib

import numpy as np

from lfic import coder

COUNT, STREAMS, TABLES, REACH = 3136, 1000, 64, 50
SIGMAS = np.geomspace(0.2, 3.8, TABLES)
PEERS = {
    "compressai": 300,
    "torchac": 100,
    "torchac, rows gathered": 100,
    "tfc": 300,
    "tfc, handles": 300,
}  # streams a round where it is not all


class Work:
    """1,000 streams that follow the first ``tables`` of 64 Gaussian tables."""

    def __init__(self, tables=TABLES):
        rng = np.random.default_rng(0)
        x = np.arange(-REACH, REACH + 1)
        frequencies, lows = [], []
        for sigma in SIGMAS:
            p = np.exp(-0.5 * (x / sigma) ** 2)
            reach = int(np.flatnonzero(p / p.sum() > 2e-6)[-1]) - REACH
            part = p[REACH - reach : REACH + reach + 1]
            f = np.maximum(1, np.floor(part / part.sum() * 65400)).astype(np.int64)
            f[reach] += 65535 - f.sum()
            frequencies.append(f)
            lows.append(-reach)
        self.frequencies, self.lows = frequencies, np.array(lows, np.int32)
        self.tables = coder.Tables.from_frequencies(list(zip(lows, frequencies)))
        self.indexes = rng.integers(0, tables, (STREAMS, COUNT)).astype(np.uint8)
        self.symbols = np.empty((STREAMS, COUNT), np.int32)
        bits = 0.0
        for k, f in enumerate(frequencies):
            at = self.indexes == k
            drawn = np.minimum(np.searchsorted(np.cumsum(f), rng.integers(0, 65536, at.sum()), "right"), len(f) - 1)
            self.symbols[at] = drawn + lows[k]
            bits += float(np.sum(16 - np.log2(f[drawn])))
        self.ideal = bits / 8 / STREAMS


class Lfic:
    def __init__(self, work):
        self.work = work

    def encode(self, s):
        return coder.encode(self.work.symbols[s], self.work.indexes[s], self.work.tables)

    def decode(self, s, data):
        return coder.decode(data, self.work.indexes[s], self.work.tables)


class Constriction:
    def __init__(self, work):
        from constriction import stream

        self.work, self.queue = work, stream.queue
        self.family = stream.model.QuantizedGaussian(-REACH, REACH)
        self.means = np.zeros(COUNT)
        self.sigmas = [SIGMAS[i] for i in work.indexes]

    def encode(self, s):
        encoder = self.queue.RangeEncoder()
        encoder.encode(self.work.symbols[s], self.family, self.means, self.sigmas[s])
        return encoder.get_compressed()

    def decode(self, s, data):
        return self.queue.RangeDecoder(data).decode(self.family, self.means, self.sigmas[s])


class CompressAI:
    def __init__(self, work):
        # The package itself imports much that the coder does not need.
        folder = importlib.util.find_spec("compressai").submodule_search_locations[0]
        spec = importlib.util.spec_from_file_location("compressai.ans", next(pathlib.Path(folder).glob("ans*.so")))
        self.ans = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.ans)
        self.work = work
        self.cdfs = [np.concatenate([[0], np.cumsum(f), [65536]]).tolist() for f in work.frequencies]
        self.sizes, self.offsets = [len(c) for c in self.cdfs], work.lows.tolist()

    def encode(self, s):
        return self.ans.RansEncoder().encode_with_indexes(
            self.work.symbols[s].tolist(),
            self.work.indexes[s].tolist(),
            self.cdfs,
            self.sizes,
            self.offsets,
        )

    def decode(self, s, data):
        return self.ans.RansDecoder().decode_with_indexes(
            data, self.work.indexes[s].tolist(), self.cdfs, self.sizes, self.offsets
        )


class Torchac:
    def __init__(self, work):
        import torch
        import torchac

        self.torchac = torchac
        full = np.zeros((TABLES, 2 * REACH + 2), np.int64)
        for k, f in enumerate(work.frequencies):
            padded = np.ones(2 * REACH + 1, np.int64)
            padded[REACH + work.lows[k] : REACH + work.lows[k] + len(f)] = f
            padded[REACH] += 65536 - padded.sum()
            full[k, 1:] = np.cumsum(padded)
        cdf = torch.from_numpy(full.astype(np.uint16).view(np.int16))
        n = PEERS["torchac"]
        self.cdf, self.indexes = cdf, [torch.from_numpy(work.indexes[s].astype(np.int64)) for s in range(n)]
        self.symbols = [torch.from_numpy((work.symbols[s] + REACH).astype(np.int16)) for s in range(n)]

    def rows(self, s):
        return self.cdf[self.indexes[s]]

    def encode(self, s):
        return self.torchac.encode_int16_normalized_cdf(self.rows(s), self.symbols[s])

    def decode(self, s, data):
        return self.torchac.decode_int16_normalized_cdf(self.rows(s), data).numpy() - REACH


class TorchacGathered(Torchac):
    def __init__(self, work):
        super().__init__(work)
        self.gathered = [self.cdf[index] for index in self.indexes]

    def rows(self, s):
        return self.gathered[s]


class Tfc:
    def __init__(self, work):
        import tensorflow as tf
        import tensorflow_compression  # noqa: F401  (loads the ops)
        from tensorflow_compression.python.ops import gen_ops

        self.tf, self.ops, self.work = tf, gen_ops, work
        cdfs = [np.concatenate([[0], np.cumsum(f), [65536]]) for f in work.frequencies]
        rows = np.full((TABLES, max(map(len, cdfs))), 65536, np.int32)
        for row, cdf in zip(rows, cdfs):
            row[: len(cdf)] = cdf
        self.indexes = work.indexes.astype(np.int32)
        self.offsets = work.lows[work.indexes]
        self.tables = [tf.constant(t) for t in (rows, np.array([len(c) for c in cdfs], np.int32), work.lows)]
        self.lookup = tf.constant(
            np.concatenate([np.full((TABLES, 1), -16, np.int32), rows], 1)
        )  # precision, escapes allowed
        self.settings = {"precision": 16, "overflow_width": 4, "debug_level": 0}

    def encode(self, s):
        return self.ops.unbounded_index_range_encode(
            self.work.symbols[s], self.indexes[s], *self.tables, **self.settings
        ).numpy()

    def decode(self, s, data):
        return self.ops.unbounded_index_range_decode(data, self.indexes[s], *self.tables, **self.settings).numpy()


class TfcHandles(Tfc):
    def encode(self, s):
        handle = self.ops.create_range_encoder([], self.lookup)
        handle = self.ops.entropy_encode_index(handle, self.indexes[s], self.work.symbols[s] - self.offsets[s])
        return self.ops.entropy_encode_finalize(handle).numpy()

    def decode(self, s, data):
        handle = self.ops.create_range_decoder(data, self.lookup)
        return (
            self.ops.entropy_decode_index(handle, self.indexes[s], [COUNT], self.tf.int32)[1].numpy() + self.offsets[s]
        )


class DcvcRt:
    def __init__(self, work):
        import MLCodec_extensions_cpp as ext

        self.work, self.encoder, self.decoder = work, ext.RansEncoder(), ext.RansDecoder()
        rows = np.zeros((TABLES, 2 * REACH + 3), np.int32)
        sizes = np.zeros(TABLES, np.int32)
        for k, f in enumerate(work.frequencies):
            # Its order: 0, 1, -1, 2, -2, ...; the escape last.
            middle = len(f) // 2
            order = [middle] + [middle + side * i for i in range(1, middle + 1) for side in (1, -1)]
            cdf = np.concatenate([[0], np.cumsum(f[order]), [65536]])
            rows[k, : len(cdf)], sizes[k] = cdf, len(cdf)
        for side in (self.encoder, self.decoder):
            side.set_cdf(rows, sizes, 1)
        self.combined = [(w.astype(np.int16) << 8 | i).astype(np.int16) for w, i in zip(work.symbols, work.indexes)]

    def encode(self, s):
        self.encoder.reset()
        self.encoder.encode_y(self.combined[s])
        self.encoder.flush()
        return self.encoder.get_encoded_stream()

    def decode(self, s, data):
        self.decoder.set_stream(data)
        self.decoder.decode_y(self.work.indexes[s])
        return self.decoder.get_decoded(COUNT)


MAKERS = {
    "lfic": Lfic,
    "constriction": Constriction,
    "compressai": CompressAI,
    "torchac": Torchac,
    "torchac, rows gathered": TorchacGathered,
    "tfc": Tfc,
    "tfc, handles": TfcHandles,
    "dcvc-rt": DcvcRt,
}
