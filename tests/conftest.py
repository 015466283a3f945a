"""What several test files share: the shipped model and the shipped face."""

import pathlib
import subprocess

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def face():
    """uint8 [112, 112, 3], on the template."""
    from lfic.demo import ASTRONAUT

    return np.array(Image.open(ASTRONAUT).convert("RGB"))


@pytest.fixture(scope="session")
def cpp_build(tmp_path_factory):
    """Folder in which CMake built the C++ libraries, their tests and tools."""
    folder = tmp_path_factory.mktemp("cmake")
    root = pathlib.Path(__file__).parent.parent
    subprocess.run(["cmake", "-S", root, "-B", folder], check=True, capture_output=True)
    done = subprocess.run(["cmake", "--build", folder, "--parallel", "2"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


@pytest.fixture(scope="session")
def codec():
    """The shipped model."""
    import lfic

    return lfic.load_codec()


@pytest.fixture(scope="session")
def photo(face):
    """(height, width) -> uint8 [height, width, 3]: a picture with faces and detail at any size, deterministic."""

    def make(height, width):
        side = max(height, width, 112)
        tiled = np.tile(face, (-(-side // 112), -(-side // 112), 1))[:height, :width]
        shade = np.linspace(0.6, 1.0, width)[None, :, None]
        return (tiled * shade).astype(np.uint8)

    return make


@pytest.fixture(scope="session")
def recognizing_codec():
    """The shipped model with a recogniser that sees a face's thumbnail."""
    from likeness import Thumbnail

    from lfic.codec import Codec
    from lfic.metric.identity import Recognizer

    return Codec(recognizer=Recognizer(Thumbnail(), scale=1.0))
