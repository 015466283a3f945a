"""docs/faults.md names tests that are there, for each fault one at least."""

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
TEST = re.compile(r"^- `(tests/[\w/]+\.py)::(\w+)`$", re.MULTILINE)


def functions(path: pathlib.Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_named_test_is_there():
    found = TEST.findall(PAGE.read_text())
    known = {name: functions(ROOT / name) if (ROOT / name).is_file() else set() for name, _ in found}
    assert [f"{name}::{test}" for name, test in found if test not in known[name]] == []
    assert PAGE.read_text().count("::") == len(found)  # no line is written in another way


def test_every_fault_has_a_test():
    numbers = []
    for part in re.split(r"^\*\*(?=\d)", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        heading = re.match(r"(\d+)(?: to (\d+))?\. ", part)
        numbers += range(int(heading[1]), int(heading[2] or heading[1]) + 1)
        assert TEST.search(part), part.splitlines()[0]
    assert numbers == list(range(1, 49))
