"""lfic.h: what is installed works for others, and gives what Python gives."""

import binascii
import ctypes as c
import json
import os
import pathlib
import subprocess
import threading

import numpy as np
import pytest
from integer_encoder import encoded
from own_weights import written
from PIL import Image

import lfic
from lfic import encoding

ROOT = pathlib.Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "data" / "golden"
WEIGHTS = ROOT / "lfic" / "weights" / "face-v2.safetensors"
OK, INVALID, CONTAINER, CORRUPT, WRONG_WEIGHTS, TOO_SMALL = range(6)


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def prefix(cpp_build, tmp_path_factory):
    """Where lfic was installed."""
    folder = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", cpp_build, "--prefix", folder)
    return folder


@pytest.fixture(scope="module")
def library(prefix):
    """(liblfic by ctypes, a model)."""
    (path,) = prefix.glob("lib*/**/liblfic.so")
    out = c.CDLL(str(path))
    out.lfic_error.restype = c.c_char_p
    model = c.c_void_p()
    assert out.lfic_model_open(str(WEIGHTS).encode(), c.byref(model)) == OK, out.lfic_error()
    yield out, model
    out.lfic_model_free(model)


class Info(c.Structure):
    _fields_ = [("width", c.c_uint32), ("height", c.c_uint32)] + [
        (name, c.c_int) for name in ("version", "model", "quality", "aligned", "checksum", "scale", "layers", "grey")
    ]
    _fields_ += [("payload_bytes", c.c_size_t)]


class DecodeOptions(c.Structure):
    _fields_ = [("max_pixels", c.c_uint64), ("stride", c.c_size_t), ("threads", c.c_int)]


class EncodeOptions(c.Structure):
    _fields_ = [(name, c.c_int) for name in ("quality", "aligned", "checksum", "threads")]
    _fields_ += [("max_bytes", c.c_size_t), ("stride", c.c_size_t), ("full", c.c_int)]


def error(library):
    return library.lfic_error().decode()


def decode(library, data, **options):
    """(status, pixels)."""
    lib, model = library
    given, info = DecodeOptions(), Info()
    lib.lfic_decode_defaults(c.byref(given))
    for name, value in options.items():
        setattr(given, name, value)
    status = lib.lfic_probe(data, c.c_size_t(len(data)), c.c_uint64(given.max_pixels), c.byref(info))
    if status != OK:
        return status, None
    out = np.zeros((info.height, given.stride or 3 * info.width), np.uint8)
    status = lib.lfic_decode(
        model, data, c.c_size_t(len(data)), c.byref(given), out.ctypes.data_as(c.c_void_p), c.c_size_t(out.size)
    )
    return status, out[:, : 3 * info.width].reshape(info.height, info.width, 3) if status == OK else None


def encode(library, pixels, room=1 << 20, **options):
    """(status, bytes, what size says)."""
    lib, model = library
    given, size = EncodeOptions(), c.c_size_t(room)
    lib.lfic_encode_defaults(c.byref(given))
    for name, value in options.items():
        setattr(given, name, value)
    out = c.create_string_buffer(room)
    status = lib.lfic_encode(
        model,
        np.ascontiguousarray(pixels).ctypes.data_as(c.c_void_p),
        c.c_uint32(options.get("width", pixels.shape[1])),
        c.c_uint32(pixels.shape[0]),
        c.byref(given),
        out,
        c.byref(size),
    )
    return status, out.raw[: size.value] if status == OK else b"", size.value


@pytest.mark.parametrize("way", ["cmake", "pkg-config"])
def test_the_example_is_built_against_what_is_installed(prefix, tmp_path, way, face):
    example = ROOT / "examples" / "c"
    if way == "cmake":
        run("cmake", "-S", example, "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={prefix}")
        run("cmake", "--build", tmp_path)
        environment = dict(os.environ)
    else:
        (pc,) = prefix.glob("lib*/**/pkgconfig")
        environment = os.environ | {"PKG_CONFIG_PATH": str(pc)}
        flags = ("--cflags", "--libs")
        flags = run("pkg-config", *flags, "lfic", env=environment).split()
        (library,) = prefix.glob("lib*/**/liblfic.so")
        strict = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O2")
        run("cc", *strict, example / "face.c", *flags, f"-Wl,-rpath,{library.parent}", "-o", tmp_path / "face")
        weights = run("pkg-config", "--variable=weights", "lfic", env=environment)
        environment["LFIC_WEIGHTS"] = weights.strip()
        assert pathlib.Path(weights.strip()).read_bytes() == WEIGHTS.read_bytes()
    Image.fromarray(face).save(tmp_path / "face.ppm")
    run(tmp_path / "face", "encode", tmp_path / "face.ppm", tmp_path / "face.lfic", "30", env=environment)
    data = (tmp_path / "face.lfic").read_bytes()
    assert data == encoded(face, 30) == lfic.encode(face, quality=30, effort=0)
    run(tmp_path / "face", "decode", tmp_path / "face.lfic", tmp_path / "out.ppm", env=environment)
    assert (np.asarray(Image.open(tmp_path / "out.ppm")) == np.asarray(lfic.decode(data))).all()
    (tmp_path / "bad.lfic").write_bytes(data[:-1])
    done = subprocess.run(
        [tmp_path / "face", "decode", tmp_path / "bad.lfic", "/dev/null"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 1 and "the checksum is 0x" in done.stderr


def test_the_header_is_c99_and_cpp(tmp_path):
    for compiler, language, standard in (("cc", "c", "c99"), ("c++", "c++", "c++11")):
        source = tmp_path / f"header.{language}"
        source.write_text('#include "lfic.h"\nint main(void) { return lfic_api_version() != LFIC_API_VERSION; }\n')
        flags = ("-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", f"-std={standard}")
        run(compiler, *flags, "-I", ROOT / "csrc" / "capi", "-x", language, source)


def test_golden_files(library):
    for path in sorted(GOLDEN.glob("*.lfic")):
        data = path.read_bytes()
        status, pixels = decode(library, data)
        assert status == OK, error(library[0])
        assert (pixels == np.asarray(lfic.decode(data).convert("RGB"))).all(), path.stem
        info, expected = Info(), lfic.probe(data)
        assert library[0].lfic_probe(data, c.c_size_t(len(data)), c.c_uint64(0), c.byref(info)) == OK
        for name in ("width", "height", "quality", "aligned", "checksum", "payload_bytes"):
            assert getattr(info, name) == getattr(expected, name), name
        assert info.scale == 64 * expected.scale
        assert (
            info.layers == len(expected.layers)
            and info.model == ("face-v1", "face-v2").index(expected.model)
            and info.grey == expected.grey
            and info.version == 4 * info.model + (2 if info.layers or info.scale < 64 else 3 if info.grey else 1)
        )
        count = c.c_size_t(10_000)
        levels = (c.c_uint8 * count.value)()
        lib, model = library
        assert lib.lfic_levels(model, data, c.c_size_t(len(data)), levels, c.byref(count)) == OK
        assert list(levels)[: count.value] == expected.levels.ravel().tolist()


def test_faces(library):
    lib, model = library
    matrix, quality, side = (c.c_double * 6)(), c.c_int(), c.c_int()
    for name in ("photo.lfic", "large-faces.lfic"):
        data = (GOLDEN / name).read_bytes()
        expected = lfic.load_codec().decode_faces(data)
        assert expected
        for index, face in enumerate(expected):
            room = 3 * face.image.width**2
            out = (c.c_uint8 * room)()
            told = matrix, c.byref(quality)
            given = model, data, c.c_size_t(len(data)), index, out
            assert lib.lfic_decode_face(*given, c.c_size_t(room - 1), c.byref(side), *told) == TOO_SMALL
            assert lib.lfic_decode_face(*given, c.c_size_t(room), c.byref(side), *told) == OK
            assert side.value == face.image.width and quality.value == face.quality
            assert np.allclose(list(matrix), face.matrix.ravel())
            assert bytes(out) == np.asarray(face.image).tobytes()
    status = lib.lfic_decode_face(
        model, data, c.c_size_t(len(data)), len(expected), out, c.c_size_t(room), c.byref(side), None, None
    )
    assert status == INVALID and "is asked for" in error(lib)


def test_encoding_is_python_s_integers(library, face, photo):
    for pixels, options in (
        (face, {"quality": 1}),
        (face, {"quality": 100, "aligned": 0}),
        (face, {"quality": 55, "aligned": 1, "checksum": 0}),
        (np.ascontiguousarray(photo(112, 112)[::-1]), {"quality": 20}),
        (photo(37, 250), {"quality": 40, "threads": 2}),
    ):
        status, data, size = encode(library, pixels, **options)
        assert status == OK and size == len(data), error(library[0])
        wanted = {k: bool(v) if k in ("aligned", "checksum") else v for k, v in options.items() if k != "threads"}
        assert data == encoded(pixels, **wanted)
        assert (decode(library, data)[1] == np.asarray(lfic.decode(data))).all()


def test_pictures_are_coded_smaller(library, face, photo):
    soft = np.asarray(Image.fromarray(face).resize((250, 200), Image.Resampling.BICUBIC))
    integers = encoding.load("face-v2")
    for pixels in (soft, np.repeat(soft[:, :, :1], 3, 2), photo(200, 250)):
        for options in ({"quality": 10}, {"quality": 40}, {"quality": 60}, {"max_bytes": 250}, {"max_bytes": 400}):
            status, data, _ = encode(library, pixels, **options)
            assert status == OK and data == integers.encode(pixels, **options), options
            if pixels is soft:
                assert lfic.probe(data).scale < 1
            whole = encode(library, pixels, **options, full=1)[1]
            assert whole == integers.encode(pixels, **options, resolution="full") and lfic.probe(whole).scale == 1
            assert (decode(library, data)[1] == np.asarray(lfic.decode(data).convert("RGB"))).all()


@pytest.mark.parametrize("bound", [75, 150, 333])
def test_the_largest_quality_that_fits(library, face, bound):
    status, data, _ = encode(library, face, max_bytes=bound)
    quality = lfic.probe(data).quality
    assert status == OK and len(data) <= bound < len(encoded(face, quality + 1, lfic.probe(data).aligned))
    assert data == encoded(face, quality, lfic.probe(data).aligned)


def test_a_bound_that_only_the_coarsest_levels_meet(library, photo):
    bound = len(encoded(photo(200, 170), 1)) - 4
    status, data, _ = encode(library, photo(200, 170), max_bytes=bound, full=1)
    assert status == OK and len(data) <= bound and (lfic.probe(data).levels == 2).all()


@pytest.mark.parametrize(("size", "bound"), [((250, 250), 60), ((250, 250), 30), ((90, 200), 30), ((300, 417), 75)])
def test_a_bound_that_no_quality_meets(library, face, size, bound):
    """A background alone at a part of the picture's size, as in Python; quality is not read."""
    pixels = np.asarray(Image.fromarray(face).resize(size[::-1], Image.Resampling.BICUBIC))
    integers = encoding.load("face-v2")
    for picture in (pixels, np.repeat(pixels[:, :, :1], 3, 2)):
        status, data, _ = encode(library, picture, max_bytes=bound, quality=0)
        assert status == OK, error(library[0])
        assert data == integers.encode(picture, max_bytes=bound) and len(data) <= bound and lfic.probe(data).scale < 0.7
        assert encode(library, picture, max_bytes=bound, full=1)[0] == INVALID
    status = encode(library, pixels, max_bytes=9)[0]
    assert status == INVALID and "max_bytes is 9, but the smallest file" in error(library[0])


def test_buffers_of_the_caller(library, face):
    lib, model = library
    data = (GOLDEN / "photo.lfic").read_bytes()
    plain = decode(library, data)[1]
    status, padded = decode(library, data, stride=3 * plain.shape[1] + 13)
    assert status == OK and (padded == plain).all()
    out = np.zeros(plain.size + 64, np.uint8)
    for room in (0, 1, plain.size - 1):
        where = out.ctypes.data_as(c.c_void_p)
        status = lib.lfic_decode(model, data, c.c_size_t(len(data)), None, where, c.c_size_t(room))
        assert status == TOO_SMALL and f"takes {plain.size} bytes; the buffer has {room}" in error(lib)
        assert not out.any()
    whole = encode(library, face)[1]
    for room in (0, len(whole) - 1):
        assert encode(library, face, room=room)[::2] == (TOO_SMALL, len(whole))
    wide = np.zeros((112, 140, 3), np.uint8)
    wide[:, :112] = face
    status, data, _ = encode(library, wide, width=112, stride=420)
    assert status == OK and data == whole


def test_what_is_refused(library, face, tmp_path):
    lib, model = library
    good = (GOLDEN / "face-q40.lfic").read_bytes()
    for data, status, words in (
        (b"", CORRUPT, "the file has 0 bytes"),
        (b"PNG file", CONTAINER, "this is no lfic file: it starts with byte 0x50"),
        (good[:-1], CORRUPT, "the checksum is"),
        (b"\xfc\x20\x52\xff\xff", CORRUPT, "noticed at byte"),
        (b"\xfc\x21\x50\xff\xff\x03\xff\xff\x03", CONTAINER, "pixels; allowed are 50000000"),
        (b"\xfc\x21\x50\xff\xff\x7f\xff\xff\x7f", CONTAINER, "allowed are 524288 pixels a side"),
        (b"\xfc\x20\x51\xff\0\0\0\0", CONTAINER, "was written by model private; this codec has face-v2"),
    ):
        found, _ = decode(library, data)
        assert (found, words in error(lib)) == (status, True), error(lib)
    assert decode(library, good, max_pixels=12543)[0] == CONTAINER
    assert decode(library, good, stride=100)[0] == INVALID and "the stride is 100" in error(lib)
    assert decode(library, good, threads=-1)[0] == INVALID and "threads is -1" in error(lib)
    for options, words in (
        ({"quality": 0}, "quality is 0; allowed are the integers 1 to 100"),
        ({"aligned": 2}, "aligned is 2"),
        ({"max_bytes": 9}, "max_bytes is 9, but the smallest file of this image has"),
        ({"stride": 5}, "the stride is 5"),
        ({"width": 0}, "the image is 0 x 112"),
        ({"width": 1 << 31}, "the image is 2147483648 x 112"),
    ):
        assert encode(library, face, **options)[0] == INVALID and words in error(lib), error(lib)
    assert encode(library, face[:50], aligned=1)[0] == INVALID and "aligned=1 needs 112 x 112" in error(lib)
    other = c.c_void_p(1)
    assert lib.lfic_model_open(b"/no/such/file", c.byref(other)) == WRONG_WEIGHTS and other.value is None
    assert "there are no weights at /no/such/file" in error(lib)
    assert lib.lfic_model_load(b"1234567", c.c_size_t(7), c.byref(other)) == WRONG_WEIGHTS
    assert "it has 7 bytes" in error(lib)
    assert lib.lfic_decode(None, good, c.c_size_t(len(good)), None, None, c.c_size_t(0)) == INVALID
    assert error(lib) == "model is null"
    assert lib.lfic_model_open(None, c.byref(other)) == INVALID and lib.lfic_model_open(b"x", None) == INVALID
    lib.lfic_model_free(None)


def test_bare_streams(library, face):
    lib, _ = library
    size, out = c.c_size_t(1024), c.create_string_buffer(1024)
    bare = lfic.encode(face, max_bytes=150, aligned=True, effort=0, container="bare")
    assert lib.lfic_file_of_bare(bare, c.c_size_t(len(bare)), out, c.byref(size)) == OK
    shown = decode(library, out.raw[: size.value])[1]
    assert (shown == np.asarray(lfic.decode(bare, container="bare"))).all()
    for bare, file in (
        (bytes([39, 7, 8]), "fc3c500708"),
        (bytes([0]), "fc3c02"),
        (bytes([139, 7, 8]), "fcbc500708"),
        (bytes([199]), "fcbcc8"),
        (b"\xfc\x20\x52\xff", "fc2052ff"),
    ):
        size.value = 64
        assert lib.lfic_file_of_bare(bare, c.c_size_t(len(bare)), out, c.byref(size)) == OK
        assert out.raw[: size.value].hex() == file
    for bare, status, words in (
        (b"", CORRUPT, "is empty"),
        (b"\xc8", CONTAINER, "its first byte is 200; allowed are 0 to 199"),
    ):
        assert lib.lfic_file_of_bare(bare, c.c_size_t(len(bare)), out, c.byref(size)) == status
        assert words in error(lib)


def test_threads_share_a_model_and_keep_their_errors(library, face):
    lib, _ = library
    good = (GOLDEN / "face-q40.lfic").read_bytes()
    expected, found = decode(library, good)[1].copy(), []

    def work(number):
        bad = b"\xfc" + bytes([4 << 5 | number, 0, 0])
        for _ in range(3):
            assert decode(library, bad)[0] == CONTAINER
            assert (decode(library, good)[1] == expected).all()
            found.append(error(lib))

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 12 and {"format version 4" in text for text in found} == {True}


def test_weights_that_hold_what_decodes_alone(library, tmp_path, face):
    """A smaller file says which weights it was cut from, and reads the same files."""
    from safetensors.numpy import save

    from lfic.format import weights

    arrays, texts = weights.load_arrays("face-v1")
    unneeded = ("net.", "integers.analysis.", "integers.level_head.")
    kept = {key: value for key, value in arrays.items() if not key.startswith(unneeded)}
    small = {"format": weights.FORMAT, "source": texts["digest"]}
    small["digest"] = weights.digest(kept, small)
    (tmp_path / "small.safetensors").write_bytes(save(kept, small))
    lib, _ = library
    model = c.c_void_p()
    assert lib.lfic_model_open(str(tmp_path / "small.safetensors").encode(), c.byref(model)) == OK, error(lib)
    good = (GOLDEN / "face-q40.lfic").read_bytes()
    assert (decode((lib, model), good)[1] == decode(library, good)[1]).all()
    assert encode((lib, model), face)[0] == WRONG_WEIGHTS and "take the whole model" in error(lib)
    lib.lfic_model_free(model)
    assert json.loads(texts["config"])["channels"] == 96


def test_private_weights_are_told_apart(library, tmp_path, face):
    lib, bundled = library
    models = []
    for name in ("one", "two"):
        path, model = written(tmp_path / f"{name}.safetensors"), c.c_void_p()
        assert lib.lfic_model_open(str(path).encode(), c.byref(model)) == OK, error(lib)
        models.append(model)
    try:
        status, data, _ = encode((lib, models[0]), face, quality=20)
        assert status == OK
        assert data == lfic.Codec(tmp_path / "one.safetensors").encode(face, quality=20)
        assert decode((lib, models[0]), data)[0] == OK
        assert decode((lib, models[1]), data)[0] == CONTAINER
        assert f"private weights {data[4:8].hex()}; these are " in error(lib)
        assert decode((lib, bundled), data)[0] == CONTAINER
        unknown = data[:4] + bytes(4) + data[8:-2]  # as files have it whose encoder did not know its weights
        unknown += binascii.crc_hqx(unknown, 0).to_bytes(2, "big")
        assert decode((lib, models[1]), unknown)[0] == OK
    finally:
        for model in models:
            lib.lfic_model_free(model)
