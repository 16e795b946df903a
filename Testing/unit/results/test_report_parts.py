"""Parts of the report: names, study, lobe scheme and bars."""

import dataclasses
import itertools
import re

import numpy as np
from report_case import make_findings

from DRAMLesionLib.results.report import bars, facts
from DRAMLesionLib.results.report.lobe_scheme import SCORE_COLORS, lobe_scheme, text_color


def test_a_ct_without_identifiers_has_a_number_of_its_own() -> None:
    one = make_findings()
    neutral = dataclasses.replace(one, ct=dataclasses.replace(one.ct, name="ct", path=None))
    title = facts.title_of(neutral)
    assert re.fullmatch(r"Case \d{3} \d{3}", title) and title == facts.title_of(neutral)
    other = dataclasses.replace(neutral.ct, array=neutral.ct.array + np.int16(1))
    assert facts.title_of(dataclasses.replace(neutral, ct=other)) != title
    assert facts.title_of(one) == "case1.nii.gz"
    named = dataclasses.replace(one, record={"name": "Course, day 3"})
    assert facts.title_of(named) == "Course, day 3"


def test_study_date_and_thickness_are_shown_where_the_record_has_them() -> None:
    record = {"study": {"date": "2020-03-12", "slice_thickness_mm": 1.25}}
    words = facts.study_facts(make_findings(record=record))
    assert words == ["study of 2020-03-12", "slices 1.25 mm thick", "20 slices, one every 5 mm"]
    assert facts.study_facts(make_findings()) == words[2:]


def test_the_lobe_scheme_colours_by_score_and_writes_the_numbers() -> None:
    svg = lobe_scheme({"LUL": "0.98 %", "RLL": "<80 %"}, {"LUL": 0, "RLL": 5})
    fills = dict(re.findall(r'data-lobe="(\w+)"[^>]*fill="(#\w+)"', svg))
    assert fills == {
        "LUL": SCORE_COLORS[0],
        "RLL": SCORE_COLORS[5],
        **dict.fromkeys(("LLL", "RUL", "RML"), "#dfe3e8"),
    }
    assert ">0.98 %<" in svg and ">&lt;80 %<" in svg
    places = {name: float(x) for x, name in re.findall(r'<text x="(\d+)"[^>]*>([LR][UML]L)<', svg)}
    # Seen from the front: the patient's right on the left.
    assert max(places[name] for name in ("RUL", "RML", "RLL")) < min(places["LUL"], places["LLL"])


def test_scores_are_told_apart_by_lightness_alone_and_their_numbers_can_be_read() -> None:
    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    lights = [luminance(color) for color in SCORE_COLORS]
    assert all((one + 0.05) / (next_ + 0.05) > 1.2 for one, next_ in itertools.pairwise(lights))
    for color, light in zip(SCORE_COLORS, lights, strict=True):
        ends = sorted((light, luminance(text_color(color))))
        assert (ends[1] + 0.05) / (ends[0] + 0.05) > 4.5


def test_bars_show_density_in_proportion_and_the_range() -> None:
    region = dataclasses.replace(
        make_findings().quantification["LUL"],
        percent=8.0,
        volume_ml=1000.0,
        ground_glass_ml=50.0,
        consolidation_ml=20.0,
        other_ml=10.0,
        percent_low=6.0,
        percent_high=18.0,
    )
    assert bars.bar_end([region]) == 20
    svg = bars.density_bar(region, 20)
    drawn = re.findall(r'<rect x="([\d.]+)" y="1" width="([\d.]+)" height="8" fill="(#\w+)"', svg)[1:]
    assert [(float(x), float(width)) for x, width, _ in drawn] == [(0, 25), (25, 10), (35, 5)]
    assert [color for _, _, color in drawn] == [color for color, _ in bars.DENSITIES]
    assert "M30.00 11 H90.00" in svg
    assert bars.density_bar(dataclasses.replace(region, percent=None), 20) == ""
