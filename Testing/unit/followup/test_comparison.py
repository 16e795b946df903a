"""Two dates of drawn lungs compared: numbers, files, page, and what is refused."""

import contextlib
import csv
import io
import json
import re
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_exams import LEFT, RIGHT, draw, write_results
from rich.console import Console

from DRAMLesionLib.commands.compare import print_changes
from DRAMLesionLib.followup import Comparison, compare, sources
from DRAMLesionLib.followup.exam import images_of, read_exam
from DRAMLesionLib.followup.levels import BOTH, NEW, RESOLVED
from DRAMLesionLib.followup.page import page_text
from DRAMLesionLib.followup.registration import register_lungs
from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.results.folder import is_results
from DRAMLesionLib.system.errors import InputError

COARSE = 2.0
NEW_ONE = (-40.0, 30.0, -70.0, 15.0)
SOME = (-30.0, 20.0, 75.0, 12.0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path, Path]:
    """On the left a lesion shrinks and goes, on the right one stays, one comes; the patient breathes and moves."""
    root = tmp_path_factory.mktemp("dates")
    breath = {"moved_mm": (8.0, -10.0, 5.0), "taller": 0.9}
    first = write_results(root / "a", *draw(LEFT, RIGHT))
    second = write_results(root / "b", *draw(SOME, RIGHT, NEW_ONE, **breath))
    third = write_results(root / "c", *draw(RIGHT, NEW_ONE))
    return first, second, third


@pytest.fixture(scope="module")
def compared(folders) -> Comparison:
    return compare(*folders, days=(0, 7, 30), coarser=COARSE)


def kinds(interval) -> list[str]:
    return [lesion.kind for lesion in interval.lesions]


def test_lesions_are_followed_through_breath_and_move(compared):
    assert kinds(compared.intervals[0]) == ["new", "stable", "shrunk"]
    assert kinds(compared.intervals[1]) == ["stable", "stable", "resolved"]
    assert [lesion.lobe for lesion in compared.intervals[0].lesions] == [5, 3, 2]


def test_changes_are_those_of_the_results_themselves(folders, compared):
    tables = [
        {row["region"]: row for row in json.loads((f / "summary.json").read_text())["regions"]}
        for f in folders
    ]
    for number, interval in enumerate(compared.intervals):
        for change in interval.regions:
            before, after = (tables[number + step][change.key] for step in (0, 1))
            assert change.change_ml == pytest.approx(after["lesion_ml"] - before["lesion_ml"])
            assert change.change_points == pytest.approx(after["lesion_percent"] - before["lesion_percent"])
            assert change.change_volume_ml == pytest.approx(after["volume_ml"] - before["volume_ml"])
    last = compared.table[-1]
    truth = tables[2]["total"]["lesion_ml"] - tables[0]["total"]["lesion_ml"]
    assert last["lesion_change_ml_since_baseline"] == pytest.approx(truth)


def test_registration_finds_the_breath_both_ways_without_folds():
    breath = {"moved_mm": (8.0, -10.0, 5.0), "taller": 0.9}
    (ct, lobes, lesion), (other, its, none) = draw(LEFT), draw(**breath)
    one, two = images_of(ct, lobes.labels, lesion), images_of(other, its.labels, none)
    found = register_lungs(one, two, coarser=COARSE)
    inside = np.argwhere(one.lobes > 0)[::97]
    points = inside[:, ::-1] @ one.matrix[:3, :3].T + one.matrix[:3, 3]
    middle = (np.array(ct.array.shape[::-1]) - 1) / 2 * ct.spacing_mm[::-1]
    truth = (points - middle) * (1, 1, 0.9) + middle + (5.0, -10.0, 8.0)
    there = np.array([found.forward.TransformPoint(point) for point in points.tolist()])
    assert np.linalg.norm(there - truth, axis=1).mean() < 2.5  # voxels have 6 mm
    assert found.quality.dice > 0.95 and found.quality.folded_percent == 0
    assert found.quality.inverse_error_mm < 2.0 and found.quality.least_jacobian > 0
    again = register_lungs(one, two, coarser=COARSE)
    assert again.forward.TransformPoint(points[0].tolist()) == found.forward.TransformPoint(
        points[0].tolist()
    )
    assert again.quality == found.quality


def test_the_same_results_twice_show_no_change(folders, tmp_path):
    shutil.copytree(folders[0], tmp_path / "a")
    shutil.copy(folders[0].parent / "a_ct.nii.gz", tmp_path / "a_ct.nii.gz")
    same = compare(folders[0], tmp_path / "a", coarser=COARSE)
    assert kinds(same.intervals[0]) == ["stable", "stable"]
    assert all(change.change_ml == 0 and change.change_points == 0 for change in same.intervals[0].regions)
    assert same.intervals[0].registration.dice > 0.98 and same.flags == ()
    for level in same.intervals[0].levels:
        counts = np.bincount(level.difference.ravel(), minlength=4)
        assert counts[NEW] + counts[RESOLVED] <= 0.15 * counts[BOTH]


def test_levels_show_the_same_place_in_both(compared):
    """The difference of the first interval has all three colours, each CT's own slice has its own lesion."""
    levels = compared.intervals[0].levels
    seen = set(np.unique(np.concatenate([level.difference.ravel() for level in levels])))
    assert {BOTH, NEW, RESOLVED} <= seen
    for level in levels:
        assert level.difference.shape == level.before_hu.shape
        assert (
            (level.difference == BOTH) | (level.difference == RESOLVED)
        ).sum() == level.before_lesion.sum()
        assert level.before_label.startswith(("axial", "coronal"))
        there = (level.difference == BOTH) | (level.difference == NEW)
        assert abs(int(there.sum()) - int(level.after_lesion.sum())) <= 0.5 * max(there.sum(), 12)


def test_four_files_are_written_and_say_the_same(compared, tmp_path):
    compared.save(tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"report.html", "summary.json", "changes.csv", "lesions.csv"}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert not is_results(tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out" / "changes.csv").open()))
    assert len(rows) == 3 * 8 and rows[0]["lesion_change_ml"] == "" and rows[23]["region"] == "total"
    total = compared.intervals[1].total
    assert float(rows[23]["lesion_change_ml"]) == pytest.approx(total.change_ml, abs=1e-4)
    assert [row["kind"] for row in csv.DictReader((tmp_path / "out" / "lesions.csv").open())] == [
        row["kind"] for row in summary["lesions"]
    ]
    assert summary["intervals"][0]["lesion_counts"]["shrunk"] == 1
    assert [exam["days"] for exam in summary["exams"]] == [0, 7, 30]
    assert repr(compared).startswith("Comparison of 3 exams: lesion ") and len(repr(compared)) < 200


def test_the_page_asks_nothing_of_a_network_and_says_what_it_is(compared, tmp_path):
    compared.save(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Research use only, not for diagnosis" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page) and "<script" not in page
    assert "exam 2, day 7" in page and "1 new, 1 stable, 1 shrunk" in page
    assert page.count("data:image/jpeg") == 2 and page.count("data:image/png") == 1
    assert str(tmp_path) not in page


def test_nothing_is_left_where_writing_fails(compared, tmp_path, monkeypatch):
    from DRAMLesionLib.followup import page

    monkeypatch.setattr(page, "summary", lambda exams, intervals: {"not": float("nan")})
    with pytest.raises(ValueError):
        compared.save(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_results_of_a_ct_are_not_overwritten(folders, compared):
    before = (folders[0] / "summary.json").read_bytes()
    with pytest.raises(InputError, match="another folder for the comparison"):
        compared.save(folders[0])
    assert (folders[0] / "summary.json").read_bytes() == before


def test_a_folder_given_twice_is_refused(folders):
    with pytest.raises(InputError, match="given twice"):
        compare(folders[0], folders[0].parent / "." / "a")


@pytest.mark.parametrize("missing", ["lobes.nii.gz", "lesion.nii.gz", "summary.json"])
def test_a_folder_without_a_needed_file_is_refused(folders, tmp_path, missing):
    shutil.copytree(folders[1], tmp_path / "b")
    (tmp_path / "b" / missing).unlink()
    with pytest.raises(InputError, match=missing) as caught:
        compare(folders[0], tmp_path / "b", cts=(None, folders[1].parent / "b_ct.nii.gz"))
    assert "\n" not in str(caught.value)


def test_results_whose_ct_is_gone_are_refused_with_the_way_out(folders, tmp_path):
    shutil.copytree(folders[1], tmp_path / "b")
    with pytest.raises(InputError, match="--ct"):
        compare(folders[0], tmp_path / "b")


def test_the_ct_of_another_date_is_refused(folders, tmp_path):
    with pytest.raises(InputError, match="not the CT of"):
        compare(folders[1], folders[0], cts=(None, folders[1].parent / "b_ct.nii.gz"))


def test_lungs_of_another_size_are_refused_in_one_line(folders, tmp_path):
    child = write_results(tmp_path / "child", *draw(size=0.6))
    with pytest.raises(InputError, match="do not belong to lungs of") as caught:
        compare(folders[0], child, coarser=COARSE)
    assert "child" in str(caught.value) and "\n" not in str(caught.value)


def test_a_part_of_the_chest_is_refused(folders, tmp_path):
    """The right lung alone does not fit both, however it is stretched."""
    ct, lobes, lesion = draw(RIGHT)
    lobes.labels[:, :, :26][lobes.labels[:, :, :26] < 3] = 0
    lobes.labels[lobes.labels < 3] = 0
    half = write_results(tmp_path / "half", ct, lobes, lesion * (lobes.labels > 0))
    with pytest.raises(InputError, match="one patient"):
        compare(folders[0], half, coarser=COARSE)


def test_results_without_lungs_are_refused(folders, tmp_path):
    ct, lobes, lesion = draw()
    lobes.labels[:] = 0
    empty = write_results(tmp_path / "empty", ct, lobes, lesion)
    with pytest.raises(InputError, match="no lung"):
        compare(folders[0], empty)


@pytest.mark.parametrize("days", [(0,), (0, 0), (14, 0), (0, float("nan"))])
def test_days_that_do_not_rise_are_refused(folders, days):
    with pytest.raises(InputError, match="one for each of the 2 exams"):
        compare(folders[0], folders[1], days=days)


@pytest.mark.parametrize("days", ["0,14", "02", ("0", "14"), (0, None), None, 14])
def test_days_that_are_no_numbers_are_refused(folders, days):
    with pytest.raises(InputError, match="one for each of the 2 exams"):
        compare(folders[0], folders[1], days=days)


def test_results_made_in_different_ways_and_other_vessels_are_flagged(folders, tmp_path):
    other = write_results(tmp_path / "other", *draw(RIGHT, seed=1), settings={"method": "dram"})
    flags = {flag.code: flag for flag in compare(folders[0], other, coarser=COARSE).flags}
    assert flags.keys() == {"made-differently", "other-patient"}
    assert "different method" in flags["made-differently"].sentence


def test_a_percentage_on_the_page_does_not_contradict_its_score(compared):
    """0.98 % is score 0; as 1.0 it would be score 1."""
    table = compared.exams[0].quantification
    nearly = replace(table.total, percent=0.98, score=0)
    exams = [
        replace(exam, quantification=replace(table, regions=(*table.regions[:-1], nearly)))
        for exam in compared.exams[:2]
    ]
    text = page_text(exams, compared.intervals[:1])
    assert "0.98 → 0.98" in text and "1.0 → 1.0" not in text


def test_the_name_of_a_dicom_folder_is_shown_on_request_only(folders, tmp_path):
    shutil.copytree(folders[0], tmp_path / "a")
    ct = folders[0].parent / "a_ct.nii.gz"
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    (tmp_path / "a" / "summary.json").write_text(json.dumps({**summary, "ct": "Doe_Jane"}))
    assert read_exam(tmp_path / "a", ct)[0].name == "ct"
    assert read_exam(tmp_path / "a", ct, keep_identifiers=True)[0].name == "Doe_Jane"
    assert read_exam(folders[0], ct)[0].name == "a_ct.nii.gz"


def test_lungs_in_one_slice_are_refused_and_nothing_is_computed_with_nan():
    ct, lobes, lesion = draw(LEFT)
    middle = Volume(ct.array, (1.0, 6.0, 6.0), replace(ct.geometry, spacing=(6.0, 6.0, 1.0)), "ct")
    lobes.labels[np.arange(len(lobes.labels)) != 10] = 0
    images = images_of(middle, lobes.labels, lesion)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with contextlib.suppress(InputError):
            register_lungs(images, images, coarser=COARSE)


def test_an_exam_is_not_replaced_by_the_results_of_another(folders, tmp_path, monkeypatch):
    """A CT as the first exam would be segmented into ``exam_1``, which here is the second exam."""
    monkeypatch.setattr(sources, "segment_case", lambda *given, **more: pytest.fail("segmented"))
    shutil.copytree(folders[1], tmp_path / "exam_1")
    with pytest.raises(InputError, match="would replace an exam"):
        sources.compare_sources([folders[0].parent / "a_ct.nii.gz", tmp_path / "exam_1"], tmp_path)


def test_a_ct_may_lie_in_the_folder_that_gets_its_results(folders, tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(sources, "segment_case", lambda source, folder, *given, **more: done.append(folder))
    (tmp_path / "exam_1").mkdir()
    shutil.copy(folders[0].parent / "a_ct.nii.gz", tmp_path / "exam_1" / "ct.nii.gz")
    with pytest.raises(InputError, match=r"summary\.json"):  # the fake wrote none
        sources.compare_sources([tmp_path / "exam_1" / "ct.nii.gz", folders[1]], tmp_path)
    assert done == [tmp_path / "exam_1"]


def test_the_table_of_changes_fits_a_terminal_of_80_columns(compared):
    first, stream = compared.intervals[0], io.StringIO()
    wide = replace(first.total.before, percent=0.998, lesion_ml=1324.0, score=0)
    regions = (*first.regions[:-1], replace(first.total, before=wide, after=wide))
    shown = replace(compared, intervals=(replace(first, regions=regions),))
    print_changes(shown, Console(file=stream, width=80))
    assert "0.998 → 0.998" in stream.getvalue() and "points" in stream.getvalue()
    assert "…" not in stream.getvalue()
