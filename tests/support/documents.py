"""The blocks of code of a Markdown document."""

import dataclasses
import pathlib
import re

FENCE = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?$")
NOT_RUN = re.compile(r"^<!-- not run: (.+) -->$")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of code.

    Attributes:
        language: as the fence says; empty where it says none.
        title: the file that it is, if the fence has a title.
        line: number of its first line, from 1.
        not_run: why it can't run, if a comment before it says so; else None.
    """

    language: str
    title: str | None
    text: str
    line: int
    not_run: str | None


def blocks(path: pathlib.Path) -> list[Block]:
    """All fenced blocks of a document, in order."""
    found: list[Block] = []
    lines = path.read_text(encoding="utf-8").splitlines()
    at, reason = 0, None
    while at < len(lines):
        line = lines[at]
        if fence := FENCE.match(line):
            end = lines.index("```", at + 1)
            found.append(Block(fence[1], fence[2], "\n".join(lines[at + 1 : end]), at + 2, reason))
            at = end
        if comment := NOT_RUN.match(line):
            reason = comment[1]
        elif line.strip():
            reason = None
        at += 1
    return found


def indented(path: pathlib.Path) -> list[str]:
    """Lines of code that stand four spaces in, after an empty line, outside fences."""
    found, fence, code, before = [], False, False, ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fence = not fence
        code = line.startswith("    ") and not fence and (code or not before)
        if code:
            found.append(line[4:])
        before = line.strip()
    return found
