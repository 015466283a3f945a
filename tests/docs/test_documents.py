"""The documents are true: code runs, figures are the measured ones, lines are short, links hold."""

import csv
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from documents import Block, blocks, indented
from evaluate_faces import write_folder
from line_length import documents, too_long
from PIL import Image
from train_faces import make_recognizer

import lfic
from lfic.demo import ASTRONAUT

ROOT = pathlib.Path(lfic.__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
RUN = [page for page in PAGES if "log" not in page.parent.name]
SHELL = ("sh", "bash")
LONG = ("archive.md", "first-face.md", "onnx.md", "recognizer.md", "train.md")  # more than ten seconds on one core
# Blocks that can't run have a comment before them that says why. This number may fall, not rise.
NOT_RUN = 15


def name(page: pathlib.Path) -> str:
    return str(page.relative_to(ROOT))


def runnable(page: pathlib.Path) -> list[Block]:
    return [b for b in blocks(page) if b.not_run is None and (b.title or b.language in ("python", *SHELL))]


@pytest.fixture
def desk(tmp_path, monkeypatch, face):
    """A folder with what the documents speak of: a face, a photo, faces of several people, a recogniser."""
    from skimage.data import astronaut

    Image.open(ASTRONAUT).save(tmp_path / "face.png")
    Image.fromarray(astronaut()).save(tmp_path / "photo.jpg", quality=95)
    write_folder(tmp_path)
    make_recognizer(tmp_path / "recognizer.pt")
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for each other take longer than one where a machine is busy
    yield tmp_path
    torch.set_num_threads(threads)


def run_shell(text: str, page: pathlib.Path) -> None:
    """A block of shell, in the working directory, with the interpreter of the tests as ``python`` and ``lfic``."""
    python = f'lfic() {{ "{sys.executable}" -m lfic "$@"; }}\npython() {{ "{sys.executable}" "$@"; }}\n'
    python += f'dlfic() {{ "{pathlib.Path(sys.executable).parent}/dlfic" "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", python + text],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{name(page)}:\n{text}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"


def run(page: pathlib.Path, names: dict) -> dict:
    """All blocks of a document that can run, in order; what the Python ones leave behind."""
    for block in runnable(page):
        if block.title:
            pathlib.Path(block.title).write_text(block.text + "\n")
        elif block.language == "python":
            text = block.text if torch.cuda.is_available() else block.text.replace('device="cuda"', 'device="cpu"')
            exec(compile("\n" * (block.line - 1) + text, str(page), "exec"), names)
        else:
            run_shell(block.text, page)
    return names


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=name(page), marks=[pytest.mark.slow] if page.name in LONG else [])
        for page in RUN
        if page.name != "README.md" and runnable(page)
    ],
)
def test_every_block_runs(page, desk):
    names = run(page, {})
    if page.name == "kernels.md":
        assert names["features"].shape == names["dense"].shape == (8, 192, 14, 14)
        assert torch.equal(names["counts"], names["kept"] * 192)


def test_the_readmes_blocks_run(desk, face):
    names = {"image": face, "images": [face, face]}
    first = next(b for b in blocks(ROOT / "README.md") if "lfic.probe" in b.text)
    text = first.text if torch.cuda.is_available() else first.text.replace('device="cuda"', 'device="cpu"')
    exec(compile(text, "README.md", "exec"), names)
    assert len(names["data"]) <= 300 and names["pixels"].shape == (2, 3, 112, 112)
    assert np.asarray(names["image"]).shape == (112, 112, 3)
    run(ROOT / "README.md", {"image": face, "images": [face, face], "photo": Image.open("photo.jpg")})


def test_blocks_that_do_not_run_are_few_and_say_why():
    skipped = [(name(page), b) for page in RUN for b in blocks(page) if b.not_run is not None]
    assert all(len(b.not_run) > 10 for _, b in skipped)
    assert len(skipped) <= NOT_RUN, [f"{page}:{b.line}: {b.not_run}" for page, b in skipped]


def test_code_is_fenced():
    """Indented code would run nowhere: only README's two commands stand so, where other programs look for them."""
    assert len(indented(ROOT / "README.md")) == 2
    assert {name(p): indented(p) for p in PAGES[1:] if indented(p)} == {}
    for page in PAGES:
        assert all(b.language for b in blocks(page)), name(page)


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_every_example_runs(example, desk):
    options = ["photo.jpg"] if example.name == "shrink.py" else []
    done = subprocess.run(
        [sys.executable, str(example), *options],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and done.stdout, done.stderr[-3000:]


def test_lines_are_short():
    assert too_long(documents()) == []


# ---- figures


def bd_rates(name: str = "verification-bdrate.csv") -> dict[tuple[str, str], str]:
    """(codec, anchor) -> the BD-rate at equal accuracy as the documents write it."""
    with open(ROOT / "benchmarks" / "results" / name) as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return {
            (row["codec"], row["anchor"]): figure(row)
            for row in rows
            if row["measure"] == "accuracy" and "casia" in (row.get("recognizer") or row.get("recogniser") or "")
        }


def figure(row: dict[str, str]) -> str:
    low, rate, high = (
        f"{float(row[key]):.1f}" if row[key] else "" for key in ("low_percent", "bd_rate_percent", "high_percent")
    )
    return (f"{rate} [{low}, {high}]" if low else rate).replace("-", "−")


def table(page: pathlib.Path, head: str) -> list[list[str]]:
    """Cells of the rows below a table's head, footnotes left out."""
    lines = page.read_text(encoding="utf-8").splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(head))
    rows = []
    for line in lines[at + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([re.sub(r"\[\^\w+\]", "", cell).strip() for cell in line.strip("|").split("|")])
    return rows


ANCHORS = {"AVIF": "AVIF s4", "JPEG XL": "JPEG XL e7"}


def test_the_readmes_figures_are_measured():
    rates = bd_rates()
    rows = table(ROOT / "README.md", "| against |")
    assert [row[0].split(",")[0] for row in rows] == ["JPEG 2000", "WebP", "AVIF", "JPEG XL", "bmshj2018"]
    photos = bd_rates("photos-bdrate.csv")
    crops_160, crops_224 = bd_rates("crops-160-bdrate.csv"), bd_rates("crops-224-bdrate.csv")
    efforts = bd_rates("effort-dlib-bdrate.csv")
    for against, effort_0, effort_1, crop_160, crop_224, photo in rows:
        anchor = against.split(",")[0]
        anchor = ANCHORS.get(anchor, anchor)
        assert effort_0 == rates["lfic", anchor] and effort_1 == efforts.get(("lfic effort 1", anchor), ""), against
        assert crop_160 == crops_160.get(("lfic layers", anchor), ""), against
        assert crop_224 == crops_224.get(("lfic layers", anchor), ""), against
        assert photo == photos.get(("lfic layers", anchor), ""), against


def test_the_evaluations_figures_are_measured():
    rates = bd_rates()
    rows = table(DOCS / "evaluation.md", "| against | effort 1 | bare |")
    assert len(rows) == 8
    for against, effort_1, _, effort_0, _, _ in rows:
        anchor = ANCHORS.get(against, against)
        assert effort_0 == rates["lfic", anchor] and effort_1 == rates["lfic effort 1", anchor], against


# ---- links


def anchors(page: pathlib.Path) -> set[str]:
    """What Python-Markdown makes of a page's headings."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", re.sub(r"\[(.+?)\]\(.+?\)", r"\1", head)).strip().lower() for head in heads]
    return {re.sub(r"[-\s]+", "-", head) for head in plain}


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"], ids=name
)
def test_links_hold(page):
    text = re.sub(r"^```.*?^```$|`[^`\n]+`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        other = (page.parent / file).resolve() if file else page
        assert other.exists(), f"{name(page)}: {target}"
        if anchor and other.suffix == ".md" and "--8<--" not in other.read_text(encoding="utf-8"):
            assert anchor in anchors(other), f"{name(page)}: {target}"
