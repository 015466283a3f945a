"""README's table is what its script makes of the results, to the digit; and nobody judges who took part."""

import importlib.util
import pathlib

import pytest

from lfic.evaluate.tables import read_csv, write_csv

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("readme_table", ROOT / "benchmarks" / "readme_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_has_the_table_that_the_results_give(script):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{script.MARKS[0]}\n{script.table()}\n{script.MARKS[1]}" in text
    assert script.table().count("\n") == 1 + len(script.ANCHORS) == 6


def test_a_table_of_other_results(script, tmp_path):
    row = {"recognizer": script.JUDGE, "measure": "accuracy", "codec": "lfic layers"}
    rows = [
        {**row, "anchor": "WebP", "bd_rate_percent": -88.849, "low_percent": -90.75, "high_percent": -86.2},
        {**row, "anchor": "WebP", "measure": "similarity", "bd_rate_percent": 1.0, "low_percent": 0, "high_percent": 2},
    ]
    write_csv(tmp_path / "photos-bdrate.csv", rows)
    lines = script.table(tmp_path).splitlines()
    assert lines[0] == "| against | photos, effort 0 |" and lines[1] == "|---|---|"
    assert "| WebP | −88.8 [−90.8, −86.2] |" in lines and "| AVIF | |" in lines


RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.csv"))


JUDGED = [path for path in RESULTS if "codec,setting,recognizer" in path.read_text() or "bdrate" in path.stem]


@pytest.mark.parametrize("path", JUDGED, ids=lambda path: path.stem)
def test_every_table_says_who_took_part(path):
    for row in read_csv(path):
        loss, encoder = row.get("loss", ""), row.get("encoder", "")
        assert bool(loss) == row["codec"].startswith(("lfic", "bmshj2018 identity"))
        assert "casia" not in loss + encoder
        assert not encoder or row["recognizer"] != encoder
        assert ("effort" in row["codec"]) == bool(encoder)


def test_the_judge_is_in_no_loss_of_a_configuration_or_of_shipped_weights():
    from lfic.evaluate.own import recognizers_in_loss
    from lfic.format.tensors import metadata

    for path in (ROOT / "configs").rglob("*.toml"):
        lines = [line for line in path.read_text().splitlines() if line.strip().startswith("recognizer")]
        assert "casia" not in " ".join(lines), path
    for path in (ROOT / "lfic" / "weights").glob("face-*.safetensors"):
        if "source" in metadata(path):  # cut from other weights, which a test of theirs compares
            continue
        named = recognizers_in_loss(path.stem)
        assert named and not any("casia" in name for name in named)
