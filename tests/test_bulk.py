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
