"""Imports run one way over the folders, importing lfic is quick, and torch is loaded on first need."""

import ast
import json
import pathlib
import subprocess
import sys

import pytest

import lfic

ROOT = pathlib.Path(lfic.__file__).parent
# Bottom to top: a folder, or a module that lies directly in lfic/, imports from lower layers and from itself.
LAYERS = [
    {"errors"},
    {"arguments", "extras"},
    {"files", "kernels", "_coder", "_file", "_network"},
    {"coder"},
    {"format"},
    {"image", "metric"},
    {"align", "qr"},
    {"decoder"},
    {"reader"},
    {"faces", "network"},
    {"encoder"},
    {"batch"},
    {"codec"},
    {"encoding"},
    {"pillow_plugin"},
    {"data"},
    {"evaluate", "train"},
    {"bulk", "demo"},
    {"cli"},
    {"__main__"},
]
LAYER = {name: i for i, names in enumerate(LAYERS) for name in names}
NO_CODE = {"assets", "weights"}


def room(path):
    """The folder or module of lfic/ that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports_of(path):
    """(module below lfic as a tuple, whether it is imported when the file is) for every import of a file."""
    package = ["lfic", *path.relative_to(ROOT).parts[:-1]]
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for f in ast.walk(tree)
        if isinstance(f, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(f)
    }
    typing_only = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            full = base + (node.module.split(".") if node.module else [])
            # from .folder import name: the name may be a module
            names = [[*full, alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        for name in names:
            if name[0] == "lfic" and len(name) > 1 and id(node) not in typing_only:
                yield tuple(name[1:]), id(node) not in inside


def python_files():
    files = [p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py" and room(p) not in NO_CODE]
    assert len(files) > 40
    return files


def test_every_room_has_a_layer():
    rooms = {room(p) for p in ROOT.rglob("*.py")} - {"__init__"} - NO_CODE
    assert rooms <= set(LAYER), f"give {sorted(rooms - set(LAYER))} a place in LAYERS"


def test_imports_run_one_way():
    wrong = []
    for path in python_files():
        source = room(path)
        for used, _ in imports_of(path):
            if used[0] not in LAYER or used[0] == source:
                continue
            if LAYER[used[0]] >= LAYER[source]:
                wrong.append(f"{path.relative_to(ROOT)} imports {'.'.join(used)}")
    assert not wrong, "\n".join(wrong)


def modules():
    """Module below lfic as a tuple -> modules that it imports when it is imported."""
    files = {path.relative_to(ROOT).with_suffix("").parts: path for path in python_files()}
    graph = {}
    for name, path in files.items():
        used = set()
        for target, at_import in imports_of(path):
            if at_import:
                used |= {known for known in (target, target[:-1]) if known in files and known != name}
        graph[name] = used
    return graph


def test_no_circles():
    """Not among the modules of a folder either."""
    graph, done = modules(), set()

    def visit(name, trail):
        assert name not in trail, " -> ".join(".".join(n) for n in (*trail, name))
        if name not in done:
            for used in graph[name]:
                visit(used, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_nothing_below_the_codec_holds_one():
    """Calls run the way imports do: below codec.py no function takes a codec."""
    top = LAYER["codec"]
    for path in python_files():
        if LAYER[room(path)] < top:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.arg):
                    assert node.arg != "codec", f"{path.relative_to(ROOT)}:{node.lineno}"


def test_kernels_know_nothing_of_lfic():
    import lfic.kernels

    folder = pathlib.Path(lfic.kernels.__file__).parent
    for path in folder.rglob("*.py"):
        depth = len(path.relative_to(folder).parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                absolute = (node.module or "").split(".")[0] == "lfic" and not (node.module or "").startswith(
                    "lfic.kernels"
                )
                assert not absolute and node.level <= depth, path


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_lfic_is_quick_and_loads_no_torch():
    code = (
        "import time, sys; t = time.process_time(); import lfic; t = time.process_time() - t; import json; "
        "print(json.dumps([t, 'torch' in sys.modules, 'numpy' in sys.modules]))"
    )
    seconds, torch, numpy = json.loads(run(code))
    seconds = min([seconds] + [json.loads(run(code))[0] for _ in range(2)])
    assert seconds < 0.1 and not torch and not numpy


@pytest.mark.parametrize(
    "module",
    [
        "coder",
        "image",
        "align",
        "files",
        "cli",
        *sorted(f"format.{p.stem}" for p in (ROOT / "format").glob("[a-z]*.py")),
    ],
)
def test_what_needs_no_torch_loads_none(module):
    assert run(f"import sys, lfic.{module}; print('torch' in sys.modules)").strip() == "False"


def test_info_needs_no_torch(codec, face):
    data = codec.encode(face, max_bytes=150, aligned=True)
    assert (
        run(f"import sys, lfic; print(lfic.probe({data!r}).levels.shape, 'torch' in sys.modules)").strip()
        == "(4, 4) False"
    )


def test_public_names_exist_and_others_do_not():
    for name in lfic.__all__:
        assert getattr(lfic, name) is not None
    assert set(lfic.__all__) <= set(dir(lfic))
    assert not hasattr(lfic, "jpeg")
