"""The cache of evaluations: several runs begin it at the same time."""

import contextlib
import sqlite3

import pytest

from lfic.evaluate import cache


@pytest.mark.parametrize(("code", "tries"), [(sqlite3.SQLITE_BUSY, 3), (sqlite3.SQLITE_CANTOPEN, 1)])
def test_a_new_file_that_another_run_opens_is_waited_for(code, tries):
    asked = []

    class Connection:
        def execute(self, statement):
            asked.append(statement)
            if len(asked) < 3:
                error = sqlite3.OperationalError("no")
                error.sqlite_errorcode = code
                raise error

    with contextlib.suppress(sqlite3.OperationalError):
        cache.write_ahead(Connection())
    assert len(asked) == tries
