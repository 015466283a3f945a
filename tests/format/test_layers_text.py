"""A second decoder of version 2, written from docs/FORMAT.md alone, pixel by pixel: it agrees to the last bit."""

import math

import numpy as np
import pytest

from lfic.format import container, layers
from lfic.format.payload import decode_payloads

C = [round(2**30 * math.cos(2 * math.pi * k / 512)) for k in range(512)]
E = [round(2**30 * 2 ** (-j / 64)) for j in range(64)]
W = [[0] * 4 for _ in range(64)]
for k in range(33):
    W[k][0] = (-4096 * k + 128 * k**2 - k**3 + 256) // 512
    W[k][2] = (4096 * k + 256 * k**2 - 3 * k**3 + 256) // 512
    W[k][3] = (-64 * k**2 + k**3 + 256) // 512
    W[k][1] = 1024 - W[k][0] - W[k][2] - W[k][3]
for k in range(1, 32):
    W[64 - k] = W[k][::-1]


def leb128(data, at):
    value, shift = 0, 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at


def parse(data):
    """(width, height, ((n, k), header, payload) or None, [(x, y, scale, angle, size, header, payload)])."""
    assert data[0] == 0xFC and data[1] >> 5 == 6 and not data[1] & 0b10  # model 1
    end = len(data) - (2 if data[1] & 4 else 0)
    width, at = leb128(data, 2)
    height, at = leb128(data, at)
    width, height, background, painted = width + 1, height + 1, None, []
    more = data[1] >> 3 & 1

    def payload(at, last):
        length, at = (end - at, at) if last else leb128(data, at)
        return data[at : at + length], at + length

    if data[1] >> 4 & 1:
        quality, mode = data[at] >> 1, data[at + 1] & 3
        n, k = 8 - (data[at + 1] >> 4 & 3), 3 + (data[at + 1] >> 2 & 3)
        coded, at = payload(at + 2, not more)
        size = math.ceil(width * n / 2**k), math.ceil(height * n / 2**k)
        background = (n, k), container.Header(*size, quality, mode, model=1), coded
    while more:
        quality, more = data[at] >> 1, data[at] & 1
        bits = f"{int.from_bytes(data[at + 1 : at + 7], 'big'):048b}"
        fields = ((0, 13), (13, 26), (26, 35), (35, 44), (44, 46), (46, 48))
        x, y, scale, angle, mode, size = (int(bits[a:b], 2) for a, b in fields)
        coded, at = payload(at + 7, not more)
        header = container.Header(112 * 2**size, 112 * 2**size, quality, mode, size == 0, model=1)
        painted.append((x, y, scale, angle, size, header, coded))
    assert at == end
    return width, height, background, painted


def weighted(pixels, i, j):
    """The colour at i, j in 1/64 pixels from the first one's centre."""
    total = [0, 0, 0]
    for dy in range(4):
        for dx in range(4):
            row = min(max(i // 64 - 1 + dy, 0), len(pixels) - 1)
            column = min(max(j // 64 - 1 + dx, 0), len(pixels[0]) - 1)
            for c in range(3):
                total[c] += pixels[row][column][c] * W[i % 64][dy] * W[j % 64][dx]
    return [min(max((value + 2**19) >> 20, 0), 255) for value in total]


def enlarged(pixels, n, k, width, height):
    def at(position):
        return ((2 * position + 1) * 32 * n >> k) - 32

    return [[weighted(pixels, at(y), at(x)) for x in range(width)] for y in range(height)]


def paint(picture, pixels, x, y, scale, angle, size):
    height, width = len(picture), len(picture[0])
    q, j = divmod(scale, 64)
    h = 33 + q
    a = (C[angle] * E[j] + 2 ** (h - 1)) >> h
    b = (C[(angle - 128) % 512] * E[j] + 2 ** (h - 1)) >> h
    m = max(0, -((scale - 64 * size - 160) // 64))
    for _ in range(m):
        pixels = [
            [
                [
                    (pixels[r][c][k] + pixels[r + 1][c][k] + pixels[r][c + 1][k] + pixels[r + 1][c + 1][k] + 2) >> 2
                    for k in range(3)
                ]
                for c in range(0, len(pixels), 2)
            ]
            for r in range(0, len(pixels), 2)
        ]

    def opacity(c):
        t = min(max((min(c, 112 * 2**24 - c) >> 18) - 32, 0), 608)
        return (512 * (3 * t**2 * 608 - 2 * t**3) + 608**3) // (2 * 608**3)

    for row in range(height):
        for column in range(width):
            dx = 2**16 * column + 2**15 - 4 * (2 * x + 1) * width
            dy = 2**16 * row + 2**15 - 4 * (2 * y + 1) * height
            u = 56 * 2**24 + ((a * dx + b * dy) >> 16)
            v = 56 * 2**24 + ((a * dy - b * dx) >> 16)
            alpha = (opacity(u) * opacity(v) + 128) >> 8
            if alpha:
                i, j = (((c + 2 ** (17 + m - size)) >> (18 + m - size)) - 32 for c in (v, u))
                colour = weighted(pixels, i, j)
                old = picture[row][column]
                picture[row][column] = [(o * (256 - alpha) + new * alpha + 128) >> 8 for o, new in zip(old, colour)]


def shown(codec, header, coded):
    """The pixels of one stream, by the codec: what a stream means is not this test's matter."""
    part = codec.model.part(header)
    (face,) = decode_payloads(part.context, [(header, memoryview(coded))])
    pixels = part.reconstruct([face], [header.quality], [header.aligned], header.height, header.width)
    return pixels[0].permute(1, 2, 0).tolist()


def grey(pixels):
    return [[[(77 * r + 150 * g + 29 * b + 128) >> 8] * 3 for r, g, b in row] for row in pixels]


@pytest.mark.parametrize(("reduction", "colour"), [(0, True), (4, True), (12, True), (4, False), (1, True), (7, True)])
def test_the_text_is_what_decoders_do(codec, face, photo, reduction, colour):
    width, height = 96, 66
    points = [layers.Place(3000, 3000, 192, 300), layers.Place(3000, 5000, 100, 500)]  # the first is of 224 x 224
    points += [layers.Place(6000, 2500, 40, 77), layers.Place(100, 8000, 175, 256)]
    behind = codec.encode(photo(*layers.background_size(width, height, reduction)[::-1]), quality=30, aligned=False)
    crops = [codec.encode(photo(224, 224), quality=30, resolution="full")]
    crops += [codec.encode(face, quality=q, aligned=True) for q in (20, 40, 60)]
    streams = [layers.read(data).streams[0] for data in (behind, *crops)]
    painted = tuple(layers.Layer(place, stream) for place, stream in zip(points, streams[1:]))
    data = layers.write(layers.Picture(width, height, streams[0], reduction, painted, model=1, grey=not colour))
    told = (lambda *of: shown(codec, *of)) if colour else (lambda *of: grey(shown(codec, *of)))
    assert data[1] & 1 == (not colour)
    found_width, found_height, background, faces = parse(data)
    assert (found_width, found_height, len(faces)) == (width, height, 4)
    picture = enlarged(told(*background[1:]), *background[0], width, height) if reduction else None
    picture = picture or told(*background[1:])
    for x, y, scale, angle, size, header, coded in faces:
        paint(picture, told(header, coded), x, y, scale, angle, size)
    (found,) = codec.decode_batch([data], out="numpy")
    np.testing.assert_array_equal(found, np.array(picture, np.uint8))
