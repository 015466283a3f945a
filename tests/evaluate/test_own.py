"""lfic as a codec under test, and the key of its results."""

import pathlib
import shutil

import numpy as np
from evaluate_faces import crops

import lfic.kernels
from lfic.evaluate.own import PACKAGE, code_key, lfic_codec

FACES = list(crops(2, 2)[0])


def test_lfic_round_trip():
    codec = lfic_codec(settings=(20, 70))
    few, many = (codec.encode(FACES, q) for q in codec.settings)
    assert sum(map(len, few)) < sum(map(len, many))
    assert all(d.shape == (112, 112, 3) and d.dtype == np.uint8 for d in codec.decode(many))
    assert codec.region_levels(FACES[0], 20).shape == (4, 4)


def test_the_key_follows_what_decides_over_files(tmp_path):
    """A module of the metric, which efforts look at, changes it, and so does a file that is added; commands do not."""
    package, kernels = tmp_path / "lfic", tmp_path / "kernels"
    source = pathlib.Path(lfic.kernels.__file__).parent
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("kernels", "weights", "__pycache__"))
    shutil.copytree(source, kernels, ignore=shutil.ignore_patterns("__pycache__"))

    def key():
        code_key.cache_clear()
        return code_key(package, kernels)

    def touched(path):
        before = path.read_bytes() if path.exists() else None
        path.write_bytes((before or b"") + b"\n# touched\n")
        found = key()
        path.unlink() if before is None else path.write_bytes(before)
        return found

    untouched = key()
    assert untouched == code_key(PACKAGE, source)  # by content alone, wherever the files lie
    extension = next(package.glob("_coder.*.*"))
    for path in (
        *(package / name for name in ("codec.py", "image.py", "another.py")),
        *(next((package / folder).glob("[a-z]*.py")) for folder in ("metric", "encoder", "format", "network")),
        *(package / "metric" / name for name in ("identity.py", "another.py")),
        extension,
        next(kernels.glob("_rap.*")),
        kernels / "quantize.py",
        kernels / "another.py",
    ):
        assert touched(path) != untouched, path
    for path in (
        package / "cli" / "__init__.py",
        package / "cli" / "another.py",
        package / "train" / "loop.py",
        package / "evaluate" / "own.py",
        package / "demo.py",
        package / "py.typed",
        next((kernels / "bench").glob("[a-z]*.py")),
    ):
        assert touched(path) == untouched, path
    code_key.cache_clear()
