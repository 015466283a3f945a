"""Builds the extensions lfic._coder, _compose, _file, _network, lfic.kernels._rap; all else is in pyproject.toml."""

import json
import os
from glob import glob

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension, build_ext
from setuptools import setup
from setuptools.command.editable_wheel import editable_wheel

ParallelCompile("LFIC_BUILD_JOBS", default=0).install()  # one job a core


WEIGHTS = "lfic/weights/face-v1.safetensors"
EXACT = "-ffp-contract=off", "-fno-trapping-math"


def digest() -> str:
    """What the bundled weights say of themselves."""
    with open(WEIGHTS, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    found: str = header["__metadata__"]["digest"]
    return found


def extension(name: str, *folders: str, flags: tuple[str, ...] = (), files: tuple[str, ...] = ()) -> Pybind11Extension:
    """All of csrc/<folders> and csrc/bindings/<name>, and ``files``, as one extension module."""
    parts = [*folders, f"bindings/{name.rpartition('_')[2]}"]
    return Pybind11Extension(
        name,
        sorted([*files, *(path for part in parts for path in glob(f"csrc/{part}/*.cpp"))]),
        depends=sorted(glob("csrc/**/*.hpp", recursive=True)),
        include_dirs=["csrc"],
        cxx_std=17,
        extra_compile_args=["-O3", "-fvisibility=hidden", *flags],
    )


class Editable(editable_wheel):
    """``pip install -e``: the root on the path, and kernels/ linked to its place in lfic/, so that type checkers, which
    run no import hooks, find all of it."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.mode = "compat"

    def run(self) -> None:
        if not os.path.lexists("lfic/kernels"):
            os.symlink(os.path.join("..", "kernels"), "lfic/kernels", target_is_directory=True)
        super().run()


setup(
    ext_modules=[
        extension("lfic._coder", "coder"),
        extension("lfic._compose", "compose"),
        extension(
            "lfic._file",
            *("coder", "compose", "format", "network", "rap"),
            flags=(*EXACT, f'-DLFIC_FACE_V1_DIGEST="{digest()}"'),
            files=("csrc/capi/codec.cpp",),
        ),
        # No multiply-add is contracted, so that symbols are the same everywhere; what compares floats may run as
        # vectors.
        extension("lfic.kernels._rap", "rap", flags=EXACT),
        extension("lfic._network", "network", "rap", flags=EXACT),
    ],
    cmdclass={"build_ext": build_ext, "editable_wheel": Editable},
)
