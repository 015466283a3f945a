"""dlfic: what lfic.decode shows, as PNG and PPM, from a program that has its model inside."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import lfic
from lfic import _file, reader
from lfic.format.weights import load_arrays, weights_path

ROOT = pathlib.Path(__file__).parents[2]
GOLDEN = sorted(p for p in (ROOT / "tests" / "data" / "golden").glob("*.lfic") if p.stem != "face-bare")


@pytest.fixture(scope="module")
def dlfic(cpp_build):
    """A function that runs it."""

    def run(*words, status=0, **options):
        done = subprocess.run([cpp_build / "dlfic", *words], capture_output=True, **options)
        assert done.returncode == status, done.stderr
        return done

    return run


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_pictures_are_those_of_python(dlfic, path, tmp_path):
    shown = lfic.decode(path.read_bytes())
    dlfic(path, "-o", tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as png:
        assert png.mode == shown.mode
        assert np.array_equal(np.asarray(png), np.asarray(shown))
    dlfic(path, "-o", tmp_path / "a.ppm")
    with Image.open(tmp_path / "a.ppm") as ppm:
        assert np.array_equal(np.asarray(ppm), np.asarray(shown.convert("RGB")))


def test_standard_streams(dlfic, tmp_path):
    data = GOLDEN[0].read_bytes()
    out = dlfic("-", "-o", "-", input=data).stdout
    (tmp_path / "a.png").write_bytes(out)
    with Image.open(tmp_path / "a.png") as png:
        assert np.array_equal(np.asarray(png), np.asarray(lfic.decode(data)))
    assert dlfic("-", input=data).stdout == out


def test_pictures_beside_files(dlfic, tmp_path):
    for name in ("a.lfic", "b.c.lfic", "noname"):
        (tmp_path / name).write_bytes(GOLDEN[0].read_bytes())
    dlfic("a.lfic", "b.c.lfic", "noname", cwd=tmp_path)
    assert sorted(p.name for p in tmp_path.glob("*.png")) == ["a.png", "b.c.png", "noname.png"]
    done = dlfic("a.lfic", status=1, cwd=tmp_path)
    assert b"a.png exists: give -o OUT or --overwrite" in done.stderr
    dlfic("a.lfic", "--overwrite", cwd=tmp_path)
    dlfic("a.lfic", "-o", "a.png", cwd=tmp_path)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], 2, "no file is given"),
        (["--speed"], 2, "there is no option --speed"),
        (["a", "b", "-o", "c"], 2, "-o names one picture; there are 2 files"),
        (["a", "-o"], 2, "-o needs a value"),
        (["a", "--max-pixels", "-3"], 2, "--max-pixels is '-3'; allowed is a number of at least 1"),
        (["a", "--max-pixels", "0"], 2, "--max-pixels is '0'"),
        (["a", "-o", ""], 2, "-o needs a value"),
        (["a", "--model", ""], 2, "--model needs a value"),
        (["a", "-o", "a.jpg"], 2, "-o is a.jpg; allowed are names that end in .png or .ppm"),
        (["a.lfic", "a.bin"], 2, "two files would both be written to a.png"),
        (["-", "-"], 2, "standard input, -, is one file alone"),
        (["absent.lfic"], 1, "dlfic: absent.lfic: No such file or directory"),
        (["."], 1, "dlfic: .: Is a directory"),
        ([GOLDEN[0], "-o", "absent/a.png"], 1, "absent/a.png"),
        ([GOLDEN[0], "-o", "x.png", "--max-pixels", "99"], 1, "99"),
        ([GOLDEN[0], "-o", "x.png", "--model", "absent.safetensors"], 1, "No such file"),
        ([GOLDEN[0], "-o", "x.png", "--model", GOLDEN[0]], 1, "no readable weights file"),
    ],
)
def test_what_is_wrong_is_said(dlfic, words, status, said, tmp_path):
    done = dlfic(*words, status=status, cwd=tmp_path)
    assert said in done.stderr.decode()
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_the_others(dlfic, tmp_path):
    (tmp_path / "cut.lfic").write_bytes(GOLDEN[0].read_bytes()[:-3])
    (tmp_path / "good.lfic").write_bytes(GOLDEN[0].read_bytes())
    done = dlfic("cut.lfic", "good.lfic", status=1, cwd=tmp_path)
    assert done.stderr.count(b"\n") == 1 and b"dlfic: cut.lfic: " in done.stderr
    assert [p.name for p in tmp_path.glob("*.png")] == ["good.png"]


def test_links_devices_and_permissions_stay(dlfic, tmp_path):
    (tmp_path / "real.png").write_bytes(b"")
    (tmp_path / "real.png").chmod(0o640)
    (tmp_path / "link.png").symlink_to("real.png")
    dlfic(GOLDEN[0], "-o", "link.png", cwd=tmp_path)
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "real.png").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "real.png").read_bytes()[:4] == b"\x89PNG"
    os.mkfifo(tmp_path / "pipe.png")
    reading = subprocess.Popen(["cat", tmp_path / "pipe.png"], stdout=subprocess.PIPE)
    dlfic(GOLDEN[0], "-o", "pipe.png", cwd=tmp_path)
    assert reading.communicate(timeout=20)[0] == (tmp_path / "real.png").read_bytes()
    assert (tmp_path / "pipe.png").is_fifo()


def test_nothing_of_anybody_elses_is_touched(dlfic, tmp_path):
    (tmp_path / "victim").write_text("precious")
    for name in ("a.png.part", "b.png.part"):
        (tmp_path / name).symlink_to("victim")
    dlfic(GOLDEN[0], "-o", "a.png", cwd=tmp_path)
    assert (tmp_path / "victim").read_text() == "precious"
    (tmp_path / "dangling.png").symlink_to("there.png")
    dlfic(GOLDEN[0], "-o", "dangling.png", cwd=tmp_path)
    assert (tmp_path / "dangling.png").is_symlink()
    assert (tmp_path / "there.png").read_bytes() == (tmp_path / "a.png").read_bytes()
    (tmp_path / "loop.png").symlink_to("loop.png")
    assert b"too many links" in dlfic(GOLDEN[0], "-o", "loop.png", status=1, cwd=tmp_path).stderr
    long = "x" * 250 + ".png"
    dlfic(GOLDEN[0], "-o", long, cwd=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir() if "lfic" in p.name) == []


@pytest.mark.parametrize("way", ["spelling", "link"])
def test_a_file_is_not_replaced_by_its_picture(dlfic, tmp_path, way):
    data = GOLDEN[0].read_bytes()
    (tmp_path / "s.png").write_bytes(data)
    if way == "link":
        (tmp_path / "t.png").symlink_to("s.png")
    done = dlfic("s.png", "-o", "./s.png" if way == "spelling" else "t.png", status=1, cwd=tmp_path)
    assert b"would replace the file" in done.stderr
    assert (tmp_path / "s.png").read_bytes() == data


def test_what_can_not_be_written_leaves_nothing(dlfic, tmp_path):
    limit = f'ulimit -f 1; exec "$0" {GOLDEN[0]} -o a.png'
    program = dlfic("--version").args[0]
    done = subprocess.run(["bash", "-c", limit, program], cwd=tmp_path, capture_output=True)
    assert done.returncode == 1 and b"a.png: File too large" in done.stderr
    assert not list(tmp_path.iterdir())
    with open("/dev/full", "wb") as full:
        assert subprocess.run([program, "--help"], stdout=full).returncode == 1
        done = subprocess.run([program, GOLDEN[0], "-o", "-"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1 and b"No space left" in done.stderr


def test_weights_of_ones_own(dlfic, tmp_path):
    path = ROOT / "lfic" / "weights" / "face-v1.safetensors"
    dlfic(GOLDEN[0], "-o", tmp_path / "a.png")
    dlfic(GOLDEN[0], "-o", tmp_path / "b.png", "--model", path)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_vivid_look_is_a_weights_file(dlfic, tmp_path):
    both, first = tmp_path / "vivid.safetensors", weights_path("face-v1-vivid")
    cut = ROOT / "csrc" / "wasm" / "weights.py"
    subprocess.run([sys.executable, cut, both, "--decoding", "--look", "vivid"], check=True)
    folder = ROOT / "tests" / "data" / "golden"
    for name, model in (("face-q40", first), ("face-q40", both), ("v2-face-q40", both), ("v2-photo", both)):
        path = folder / f"{name}.lfic"
        dlfic("--model", model, path, "-o", tmp_path / "a.png")
        with Image.open(tmp_path / "a.png") as png:
            assert np.array_equal(np.asarray(png), np.asarray(lfic.decode(path.read_bytes(), look="vivid"))), name


def test_help_and_version(dlfic):
    assert b"usage: dlfic" in dlfic("--help").stdout
    assert dlfic("--version").stdout.decode() == f"dlfic {lfic.__version__}\n"


def test_pip_installs_it(tmp_path):
    beside = pathlib.Path(sys.executable).parent / "dlfic"
    done = subprocess.run([beside, GOLDEN[0], "-o", tmp_path / "a.png"], capture_output=True)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "a.png") as png:
        assert np.array_equal(np.asarray(png), np.asarray(lfic.decode(GOLDEN[0].read_bytes())))


def test_the_decoder_is_cut_from_the_bundled_models():
    cut, texts = load_arrays(ROOT / "csrc" / "tools" / "face-v2-decoder.safetensors")
    for model, said, prefix in (("face-v2", "source", ""), ("face-v1", "former", "former.")):
        whole, told = load_arrays(model)
        assert texts[said] == told["digest"]
        kept = {k for k in whole if k.startswith(("context.", "tables.", "template.", "integers.synthesis."))}
        for name in kept:
            array = cut.pop(prefix + name)
            assert array.dtype == whole[name].dtype and np.array_equal(array, whole[name])
    assert not cut


@pytest.mark.parametrize("path", GOLDEN[:4], ids=lambda path: path.stem)
def test_pngs_without_pillow(path, tmp_path):
    """What lfic decode writes, in a process that has not loaded the other chain."""
    code = "import sys; from lfic import reader; sys.stdout.buffer.write(reader.decode_png(sys.stdin.buffer.read())[0])"
    done = subprocess.run([sys.executable, "-c", code], input=path.read_bytes(), capture_output=True, check=True)
    (tmp_path / "a.png").write_bytes(done.stdout)
    with Image.open(tmp_path / "a.png") as png:
        shown = lfic.decode(path.read_bytes())
        assert png.mode == shown.mode
        assert np.array_equal(np.asarray(png), np.asarray(shown))


def test_rows_of_any_pixels():
    """Every filter is right: pictures that favour each, of odd sizes, read by Pillow."""
    draw = np.random.default_rng(5)
    ramp = np.add.outer(np.arange(31), 3 * np.arange(17))[..., None] * np.array([1, 2, 5])
    for pixels in (
        draw.integers(0, 256, (31, 17, 3)),
        ramp % 256,
        np.repeat(draw.integers(0, 256, (1, 17, 3)), 31, 0),
        np.repeat(draw.integers(0, 256, (31, 1, 3)), 17, 1),
        np.cumsum(draw.integers(-3, 4, (31, 17, 3)), axis=1) % 256,
        draw.integers(0, 256, (1, 1, 3)),
    ):
        pixels = pixels.astype(np.uint8)
        rows = np.frombuffer(
            _file.png_rows(pixels.tobytes(), pixels.shape[1], pixels.shape[0], False), np.uint8
        ).reshape(len(pixels), -1)
        assert np.array_equal(unfiltered(rows, 3), pixels)


def unfiltered(rows, step):
    """PNG's filters undone, as its standard writes them."""
    above = np.zeros(rows.shape[1] - 1, int)
    out = []
    for kind, *row in rows.astype(int).tolist():
        here: list[int] = []
        for i, x in enumerate(row):
            left = here[i - step] if i >= step else 0
            corner = above[i - step] if i >= step else 0
            guess = left + above[i] - corner
            nearest = min((left, above[i], corner), key=lambda value: abs(guess - value))
            here.append((x + [0, left, above[i], (left + above[i]) // 2, nearest][kind]) % 256)
        above = here
        out.append(here)
    return np.array(out, np.uint8).reshape(len(rows), -1, step)


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="needed are 3"):
        _file.png_rows(b"abc", 2, 1, False)
    with pytest.raises(lfic.ContainerError):
        reader.decode_png(b"no file")
    assert reader.decode_png(GOLDEN[0].read_bytes(), 10**30)[1] == lfic.decode(GOLDEN[0].read_bytes(), 10**30).width
