"""Tables and lists as the page shows them."""

from dataclasses import replace

import numpy as np
from small_case import make_case

from DRAMLesionLib.lesions.reading import Reading
from DRAMLesionLib.view.case import Places, read_case
from DRAMLesionLib.view.tables import headline, lesion_rows, lobe_rows, lung_rows, rest_text


def test_rows_say_what_the_reports_say(tmp_path):
    findings, held = read_case(Places.beside(make_case(tmp_path)))
    assert held is None
    table = findings.quantification
    said = Reading(percent=(None, None, 20.0, None, None), who="A")
    rows = lobe_rows(table, said)
    assert [row["key"] for row in rows] == ["LUL", "LLL", "RUL", "RML", "RLL"]
    assert [row["steered"] for row in rows] == [False, False, True, False, False]
    assert rows[2]["percent"] == round(table["RUL"].percent, 1)
    assert rows[2]["score"] == str(table["RUL"].score)
    assert [row["name"] for row in lung_rows(table)] == ["Left lung", "Right lung", "Both lungs"]
    assert headline(table).endswith(f"severity score {table.total_score} of 25")


def test_a_lesion_is_listed_where_it_lies(tmp_path):
    from DRAMLesionLib.results.lesion_list import list_lesions

    findings, _held = read_case(Places.beside(make_case(tmp_path)))
    listed = list_lesions(findings.ct, findings.lobes.labels, findings.lesion)
    rows = lesion_rows(listed)
    assert len(rows) == 1 and rows[0]["lobes"].startswith("RUL")
    # The lesion's middle is voxel (13, 30, 20): x = -120 + 60 = -60 mm toward the left in LPS, so 60 toward the right.
    assert np.allclose(rows[0]["ras_mm"], [60, 0, 5], atol=6)
    assert rest_text(listed) == ""
    assert rest_text(replace(listed, lesions=())) == "No lesion."
    assert "not listed: 3" in rest_text(replace(listed, rest_count=3, rest_ml=0.2))
