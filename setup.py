"""Builds the extension lfic._coder; everything else about the package is in pyproject.toml."""
from glob import glob

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension, build_ext
from setuptools import setup

ParallelCompile("LFIC_BUILD_JOBS", default=0).install()  # one job a core

setup(
    ext_modules=[
        Pybind11Extension(
            "lfic._coder",
            sorted(glob("csrc/*.cpp")),
            cxx_std=17,
            extra_compile_args=["-O3", "-fvisibility=hidden"],
        )
    ],
    cmdclass={"build_ext": build_ext},
)
