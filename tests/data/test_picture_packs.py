"""Packs of pictures with landmarks: who is in them, and what is refused."""

import pathlib

import numpy as np
import pytest
from train_faces import make_pack
from train_pictures import make_picture_packs

from lfic.data import pack_pictures
from lfic.data.pairs import person_of
from lfic.data.picturepack import PicturePack
from lfic.data.sources import Joined, open_faces
from lfic.errors import InvalidInputError


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    return make_picture_packs(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def source(packs):
    folder = pathlib.Path(packs[0]).parent
    return f"{folder}/a.tar:{folder}/a.npz"


def people(path):
    return {person_of(name) for name in open_faces(path).names}


def test_a_pack_leaves_out_pairs_copies_and_the_held_out(packs):
    every, unseen, seen = packs
    assert len(open_faces(every)) == 2 * 3 + 2 * 4 and len(open_faces(unseen)) == len(open_faces(seen)) == 2
    assert not people(every) & people(unseen) and people(seen) <= people(every) and "b3" not in people(every)
    pack = open_faces(every)
    assert isinstance(pack, PicturePack)
    assert pack.face(0).shape == (128, 128, 3) and set(pack.source) == {0, 1} and pack.sizes[0].tolist() == [120, 100]
    assert isinstance(open_faces([every, unseen]), Joined)


def test_webp_packs_are_pictures_too(source, tmp_path):
    assert pack_pictures.main([str(tmp_path / "w.safetensors"), source, "--webp", "90"]) == 0
    one, other = open_faces(source).image(0)[0], open_faces(str(tmp_path / "w.safetensors")).image(0)[0]
    assert np.abs(np.asarray(one, float) - np.asarray(other, float)).mean() < 4


def test_what_cannot_be_packed_is_refused(packs, source, tmp_path):
    with pytest.raises(InvalidInputError, match="packed already"):
        pack_pictures.main([str(tmp_path / "x.safetensors"), packs[0]])
    with pytest.raises(InvalidInputError, match="shows 5 people; --held-out 3 needs 6"):
        pack_pictures.main([str(tmp_path / "x.safetensors"), source, "--held-out", "3"])


def test_a_pack_of_crops_is_none_of_pictures(tmp_path):
    with pytest.raises(InvalidInputError, match=r"no file of packed pictures.*lfic.data.pack_pictures"):
        PicturePack(make_pack(tmp_path))
