"""Imports run one way, importing lfic is quick, and torch is loaded on first need."""
import ast
import json
import pathlib
import subprocess
import sys

import lfic

ROOT = pathlib.Path(lfic.__file__).parent
# Bottom to top: a module may import from lower layers, and from its own where that makes no circle.
LAYERS = [
    {"errors", "kernels", "_coder"},
    {"coder", "container", "image", "level_map", "metric"},
    {"align", "transform", "weights_io"},
    {"quantize", "info"},
    {"rap", "entropy"},
    {"model"},
    {"tiles", "objective"},
    {"refine"},
    {"search"},
    {"codec"},
    {"pillow_plugin", "evaluate", "train"},
    {"faces", "bulk", "demo"},
    {"cli"},
    {"__main__"},
]
LAYER = {name: i for i, names in enumerate(LAYERS) for name in names}
# Weights files are built by the network's own code, inside the function that builds one.
DEFERRED = {("weights_io", "model"), ("pillow_plugin", "codec"), ("train", "faces")}


def module_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports_of(path):
    """(module inside lfic, whether it is imported at the module's top) for every import of a file."""
    package = ["lfic", *path.relative_to(ROOT).parts[:-1]]
    tree = ast.parse(path.read_text())
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            full = base + (node.module.split(".") if node.module else [])
            names = [full + [alias.name] for alias in node.names] if full == ["lfic"] else [full]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        for name in names:
            if name[0] == "lfic" and len(name) > 1:
                yield name[1], id(node) in top


def test_imports_run_one_way():
    wrong = []
    files = [p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py"]
    assert len(files) > 20
    for path in files:
        source = module_of(path)
        if source in ("weights", "data"):
            continue
        for used, at_top in imports_of(path):
            if used not in LAYER or used == source or used.startswith("__"):
                continue
            if not at_top and (source, used) in DEFERRED:
                continue
            if LAYER[used] > LAYER[source] or (LAYER[used] == LAYER[source] and at_top):
                wrong.append(f"{path.relative_to(ROOT)} imports {used}")
    assert not wrong, "\n".join(wrong)


def test_every_module_has_a_layer():
    modules = {module_of(p) for p in ROOT.rglob("*.py")} - {"__init__", "weights", "data"}
    assert modules <= set(LAYER), f"give {sorted(modules - set(LAYER))} a place in LAYERS"


def test_kernels_know_nothing_of_lfic():
    import lfic.kernels

    for path in pathlib.Path(lfic.kernels.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level < 2:
                assert (node.module or "").split(".")[0] != "lfic" or (node.module or "").startswith("lfic.kernels"), path
            assert not isinstance(node, ast.ImportFrom) or node.level < 2 or path.parent.name != "kernels", path


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_lfic_is_quick_and_loads_no_torch():
    code = "import time, sys; t = time.process_time(); import lfic; t = time.process_time() - t; import json; print(json.dumps([t, 'torch' in sys.modules, 'numpy' in sys.modules]))"
    seconds, torch, numpy = json.loads(run(code))
    seconds = min([seconds] + [json.loads(run(code))[0] for _ in range(2)])
    assert seconds < 0.1 and not torch and not numpy


def test_header_and_coder_need_no_torch():
    assert run("import sys, lfic.container, lfic.coder, lfic.image, lfic.cli; print('torch' in sys.modules)").strip() == "False"


def test_info_needs_no_torch(codec, face):
    data = codec.encode(face, max_bytes=150, aligned=True)
    assert run(f"import sys, lfic; print(lfic.probe({data!r}).levels.shape, 'torch' in sys.modules)").strip() == "(4, 4) False"


def test_public_names_exist_and_others_do_not():
    for name in lfic.__all__:
        assert getattr(lfic, name) is not None
    assert set(lfic.__all__) <= set(dir(lfic))
    assert not hasattr(lfic, "jpeg")
