"""Tables as CSV files."""

import re

from lfic.evaluate.tables import read_csv, write_csv


def test_csv_round_trip(tmp_path):
    write_csv(
        tmp_path / "x.csv",
        [{"codec": "a", "setting": 1, "bytes": 12.5, "tar": None}, {"codec": "b", "setting": 2, "eer": 0.25}],
        "two lines\nof notes",
    )
    assert re.match(r"# .*torch .*\n# two lines\n# of notes\ncodec,", (tmp_path / "x.csv").read_text())
    assert read_csv(tmp_path / "x.csv")[0] == {"codec": "a", "setting": "1", "bytes": 12.5, "tar": "", "eer": ""}
