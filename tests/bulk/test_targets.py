"""Targets of a run that would lose something, or surprise: refused before the work, or listed."""

import shutil

import pytest

from lfic import InvalidInputError, bulk
from lfic.cli import main
from lfic.data import open_sink, open_source
from lfic.demo import ASTRONAUT


@pytest.fixture
def folder(tmp_path):
    """Three pictures."""
    out = tmp_path / "in"
    out.mkdir()
    for name in ("a", "b", "c"):
        shutil.copy(ASTRONAUT, out / f"{name}.png")
    return out


@pytest.mark.parametrize("shards", [False, True])
def test_what_is_read_is_not_replaced(folder, tmp_path, shards, capsys):
    """Not even by --overwrite: what could not be coded would be gone."""
    with open_sink(tmp_path / "a.tar", 1 if shards else 1 << 30) as sink:
        for record in open_source(folder):
            sink.write(record)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.tar")}
    assert len(before) == (3 if shards else 1)
    assert main(["transcode", str(tmp_path / "a.tar"), str(tmp_path / "a.tar"), "--overwrite"]) == 1
    assert "is what is read: give another target" in capsys.readouterr().err
    with pytest.raises(InvalidInputError, match="is what is read"):
        bulk.transcode(tmp_path / "a.tar", tmp_path / "a.tar", overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.tar")} == before


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.lfic", "x.JPG", "-"])
def test_a_file_of_another_kind_is_no_target(folder, tmp_path, name):
    with pytest.raises(InvalidInputError, match=r"is no target of records: give a folder, or a name that ends in"):
        bulk.transcode(folder, tmp_path / name).finish()
    with pytest.raises(InvalidInputError, match="is no target of records"):
        open_sink(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_folder_may_be_called_so(folder, tmp_path):
    (tmp_path / "x.zip").mkdir()
    with open_sink(tmp_path / "x.zip") as sink:
        for record in open_source(folder):
            sink.write(record)
    assert len(list((tmp_path / "x.zip").iterdir())) == 3


def test_a_name_that_becomes_too_long_is_listed(folder, tmp_path):
    shutil.copy(ASTRONAUT, folder / ("n" * 251 + ".png"))
    run = bulk.transcode(folder, tmp_path / "out", jobs=1)
    run.finish()
    assert run.state.failed == 1
    assert sorted(path.name for path in (tmp_path / "out").glob("*.lfic")) == ["a.lfic", "b.lfic", "c.lfic"]
    (line,) = run.errors.path.read_text().splitlines()
    assert "256 bytes; files have at most 255: rename it" in line


def test_gpus_are_for_ray(folder, tmp_path, capsys):
    assert main(["transcode", str(folder), str(tmp_path / "a.tar"), "--gpus", "1"]) == 1
    assert "--gpus is for actors of --ray" in capsys.readouterr().err
