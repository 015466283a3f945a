"""Many files at once: over processes, failures reported, nothing half-written."""

import importlib.util

import numpy as np
import pytest
from PIL import Image

import lfic
from lfic import bulk


@pytest.fixture
def folder(tmp_path, face):
    for i in range(40):
        Image.fromarray(np.roll(face, i, 0)).save(tmp_path / f"{i}.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    return tmp_path


def test_over_processes(folder):
    results = list(bulk.encode_files(sorted(folder.glob("*.png")), folder / "out", workers=2, quality=5))
    assert len(results) == 41
    (failed,) = [r for r in results if r.error]
    assert failed.source.name == "broken.png" and "no image" in failed.error and not failed.target.exists()
    for result in results:
        if not result.error:
            assert result.target.stat().st_size == result.bytes
    assert (folder / "out" / "7.lfic").read_bytes()[:1] == b"\xfc"
    back = list(bulk.decode_files(sorted((folder / "out").glob("*.lfic"))[:3], folder / "png", workers=1))
    assert [Image.open(r.target).size for r in back] == [(112, 112)] * 3


def test_one_bad_file_spoils_no_other(folder):
    good = sorted((path for path in folder.glob("?.png")), key=lambda path: int(path.stem))
    assert [r.error for r in bulk.encode_files(good, folder / "out", workers=1, quality=5)] == [None] * 10
    blob = bytearray((folder / "out" / "3.lfic").read_bytes())
    blob[-4] ^= 0xFF
    (folder / "out" / "3.lfic").write_bytes(blob)
    (folder / "out" / "4.lfic").write_bytes(b"\xfc")
    results = {
        r.source.stem: r for r in bulk.decode_files(sorted((folder / "out").glob("*.lfic")), folder / "png", workers=1)
    }
    assert sorted(stem for stem, r in results.items() if r.error) == ["3", "4"] and len(results) == 10
    codec = lfic.load_codec()
    for stem, result in results.items():
        if not result.error:
            alone = np.asarray(codec.decode((folder / "out" / f"{stem}.lfic").read_bytes())).astype(int)
            # In a batch the networks' sums may round otherwise in their last bits.
            assert np.abs(np.asarray(Image.open(result.target)).astype(int) - alone).max() <= 1


def test_large_pictures_are_coded_apart(folder, monkeypatch):
    sizes = []
    encode_batch = lfic.Codec.encode_batch
    monkeypatch.setattr(
        lfic.Codec,
        "encode_batch",
        lambda self, images, **o: sizes.append(len(images)) or encode_batch(self, images, **o),
    )
    monkeypatch.setattr(bulk, "BATCH_PIXELS", 3 * 112 * 112)
    Image.new("RGB", (300, 200)).save(folder / "a.png")
    paths = [folder / "0.png", folder / "1.png", folder / "a.png", *(folder / f"{i}.png" for i in range(2, 6))]
    assert all(r.error is None for r in bulk.encode_files(paths, folder / "out", workers=1, quality=5))
    assert sizes == [2, 1, 3, 1]


def test_clashes_and_wrong_executors(folder):
    with pytest.raises(lfic.InvalidInputError, match="both be written"):
        list(bulk.encode_files([folder / "1.png", folder / "x" / "1.jpg"], folder / "out"))
    with pytest.raises(lfic.InvalidInputError, match="executor"):
        list(bulk.encode_files([folder / "1.png"], folder / "out", executor="gpu"))


def test_ray_or_a_clear_error(folder):
    if importlib.util.find_spec("ray") is None:
        with pytest.raises(lfic.MissingDependencyError, match=r"lfic\[ray\]"):
            list(bulk.encode_files([folder / "1.png"], folder / "out", executor="ray"))
    else:
        import ray

        ray.init(num_cpus=1, include_dashboard=False)
        try:
            (result,) = bulk.encode_files([folder / "1.png"], folder / "out", executor="ray", quality=5)
        finally:
            ray.shutdown()
        assert result.error is None and result.target.exists()
