"""A slow decoder from symbols to pixels, written from docs/FORMAT.md alone: numpy, int64, nothing of lfic."""

import numpy as np

C0 = np.array([16384, 8813, 3906, 1554, 590, 219, 81, 30])
C1 = np.array([-8222, -6469, -3438, -1473, -576, -217, -80, -40])
C2 = np.array([138, 1637, 1303, 638, 261, 101, 36, 13])
C3 = np.array([512, -74, -217, -130, -56, -22, -7, -3])


def clamp16(x):
    return np.clip(x, -32768, 32767)


def m(x, y):
    return (x * y + 16384) >> 15


def silu(p, u):
    a = np.abs(p)
    t = np.minimum(a, 32767 >> (12 - u)) << (12 - u) if u <= 12 else a >> (u - 12)
    i, f = t >> 12, (t & 4095) << 3
    g = C0[i] + m(f, C1[i] + m(f, C2[i] + m(f, C3[i])))
    return np.maximum(p, 0) - m(a, g)


def pair(x):
    """[h, w, C] -> [h / 2, w / 2, 4 C], channel 4 c + 2 i + j."""
    h, w, c = x.shape
    return x.reshape(h // 2, 2, w // 2, 2, c).transpose(0, 2, 4, 1, 3).reshape(h // 2, w // 2, 4 * c)


def split(x):
    h, w, c = x.shape
    return x.reshape(h, w, c // 4, 2, 2).transpose(0, 3, 1, 4, 2).reshape(2 * h, 2 * w, c // 4)


class Network:
    """tensors: of a weights file, without "integers."; all become int64. ``largest``: of all sums so far."""

    def __init__(self, tensors):
        self.t = {k: v.astype(np.int64) for k, v in tensors.items() if v.dtype.kind in "iu"}
        self.largest = 0

    def finish(self, name, sums, q, residual):
        bias = self.t[f"{name}.bias"]
        sums = sums + (bias[q - 1] if bias.ndim == 2 else bias)
        self.largest = max(self.largest, int(np.abs(sums).max()))
        y = clamp16(sums >> self.t[f"{name}.shift"])
        return np.clip(y + residual, *self.t[f"{name}.range"])

    def layer(self, name, x, q, residual=0):
        weight = self.t[f"{name}.weight"]
        return self.finish(name, x @ weight.reshape(len(weight), -1).T, q, residual)

    def depthwise(self, name, x, q):
        weight = self.t[f"{name}.weight"]
        k = weight.shape[-1]
        h, w, _ = x.shape
        padded = np.pad(x, ((k // 2, k // 2), (k // 2, k // 2), (0, 0)))
        sums = sum(padded[i : i + h, j : j + w] * weight[:, 0, i, j] for i in range(k) for j in range(k))
        return self.finish(name, sums, q, 0)

    def blocks(self, stage, x, q):
        i = 0
        while f"{stage}.{i}.expand.weight" in self.t:
            name = f"{stage}.{i}"
            d = self.depthwise(f"{name}.depthwise", x, q)
            p = self.layer(f"{name}.expand", d, q)
            x = self.layer(f"{name}.project", silu(p, int(self.t[f"{name}.expand.unit"][0])), q, x)
            i += 1
        return x

    def features(self, symbols, levels, height, width, q):
        step = self.t["synthesis.step"]
        rows, columns, channels = -(-height // 8), -(-width // 8), step.shape[2]
        f = np.zeros((rows, columns, channels), np.int64)
        at = 0
        for top in range(0, rows, 4):
            for left in range(0, columns, 4):
                level = int(levels[top // 4, left // 4])
                side = 1 << level
                for y in range(top, min(top + 4, rows), side):
                    for x in range(left, min(left + 4, columns), side):
                        symbol = np.clip(symbols[at : at + channels].astype(np.int64), -2047, 2047)
                        value = (symbol * step[q - 1, level] + 64) >> 7
                        f[y : min(y + side, top + 4), x : min(x + side, left + 4)] = value
                        at += channels
        assert at == len(symbols)
        return np.clip(f, *self.t["synthesis.range"])

    def pixels(self, symbols, levels, height, width, q, aligned):
        """uint8 [height, width, 3]."""
        f = self.features(symbols, levels, height, width, q)
        f = np.pad(f, ((0, f.shape[0] % 2), (0, f.shape[1] % 2), (0, 0)), mode="edge")
        h, w, _ = f.shape
        of_square = levels[np.arange(h // 2)[:, None] // 2, np.arange(w // 2)[None] // 2]
        r = self.t["synthesis.level"][of_square]
        r = clamp16(r + self.t["synthesis.position_inner"]) if aligned else r
        x = self.layer("synthesis.enter_inner", pair(f), q, r)
        x = self.blocks("synthesis.inner", x, q)
        r = split(self.layer("synthesis.up_inner", x, q))
        r = clamp16(r + self.t["synthesis.position"]) if aligned else r
        x = self.blocks("synthesis.middle", self.layer("synthesis.enter", f, q, r), q)
        z = self.blocks("synthesis.fine", split(self.layer("synthesis.up", x, q)), q)
        z = np.pad(z, ((1, 1), (1, 1), (0, 0)))
        windows = np.stack([z[i : i + 2 * h + 1, j : j + 2 * w + 1] for i in (0, 1) for j in (0, 1)], -1)
        patches = self.layer("synthesis.lapped", windows.reshape(*windows.shape[:2], -1), q)
        picture = patches.reshape(2 * h + 1, 2 * w + 1, 3, 4, 4).transpose(0, 3, 1, 4, 2)
        picture = picture.reshape(8 * h + 4, 8 * w + 4, 3)
        return picture[2 : 2 + height, 2 : 2 + width].astype(np.uint8)
