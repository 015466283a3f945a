"""The same work on a real Ray cluster of two CPUs: every kind of target, killed actors, killed drivers, bad records."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from ray_work import Copying

import lfic
from lfic.bulk.cluster import run_on_ray
from lfic.bulk.work import Transcoding
from lfic.cli import main
from lfic.data.records import Record, open_sink, open_source
from lfic.errors import InvalidInputError, MissingDependencyError

ROOT = pathlib.Path(lfic.__file__).parent.parent


@pytest.fixture(scope="module")
def ray():
    import ray

    environment = pytest.MonkeyPatch()
    environment.setenv("RAY_worker_niceness", "0")
    environment.setenv("PYTHONPATH", f"{ROOT / 'tests' / 'support'}:{ROOT}")  # of the workers
    ray.init(
        "local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20,
        logging_level="error",
    )  # fmt: skip
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    yield ray
    ray.shutdown()
    environment.undo()


def write(path, count, shard_bytes=600):
    """Records of which some are bad, some become two, and some nothing; what comes of them, by name."""
    expected = {}
    with open_sink(path, shard_bytes) as sink:
        for i in range(count):
            kind = b"bad" if i % 17 == 5 else b"none" if i % 13 == 4 else b"fine"
            data = kind + b"x" * (i % 40)
            sink.write(Record(f"p{i // 10}/{i:04}", ".png", data, {"label": i}))
            if kind == b"fine":
                for part in "ab"[: 1 + len(data) % 2]:
                    expected[f"p{i // 10}/{i:04}{part}.png"] = (data, i)
    return expected


def found_at(path):
    records = [(record.name, (record.data, record.meta["label"])) for record in open_source(path)]
    assert len(records) == len({name for name, _ in records})  # nothing twice
    return dict(records)


@pytest.mark.parametrize("suffix, killed_at", [(".parquet", "p7/0077"), ("", "")])
def test_nothing_is_lost_and_nothing_is_twice_with_an_actor_killed(ray, tmp_path, suffix, killed_at):
    expected = write(tmp_path / "in.tar", 150)
    work = Copying(killed_at, str(tmp_path / "killed"))
    target = tmp_path / f"out{suffix}"
    done = run_on_ray(tmp_path / "in.tar", work, target, address=None, shard_bytes=700)
    assert (tmp_path / "killed").exists() == bool(killed_at)
    assert found_at(target) == expected
    assert (done.written, done.bytes) == (len(expected), sum(len(data) for data, _ in expected.values()))
    errors = [json.loads(line) for line in done.errors.read_text().splitlines()]
    assert done.failed == len(errors) == sum(i % 17 == 5 for i in range(150))
    assert errors[0] == {"source": "p0/0005.png", "error": "p0/0005.png is bad"}
    assert done.noted == len(done.notes.read_text().splitlines()) > 5
    if suffix:
        assert len(list(tmp_path.glob("out-*.parquet"))) > 1


def test_a_run_goes_on_behind_what_is_done(ray, tmp_path):
    """An unreadable target stops the first run in the middle; the second does the rest."""
    expected = write(tmp_path / "in", 40)
    with pytest.raises(InvalidInputError, match="strict: the run stops here"):
        run_on_ray(tmp_path / "in", Copying(), tmp_path / "out.tar", address=None, strict=True)
    assert not list(tmp_path.glob("out*.tar"))
    with pytest.raises(InvalidInputError, match="not finished"):
        run_on_ray(tmp_path / "in", Copying(), tmp_path / "out.tar", address=None)
    done = run_on_ray(tmp_path / "in", Copying(), tmp_path / "out.tar", address=None, resume=True)
    assert done.resumed and found_at(tmp_path / "out.tar") == expected
    again = run_on_ray(tmp_path / "in", Copying(), tmp_path / "out.tar", address=None, resume=True)
    assert again.resumed and (again.written, again.failed) == (done.written, done.failed)
    (tmp_path / "in" / "p0" / "0001.png").unlink()
    with pytest.raises(InvalidInputError, match="parts was "):
        run_on_ray(tmp_path / "in", Copying(), tmp_path / "out.tar", address=None, resume=True)


def test_faces(ray, tmp_path, codec, face, capsys):
    """The command, with the codec: pictures to parquet; a damaged shard spoils nothing else."""
    import io

    from PIL import Image

    pictures = [np.roll(face, i, 1) for i in range(12)]
    with open_sink(tmp_path / "in.tar", shard_bytes=60_000) as sink:
        for i, pixels in enumerate(pictures):
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            sink.write(Record(f"a/{i:02}", ".png", buffer.getvalue(), {"label": i}))
    shards = sorted(tmp_path.glob("in-*.tar"))
    shards[-1].write_bytes(shards[-1].read_bytes()[:1000])
    arguments = ["transcode", str(tmp_path / "in.tar"), str(tmp_path / "out.parquet"), "--ray", "--quality", "20"]
    assert main([*arguments, "--jobs", "1"]) == 1
    assert "1 failed" in capsys.readouterr().out.replace("failed: 1", "1 failed")
    found = {record.key: record for record in open_source(tmp_path / "out.parquet")}
    assert len(found) >= 8
    for key, record in found.items():
        number = int(key[2:])
        assert record.data == codec.encode(pictures[number], quality=20) or record.is_lfic
        assert record.meta == {"label": number}


@pytest.mark.slow
def test_a_driver_that_is_killed(tmp_path):
    """kill -9 of the command at several moments; --resume ends with what an undisturbed run has."""
    expected = write(tmp_path / "in.tar", 400, 1000)
    script = tmp_path / "run.py"
    script.write_text(
        "import sys, time\nfrom ray_work import Copying\nfrom lfic.bulk.cluster import run_on_ray\n"
        "class Slow(Copying):\n"
        "    def __call__(self, records):\n        time.sleep(0.3)\n        return super().__call__(records)\n"
        "folder = sys.argv[1]\n"
        "run_on_ray(f'{folder}/in.tar', Slow(), f'{folder}/out.parquet', resume=True, shard_bytes=500)\n"
    )
    command = [sys.executable, str(script), str(tmp_path)]
    environment = os.environ | {"RAY_worker_niceness": "0", "PYTHONPATH": f"{ROOT / 'tests' / 'support'}:{ROOT}"}
    entries = []
    for wanted in (1, 4, 9):
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        done = tmp_path / ".out.parquet.lfic-run" / "done"
        deadline = time.monotonic() + 240
        while len(list(done.glob("*.json"))) < wanted and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        entries.append(len(list(done.glob("*.json"))))
        assert process.poll() is None  # it was not done yet
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert entries[0] >= 1 and entries == sorted(entries) and entries[-1] > entries[0]
    subprocess.run(command, env=environment, check=True, timeout=300)
    assert found_at(tmp_path / "out.parquet") == expected


# ------------------------------------------------------------------------------------------------ wrong use


@pytest.mark.parametrize(
    "options, text",
    [
        ({"target": "out.rec"}, "write .parquet"),
        ({"target": "out.tar", "shard_bytes": 0}, "shard_bytes is 0"),
        ({"target": "out.tar", "resume": True, "overwrite": True}, "exclude each other"),
    ],
)
def test_what_is_refused(tmp_path, options, text):
    write(tmp_path / "in", 3)
    target = tmp_path / options.pop("target")
    with pytest.raises(InvalidInputError, match=text):
        run_on_ray(tmp_path / "in", Copying(), target, **options)


def test_more_gpus_than_there_are(ray, tmp_path):
    if ray.cluster_resources().get("GPU"):
        pytest.skip("this cluster has a GPU")
    write(tmp_path / "in", 3)
    with pytest.raises(InvalidInputError, match="is to have 1 GPUs; the cluster has 0"):
        run_on_ray(tmp_path / "in", Copying(), tmp_path / "out.tar", address=None, gpus=1)


def test_a_wrong_option_is_told_before_the_cluster_starts(tmp_path):
    write(tmp_path / "in", 3)
    with pytest.raises(InvalidInputError, match="quality is 400"):
        run_on_ray(tmp_path / "in", Transcoding(encoding={"quality": 400}), tmp_path / "out.tar")


def test_a_file_of_others_is_no_list_of_errors(ray, tmp_path):
    """It is refused before anything is done; with ``overwrite`` lines are added to it, or none."""
    write(tmp_path / "in", 8)
    notes = tmp_path / "notes.txt"
    notes.write_text("my notes")
    options = {"address": None, "errors": notes}
    with pytest.raises(InvalidInputError, match="is no list of an earlier run"):
        run_on_ray(tmp_path / "in", Copying(), tmp_path / "out.tar", **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "notes.txt"]
    for path in (tmp_path / "in").rglob("*.png"):
        if path.read_bytes().startswith(b"bad"):
            path.rename(tmp_path / "bad.png")
    done = run_on_ray(tmp_path / "in", Copying(), tmp_path / "out.tar", overwrite=True, **options)
    assert (done.failed, done.errors) == (0, None) and notes.read_text() == "my notes"
    (tmp_path / "bad.png").rename(tmp_path / "in" / "bad.png")
    done = run_on_ray(tmp_path / "in", Copying(), tmp_path / "out.tar", overwrite=True, **options)
    assert (done.failed, done.errors) == (1, notes) and notes.read_text().startswith('my notes\n{"source": "bad.png"')


def test_without_ray(tmp_path, monkeypatch):
    write(tmp_path / "in", 3)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"lfic\[ray\]"):
        run_on_ray(tmp_path / "in", Copying(), tmp_path / "out.tar")
    assert not (tmp_path / ".out.tar.lfic-run").exists()
