"""Tiles: large pictures through the networks piece by piece."""

import torch

from lfic.network import tiles


def test_tiles_give_what_one_pass_gives(codec, photo, monkeypatch):
    image = photo(600, 421)
    net, q, a = codec.model.net, torch.tensor([50]), torch.tensor([False])
    pixels = codec.model.tensor([image])
    with torch.inference_mode():
        y = tiles.analyze(net, pixels, q, a)
        levels = net.region_levels(y, q, a)
        out = tiles.synthesize(net, y, levels, q, a, 600, 421)
        monkeypatch.setattr(tiles, "TILE", 24)
        y_tiled = tiles.analyze(net, pixels, q, a)
        out_tiled = tiles.synthesize(net, y, levels, q, a, 600, 421)
    assert (y_tiled - y).abs().max() < 1e-3 * y.abs().max()
    assert (out_tiled.int() - out.int()).abs().max() <= 1
