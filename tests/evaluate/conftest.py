"""A small world to evaluate on: images, pairs over them, and a recogniser."""

import pytest
from evaluate_faces import write_folder, write_recognizer


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(folder, images, pairs file, recogniser's file)."""
    folder = tmp_path_factory.mktemp("faces")
    images, pairs = write_folder(folder)
    return folder, images, pairs, write_recognizer(folder / "tiny.pt")
