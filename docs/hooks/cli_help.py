"""Puts the command line's own help where a page says ``<!-- help: COMMAND -->``."""

import os
import re
import subprocess
import sys

MARK = re.compile(r"<!-- help: ?([a-z ]*?) ?-->")


def on_page_markdown(markdown: str, **_: object) -> str:
    """MkDocs calls this with the text of every page."""
    return MARK.sub(lambda mark: f"```text\n{help_text(mark[1].split())}\n```", markdown)


def help_text(command: list[str]) -> str:
    """What ``lfic COMMAND --help`` prints, at 100 columns."""
    done = subprocess.run(
        [sys.executable, "-m", "lfic", *command, "--help"],
        env=os.environ | {"COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.rstrip()
