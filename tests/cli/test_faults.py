"""The command line where the world is against it: a line for each fault, the other files go on, no traceback."""

import os
import signal
import subprocess
import sys

import pytest

import lfic
from lfic.cli import common, main

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
LFIC = f"{sys.executable} -m lfic"


def shell(command, **options):
    return subprocess.run(command, shell=True, capture_output=True, timeout=120, **options)


@pytest.fixture
def lfic_file(tmp_path, face):
    path = tmp_path / "a.lfic"
    path.write_bytes(lfic.encode(face, quality=5))
    return path


def test_a_name_that_is_no_text(lfic_file, tmp_path):
    strange = os.fsencode(tmp_path) + b"/\xff\xfe.lfic"
    with open(strange, "wb") as file:
        file.write(lfic_file.read_bytes())
    done = subprocess.run([sys.executable, "-m", "lfic", "info", strange, lfic_file, b"\xff"], capture_output=True)
    assert done.returncode == 1 and len(done.stdout.splitlines()) == 2
    assert b"\\udcff" in done.stdout and b"Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_loop_of_links(lfic_file, tmp_path):
    (tmp_path / "loop.lfic").symlink_to(tmp_path / "loop.lfic")
    done = shell(f"{LFIC} info {tmp_path}/loop.lfic {lfic_file}")
    assert done.returncode == 1 and b"a.lfic" in done.stdout
    assert b"loop.lfic" in done.stderr and b"Traceback" not in done.stderr


def test_standard_streams_that_are_closed_or_full(lfic_file):
    for command, text in (
        (f"{LFIC} info - <&-", b"standard input is closed"),
        (f"{LFIC} info {lfic_file} >&-", b"standard output is closed"),
        (f"{LFIC} info {lfic_file} >/dev/full", b"No space left"),
    ):
        done = shell(command)
        assert done.returncode == 1 and text in done.stderr, command
        assert len(done.stderr.splitlines()) == 1, done.stderr
    done = shell(f"{LFIC} info {lfic_file} none 2>&-")
    assert done.returncode == 1 and len(done.stdout.splitlines()) == 1
    done = shell(f"bash -c '{LFIC} info {'x ' * 3} {lfic_file} {lfic_file} 2>&1 | head -1; exit ${{PIPESTATUS[0]}}'")
    assert b"Traceback" not in done.stdout + done.stderr and b"Exception ignored" not in done.stdout + done.stderr


def test_results_go_into_pipes(lfic_file, tmp_path):
    """By the system's names of them, which are no names of files; what is said of a result is not among it."""
    done = shell(f"{LFIC} decode {lfic_file} -o /dev/stdout | cat")
    assert done.stdout.startswith(b"\x89PNG") and b"112x112" not in done.stdout and b"112x112" in done.stderr
    done = shell(f"bash -c '{LFIC} decode {lfic_file} -o >(cat > {tmp_path}/out); wait $!'")
    assert (tmp_path / "out").read_bytes().startswith(b"\x89PNG"), done.stderr
    kept = tmp_path / "log"
    kept.write_bytes(b"before")
    shell(f"{LFIC} decode {lfic_file} -o /dev/stdout >> {kept}")
    assert kept.read_bytes().startswith(b"before\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.lfic", "log", "out"]


def test_an_error_that_nobody_expected_spoils_no_other_file(lfic_file, tmp_path, capsys, monkeypatch):
    for number, error in enumerate((MemoryError(), RuntimeError("can't allocate memory: 9 bytes"), KeyError("x"))):
        other = tmp_path / f"{number}.lfic"
        other.write_bytes(lfic_file.read_bytes())

        def read(path, other=other, error=error, whole=common.read):
            if path == other:
                raise error
            return whole(path)

        monkeypatch.setattr("lfic.cli.info.read", read)
        assert main(["info", str(other), str(lfic_file)]) == 1
        told = capsys.readouterr()
        assert len(told.out.splitlines()) == len(told.err.splitlines()) == 1
        assert ("not enough memory" if number < 2 else "KeyError: 'x'; this is a fault of lfic's") in told.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_an_import_turns_into_something_else(number, lfic_file, capsys, monkeypatch):
    def read(path):
        try:
            os.kill(os.getpid(), number)
            raise AssertionError("the signal came too late")
        except KeyboardInterrupt:
            raise ImportError("initialization failed") from None

    monkeypatch.setattr("lfic.cli.info.read", read)
    monkeypatch.setattr(common, "reason", lambda error: (_ for _ in ()).throw(error))
    before = signal.getsignal(number)
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    signal.signal(number, usual)
    try:
        assert main(["info", str(lfic_file)]) == 130
        assert signal.getsignal(number) == usual
    finally:
        signal.signal(number, before)
    assert capsys.readouterr().err == "lfic: interrupted; no half file was left\n"
