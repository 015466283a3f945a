"""What users hand in -> RGB arrays."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from lfic.errors import InvalidInputError
from lfic.image import notes, open_image, to_rgb

RAMP = np.arange(6 * 5 * 3, dtype=np.uint8).reshape(6, 5, 3)


def test_rgb_passes_unchanged_in_every_form():
    for form in (Image.fromarray(RAMP), RAMP, torch.from_numpy(RAMP).permute(2, 0, 1), RAMP[::1, ::1]):
        np.testing.assert_array_equal(to_rgb(form), RAMP)


@pytest.mark.parametrize(
    "grey", [RAMP[:, :, 0], RAMP[:, :, :1], Image.fromarray(RAMP[:, :, 0]), torch.from_numpy(RAMP[None, :, :, 0])]
)
def test_grey_becomes_three_equal_channels(grey):
    np.testing.assert_array_equal(to_rgb(grey), np.repeat(RAMP[:, :, :1], 3, 2))


def test_alpha_is_composited_over_white():
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, :, 3] = 255
    expected = np.array([[[0] * 3] * 2, [[255] * 3] * 2], np.uint8)
    np.testing.assert_array_equal(to_rgb(rgba), expected)
    np.testing.assert_array_equal(to_rgb(Image.fromarray(rgba)), expected)
    np.testing.assert_array_equal(to_rgb(torch.from_numpy(rgba).permute(2, 0, 1)), expected)


def test_palette_with_transparency():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(to_rgb(image), [[[10, 20, 30], [40, 50, 60]]])
    image.info["transparency"] = 1
    np.testing.assert_array_equal(to_rgb(image), [[[10, 20, 30], [255, 255, 255]]])


def test_sixteen_bits_are_rounded():
    wide = np.array([[0, 128, 129, 65535]], np.uint16)
    np.testing.assert_array_equal(to_rgb(wide)[0, :, 0], [0, 0, 1, 255])
    np.testing.assert_array_equal(to_rgb(Image.fromarray(wide))[0, :, 0], [0, 0, 1, 255])
    np.testing.assert_array_equal(to_rgb(np.repeat(wide[:, :, None], 3, 2))[0, :, 2], [0, 0, 1, 255])


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV", "I", "I;16"]
)
def test_every_usual_mode_gives_rgb(mode):
    try:
        image = Image.new(mode, (5, 4))
    except ValueError:
        pytest.fail(f"Pillow makes no {mode} image")
    assert to_rgb(image).shape == (4, 5, 3)


def test_orientation_of_cameras_is_applied():
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RAMP).save(buffer, "PNG", exif=exif)
    np.testing.assert_array_equal(to_rgb(Image.open(buffer)), np.rot90(RAMP, -1))


@pytest.mark.parametrize(
    "bad, text",
    [
        (RAMP.astype(np.float32), "float32"),
        (RAMP[:, :, :2], "2"),
        (RAMP[0, 0], r"\(3,\)"),
        (RAMP[:0], "at least 1 x 1"),
        (torch.zeros(5, 4, 3, dtype=torch.uint8), "C, H, W"),
        (torch.zeros(3, 4, 5), "float32"),
        ("a.png", "str"),
        (None, "NoneType"),
        (Image.new("F", (2, 2)), "floating"),
        (np.zeros((2, 0, 3), np.uint8), "at least"),
        (torch.zeros(3, 0, 5, dtype=torch.uint8), "at least"),
    ],
)
def test_what_is_no_image_is_refused(bad, text):
    with pytest.raises(InvalidInputError, match=text):
        to_rgb(bad)


def test_integers_beyond_sixteen_bits_are_refused():
    for value in (-1, 65536):
        with pytest.raises(InvalidInputError, match=f"{value}.*allowed are 0 to 65535"):
            to_rgb(Image.new("I", (3, 2), value))


def test_a_path_is_told_to_be_opened():
    with pytest.raises(InvalidInputError, match="PIL.Image.open"):
        to_rgb("a.png")


@pytest.mark.parametrize("error", [KeyError("x"), IndexError("x"), PermissionError(13, "Permission denied")])
def test_whatever_a_reader_raises_names_the_file(error, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(InvalidInputError, match="a.png"):
        open_image(tmp_path / "a.png")


def test_truncated_image_files_are_refused(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)).save(buffer, "PNG")
    path = tmp_path / "cut.png"
    path.write_bytes(buffer.getvalue()[:3000])
    with pytest.raises(InvalidInputError, match="cut.png"):
        open_image(path)
    with Image.open(path) as lazy, pytest.raises(InvalidInputError, match="RGB"):
        to_rgb(lazy)
    with pytest.raises(InvalidInputError, match="no file"):
        open_image(tmp_path / "none.png")
    with pytest.raises(InvalidInputError, match="is a folder"):
        open_image(tmp_path)
    path.write_bytes(b"text")
    with pytest.raises(InvalidInputError, match="no image"):
        open_image(path)


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return Image.open(io.BytesIO(buffer.getvalue()))


def test_broken_metadata_never_cost_the_picture():
    for kind, options in (("WEBP", {"exif": b"junk", "lossless": True}), ("PNG", {"icc_profile": b"junk"})):
        image = saved(Image.fromarray(RAMP), kind, **options)
        np.testing.assert_array_equal(to_rgb(image), RAMP)
        np.testing.assert_array_equal(to_rgb(image), RAMP)


def test_sixteen_bits_with_a_transparent_value():
    grey = Image.fromarray(np.array([[0, 30000, 65535]], np.uint16))
    np.testing.assert_array_equal(to_rgb(saved(grey, "PNG", transparency=0))[0, :, 0], [255, 117, 255])


def test_colors_of_a_profile_become_those_of_srgb():
    from PIL import ImageCms

    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = saved(Image.fromarray(RAMP), "PNG", icc_profile=srgb)
    np.testing.assert_array_equal(to_rgb(image), RAMP)  # not even by rounding
    assert notes(image) == ["its colour profile, sRGB, is left out"]
    lab = Image.new("LAB", (2, 2), (128, 128, 128))
    lab.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    found = to_rgb(lab)
    assert found.std() < 3 and 100 < found.mean() < 140  # mid-grey
    assert notes(lab) == ["its colour profile is turned into sRGB"]


def test_an_animation_is_told(tmp_path):
    frames = [Image.fromarray(np.full((4, 4, 3), value, np.uint8)) for value in (0, 90, 200)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    image = open_image(tmp_path / "a.webp")
    assert notes(image) == ["it has 3 frames; the first is taken"] and to_rgb(image).max() == 0


def test_subclasses_of_tensors_and_arrays():
    class Picture(torch.Tensor):
        pass

    tensor = torch.from_numpy(RAMP).permute(2, 0, 1).as_subclass(Picture)
    np.testing.assert_array_equal(to_rgb(tensor), RAMP)
    np.testing.assert_array_equal(to_rgb(np.ma.masked_array(RAMP)), RAMP)
    for odd in (torch.zeros(3, 4, 4, dtype=torch.uint8, device="meta"), tensor.as_subclass(torch.Tensor).to_sparse()):
        with pytest.raises(InvalidInputError, match="can't be read|needed is"):
            to_rgb(odd)


def test_formats_that_are_not_read_name_what_reads_them(tmp_path, monkeypatch):
    monkeypatch.setattr("lfic.image._registered", lambda module: False)
    monkeypatch.setattr(Image, "ID", [kind for kind in Image.ID if kind not in ("HEIF", "JXL")])  # as without plugins
    for head, text in ((b"\0\0\0\x18ftypheic", r"HEIC, which pip install .lfic\[heif\]"), (b"\xff\x0a", "JPEG XL")):
        (tmp_path / "a.x").write_bytes(head + bytes(40))
        with pytest.raises(InvalidInputError, match=text):
            open_image(tmp_path / "a.x")


# What opens a picture itself, and why it may: what a codec or lfic itself wrote a moment before.
OPENERS = {
    "image.py",
    "evaluate/peers/facial.py",
    "evaluate/peers/pillow.py",
    "train/augment.py",
    "data/facepack.py",
    "qr.py",
}


def test_nothing_else_opens_pictures():
    import pathlib
    import re

    import lfic

    root = pathlib.Path(lfic.__file__).parent
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if re.search(r"^(?!\s*(Image\.open\(\"a|#)).*\bImage\.open\(", path.read_text(), re.MULTILINE)
    }
    assert found <= OPENERS, found - OPENERS
