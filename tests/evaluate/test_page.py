"""The HTML page, opened in a headless Chromium: it shows what it should, and loads nothing."""

import base64
import os
import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest
from evaluate_faces import write_folder, write_recognizer
from PIL import Image

from lfic.evaluate.__main__ import main
from lfic.evaluate.report.page import write_page
from lfic.evaluate.tables import write_csv


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
                "--looks",
                "4",
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
        "Looks at equal bytes",
        "SSIMULACRA2",
        "in the encoder",
        "lfic",
        "WebP",
        "95 %",
        "All figures",
    ):
        assert word in text
    assert sorted(p.name for p in page.parent.glob("page*")) == [
        "page-bdrate.csv",
        "page-bytes.csv",
        "page-flip.png",
        "page-looks.csv",
        "page-psnr.png",
        "page-speed.csv",
        "page-ssimulacra2.png",
        "page-templates.csv",
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
