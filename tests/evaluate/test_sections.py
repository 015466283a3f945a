"""The page's tables: what stands where."""

import numpy as np

from lfic.evaluate import groups
from lfic.evaluate.points import Point
from lfic.evaluate.report import deltas as delta_sections
from lfic.evaluate.report.page import write_page


def test_paper_figures_stand_beside_their_rows():
    deltas = [
        {
            "codec": "lfic",
            "anchor": anchor,
            "measure": "accuracy",
            "recognizer": "r",
            "bd_rate_percent": -50.0,
            "bd_rate_without_header_percent": -49.0,
            "overlap_from": 0.8,
            "overlap_to": 0.95,
            "low_percent": -55.0,
            "high_percent": -45.0,
        }
        for anchor in ("JPEG 2000", "WebP", "bmshj2018", "JPEG")
    ]
    text = delta_sections.delta_table(deltas)
    assert (
        text.count("−71.41") == text.count("−48.28") == text.count("−52.67") == 1
        and "[−55.0, −45.0]" in text
        and "80.00 to 95.00" in text
    )


def test_matrices_have_a_line_for_each_codec_and_a_column_for_each_rival():
    deltas = [
        {
            "codec": codec,
            "anchor": anchor,
            "measure": measure,
            "recognizer": name,
            "bd_rate_percent": value,
            "low_percent": value - 1,
            "high_percent": value + 1,
        }
        for name in ("r", "s")
        for measure in ("accuracy", "similarity", "tar@1e-3")
        for codec, anchor, value in (("JPEG", "WebP", 20.0), ("lfic", "WebP", -50.0), ("lfic", "JPEG", float("nan")))
    ]
    text = delta_sections.delta_matrices(deltas)
    tables = [table.split("</table>")[0] for table in text.split("<h3>")[1:]]
    assert [table.split(":")[0] for table in tables] == [
        "r, equal accuracy",
        "r, equal similarity",
        "s, equal accuracy",
        "s, equal similarity",
    ]
    assert (
        "<tr><td>lfic</td><td>−50.0 [−51.0, −49.0]</td><td>–</td></tr><tr><td>JPEG</td><td>20.0 [19.0, "
        "21.0]</td><td></td></tr>" in tables[0]
    )
    assert "−48.28" in tables[0] and "−48.28" not in tables[1]


def test_intervals_of_both_columns_stand_in_the_table():
    delta = {
        "codec": "lfic",
        "anchor": "WebP",
        "measure": "accuracy",
        "recognizer": "r",
        "bd_rate_percent": -50.0,
        "bd_rate_without_header_percent": -41.25,
        "low_percent": -55.0,
        "high_percent": -45.0,
        "low_without_header_percent": -46.0,
        "high_without_header_percent": -36.5,
        "overlap_from": 0.8,
        "overlap_to": 0.95,
    }
    text = delta_sections.delta_table(
        [delta, {**delta, "low_percent": float("nan"), "low_without_header_percent": None}]
    )
    assert (
        text.count("−50.0 [−55.0, −45.0]") == text.count("−41.2 [−46.0, −36.5]") == 1
        and text.count("<td>−50.0</td>") == 1
        and "nan" not in text
    )


def test_groups_on_the_page(tmp_path):
    names = ["5_0_1_a.jpg", "30_0_0_b.jpg", "31_1_0_c.jpg", "70_1_2_d.jpg"]
    original = np.eye(4, dtype=np.float32)
    point = Point(
        "lfic",
        "30",
        np.array([100, 200, 300, 400]),
        np.full(4, 5),
        np.full(4, 30.0),
        {"r": original * [[1], [0.9], [0.7], [0.6]]},
    )
    rows = groups.group_rows([point], {"r": original}, names)
    assert {g["group"]: round(g["similarity"], 3) for g in rows} == {
        "age 0-12": 1,
        "age 20-39": 0.8,
        "age 60+": 0.6,
        "male": 0.95,
        "female": 0.65,
        "White": 0.8,
        "Black": 1,
        "Asian": 0.6,
        "all": 0.8,
    }
    assert [g["bytes"] for g in rows if g["group"] in ("female", "all")] == [350, 250]
    run = [
        {
            "codec": "lfic",
            "setting": "30",
            "recognizer": "r",
            "protocol": "similarity",
            "bytes": 250.0,
            "bytes_without_header": 245.0,
            "psnr_db": 30.0,
            "similarity": 0.8,
        }
    ]
    write_page(tmp_path / "g.html", run, groups=rows)
    text = (tmp_path / "g.html").read_text()
    assert (
        "<th>lfic 30, 250 bytes</th>" in text
        and "<tr><td>female</td><td>0.650 (-0.150 ± 0.050)</td></tr>" in text
        and "female 2" in text
    )
