"""Runs of many records: resumed after kills, workers that die, errors listed, nothing lost and nothing twice."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from bulk_work import Reversing, contents, run, workers_of

import lfic
from lfic.bulk import Run
from lfic.bulk.pool import Pool, WorkerError
from lfic.data import Record, open_sink, open_source
from lfic.data.records.folder import FolderSource

KINDS = ["out", "out.tar", "out.parquet", "out.rec"]


def make_source(folder, count, **more):
    """``count`` files in folders with the same base names, some of which fail or have a note; some say their label."""
    for i in range(count):
        name = {5: "bad", 17: "note"}.get(i % 40, "face")
        path = folder / f"person{i // 10:03}" / f"{name}{i % 10}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"{i}:".encode() * (20 + i % 30))
        if i % 3 == 0:
            path.with_suffix(".json").write_text(json.dumps({"label": i}))
    for name, data in more.items():
        (folder / f"{name}.png").write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make_source(tmp_path_factory.mktemp("runs") / "in", 300)


@pytest.fixture(scope="module")
def undisturbed(source, tmp_path_factory):
    """What a run that nobody kills writes, by the target's name."""
    folder = tmp_path_factory.mktemp("undisturbed")
    for name in KINDS:
        run(source, folder / name[3:] / name, jobs=1, shard_bytes=4000).finish()
    return {name: contents(folder / name[3:] / name) for name in KINDS}


@pytest.mark.parametrize("name", KINDS)
def test_a_whole_run(name, source, undisturbed, tmp_path):
    ended = run(source, tmp_path / name, jobs=2, shard_bytes=4000).finish()
    assert (ended.state.written, ended.state.failed, ended.state.noted) == (292, 8, 8) and ended.state.complete
    assert contents(tmp_path / name) == undisturbed[name]  # whatever the number of jobs
    errors = [json.loads(line) for line in (tmp_path / f"{name}.errors.jsonl").read_text().splitlines()]
    assert len(errors) == 8 and errors[0] == {"source": "person000/bad5.png", "error": "it is bad"}
    found = {record.name: record for record in open_source(tmp_path / name)}
    original = {record.key: record for record in open_source(source)}
    assert len(found) == 292
    for record in found.values():
        assert record.data == original[record.key].data[::-1]
    assert len(list(tmp_path.glob("out-*.tar"))) > 3 or name != "out.tar"
    hidden = [path for path in tmp_path.rglob("*") if path.is_file() and path.name.startswith(".")]
    assert not hidden and not workers_of(os.getpid())


def kill_at_random(source, target, kills, seed):
    """Start a run again and again and kill it, at moments within what a run that nobody kills takes on this machine;
    then let it end. How often it was killed before it had ended."""
    choice, killed = random.Random(seed), 0
    code = f"import sys; sys.path[:] = {sys.path!r}; import bulk_work; bulk_work.main()"
    command = [sys.executable, "-c", code, str(source), str(target)]
    began = time.monotonic()
    subprocess.run([*command[:-1], str(target.parent / "unkilled" / target.name)], check=True, timeout=120)
    whole = time.monotonic() - began
    for _ in range(kills):
        process = subprocess.Popen(command, start_new_session=True)
        # A run of many records takes long: fifty kills are to come within its first seconds.
        time.sleep(min(choice.uniform(0.2, 0.8) * whole, choice.uniform(0.2, 1.6)))
        killed += process.poll() is None
        process.kill()
        process.wait()
        workers = workers_of(process.pid)
        deadline = time.monotonic() + 5
        while workers and time.monotonic() < deadline:
            time.sleep(0.02)
            workers = workers_of(process.pid)
        assert not workers, "workers outlive their parent"
    subprocess.run(command, check=True, timeout=120)
    return killed


@pytest.mark.parametrize("name", ["out", "out.parquet"])
def test_killed_at_random_moments_nothing_is_lost_and_nothing_is_there_twice(name, source, undisturbed, tmp_path):
    assert kill_at_random(source, tmp_path / name, 4, name) >= 1
    assert contents(tmp_path / name) == undisturbed[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_killed_at_fifty_random_moments(name, undisturbed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fifty")
    source = make_source(folder / "in", 12000)
    run(source, folder / "whole" / name, jobs=2, shard_bytes=4000).finish()
    assert kill_at_random(source, folder / name, 50, name) >= 20
    expected = contents(folder / "whole" / name)
    assert contents(folder / name).keys() == expected.keys() and contents(folder / name) == expected


class Few(FolderSource):
    """The first 24 records."""

    def records(self, start=0):
        return itertools.islice(super().records(), start, 24)


@pytest.mark.parametrize("name", KINDS)
def test_stopped_before_every_change_on_disk(name, source, tmp_path, monkeypatch):
    """Each name that a file gets and each cut of a file is the last thing that a run does once; the next run ends as if
    nothing had been."""
    left = [0]

    def stopping(real):
        def step(*arguments):
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt
            return real(*arguments)

        return step

    def few(target, **options):
        with Run(Few(source), "few", Reversing(), target, jobs=1, shard_bytes=700, **options) as going:
            going.finish()

    monkeypatch.setattr(Pool, "start", lambda self: None)  # in this process
    monkeypatch.setattr(Pool, "run", lambda self, portions: (self.work(one) for one in portions))
    link = os.link
    monkeypatch.setattr(os, "replace", stopping(os.replace))
    monkeypatch.setattr(os, "link", lambda *names, **how: stopping(lambda *_: link(*names, **how))(*names))
    monkeypatch.setattr(os, "truncate", stopping(os.truncate))
    few(tmp_path / "whole" / name)
    expected, stops = contents(tmp_path / "whole" / name), 0
    while True:
        target = tmp_path / str(stops) / name
        left[0] = stops + 1
        try:
            few(target)
            break
        except KeyboardInterrupt:
            stops += 1
        few(target, resume=True)
        assert contents(target) == expected
        assert not [path for path in target.parent.rglob(".lfic-*") if path.is_file()]
    assert stops > 12


def test_what_stops_a_resumed_run(source, tmp_path):
    target = tmp_path / "out.tar"
    first = run(source, target, jobs=1)
    next(first)
    with pytest.raises(lfic.InvalidInputError, match="another process"):
        run(source, target, resume=True)
    first.close()
    with pytest.raises(lfic.InvalidInputError, match="--resume"):
        run(source, target)
    with pytest.raises(lfic.InvalidInputError, match="portion was 8, now it is 9"):
        run(source, target, resume=True, work=Reversing(portion=9))
    changed = make_source(tmp_path / "changed", 300)
    manifest = tmp_path / ".out.tar.lfic-run" / "manifest.json"
    state = json.loads(manifest.read_text())
    assert state["records"] == 8
    for file in (changed / "person000").glob("face1*"):
        file.unlink()
    manifest.write_text(json.dumps(state | {"settings": state["settings"] | {"source": str(changed)}}))
    with pytest.raises(lfic.InvalidInputError, match="the source has changed"):
        run(changed, target, resume=True)
    manifest.write_text("{")
    with pytest.raises(lfic.InvalidInputError, match="damaged"):
        run(source, target, resume=True)
    run(source, target, overwrite=True, jobs=1).finish()
    assert run(source, target, resume=True).state.complete  # all is done
    with pytest.raises(lfic.InvalidInputError, match="exists"):
        run(source, target)
    for name in ("more.png", "still_more.png"):
        (changed / name).write_bytes(b"x")
    run(source, tmp_path / "b.tar", jobs=1).finish()
    state = tmp_path / ".b.tar.lfic-run" / "manifest.json"
    state.write_text(state.read_text().replace(str(source), str(changed)))
    with pytest.raises(lfic.InvalidInputError, match="the source has changed: it has"):
        run(changed, tmp_path / "b.tar", resume=True)


def test_a_full_disk_stops_a_run_which_can_go_on(tmp_path, source, undisturbed, monkeypatch):
    import errno

    from lfic.bulk import output

    real, left = output.write_atomically, [30]

    def write(*arguments):
        left[0] -= 1
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*arguments)

    monkeypatch.setattr(output, "write_atomically", write)
    with pytest.raises(OSError, match="No space"):
        run(source, tmp_path / "out", jobs=1).finish()
    monkeypatch.undo()
    run(source, tmp_path / "out", jobs=1, resume=True).finish()
    assert contents(tmp_path / "out") == undisturbed["out"]


def test_a_worker_that_is_killed_is_replaced(tmp_path):
    """Its records are done again; one that kills twice is given up, and the others of its portion are done."""
    marker = tmp_path / "marker"
    marker.touch()
    source = make_source(tmp_path / "in", 20, once=b"abc", deadly=b"x")
    work = Reversing(marker=str(marker))
    results = {result.source: result for result in run(source, tmp_path / "out", jobs=2, work=work)}
    failed = {name: result.error for name, result in results.items() if result.error}
    assert len(results) == 22 and failed.keys() == {"deadly.png", "person000/bad5.png"}
    assert "killed by signal 9, twice" in failed["deadly.png"]
    assert (tmp_path / "out" / "once.lfic").read_bytes() == b"cba" and not marker.exists()


def test_killed_from_outside(tmp_path):
    source = make_source(tmp_path / "in", 200)
    going = run(source, tmp_path / "out", jobs=2, work=Reversing(0.002))
    names = []
    for number, result in enumerate(going):
        names.append(result.source)
        if number in (20, 90):
            os.kill(workers_of(os.getpid())[0], signal.SIGKILL)
    assert len(names) == len(set(names)) == 200 and going.state.failed == 5


class Mute(Reversing):
    """Ends its process as it starts."""

    def prepare(self):
        os._exit(3)


def test_workers_that_can_not_start(tmp_path, source, monkeypatch):
    with pytest.raises(lfic.InvalidInputError, match="portion is 0"):
        run(source, tmp_path / "out", work=Reversing(portion=0))
    assert not list(tmp_path.iterdir())
    with pytest.raises(WorkerError, match="ended with code"), Pool(Mute(), 2) as pool:
        pool.start()


def test_strict_stops_and_can_be_resumed(tmp_path, source, undisturbed):
    with pytest.raises(lfic.InvalidInputError, match="person000/bad5"):
        run(source, tmp_path / "out.tar", jobs=1, strict=True, shard_bytes=4000).finish()
    assert not list(tmp_path.glob("*.jsonl"))
    run(source, tmp_path / "out.tar", jobs=1, resume=True, shard_bytes=4000).finish()
    assert contents(tmp_path / "out.tar") == undisturbed["out.tar"]


def test_what_exists_in_a_folder(tmp_path):
    source = make_source(tmp_path / "in", 20)
    out = tmp_path / "out"
    out.mkdir()
    (out / "person000").mkdir()
    (out / "person000" / "face1.lfic").write_bytes(b"mine")
    ended = run(source, out, jobs=1).finish()
    assert ended.state.failed == 2 and (out / "person000" / "face1.lfic").read_bytes() == b"mine"
    assert "exists" in (tmp_path / "out.errors.jsonl").read_text()
    ended = run(source, out, jobs=1, skip_existing=True).finish()
    assert (ended.state.skipped, ended.state.written, ended.state.failed) == (19, 0, 1)
    os.chmod(out / "person000" / "face1.lfic", 0o600)
    ended = run(source, out, jobs=1, overwrite=True).finish()
    assert ended.state.written == 19 and (out / "person000" / "face1.lfic").read_bytes() != b"mine"
    assert (out / "person000" / "face1.lfic").stat().st_mode & 0o777 == 0o600


def test_names_that_are_there_twice_are_no_loss(tmp_path):
    """A parquet file may say one name twice: the second is an error, never a file that is gone."""
    with open_sink(tmp_path / "in.parquet") as sink:
        for i in range(40):
            sink.write(Record(f"a{i % 39}", ".png", b"%d" % i))
    for name in ("out", "out.tar"):
        ended = run(tmp_path / "in.parquet", tmp_path / name, jobs=1).finish()
        assert ended.state.written + ended.state.failed == 40
        assert len(list(open_source(tmp_path / name))) == ended.state.written
    assert "comes twice" in (tmp_path / "out.errors.jsonl").read_text()


def test_targets_that_can_not_be(tmp_path, source):
    (tmp_path / "file").write_bytes(b"")
    for name, options, text in (
        ("file", {}, "is a file"),
        ("out", {"jobs": 0}, "jobs is 0"),
        ("out.tar", {"shard_bytes": 0}, "shard_bytes"),
        ("out.tar", {"skip_existing": True}, "needs a folder"),
        ("out", {"resume": True, "overwrite": True}, "exclude each other"),
    ):
        with pytest.raises(lfic.InvalidInputError, match=text):
            run(source, tmp_path / name, **options)
    with pytest.raises(lfic.InvalidInputError, match="lies in"):
        lfic.bulk.transcode(source, source / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
