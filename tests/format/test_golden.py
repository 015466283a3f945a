"""Golden streams: files written once decode to the same symbols for ever (tests/support/make_golden.py wrote them)."""

import hashlib
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from lfic.format import container
from lfic.format.payload import decode_payloads

FOLDER = pathlib.Path(__file__).parents[1] / "data" / "golden"
INDEX = json.loads((FOLDER / "index.json").read_text())


def test_the_set_is_whole():
    assert len(INDEX) >= 9 and {p.stem for p in FOLDER.glob("*.lfic")} == set(INDEX)


@pytest.mark.parametrize("name", INDEX)
def test_symbols_are_those_of_the_day_it_was_written(codec, name):
    data = (FOLDER / f"{name}.lfic").read_bytes()
    ((symbols, levels),) = decode_payloads(codec.model.context, [container.read(data)])
    found = hashlib.sha256(levels.tobytes() + np.ascontiguousarray(symbols, "<i2").tobytes()).hexdigest()
    assert found == INDEX[name]["symbols"]
    assert list(codec.decode(data).size) == INDEX[name]["size"]


def test_symbols_code_to_the_same_bytes(codec):
    for name in INDEX:
        data = (FOLDER / f"{name}.lfic").read_bytes()
        header, payload = container.read(data)
        ((symbols, levels),) = decode_payloads(codec.model.context, [(header, payload)])
        coded = codec.model.context.encode(
            symbols, levels, *header.grid, header.quality, header.aligned, header.level_mode == container.CODED_MAP
        )
        assert container.write(header, coded) == data


def test_pixels_are_within_one_level(codec):
    found = np.asarray(codec.decode((FOLDER / "face-q40.lfic").read_bytes()), np.int16)
    assert np.abs(found - np.asarray(Image.open(FOLDER / "face-q40.png"))).max() <= 1
