"""The codecs that are learned from faces: they code faces, and what was learned is kept."""

import io

import numpy as np
import pytest
from evaluate_faces import crops
from PIL import Image

from lfic import InvalidInputError, WeightsError
from lfic.evaluate.peers import blocks, facial


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((np.float64(a) - b) ** 2))


@pytest.mark.parametrize(("side", "components"), [(28, 12), (112, 24)])
def test_learned_facial_codecs(side, components):
    train, _ = crops(8, 4, seed=5)
    codec = facial.LinearFaceCodec.learn(train, side, components).codec("test", (120, 60, 20))
    assert facial.LinearFaceCodec.learn(train, side, components).version == codec.version
    sizes, quality = [], []
    for step in codec.settings:
        files = codec.encode(list(train[:6]), step)
        decoded = codec.decode(files)
        sizes.append(np.mean([len(f) for f in files]))
        quality.append(np.mean([psnr(a, b) for a, b in zip(train, decoded)]))
    assert sizes == sorted(sizes) and quality == sorted(quality)
    assert quality[-1] > 18
    mean = np.broadcast_to(train.mean(0), train[:6].shape)
    assert quality[-1] > np.mean([psnr(a, b) for a, b in zip(train, mean)]) + 3  # it codes faces, not the mean
    with pytest.raises(InvalidInputError, match="first byte"):
        codec.decode([b"\x00abc"])
    with pytest.raises(InvalidInputError, match="1 to 255"):
        facial.LinearFaceCodec.learn(train, side, components).codec("test", (300,))


def test_what_was_learned_is_kept(tmp_path, monkeypatch):
    """Learned from a real pack's faces once; a second run loads it, another pack or a damaged file does not pass for
    it."""
    from safetensors.numpy import save_file

    def pack(path, seed):
        pixels, blobs = crops(8, 2, seed=seed)[0], []
        for image in pixels:
            buffer = io.BytesIO()
            Image.fromarray(np.pad(image, ((8, 8), (8, 8), (0, 0)), mode="edge")).save(buffer, "PNG")
            blobs.append(np.frombuffer(buffer.getvalue(), np.uint8))
        offsets = np.cumsum([0] + [len(b) for b in blobs])
        save_file(
            {"bytes": np.concatenate(blobs), "offsets": offsets, "source": np.zeros(len(blobs), np.int16)},
            path,
            metadata={"margin": "8", "names": "[]"},
        )
        return path, pixels

    path, pixels = pack(tmp_path / "a.safetensors", 1)
    np.testing.assert_array_equal(facial.training_faces(path, 16), pixels)
    first = facial.dictionary(path, store=tmp_path / "store")
    with monkeypatch.context() as patch:
        patch.setattr(facial.LinearFaceCodec, "learn", None)
        again = facial.dictionary(path, settings=(50,), store=tmp_path / "store")
    assert again.key(50) == first.key(50)
    files = first.encode(list(pixels[:2]), 50)
    assert files == again.encode(list(pixels[:2]), 50)
    np.testing.assert_array_equal(first.decode(files), again.decode(files))
    other = facial.dictionary(pack(tmp_path / "b.safetensors", 2)[0], store=tmp_path / "store")
    assert other.version != first.version
    (tmp_path / "store.dictionary.safetensors").write_bytes(b"cut")
    with pytest.raises(WeightsError, match="it is learned again"):
        facial.dictionary(path, store=tmp_path / "store")
    with pytest.raises(InvalidInputError, match="no file of packed faces"):
        facial.training_faces(tmp_path / "store.dictionary.safetensors", 4)


def test_block_order_is_a_partition():
    train, _ = crops(2, 2)
    luma, chroma = blocks.planes(train)
    for side in (16, 56, 112):
        vectors = [v[1] for v in blocks.blocks(luma, chroma, side)]
        back = blocks.unblocks(vectors, side)
        np.testing.assert_array_equal(back[0], luma[1])
        np.testing.assert_array_equal(back[1], chroma[1])
