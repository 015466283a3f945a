"""What `pip install lfic` gives, without the extra torch: files both ways, the same bytes, and clear words else."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import lfic
from lfic import encoding

TESTS = pathlib.Path(__file__).parent
LANDMARKS = [[92.5, 105.9], [125.7, 105.9], [110.4, 124.2], [96.9, 142.8], [123.0, 142.8]]


def run(code, *args):
    """Standard output of Python code in a process in which torch can't be imported."""
    environment = os.environ | {"PYTHONPATH": str(TESTS / "support")}
    done = subprocess.run(
        [sys.executable, "-c", f"import no_torch\n{code}", *map(str, args)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, face, photo):
    """A folder of a face on the template, one off it, a small picture and a photo."""
    folder = tmp_path_factory.mktemp("pictures")
    arrays = {"face": face, "moved": np.roll(face, 17, 1), "small": photo(50, 83), "photo": photo(300, 420)}
    for name, pixels in arrays.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


OPTIONS = [
    {},
    {"quality": 90},
    {"quality": 5, "checksum": False},
    {"quality": 60, "aligned": False},
    {"max_bytes": 260},
    {"max_bytes": 60},
    {"container": "bare"},
    {"container": "bare", "max_bytes": 180},
]


def test_files_and_pixels_are_the_codecs(codec, pictures):
    code = f"""
import json, pathlib, sys, lfic
from PIL import Image
found = {{}}
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.png")):
    image = Image.open(path)
    todo = {OPTIONS!r} + ([{{"faces": [{LANDMARKS}], "quality": 30}}, {{"faces": [{LANDMARKS}], "max_bytes": 700}}]
                          if path.stem == "photo" else [])
    for options in todo:
        try:
            data = lfic.encode(image, **options)
        except lfic.InvalidInputError as error:
            data = str(error).encode()
        found[path.stem + str(options)] = data.hex()
        if data[:1] == b"\\xf1":
            assert lfic.decode(data).size == image.size
print(json.dumps(found))
"""
    found = json.loads(run(code, pictures))
    assert len(found) == 4 * len(OPTIONS) + 2
    for path in pictures.glob("*.png"):
        image = Image.open(path)
        layered = [{"faces": [LANDMARKS], "quality": 30}, {"faces": [LANDMARKS], "max_bytes": 700}]
        for options in OPTIONS + (layered if path.stem == "photo" else []):
            try:
                expected = codec.encode(image, **options)
            except lfic.InvalidInputError as error:
                expected = str(error).encode()
            assert found[path.stem + str(options)] == expected.hex(), (path.stem, options)


def test_with_torch_the_same_bytes(codec, face, photo):
    """Faces near the choice between on the template and off it among them."""
    model = encoding.load("face-v2")
    for shift in range(0, 24, 3):
        image = np.roll(face, (shift, -shift), (0, 1))
        for quality in (3, 20, 40, 100):
            assert lfic.encode(image, quality=quality) == codec.encode(image, quality=quality)
    assert lfic.encode(photo(200, 120)) == model.encode(photo(200, 120)) == codec.encode(photo(200, 120))


def test_options_are_checked_as_the_codecs(codec, face):
    for options in (
        {"quality": 0},
        {"quality": 101},
        {"quality": 40, "max_bytes": 100},
        {"max_bytes": 0},
        {"effort": 4},
        {"min_similarity": 2},
        {"face_quality": 0},
        {"container": "tar"},
        {"checksum": 2},
        {"aligned": "no"},
        {"faces": "all"},
    ):
        with pytest.raises(lfic.InvalidInputError) as ours:
            lfic.encode(face, **options)
        with pytest.raises(lfic.InvalidInputError) as theirs:
            codec.encode(face, **options)
        assert str(ours.value) == str(theirs.value)
    with pytest.raises(lfic.InvalidInputError, match="load_codec"):
        encoding.load("face-v2").encode(face, effort=1)


def test_commands_and_plugin(pictures, tmp_path):
    code = """
import sys, lfic.pillow_plugin
from PIL import Image
from lfic.cli import main
source, out = sys.argv[1:]
for args in (
    ["encode", f"{source}/face.png", "-o", f"{out}/face.lfic", "--max-bytes", "200"],
    ["encode", f"{source}/photo.png", "-o", f"{out}/photo.lfic"],
    ["decode", f"{out}/face.lfic", "-o", f"{out}/face.png"],
    ["info", f"{out}/face.lfic", f"{out}/photo.lfic"],
):
    assert main(args) == 0, args
Image.open(f"{out}/face.lfic").save(f"{out}/again.lfic", quality=30)
print(Image.open(f"{out}/again.lfic").convert("L").size)
"""
    assert run(code, pictures, tmp_path).endswith("(112, 112)\n")
    shown = np.asarray(Image.open(tmp_path / "face.png"))
    np.testing.assert_array_equal(shown, np.asarray(lfic.decode((tmp_path / "face.lfic").read_bytes())))
    assert (tmp_path / "face.lfic").stat().st_size <= 200


def test_what_needs_torch_names_the_extra(pictures):
    code = """
import sys, lfic
from PIL import Image
image = Image.open(sys.argv[1])
for use in (
    lambda: lfic.encode(image, effort=1),
    lambda: lfic.encode(image, min_similarity=0.9),
    lambda: lfic.load_codec(),
    lambda: lfic.Codec,
    lambda: lfic.kernels,
    lambda: lfic.metric.HybridMetric,
    lambda: lfic.data.FaceDataset,
    lambda: __import__("lfic.codec"),
):
    try:
        use()
    except lfic.LficError as error:
        assert isinstance(error, lfic.MissingDependencyError) and "pip install 'lfic[torch]'" in str(error), error
    else:
        raise AssertionError(use)
try:
    import lfic.kernels
except ImportError as error:
    assert "pip install 'lfic[torch]'" in str(error)
print("told")
"""
    assert run(code, pictures / "face.png") == "told\n"


@pytest.mark.parametrize("command", [["encode", "--effort", "1", "FACE"], ["demo", "FACE"]])
def test_commands_that_need_torch_name_the_extra(pictures, tmp_path, command):
    args = [str(pictures / "face.png") if arg == "FACE" else arg for arg in command]
    code = f"""
import contextlib, io, os, lfic.cli
os.chdir({str(tmp_path)!r})
said = io.StringIO()
with contextlib.redirect_stderr(said):
    status = lfic.cli.main({args!r})
assert status == 1 and "pip install 'lfic[torch]'" in said.getvalue(), (status, said.getvalue())
"""
    run(code)
    assert not list(tmp_path.iterdir())


def test_batches_by_integers_are_the_codecs(codec, face, photo):
    images = [face, photo(50, 83), np.roll(face, 17, 1), face[..., :1].repeat(3, 2), photo(50, 83)[::-1], face[:, ::-1]]
    model = encoding.load("face-v2")
    for options in ({}, {"quality": 75, "checksum": False}, {"aligned": False}, {"max_bytes": 400}):
        expected = codec.encode_batch(images, **options)
        for threads in (1, 2):
            assert model.encode_batch(images, threads=threads, **options) == expected
        assert [model.encode(image, **options) for image in images] == expected
    shown = model.decode_batch(expected, threads=2)
    assert [image.mode for image in shown] == ["RGB", "RGB", "RGB", "L", "RGB", "RGB"]
    for image, other in zip(shown, codec.decode_batch(expected), strict=True):
        assert image.mode == other.mode and image.tobytes() == other.tobytes()


@pytest.mark.parametrize(
    "options",
    [
        {"effort": 1},
        {"min_similarity": 0.5},
        {"quality": 0},
        {"aligned": "no"},
        {"container": "bar"},
        {"threads": 1.5},
        {"threads": -1},
    ],
)
def test_batches_check_options_without_images(options):
    with pytest.raises(lfic.InvalidInputError):
        encoding.load("face-v2").encode_batch([], **options)


def test_what_is_no_option_or_no_face_is_told(photo):
    model = encoding.load("face-v2")
    with pytest.raises(TypeError, match="unexpected keyword argument 'speed'"):
        model.encode_batch([], speed=1)
    for data in ([], [b"x"]):
        with pytest.raises(lfic.InvalidInputError, match="threads"):
            model.decode_batch(data, threads=None)
    with pytest.raises(lfic.InvalidInputError, match="no picture has so many"):
        model.encode(photo(50, 83), faces=[np.array(LANDMARKS) * 1e300])


def test_archives(codec, pictures, tmp_path):
    """Folders and tar files both ways, by workers that have no torch either."""
    code = "import sys; from lfic.cli import main; raise SystemExit(main(sys.argv[1:]))"
    (tmp_path / "sitecustomize.py").write_text("import no_torch\n")
    environment = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(TESTS / "support")])}
    for source, target in ((pictures, "a.tar"), ("a.tar", "back"), (pictures, "files")):
        done = subprocess.run(
            [sys.executable, "-c", code, "transcode", source, target, "--jobs", "2"],
            capture_output=True,
            text=True,
            env=os.environ | environment,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr[-3000:]
    for path in pictures.glob("*.png"):
        data = (tmp_path / "files" / f"{path.stem}.lfic").read_bytes()
        assert data == codec.encode(Image.open(path))
        assert Image.open(tmp_path / "back" / path.name).tobytes() == codec.decode(data).tobytes()
