"""docs/FORMAT.md by itself: a decoder written from its text, in plain Python, reads what the codec writes."""

import numpy as np
import pytest

from lfic.encoder.draft import files, first_drafts
from lfic.format import container
from lfic.format.container import MODELS, PRIVATE
from lfic.format.weights import load_arrays, template_part

TAIL = bytes(16)


class Decoder:
    """ "Range coder", "Adaptive bit" and "Table" of docs/FORMAT.md."""

    def __init__(self, data):
        self.data, self.at, self.range = data + TAIL, 8, 2**64 - 1
        self.code = int.from_bytes(self.data[:8], "big")
        self.prefix = [[1 << 23, 1 << 23] for _ in range(40)]

    def shift(self):
        if self.range < 2**32:
            self.code = self.code << 32 | int.from_bytes(self.data[self.at : self.at + 4], "big")
            self.range <<= 32
            self.at += 4

    def take(self, cum, freq):
        unit = self.range >> 16
        assert unit * cum <= self.code < unit * (cum + freq)
        self.code, self.range = self.code - unit * cum, unit * freq
        self.shift()

    def bit(self, p):
        split = (self.range >> 16) * p
        one = self.code < split
        self.code, self.range = (self.code, split) if one else (self.code - split, self.range - split)
        self.shift()
        return one

    def adaptive(self, state):
        one = self.bit(min(max((state[0] + state[1]) >> 9, 32), 65504))
        for i, r in enumerate((5, 8)):
            state[i] += (0xFFFFFF - state[i]) >> r if one else -(state[i] >> r)
        return one

    def symbol(self, low, frequencies):
        target = self.code // (self.range >> 16)
        mode = frequencies.index(max(frequencies))
        cum = 0
        for place in [mode, *(i for i in range(len(frequencies)) if i != mode)]:
            if target < cum + frequencies[place]:
                self.take(cum, frequencies[place])
                return low + place
            cum += frequencies[place]
        self.take(cum, 65536 - cum)
        k = 0
        while self.adaptive(self.prefix[k]):
            k += 1
        n = 1
        while k > 0:
            piece = min(16, k)
            k -= piece
            value = self.code // (self.range >> 16) >> (16 - piece)
            self.take(value << (16 - piece), 1 << (16 - piece))
            n = n << piece | value
        n -= 1
        return low - 1 - n // 2 if n & 1 else low + len(frequencies) + n // 2


def decode(payload, rows, columns, quality, aligned, mode, arrays):
    """(symbols in coding order, level map) as "Payload" says."""
    a = {
        key.removeprefix("context."): value.astype(np.int64)
        for key, value in arrays.items()
        if key.startswith("context.")
    }
    lows, starts, frequencies = (arrays[f"tables.{name}"].tolist() for name in ("lows", "starts", "frequencies"))
    tables = [(low, frequencies[s:e]) for low, s, e in zip(lows, starts, starts[1:])]
    coder, q, channels = Decoder(payload), quality - 1, a["vstep"].shape[2]
    groups = sum(key.startswith("W2.") for key in a)
    per = channels // groups
    wide, tall = -(-columns // 4), -(-rows // 4)
    levels = np.full((tall, wide), mode if mode < 3 else 0)
    if mode == 3:
        prior = a["level_prior"][:, q * 8 // 100].tolist()
        states = [[[p * 256] * 2 for p in row] for row in prior[0]]
        for ry, rx in np.ndindex(tall, wide):
            context = 4 * (levels[ry, rx - 1] if rx else 3) + (levels[ry - 1, rx] if ry else 3)
            for decision in range(2):
                if aligned:
                    one = coder.bit(min(max(prior[1 + ry * wide + rx][context][decision], 32), 65504))
                else:
                    one = coder.adaptive(states[context][decision])
                if not one:
                    break
                levels[ry, rx] += 1
    rnd = lambda n: 1 << (n - 1)  # noqa: E731
    sh1, sh2, sh3, mshift = (int(a[name].item()) for name in ("sh1", "sh2", "sh3", "mshift"))
    w3, b3 = a["W3"].reshape(groups, 2 * per, -1), a["b3"].reshape(groups, 2 * per)
    values, out, zeros = np.zeros((rows, columns, channels), np.int64), [], np.zeros(channels, np.int64)
    for ry, rx in np.ndindex(tall, wide):
        level, s = int(levels[ry, rx]), 1 << int(levels[ry, rx])
        for y in range(4 * ry, min(4 * ry + 4, rows), s):
            for x in range(4 * rx, min(4 * rx + 4, columns), s):
                there = [x > 0, y > 0, x > 0 and y > 0, y > 0 and x + s < columns and (y % 4 == 0 or x % 4 + s < 4)]
                where = [(y, x - 1), (y - 1, x), (y - 1, x - 1), (y - 1, x + s)]
                seen = np.concatenate([values[p] if t else zeros for t, p in zip(there, where)])
                mask = sum(t << i for i, t in enumerate(there))
                place = 1 + 14 * y + x if aligned else 0
                pre = a["W1"] @ seen + a["B_level"][level] + a["B_quality"][q] + a["B_avail"][mask] + a["B_pos"][place]
                h1 = np.clip((pre + rnd(sh1)) >> sh1, 0, 255)
                now = np.zeros(channels, np.int64)
                for g in range(groups):
                    h2 = np.clip(
                        (a[f"W2.{g}"] @ np.concatenate([h1, now[: g * per]]) + a["b2"][g] + rnd(sh2)) >> sh2, 0, 255
                    )
                    result = (w3[g] @ h2 + b3[g] + rnd(sh3)) >> sh3
                    for i in range(per):
                        c = g * per + i
                        if not a["active"][q, level, c]:
                            out.append(0)
                            continue
                        mean, scale = np.clip(result[i], -2047, 2047), np.clip(result[per + i], -32767, 32767)
                        m8 = (mean * a["mgain"][q, level, c] + rnd(mshift)) >> mshift
                        index = np.clip((scale + a["sbias"][q, level, c] + 8) >> 4, 0, len(a["table_map"]) // 8 - 1)
                        symbol = coder.symbol(*tables[a["table_map"][8 * index + ((m8 + 4) & 7)]]) + int((m8 + 4) >> 3)
                        out.append(symbol)
                        now[c] = np.clip((symbol * a["vstep"][q, level, c] + 128) >> 8, -127, 127)
                values[y : min(y + s, 4 * ry + 4), x : min(x + s, 4 * rx + 4)] = now
    return np.array(out), levels


@pytest.fixture(scope="module")
def arrays():
    """By model and whether the stream is aligned."""
    found = {number: load_arrays(name)[0] for number, name in MODELS.items() if number != PRIVATE}
    of_faces = {0: found[0], 1: {**found[1], **template_part(found[1])}}
    return {
        (number, aligned): (of_faces if aligned else found)[number] for number in found for aligned in (False, True)
    }


@pytest.mark.parametrize("quality, aligned", [(1, True), (40, True), (40, False), (100, True)])
def test_faces(codec, face, arrays, quality, aligned):
    check(codec, face, arrays, quality, aligned)


def test_partial_regions(codec, photo, arrays):
    check(codec, photo(37, 211), arrays, 70, False)


def test_mixed_levels_and_escapes(codec, face, arrays):
    """Symbols far outside the tables, every level side by side."""
    import torch

    levels = torch.tensor(np.arange(16).reshape(1, 4, 4) % 3, dtype=torch.uint8)
    draft = first_drafts(codec.model, [face], 90, True, levels)[0]
    draft.symbols = draft.symbols.copy()
    draft.symbols[[5, 700, 701]] = [32767, -32768, 900]
    compare(files(codec.model, [draft], True)[0], draft.symbols, draft.levels, arrays)


def check(codec, image, arrays, quality, aligned):
    draft = first_drafts(codec.model, [image], quality, aligned)[0]
    compare(files(codec.model, [draft], True)[0], draft.symbols, draft.levels, arrays)


def compare(data, symbols, levels, arrays):
    header, payload = container.read(data)
    found, found_levels = decode(
        bytes(payload),
        *header.grid,
        header.quality,
        header.aligned,
        header.level_mode,
        arrays[header.model, header.aligned],
    )
    np.testing.assert_array_equal(found_levels, levels)
    np.testing.assert_array_equal(found, symbols)
