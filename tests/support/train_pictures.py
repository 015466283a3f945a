"""What the tests of training on pictures share: packs of pictures with landmarks, and settings of a run."""

import io
import tarfile

import numpy as np
from PIL import Image
from train_faces import config

from lfic.align import TEMPLATE_112
from lfic.data import pack_pictures

PICTURES = {
    "picture_batch": 3,
    "picture_sides": [48, 64, 80],
    "picture_synthetic": 0.3,
    "chroma_weight": 1.0,
    "identity_from": 0,
    "level_faces": 1,
}


def source_of(folder, source, size, rng):
    """A tar of ten soft blobs with the landmarks of a face, two of each person, each file twice: PATH:LANDMARKS."""
    names, landmarks = [], []
    with tarfile.open(folder / f"{source}.tar", "w") as tar:
        for i in range(10):
            buffer = io.BytesIO()
            coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
            coarse.resize(size, Image.Resampling.BICUBIC).save(buffer, "PNG")
            for name in (f"{source}{i // 2}_{i % 2:04d}.png", f"copy{source}{i}_0001.png"):
                member = tarfile.TarInfo(name)
                member.size = len(buffer.getvalue())
                tar.addfile(member, io.BytesIO(buffer.getvalue()))
                names.append(name)
                landmarks.append(TEMPLATE_112 * 0.6 + [15 + i % 3, 5])
    np.savez(folder / f"{source}.npz", names=np.array(names), landmarks=np.array(landmarks, np.float32))
    return f"{folder}/{source}.tar:{folder}/{source}.npz"


def make_picture_packs(folder):
    """Paths of three packs: all but two people, those two (unseen), two of the others (seen)."""
    rng = np.random.default_rng(0)
    sources = [source_of(folder, source, size, rng) for source, size in (("a", (120, 100)), ("b", (70, 90)))]
    (folder / "pairs.txt").write_text("1\t1\nb3\t1\t2\nb3\t1\tNobody\t1\n")
    options = ["--exclude-pairs", str(folder / "pairs.txt"), "--held-out", "2"]
    assert pack_pictures.main([str(folder / "all.safetensors"), *sources, *options]) == 0
    return [str(folder / f"all{end}.safetensors") for end in ("", "-unseen", "-seen")]


def picture_config(packs, recognizers, out, **changes):
    """A run of the tiny network on crops and pictures, each face seen by one of two recognisers."""
    seen = {"recognizer": recognizers, "recognizer_weights": [1, 2], "recognizer_shares": [1, 1]}
    return config(packs[0], out, **(PICTURES | {"pictures": packs[0]} | seen | changes))
