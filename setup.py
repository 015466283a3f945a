"""Builds the extensions lfic._coder, _compose, _file, _network, lfic.kernels._rap, and the program dlfic; all else is
in pyproject.toml."""

import json
import os
import pathlib
import re
import sys
import tempfile
from glob import glob

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension, build_ext
from setuptools import Extension, setup
from setuptools.command.editable_wheel import editable_wheel
from setuptools.errors import CompileError, LinkError

# isort: split
from distutils.command.build_scripts import build_scripts  # setuptools brings distutils along

ParallelCompile("LFIC_BUILD_JOBS", default=0).install()  # one job a core


MODELS = "face-v1", "face-v2"
DECODER = "csrc/tools/face-v2-decoder.safetensors"
EXACT = "-ffp-contract=off", "-fno-trapping-math"


def weights(model: str) -> str:
    return f"lfic/weights/{model}.safetensors"


def digest(model: str) -> str:
    """What bundled weights say of themselves, as a definition for the compiler."""
    with open(weights(model), "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    found = header["__metadata__"]["digest"]
    return f'-DLFIC_{model.upper().replace("-", "_")}_DIGEST="{found}"'


def extension(
    name: str, *folders: str, flags: tuple[str, ...] = (), files: tuple[str, ...] = (), depends: tuple[str, ...] = ()
) -> Pybind11Extension:
    """All of csrc/<folders> and csrc/bindings/<name>, and ``files``, as one extension module. depends: what the flags
    are read from."""
    parts = [*folders, f"bindings/{name.rpartition('_')[2]}"]
    return Pybind11Extension(
        name,
        sorted([*files, *(path for part in parts for path in glob(f"csrc/{part}/*.cpp"))]),
        depends=sorted([*depends, *glob("csrc/**/*.hpp", recursive=True)]),
        include_dirs=["csrc"],
        cxx_std=17,
        extra_compile_args=["-O3", "-fvisibility=hidden", *flags],
    )


class Build(build_ext):
    """The extensions, and beside lfic._file the program dlfic, which is made of the same objects."""

    def build_extension(self, ext: Extension) -> None:
        super().build_extension(ext)
        if ext.name == "lfic._file" and os.name == "posix":
            self.link_dlfic(ext)

    def has_zlib(self) -> bool:
        """Whether programs can be built with zlib: dlfic writes larger PNGs without."""
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder, "probe.cpp")
            source.write_text("#include <zlib.h>\nint main() { return zlibVersion()[0] == 0; }\n")
            try:
                objects = self.compiler.compile([str(source)], output_dir=folder)
                self.compiler.link_executable(objects, str(source.with_suffix("")), libraries=["z"])
            except (CompileError, LinkError):
                return False
        return True

    def link_dlfic(self, ext: Extension) -> None:
        """dlfic into the folder of temporary files, where ``Scripts`` finds it."""
        shared = [path for path in ext.sources if not path.startswith("csrc/bindings/")]
        version = re.search(r'__version__ = "(.+)"', pathlib.Path("lfic/__init__.py").read_text())
        assert version is not None
        macros: list[tuple[str, str | None]] = [
            ("LFIC_VERSION", f'"{version[1]}"'),
            ("LFIC_DECODER_WEIGHTS", f'"{os.path.abspath(DECODER)}"'),
        ]
        libraries = []
        if self.has_zlib():
            macros.append(("LFIC_ZLIB", None))
            libraries.append("z")
        tools = self.compiler.compile(
            sorted(glob("csrc/tools/*.cpp")),
            output_dir=self.build_temp,
            macros=macros,
            include_dirs=["csrc"],
            extra_preargs=ext.extra_compile_args,
            depends=[DECODER],
        )
        self.compiler.link_executable(
            [*self.compiler.object_filenames(shared, output_dir=self.build_temp), *tools],
            "dlfic",
            output_dir=self.build_temp,
            libraries=libraries,
            extra_preargs=["-static-libstdc++", "-static-libgcc"] if sys.platform == "linux" else [],
            extra_postargs=["-lpthread"],
            target_lang="c++",
        )


class Scripts(build_scripts):
    """dlfic, a program, where setuptools expects scripts."""

    def copy_scripts(self) -> tuple[list[str], list[str]]:
        self.run_command("build_ext")
        self.mkpath(self.build_dir)
        built = os.path.join(self.get_finalized_command("build_ext").build_temp, "dlfic")
        target = os.path.join(self.build_dir, "dlfic")
        self.copy_file(built, target, preserve_mode=True)
        return [target], [target]


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
            *("coder", "compose", "format", "network", "png", "rap"),
            flags=(*EXACT, *map(digest, MODELS)),
            files=("csrc/capi/codec.cpp",),
            depends=tuple(map(weights, MODELS)),
        ),
        # No multiply-add is contracted, so that symbols are the same everywhere; what compares floats may run as
        # vectors.
        extension("lfic.kernels._rap", "rap", flags=EXACT),
        extension("lfic._network", "network", "rap", flags=EXACT),
    ],
    scripts=["csrc/tools/dlfic.cpp"] if os.name == "posix" else [],  # what Scripts makes a program of
    cmdclass={"build_ext": Build, "build_scripts": Scripts, "editable_wheel": Editable},
)
