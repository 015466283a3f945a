"""Objects travel: pickled, copied, to processes that are spawned or forked."""

import copy
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

import lfic
from lfic import coder
from lfic.metric.identity import Recognizer, RecognizerEnsemble, load_bundled, load_exported, load_torchscript


def clones(thing):
    return [pickle.loads(pickle.dumps(thing)), copy.deepcopy(thing), copy.copy(thing)]


def test_tables_and_context_models(codec):
    tables = coder.Tables.from_probabilities([[0.2, 0.8], [0.5, 0.5]], offset=[-3, 7])
    symbols, indexes = np.array([-3, 7, 9], np.int32), np.array([0, 1, 1], np.uint8)
    for one in clones(tables):
        assert type(one) is coder.Tables and coder.encode(symbols, indexes, one) == coder.encode(
            symbols, indexes, tables
        )
    context = codec.model.context
    face, levels = np.zeros(196 * context.channels, np.int16), np.zeros((4, 4), np.uint8)
    for other in clones(context):
        assert other.encode(face, levels, 14, 14, 40, True) == context.encode(face, levels, 14, 14, 40, True)
        assert other.simd == context.simd and (other.level_prior == context.level_prior).all()


def test_codecs(codec, face):
    data = codec.encode(face, quality=20)
    for one in clones(codec):
        assert one.encode(face, quality=20) == data and one.threads == codec.threads
    assert len(pickle.dumps(codec)) < 1000  # a bundled model travels by its name


def test_what_is_known_of_a_file(codec, photo, face):
    layered = codec.encode(photo(250, 250), quality=9, faces=[face_landmarks()])
    for data in (codec.encode(face, quality=20), codec.encode(photo(70, 300), quality=9), layered):
        info = lfic.probe(data)
        assert info == lfic.probe(data) == codec.probe(data) and hash(info) == hash(lfic.probe(data))
        assert all(one == info for one in clones(info))
        assert json.loads(json.dumps(info.as_dict()))["levels"] == info.levels.tolist()
        assert info != lfic.probe(codec.encode(face, quality=21)) and info != 5
    assert len(lfic.probe(layered).as_dict()["layers"]) == 1


def face_landmarks():
    return np.array([[100, 110], [150, 110], [125, 140], [105, 165], [145, 165]], np.float64)


def module():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(48, 8)).eval()


def recognizers(tmp_path):
    plain = Recognizer(module(), name="plain", unlike=0.1)
    torch.jit.trace(module(), torch.zeros(1, 3, 112, 112)).save(str(tmp_path / "r.pt"))
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(module(), (torch.zeros(2, 3, 112, 112),), dynamic_shapes=({0: batch},))
    torch.export.save(exported, tmp_path / "r.pt2")
    return {
        "plain": plain,
        "torchscript": load_torchscript(tmp_path / "r.pt"),
        "exported": load_exported(tmp_path / "r.pt2"),
        "ensemble": RecognizerEnsemble([plain, plain], [2.0, 1.0]),
        "bundled": load_bundled(),
    }


def test_recognizers(tmp_path, face):
    pixels = torch.from_numpy(face).permute(2, 0, 1)[None].float() / 255
    for name, recognizer in recognizers(tmp_path).items():
        for one in clones(recognizer)[:2]:
            assert torch.equal(one(pixels), recognizer(pixels)), name
            assert one.unlike == recognizer.unlike and not one.train().training


def test_a_process_that_is_spawned(face, tmp_path):
    program = (
        "import multiprocessing, pickle, sys\nimport numpy as np\nimport lfic\n"
        "def work(codec, face):\n    return codec.encode(face, quality=20)\n"
        "if __name__ == '__main__':\n"
        "    face = np.load(sys.argv[1])\n    codec = lfic.load_codec()\n    mine = codec.encode(face, quality=20)\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        assert pool.apply(work, (codec, face)) == mine\n"
    )
    (tmp_path / "main.py").write_text(program)  # spawn imports it anew
    np.save(tmp_path / "face.npy", face)
    subprocess.run([sys.executable, tmp_path / "main.py", tmp_path / "face.npy"], check=True, timeout=120)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX")
def test_the_coder_survives_a_fork():
    """Its threads end with the call, so that a child has all it needs, also after a call with many threads."""
    program = (
        "import os, sys\nimport numpy as np\nfrom lfic import coder\n"
        "tables = coder.Tables.from_probabilities([[0.2, 0.8]])\n"
        "symbols, indexes = [np.zeros(3000, np.int32)] * 8, [np.zeros(3000, np.uint8)] * 8\n"
        "mine = coder.encode_batch(symbols, indexes, tables, threads=4)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    os._exit(0 if coder.encode_batch(symbols, indexes, tables, threads=4) == mine else 3)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX")
def test_a_codec_in_a_forked_process_works_or_says_why(face, tmp_path):
    """torch's threads stay behind in a fork: with one thread all is well, with several the child is told."""
    program = (
        "import os, sys\nimport numpy as np\nimport torch\nimport lfic\n"
        "torch.set_num_threads(int(sys.argv[2]))\nface = np.load(sys.argv[1])\n"
        "codec = lfic.load_codec()\nmine = codec.encode(face, quality=20)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    try:\n        os._exit(0 if codec.encode(face, quality=20) == mine else 3)\n"
        "    except lfic.InvalidInputError as error:\n        os._exit(7 if 'spawn' in str(error) else 4)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    np.save(tmp_path / "face.npy", face)
    for threads, status in ((1, 0), (2, 7)):
        command = [sys.executable, "-c", program, str(tmp_path / "face.npy"), str(threads)]
        assert subprocess.run(command, timeout=120).returncode == status


def test_joblib(codec, face):
    joblib = pytest.importorskip("joblib")
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(codec.encode)(face, quality=q) for q in (10, 20))
    assert found == [codec.encode(face, quality=q) for q in (10, 20)]
