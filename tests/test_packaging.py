"""The source distribution is complete, the wheel made from it works where nothing else of the project is."""

import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

import lfic

ROOT = pathlib.Path(lfic.__file__).parent.parent
LEFT_OUT = shutil.ignore_patterns(
    ".git",
    "build*",
    "dist",
    "runs",
    "*.egg-info",
    ".venv",
    "*.so",
    "__pycache__",
    ".pytest_cache",
    ".hypothesis",
    ".benchmarks",
    ".mypy_cache",
    ".ruff_cache",
)


def build(kind, folder, out):
    """Run one hook of setuptools' build backend in a folder; path of what it built."""
    code = f"import sys; from setuptools import build_meta; print(build_meta.{kind}(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, str(out)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(sdist, wheel built from that sdist)."""
    work = tmp_path_factory.mktemp("packaging")
    shutil.copytree(
        ROOT,
        work / "tree",
        ignore=lambda folder, names: (
            LEFT_OUT(folder, names) | ({"data"} & set(names) if pathlib.Path(folder) == ROOT else set())
        ),
    )
    sdist = build("build_sdist", work / "tree", work)
    with tarfile.open(sdist) as archive:
        archive.extractall(work / "unpacked", filter="data")
    (source,) = (work / "unpacked").iterdir()
    return sdist, build("build_wheel", source, work)


def test_sdist_has_all_that_is_needed_to_build_and_test(built):
    with tarfile.open(built[0]) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    for path in (
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "CMakeLists.txt",
        "setup.py",
        "pyproject.toml",
        "docs/FORMAT.md",
        "tests/test_codec.py",
    ):
        assert path in names
    for pattern in (
        "csrc/**/*.cpp",
        "csrc/**/*.hpp",
        "kernels/*.py",
        "lfic/**/*.py",
        "tests/**/*.py",
        "benchmarks/*.py",
    ):
        assert {str(p.relative_to(ROOT)) for p in ROOT.glob(pattern)} <= names


def test_wheel_has_every_module_and_data_file(built):
    with zipfile.ZipFile(built[1]) as archive:
        names = set(archive.namelist())
    wanted = {str(p.relative_to(ROOT)) for p in (ROOT / "lfic").rglob("*.py")}
    wanted |= {f"lfic/kernels/{p.relative_to(ROOT / 'kernels')}" for p in (ROOT / "kernels").rglob("*.py")}
    wanted |= {
        "lfic/_coder.pyi",
        "lfic/_compose.pyi",
        "lfic/_file.pyi",
        "lfic/kernels/_rap.pyi",
        "lfic/py.typed",
        "lfic/assets/astronaut.png",
        "lfic/evaluate/report/page.html",
        "lfic/weights/face-v1.safetensors",
        "lfic/weights/face-v2.safetensors",
        "lfic/weights/face-v1-vivid.safetensors",
        "lfic/weights/dlib-resnet.safetensors",
    }
    assert wanted <= names
    for extension in ("lfic/_coder.", "lfic/_compose.", "lfic/_file.", "lfic/kernels/_rap."):
        assert any(name.startswith(extension) and name.endswith((".so", ".pyd")) for name in names)
    assert not [name for name in names if not name.startswith(("lfic/", "lfic-"))]
    weights = {i.filename: i.file_size for i in zipfile.ZipFile(built[1]).infolist() if "safetensors" in i.filename}
    assert weights.pop("lfic/weights/dlib-resnet.safetensors") <= 6e6
    assert weights.pop("lfic/weights/face-v1-vivid.safetensors") <= 4.3e6
    assert sum(weights.values()) <= 20.5e6  # the integers of two models, and what restores their floats
    assert built[1].stat().st_size < 36e6


def test_installed_wheel_works_by_itself(built, tmp_path):
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(site), str(built[1])],
        check=True,
        capture_output=True,
    )
    program, picture = site / "bin" / "dlfic", tmp_path / "a.png"  # on its own, without Python
    source = ROOT / "tests" / "data" / "golden" / "face-q40.lfic"
    subprocess.run([program, source, "-o", picture], env={}, check=True)
    assert picture.read_bytes()[:4] == b"\x89PNG"
    code = """
import lfic, lfic.kernels, lfic.coder
assert lfic.__file__.startswith(SITE) and lfic.kernels.__file__.startswith(SITE), lfic.__file__
import numpy as np
face = np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8)
print(lfic.decode(lfic.encode(face, quality=20)).size)
"""
    environment = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", f"SITE = {str(site)!r}" + code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "(50, 60)", done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "lfic", "demo", "--effort", "0"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and (tmp_path / "lfic-demo.png").stat().st_size > 50_000, done.stderr


def test_readme_and_continuous_integration_agree():
    readme = (ROOT / "README.md").read_text()
    commands = [
        line.strip() for line in readme.splitlines() if line.startswith("    ") and ".venv/bin/pip install" in line
    ]
    assert len(commands) == 2
    assert commands[0].endswith("lfic demo") and commands[1].endswith('python -m pytest -m "not slow"')
    assert r'.venv/bin/pip install -e "\.\[test\]" && \.venv/bin/python -m pytest' in (
        ROOT / ".ci" / "run"
    ).read_text().replace(r"\.venv/bin/pip", ".venv/bin/pip")
    for link in ("docs/FORMAT.md", "docs/demo.png", "CHANGELOG.md", "LICENSE"):
        assert f"({link})" in readme and (ROOT / link).is_file()
