"""The table, the report and the charts of a batch: what they say of cases that are known."""

import csv
import re

import numpy as np
import pytest

from DRAMLesionLib.batch import figures
from DRAMLesionLib.batch.manifest import Manifest
from DRAMLesionLib.batch.report import FEWEST, FinishedCase, find_outliers, read_finished, write_batch_report
from DRAMLesionLib.batch.tables import read_volumes, write_volumes
from DRAMLesionLib.batch.work import CASES, Outcome
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.folder import TABLE
from DRAMLesionLib.results.table import ALL_COLUMNS

KEYS = tuple(lobe.abbreviation for lobe in LOBES)


def write_case(out, name, percent, score=10, lobes="given", absent=None) -> None:
    """A finished case's table: the same percentage in each lobe, lungs of 4000 mL."""
    folder = out / CASES / name
    folder.mkdir(parents=True)
    with (folder / TABLE).open("w", newline="") as file:
        table = csv.DictWriter(file, ALL_COLUMNS, restval="", lineterminator="\n")
        table.writeheader()
        for key in (*KEYS, "left", "right", "total"):
            ml = 800 if key in KEYS else 4000 if key == "total" else 2000
            values = {"volume_ml": ml, "lesion_ml": ml * percent / 100, "lesion_percent": percent}
            values |= {"mean_hu": -800, "ground_glass_ml": ml * percent / 200, "consolidation_ml": 1}
            if key == absent:
                values = {"volume_ml": 0}
            row = {"region": key, "name": key, "severity_score": score, "lobes": lobes, **values}
            table.writerow(row)


def finished(name, percent, ml=4000.0, hu=-800.0, **lobes) -> FinishedCase:
    total = {"volume_ml": ml, "lesion_percent": percent, "mean_hu": hu, "severity_score": 10.0}
    return FinishedCase(name, total, {**dict.fromkeys(KEYS, percent), **lobes}, False)


def test_the_table_has_each_case_with_each_region_once(tmp_path):
    for name, percent in (("b", 10), ("a", 20)):
        write_case(tmp_path, name, percent)
    assert write_volumes(tmp_path, ["b", "gone", "a"]) == 2  # a case whose table is gone is passed over
    cases = dict(read_volumes(tmp_path))
    assert list(cases) == ["b", "a"]
    for name, percent in (("b", "10"), ("a", "20")):
        assert set(cases[name]) == {*KEYS, "left", "right", "total"}
        assert {row["lesion_percent"] for row in cases[name].values()} == {percent}


def test_finished_cases_are_read_with_what_is_not_known_left_out(tmp_path):
    write_case(tmp_path, "a", 20, absent="RML", lobes="approximate")
    write_case(tmp_path, "b", 0)
    write_volumes(tmp_path, ["a", "b"])
    one, other = read_finished(tmp_path)
    assert one.lobes == {**dict.fromkeys(KEYS, 20.0), "RML": None}
    assert one.approximate and not other.approximate
    assert one.total["volume_ml"] == 4000 and one.total["severity_score"] == 10
    assert "lesion_mean_hu" not in one.total


def test_a_link_leads_to_a_case_of_any_name():
    assert finished("patient 7 #2", 1.0).link == "cases/patient%207%20%232/report.html"


def reasons(cases) -> dict[str, list[str]]:
    return {one.case.name: one.reasons for one in find_outliers(cases)}


def test_lungs_of_unlikely_size_and_a_missing_lobe_stand_out_in_any_batch():
    cases = [finished("usual", 5.0), finished("cut off", 5.0, ml=900.0), finished("resected", 5.0, RML=None)]
    assert reasons(cases) == {"cut off": ["lungs of 900 mL"], "resected": ["RML has no voxels"]}


def test_what_lies_far_from_the_others_stands_out_on_its_side():
    usual = [finished(str(n), percent, hu=-800.0 + n) for n, percent in enumerate(range(4, 14))]
    assert len(usual) >= FEWEST and reasons(usual) == {}
    cases = [*usual, finished("dense", 8.0, hu=-500.0), finished("empty", 8.0, hu=-900.0)]
    assert reasons(cases) == {
        "dense": ["high mean density of the lungs: −500 HU"],
        "empty": ["low mean density of the lungs: −900 HU"],
    }
    assert reasons([*usual[: FEWEST - 2], finished("dense", 8.0, hu=-500.0)]) == {}  # too few to know


def test_severe_cases_among_many_mild_ones_are_usual():
    """Involvement is compared by its square root."""
    cases = [finished(str(n), percent) for n, percent in enumerate((1, 1, 2, 2, 3, 4, 5, 7, 9, 12, 16, 21))]
    assert reasons(cases) == {}
    assert "high involvement: 95.0 %" in reasons([*cases, finished("white", 95.0)])["white"]


def test_the_report_sums_up_orders_and_links_the_cases(tmp_path):
    percents = {"mild": 2.0, "severe": 60.0, "usual": 10.0, "clear": 0.0, "some": 20.0}
    for name, percent in percents.items():
        write_case(
            tmp_path,
            name,
            percent,
            score=round(percent / 4),
            lobes="approximate" if percent == 2 else "given",
        )
    write_volumes(tmp_path, percents)
    with Manifest(tmp_path, resume=False) as manifest:
        for name in percents:
            manifest.add(Outcome(name, "done", seconds=30.0, peak_memory_mb=900.0))
        manifest.add(Outcome("broken", "failed", reason="not a CT: give another"))
    text = write_batch_report(tmp_path).read_text(encoding="utf-8")
    places = [
        text.index(f"cases/{name}/report.html") for name in ("severe", "some", "usual", "mild", "clear")
    ]
    assert places == sorted(places)  # the most involved first
    plain = " ".join(re.sub("<[^>]+>", " ", text).split())
    assert "not a CT: give another" in plain
    assert "10.0" in plain and "2.0" in plain and "20.0" in plain  # median and quartiles of the involvement
    assert re.search(r"10\.0 %? ?\(?.{0,30}2\.0 .{0,12}20\.0", plain), plain[:1500]
    assert text.count("data:image/png;base64,") == 4
    assert "Research use only" in plain


@pytest.fixture
def drawn(monkeypatch):
    """Figures instead of pictures."""
    monkeypatch.setattr(figures, "png_of", lambda figure: figure)

    def axes(figure):
        (one,) = figure.axes
        return one

    return axes


def test_the_charts_show_all_cases_where_they_belong(drawn):
    percent = np.array([0.5, 2.0, 2.5, 47.0])
    axes = drawn(figures.involvement_chart(percent))
    counts = {round(bar.get_x(), 3): bar.get_height() for bar in axes.patches if bar.get_height()}
    assert sum(counts.values()) == 4 and counts == {0.0: 2, 2.5: 1, 45.0: 1}
    assert axes.get_xlim() == (0.0, 50.0)

    axes = drawn(figures.score_chart(np.array([0, 3, 3, 25])))
    bars = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in axes.patches}
    assert {score: count for score, count in bars.items() if count} == {0: 1, 3: 2, 25: 1}
    assert axes.get_xlim()[0] < 0 and axes.get_xlim()[1] > 25

    axes = drawn(figures.density_chart([10.0, 50.0], [1.0, 200.0]))
    assert axes.collections[0].get_offsets().tolist() == [[10.0, 1.0], [50.0, 200.0]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("ground glass, mL", "consolidation, mL")


def test_the_lobes_chart_has_a_box_and_points_for_each_lobe_that_is_known(drawn):
    values = {key: np.array([1.0, 2.0, 3.0]) * number for number, key in enumerate(KEYS, 1)}
    values["RML"] = np.array([])
    axes = drawn(figures.lobes_chart(values))
    bold = [line for line in axes.lines if line.get_linewidth() == 1.6]
    medians = {round(float(np.mean(line.get_xdata()))): line.get_ydata()[0] for line in bold}
    assert medians == {0: 2.0, 1: 4.0, 2: 6.0, 4: 10.0}
    points = [line for line in axes.lines if line.get_marker() == "."]
    assert [sorted(line.get_ydata()) for line in points][-1] == [5.0, 10.0, 15.0]
    assert [label.get_text() for label in axes.get_xticklabels()] == list(KEYS)
