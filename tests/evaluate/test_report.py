"""The HTML page, opened in a headless Chromium: it shows what it should, and loads nothing."""

import base64
import io
import os
import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest
from evaluate_faces import crops, write_folder, write_recognizer
from PIL import Image

from lfic.evaluate import groups, heat
from lfic.evaluate.__main__ import main
from lfic.evaluate.budget import fine_settings
from lfic.evaluate.data import Faces
from lfic.evaluate.peers import facial
from lfic.evaluate.points import Point
from lfic.evaluate.registry import CODECS
from lfic.evaluate.report import deltas as delta_sections
from lfic.evaluate.report.page import write_page
from lfic.evaluate.report.plots import plot, plot_roc, rocs
from lfic.evaluate.tables import write_csv
from lfic.evaluate.verification import pair_scores, roc


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    images, pairs = write_folder(folder)
    assert (
        main(
            [
                str(images),
                "--pairs",
                str(pairs),
                "--recognizer",
                str(write_recognizer(folder / "tiny.pt")),
                "--quiet",
                "--codecs",
                "lfic:15/50,webp:0/20/60,jpeg:5/20/50",
                "--bootstrap",
                "30",
                "--anchor",
                "WebP,JPEG",
                "--speed",
                "--pictures",
                "1",
                "--cache",
                str(folder / "c"),
                "--out",
                str(folder / "page"),
            ]
        )
        == 0
    )
    return folder / "page.html"


def chromium():
    """Path of a Chromium. Without one the test is skipped with its reason in the summary; where CI is set, it fails."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        missing = "no Chromium on this machine, so the report was not opened in a browser: apt-get install chromium"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    return found


def browse(page, tmp_path, *options):
    # --no-sandbox: containers run as root; the page is our own file.
    return subprocess.run(
        [
            chromium(),
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            f"--user-data-dir={tmp_path}/profile",
            "--no-first-run",
            "--disable-background-networking",
            *options,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def test_screenshot(page, tmp_path):
    browse(page, tmp_path, f"--screenshot={tmp_path}/shot.png", "--window-size=1200,3200")
    shot = np.asarray(Image.open(tmp_path / "shot.png").convert("RGB")).astype(int)
    if keep := os.environ.get("LFIC_TEST_SCREENSHOT"):
        Image.open(tmp_path / "shot.png").save(keep)
    assert shot.shape == (3200, 1200, 3)
    assert (shot[:60] == 255).mean() > 0.5  # white page, not an error screen
    lfic_colour = np.abs(shot - [0xC2, 0x18, 0x5B]).sum(2) < 30
    assert lfic_colour[:1600].sum() > 200  # lfic's curves are drawn
    colours = len(np.unique(shot.reshape(-1, 3), axis=0))
    assert colours > 5000  # photographs are on it


def test_the_browser_finds_every_picture(page, tmp_path):
    """A page that measures itself: every image has decoded, and nothing is wider than the window."""
    probe = tmp_path / "probe.html"
    script = (
        "<script>onload=()=>{const i=[...document.images];document.title=`images ${i.length} loaded "
        "${i.filter(x=>x.complete&&x.naturalWidth>0).length} "
        "wide ${document.documentElement.scrollWidth>innerWidth}`}</script></html>"
    )
    probe.write_text(page.read_text().replace("</html>", script))
    dom = browse(probe, tmp_path, "--dump-dom", "--window-size=1200,900", "--virtual-time-budget=5000").stdout
    found = re.search(r"<title>images (\d+) loaded (\d+) wide (\w+)</title>", dom)
    assert found, dom[:500]
    assert int(found[1]) == int(found[2]) > 10 and found[3] == "false"


def test_self_contained(page):
    text = page.read_text()
    assert (
        not re.findall(r"""(?:src|href)\s*=\s*["']?(?!data:)[^"'> ]""", text)
        and "url(" not in text
        and "@import" not in text
    )
    for word in (
        "BD-rate",
        "Faces at equal bytes",
        "Region levels",
        "Speed",
        "Bytes for a given quality",
        "lfic",
        "WebP",
        "95 %",
        "All figures",
    ):
        assert word in text
    assert sorted(p.name for p in page.parent.glob("page*")) == [
        "page-bdrate.csv",
        "page-bytes.csv",
        "page-psnr.png",
        "page-speed.csv",
        "page-tiny-accuracy.png",
        "page-tiny-roc-near-300-bytes.png",
        "page-tiny-similarity-to-the-uncompressed-face.png",
        "page.csv",
        "page.html",
    ]
    for path in page.parent.glob("page*.png"):  # the page's curves are those files
        assert base64.b64encode(path.read_bytes()).decode() in text


def test_names_are_escaped(tmp_path):
    row = {
        "codec": "<script>x</script>",
        "setting": "1",
        "recognizer": "r&d",
        "protocol": "both",
        "bytes": 10.0,
        "bytes_without_header": 9.0,
        "psnr_db": 30.0,
        "similarity": 0.5,
        "accuracy": 0.9,
        "standard_error": 0.01,
    }
    write_page(tmp_path / "p.html", [row, {**row, "bytes": 20.0, "accuracy": 0.95}], note="<b>")
    text = pathlib.Path(tmp_path / "p.html").read_text()
    assert "<script>" not in text and "&lt;script&gt;" in text and "<b>" not in text


def test_heat_map_tints_the_right_regions():
    face = crops(1, 1)[0][0]
    levels = np.zeros((4, 4), np.uint8)
    levels[1, 2], levels[3, 3] = 1, 2
    tint = heat.heat_map(face, levels) - 0.55 * face.mean(2, keepdims=True)
    for (row, column), level in np.ndenumerate(levels):
        region = tint[32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
        assert np.abs(region - 0.45 * np.array(heat.COLORS[level])).max() <= 1
    red, _, blue = heat.COLORS
    assert red[0] > 2 * max(red[1:]) and blue[2] > 2 * max(blue[:2])  # fine regions are red, pooled ones blue


def test_paper_figures_stand_beside_their_rows():
    deltas = [
        {
            "codec": "lfic",
            "anchor": anchor,
            "measure": "accuracy",
            "recognizer": "r",
            "bd_rate_percent": -50.0,
            "bd_rate_without_header_percent": -49.0,
            "overlap_from": 0.8,
            "overlap_to": 0.95,
            "low_percent": -55.0,
            "high_percent": -45.0,
        }
        for anchor in ("JPEG 2000", "WebP", "bmshj2018", "JPEG")
    ]
    text = delta_sections.delta_table(deltas)
    assert (
        text.count("−71.41") == text.count("−48.28") == text.count("−52.67") == 1
        and "[-55.0, -45.0]" in text
        and "80.00 to 95.00" in text
    )


def test_matrices_have_a_line_for_each_codec_and_a_column_for_each_rival():
    deltas = [
        {
            "codec": codec,
            "anchor": anchor,
            "measure": measure,
            "recognizer": name,
            "bd_rate_percent": value,
            "low_percent": value - 1,
            "high_percent": value + 1,
        }
        for name in ("r", "s")
        for measure in ("accuracy", "similarity", "tar@1e-3")
        for codec, anchor, value in (("JPEG", "WebP", 20.0), ("lfic", "WebP", -50.0), ("lfic", "JPEG", float("nan")))
    ]
    text = delta_sections.delta_matrices(deltas)
    tables = [table.split("</table>")[0] for table in text.split("<h3>")[1:]]
    assert [table.split(":")[0] for table in tables] == [
        "r, equal accuracy",
        "r, equal similarity",
        "s, equal accuracy",
        "s, equal similarity",
    ]
    assert (
        "<tr><td>lfic</td><td>-50.0 [-51.0, -49.0]</td><td>–</td></tr><tr><td>JPEG</td><td>20.0 [19.0, "
        "21.0]</td><td></td></tr>" in tables[0]
    )
    assert "−48.28" in tables[0] and "−48.28" not in tables[1]


def test_intervals_of_both_columns_stand_in_the_table():
    delta = {
        "codec": "lfic",
        "anchor": "WebP",
        "measure": "accuracy",
        "recognizer": "r",
        "bd_rate_percent": -50.0,
        "bd_rate_without_header_percent": -41.25,
        "low_percent": -55.0,
        "high_percent": -45.0,
        "low_without_header_percent": -46.0,
        "high_without_header_percent": -36.5,
        "overlap_from": 0.8,
        "overlap_to": 0.95,
    }
    text = delta_sections.delta_table(
        [delta, {**delta, "low_percent": float("nan"), "low_without_header_percent": None}]
    )
    assert (
        text.count("-50.0 [-55.0, -45.0]") == text.count("-41.2 [-46.0, -36.5]") == 1
        and text.count("<td>-50.0</td>") == 1
        and "nan" not in text
    )


def test_bands_surround_their_curves():
    """What the spread covers is tinted, as wide as it says: a wide band has more coloured pixels than a narrow one."""

    def tinted(error, measure, field):
        rows = [
            {"codec": "lfic", "recognizer": "r", "bytes": size, measure: value, field: error}
            for size, value in ((100, 0.5), (300, 0.7), (900, 0.8))
        ]
        image = np.asarray(Image.open(io.BytesIO(plot(rows, measure, "r", "t"))).convert("RGB")).astype(int)
        return (np.abs(image - (0.13 * np.array([0xC2, 0x18, 0x5B]) + 0.87 * 255)).max(2) < 6).mean()

    for measure, field in (
        ("accuracy", "standard_error"),
        ("tar_at_far_0.001", "tar_at_far_0.001_error"),
        ("similarity", "similarity_error"),
    ):
        assert tinted(0.0, measure, field) < 0.01 < tinted(0.03, measure, field) < tinted(0.06, measure, field)


def test_roc_of_the_setting_nearest_to_the_bytes():
    """The curve is that of the pairs' scores, codec by codec; impostors that score as high as genuine pairs bend it."""
    identity = np.eye(8, dtype=np.float32)
    original = identity[[0, 0, 1, 1, 2, 2, 3, 3]]
    blurred = original + 0.9 * identity[[0, 4, 0, 4, 5, 0, 5, 0]]
    blurred /= np.linalg.norm(blurred, axis=1, keepdims=True)
    pairs, same = np.array([[0, 1], [2, 3], [4, 5], [6, 7], [0, 2], [1, 3], [4, 6], [5, 7]]), np.arange(8) < 4
    faces = Faces([""] * 8, np.zeros((8, 112, 112, 3), np.uint8), [""] * 8, pairs, same, np.zeros(8, np.int64))
    points = [
        Point("c", str(size), np.full(8, size), np.zeros(8), np.zeros(8), {"r": vectors})
        for size, vectors in ((100, original), (290, blurred), (900, original))
    ]
    plain, curve = rocs(points, {"r": original}, faces)
    assert (plain["codec"], curve["codec"], curve["setting"], curve["bytes"]) == ("uncompressed", "c", "290", 290)
    far, tar, _ = roc(pair_scores(blurred, blurred, pairs), same)
    np.testing.assert_array_equal(curve["far"], far)
    np.testing.assert_array_equal(curve["tar"], tar)
    assert plain["tar"][plain["far"] == 0].max() == 1 > curve["tar"][curve["far"] == 0].max()
    assert np.asarray(Image.open(io.BytesIO(plot_roc([plain, curve], "t")))).std() > 0
    assert (
        rocs(points, {"r": original}, Faces([""] * 8, faces.pixels, [""] * 8, pairs[:0], same[:0], faces.folds[:0]))
        == []
    )


def test_groups_of_another_run_on_the_page(tmp_path):
    """LFW's names have no groups: the page takes those that a run over UTKFace's wrote."""
    images, pairs = write_folder(tmp_path)
    row = {
        "codec": "WebP",
        "setting": 20,
        "recognizer": "tiny",
        "faces": 7,
        "bytes": 300.0,
        "similarity": 0.5,
        "standard_error": 0.125,
        "gap": -0.25,
    }
    write_csv(
        tmp_path / "u-groups.csv",
        [{**row, "group": "age 0-12"}, {**row, "group": "all", "similarity": 0.75, "gap": 0.0}],
    )
    assert (
        main(
            [
                str(images),
                "--pairs",
                str(pairs),
                "--recognizer",
                str(write_recognizer(tmp_path / "tiny.pt")),
                "--quiet",
                "--codecs",
                "webp:20",
                "--bootstrap",
                "0",
                "--pictures",
                "1",
                "--groups",
                str(tmp_path / "u-groups.csv"),
                "--cache",
                str(tmp_path / "c"),
                "--out",
                str(tmp_path / "page"),
            ]
        )
        == 0
    )
    text = (tmp_path / "page.html").read_text()
    assert (
        "<td>age 0-12</td><td>0.500 (-0.250 ± 0.125)</td></tr><tr><td>all</td><td>0.750</td></tr>" in text
        and "age 0-12 7" in text
        and not (tmp_path / "page-groups.csv").exists()
    )


def test_groups_on_the_page(tmp_path):
    names = ["5_0_1_a.jpg", "30_0_0_b.jpg", "31_1_0_c.jpg", "70_1_2_d.jpg"]
    original = np.eye(4, dtype=np.float32)
    point = Point(
        "lfic",
        "30",
        np.array([100, 200, 300, 400]),
        np.full(4, 5),
        np.full(4, 30.0),
        {"r": original * [[1], [0.9], [0.7], [0.6]]},
    )
    rows = groups.group_rows([point], {"r": original}, names)
    assert {g["group"]: round(g["similarity"], 3) for g in rows} == {
        "age 0-12": 1,
        "age 20-39": 0.8,
        "age 60+": 0.6,
        "male": 0.95,
        "female": 0.65,
        "White": 0.8,
        "Black": 1,
        "Asian": 0.6,
        "all": 0.8,
    }
    assert [g["bytes"] for g in rows if g["group"] in ("female", "all")] == [350, 250]
    run = [
        {
            "codec": "lfic",
            "setting": "30",
            "recognizer": "r",
            "protocol": "similarity",
            "bytes": 250.0,
            "bytes_without_header": 245.0,
            "psnr_db": 30.0,
            "similarity": 0.8,
        }
    ]
    write_page(tmp_path / "g.html", run, groups=rows)
    text = (tmp_path / "g.html").read_text()
    assert (
        "<th>lfic 30, 250 bytes</th>" in text
        and "<tr><td>female</td><td>0.650 (-0.150 ± 0.050)</td></tr>" in text
        and "female 2" in text
    )


def test_settings_reach_beyond_the_grid():
    faces = facial.LinearFaceCodec.learn(crops(4, 4)[0], 56, 8).codec("dictionary", (120, 60, 20))
    for codec in [*(CODECS[name]() for name in ("jpeg", "mozjpeg", "webp", "jpeg2000", "jxl", "avif")), faces]:
        settings = fine_settings(codec)
        low, high = sorted((settings[0], settings[-1]))
        assert low <= min(codec.settings) and high >= max(codec.settings)
