"""What a run that goes on says of settings that are others now."""

import pathlib

import numpy as np
import pytest

from lfic import InvalidInputError
from lfic.bulk.changes import options_of, refuse_changes
from lfic.bulk.faces import FaceFinding
from lfic.bulk.work import CodecChoice, Transcoding


def settings(work, **more):
    return {"source": "/a", "target": "/b", "work": repr(work), **more}


def test_each_option_that_differs_is_named():
    before = settings(Transcoding(encoding={"quality": None, "faces": None}))
    after = settings(Transcoding(encoding={"quality": 40, "faces": "auto"}, codec=CodecChoice(device="cuda")))
    refuse_changes(before, dict(before))
    with pytest.raises(InvalidInputError) as error:
        refuse_changes(before, after)
    text = str(error.value)
    assert (
        "device was 'cpu', now it is 'cuda'; faces was None, now it is 'auto'; quality was None, now it is 40. " in text
    )
    assert "Transcoding" not in text and "give" in text.lower()
    with pytest.raises(InvalidInputError, match="; work was Transcoding, now it is FaceFinding"):
        refuse_changes(before, settings(FaceFinding()))
    with pytest.raises(
        InvalidInputError, match="shard_bytes was '5', now it is not there; source was '/a', now it is '/c'"
    ):
        refuse_changes({**before, "shard_bytes": "5"}, {**before, "source": "/c"})


def test_settings_that_are_no_code():
    assert options_of({"work": "no code (", "n": 3}) == {"work": "'no code ('", "n": "3"}
    assert options_of({"work": "(" * 100_000}) == {"work": repr("(" * 100_000)}


def test_a_run_may_go_on_without_replacing_previews():
    first, then = (settings(FaceFinding(preview="/p", replaces=way)) for way in (False, True))
    refuse_changes(first, then)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"quality": np.int64(5)}, {"quality": np.int64(95)}),
        ({"faces": [np.eye(2)]}, {"faces": [2 * np.eye(2)]}),
        ({"quality": 5}, {"quality": np.int64(5)}),
    ],
)
def test_values_that_are_calls_are_told_apart(before, after):
    refuse_changes(settings(Transcoding(encoding=before)), settings(Transcoding(encoding=before)))
    with pytest.raises(InvalidInputError, match="(quality|faces) was .*, now it is "):
        refuse_changes(settings(Transcoding(encoding=before)), settings(Transcoding(encoding=after)))
    one, two = (settings(Transcoding(codec=CodecChoice(pathlib.Path(name)))) for name in ("/a", "/b"))
    with pytest.raises(InvalidInputError, match=r"model was PosixPath\('/a'\), now it is PosixPath\('/b'\)"):
        refuse_changes(one, two)
