"""Builds the extensions lfic._coder and lfic.kernels._rap; everything else about the package is in pyproject.toml."""
from glob import glob

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension, build_ext
from setuptools import setup

ParallelCompile("LFIC_BUILD_JOBS", default=0).install()  # one job a core

FLAGS = ["-O3", "-fvisibility=hidden"]
RAP = glob("csrc/rap_*.cpp")

setup(
    ext_modules=[
        Pybind11Extension("lfic._coder", sorted(set(glob("csrc/*.cpp")) - set(RAP)), cxx_std=17, extra_compile_args=FLAGS),
        # No multiply-add is contracted, so that symbols are the same everywhere; what compares floats may run as vectors.
        Pybind11Extension("lfic.kernels._rap", sorted(RAP), cxx_std=17, extra_compile_args=[*FLAGS, "-ffp-contract=off", "-fno-trapping-math"]),
    ],
    cmdclass={"build_ext": build_ext},
)
