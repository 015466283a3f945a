"""Builds the extensions lfic._coder, _compose, _network and lfic.kernels._rap; all else is in pyproject.toml."""

import os
from glob import glob

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension, build_ext
from setuptools import setup
from setuptools.command.editable_wheel import editable_wheel

ParallelCompile("LFIC_BUILD_JOBS", default=0).install()  # one job a core


def extension(name: str, folder: str, *flags: str, more: str = "") -> Pybind11Extension:
    """All of csrc/<folder>, csrc/<more> and csrc/bindings/<folder> as one extension module."""
    folders = [folder, f"bindings/{folder}", *([more] if more else [])]
    return Pybind11Extension(
        name,
        sorted(path for part in folders for path in glob(f"csrc/{part}/*.cpp")),
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
        # No multiply-add is contracted, so that symbols are the same everywhere; what compares floats may run as
        # vectors.
        extension("lfic.kernels._rap", "rap", "-ffp-contract=off", "-fno-trapping-math"),
        extension("lfic._network", "network", "-ffp-contract=off", "-fno-trapping-math", more="rap"),
    ],
    cmdclass={"build_ext": build_ext, "editable_wheel": Editable},
)
