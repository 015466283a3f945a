"""Many files at once: over processes, failures reported, nothing half-written."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import lfic
from lfic import bulk, encoding
from lfic.bulk import Transcoding, work
from lfic.data.records.folder import FilesSource


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


def test_one_bad_file_spoils_no_other(folder):
    good = sorted((path for path in folder.glob("?.png")), key=lambda path: int(path.stem))
    assert [r.error for r in bulk.encode_files(good, folder / "out", workers=1, quality=5)] == [None] * 10
    blob = bytearray((folder / "out" / "3.lfic").read_bytes())
    blob[-4] ^= 0xFF
    (folder / "out" / "3.lfic").write_bytes(blob)
    (folder / "out" / "4.lfic").write_bytes(b"\xfc")
    results = {
        r.source.stem: r for r in bulk.decode_files(sorted((folder / "out").glob("*.lfic")), folder / "png", workers=1)
    }
    assert sorted(stem for stem, r in results.items() if r.error) == ["3", "4"] and len(results) == 10
    codec = lfic.load_codec()
    for stem, result in results.items():
        if not result.error:
            alone = np.asarray(codec.decode((folder / "out" / f"{stem}.lfic").read_bytes())).astype(int)
            # In a batch the networks' sums may round otherwise in their last bits.
            assert np.abs(np.asarray(Image.open(result.target)).astype(int) - alone).max() <= 1


def test_large_pictures_are_coded_apart(folder, monkeypatch):
    sizes = []
    coding = Transcoding(".lfic", encoding={"quality": 5})
    coding.prepare()
    encode_batch = encoding.Encoder.encode_batch
    monkeypatch.setattr(
        encoding.Encoder,
        "encode_batch",
        lambda self, images, **o: sizes.append(len(images)) or encode_batch(self, images, **o),
    )
    monkeypatch.setattr(work, "BATCH_PIXELS", 3 * 112 * 112)
    Image.new("RGB", (300, 200)).save(folder / "a.png")
    paths = [folder / "0.png", folder / "1.png", folder / "a.png", *(folder / f"{i}.png" for i in range(2, 6))]
    assert all(outcome.error is None for outcome in coding(list(FilesSource(paths))))
    assert sizes == [2, 1, 3, 1]


def test_names_do_not_clash(tmp_path, face):
    """Folders are kept, and so are the suffixes of files that differ in nothing else; what exists is an error."""
    paths = []
    for name in ("p/0000.png", "q/0000.png", "q/a.gif", "q/a.webp"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face).save(path)
        paths.append(path)
    results = list(bulk.encode_files(paths, tmp_path / "out", workers=1, quality=5))
    assert [r.error for r in results] == [None] * 4 and [r.source for r in results] == paths
    out = ("p/0000.lfic", "q/0000.lfic", "q/a.gif.lfic", "q/a.webp.lfic")
    assert [r.target for r in results] == [tmp_path / "out" / name for name in out]
    assert {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")} == set(out)


def test_mistakes_raise_before_any_result(folder):
    """The call itself checks, not the first result; once, not for every file."""
    for options, text in (({"quality": 0}, "quality is 0"), ({"workers": 0}, "workers is 0")):
        with pytest.raises(lfic.InvalidInputError, match=text):
            bulk.encode_files([folder / "1.png"], folder / "out", **options)
    with pytest.raises(lfic.InvalidInputError, match="a list is needed"):
        bulk.encode_files("photo.png", folder / "out")
    with pytest.raises(lfic.InvalidInputError, match="twice"):
        bulk.encode_files([folder / "1.png", folder / "1.png"], folder / "out")
    assert not (folder / "out").exists()


def test_a_million_names_are_nothing(tmp_path):
    import itertools
    import time

    began = time.process_time()
    source = FilesSource(f"/data/{i // 1000:04}/{i % 1000:04}.png" for i in range(100_000))
    assert [r.key for r in itertools.islice(source.records(), 2)] == ["0000/0000", "0000/0001"]
    assert time.process_time() - began < 3  # a tenth of a million


def test_a_script_without_a_main_guard(folder):
    """Workers are programs of their own: they do not run the caller's main module again."""
    (folder / "script.py").write_text(
        "import lfic.bulk\n"
        "names = [f'{i}.png' for i in range(3)]\n"
        "print([r.error for r in lfic.bulk.encode_files(names, 'out', workers=2, quality=5)])\n"
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.stdout == "[None, None, None]\n", done.stderr
