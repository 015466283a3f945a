"""A training leg on a GPU: what it makes of a configuration for a CPU."""

import pytest
from train_faces import settings
from train_leg import LARGE_STEP, on_cuda, shared


def leg(crops, **data):
    """A configuration that a GPU can capture."""
    return settings(batch=crops, identity_share=1.0, **data)


@pytest.mark.parametrize(("crops", "pictures", "wanted"), [(2, 16, (8, 64)), (12, 12, (64, 64))])
def test_crops_keep_their_share(crops, pictures, wanted):
    found = on_cuda(leg(crops, pictures="pack.safetensors", picture_batch=pictures))
    assert (found.data.batch, found.data.picture_batch) == wanted
    assert (found.run.device, found.run.graphs, found.data.workers) == ("cuda", True, 13)
    assert on_cuda(found) is found  # a configuration for a GPU stays as it is


def test_a_step_that_is_not_captured_keeps_the_share_as_well():
    for crops, pictures, wanted in ((8, 64, (57, 455)), (144, 48, (384, 128))):
        data = shared(leg(crops, pictures="pack.safetensors", picture_batch=pictures), LARGE_STEP)
        assert (data["batch"], data["picture_batch"]) == wanted


def test_crops_alone():
    assert on_cuda(leg(16)).data.batch == 16 and shared(leg(16), LARGE_STEP) == {"batch": 512}
