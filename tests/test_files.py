"""Files: written whole or not at all, and never over one another."""

import os
import pathlib
import stat
import subprocess
import sys

import pytest

from lfic.errors import InvalidInputError
from lfic.files import distinct_targets, write_atomically


def test_writes_are_atomic(tmp_path, monkeypatch):
    target = tmp_path / "a.lfic"
    target.write_bytes(b"before")

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(target, b"after")
    assert target.read_bytes() == b"before" and [p.name for p in tmp_path.iterdir()] == ["a.lfic"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")
def test_links_stay_and_devices_are_written_to(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_atomically(tmp_path / "link", b"abc")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"abc"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(tmp_path / "pipe", b"abc")
    assert os.read(reader, 9) == b"abc" and (tmp_path / "pipe").is_fifo()
    os.close(reader)
    reader, writer = os.pipe()  # /proc/N/fd/M leads to pipe:[123], which is no name
    write_atomically(f"/proc/self/fd/{writer}", b"abc")
    assert os.read(reader, 9) == b"abc"
    os.close(reader)
    os.close(writer)
    name = tmp_path / ("a" * 255)  # as long as a name may be
    write_atomically(name, b"abc")
    assert name.read_bytes() == b"abc" and len(list(tmp_path.iterdir())) == 4


def test_targets_are_distinct_and_no_sources(tmp_path):
    def beside(path):
        return path.with_suffix(".lfic")

    a, b = tmp_path / "a.png", tmp_path / "b.png"
    assert distinct_targets([a, b], beside, "") == {a: tmp_path / "a.lfic", b: tmp_path / "b.lfic"}
    with pytest.raises(InvalidInputError, match="both be written"):
        distinct_targets([a, tmp_path / "a.jpg"], beside, "")
    with pytest.raises(InvalidInputError, match="overwritten by the result of .*: go elsewhere"):
        distinct_targets([a, tmp_path / "a.lfic"], beside, "go elsewhere")
    with pytest.raises(InvalidInputError, match="both be written"):  # by another name of the same folder
        distinct_targets([a, tmp_path / "." / "sub" / ".." / "a.jpg"], lambda path: pathlib.Path(beside(path)), "")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")
def test_modes_are_those_of_the_umask_or_of_what_was_there(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "new", b"a")
        (tmp_path / "old").write_bytes(b"b")
        os.chmod(tmp_path / "old", 0o600)
        write_atomically(tmp_path / "old", b"c")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o600 and (tmp_path / "old").read_bytes() == b"c"


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="Linux")
def test_a_process_that_is_killed_while_it_writes_leaves_nothing(tmp_path):
    code = (
        "import os, signal, sys\nfrom lfic import files\n"
        "os.link = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_atomically(sys.argv[1], bytes(1 << 20))\n"
    )
    (tmp_path / "a").write_bytes(b"before")
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a"])
    assert done.returncode == -9 and (tmp_path / "a").read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="Linux")
def test_a_new_file_never_has_another_name(tmp_path):
    code = (
        "import os, signal, sys\nfrom lfic import files\nlink = os.link\n"
        "os.link = lambda *a, **k: (link(*a, **k), os.kill(os.getpid(), signal.SIGKILL))\n"
        "files.write_atomically(sys.argv[1], b'whole')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a"])
    assert done.returncode == -9
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"whole")]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")
def test_loops_of_links_are_names_like_others(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    found = distinct_targets([tmp_path / "a.png"], lambda path: path.with_suffix(".lfic"), "")
    assert list(found.values()) == [tmp_path / "a.lfic"]
