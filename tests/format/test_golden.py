"""Golden streams: files written once decode to the same symbols and pixels for ever.

tests/support/make_golden.py wrote them.
"""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
from make_golden import pixels_digest, symbols_digest
from PIL import Image

from lfic.format import container, layers
from lfic.format.payload import decode_payloads

FOLDER = pathlib.Path(__file__).parents[1] / "data" / "golden"
INDEX = json.loads((FOLDER / "index.json").read_text())


def test_the_set_is_whole():
    assert len(INDEX) >= 25 and {p.stem for p in FOLDER.glob("*.lfic")} == set(INDEX)


@pytest.mark.parametrize("name", INDEX)
def test_symbols_are_those_of_the_day_it_was_written(codec, name):
    data = (FOLDER / f"{name}.lfic").read_bytes()
    assert symbols_digest(codec, data) == INDEX[name]["symbols"]
    assert list(codec.decode(data).size) == INDEX[name]["size"]


def test_symbols_code_to_the_same_bytes(codec):
    for name in INDEX:
        data = (FOLDER / f"{name}.lfic").read_bytes()
        picture = layers.read(data)
        coded = iter([coded_again(codec, stream) for stream in picture.streams])
        background = picture.background and dataclasses.replace(picture.background, payload=next(coded))
        painted = tuple(
            dataclasses.replace(layer, stream=dataclasses.replace(layer.stream, payload=next(coded)))
            for layer in picture.layers
        )
        assert layers.write(dataclasses.replace(picture, background=background, layers=painted)) == data


def coded_again(codec, stream):
    """The payload that a stream's own symbols become."""
    header = stream.header
    context = codec.model.part(header).context
    ((symbols, levels),) = decode_payloads(context, [(header, memoryview(stream.payload))])
    return context.encode(
        symbols, levels, *header.grid, header.quality, header.aligned, header.level_mode == container.CODED_MAP
    )


@pytest.mark.parametrize("name", INDEX)
def test_pixels_are_those_of_the_day_it_was_written(codec, name):
    data = (FOLDER / f"{name}.lfic").read_bytes()
    assert pixels_digest(codec.decode(data)) == INDEX[name]["pixels"]


@pytest.mark.parametrize("name", ["face-q40", "photo"])
def test_pictures_beside_the_streams(codec, name):
    found = np.asarray(codec.decode((FOLDER / f"{name}.lfic").read_bytes()))
    np.testing.assert_array_equal(found, np.asarray(Image.open(FOLDER / f"{name}.png")))
