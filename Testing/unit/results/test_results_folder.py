"""A folder of results read back: everything as it was written, or one line that says what is wrong."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from DRAMLesionLib.images.volume import write_volume
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lesions.steer import steer
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.phantom import make_phantom
from DRAMLesionLib.results.folder import (
    LESIONS,
    REPORT,
    TABLE,
    check_same_ct,
    read_findings,
    write_findings,
)
from DRAMLesionLib.results.lesion_list import LesionList, list_lesions
from DRAMLesionLib.results.table import print_table, read_table, write_summary
from DRAMLesionLib.system.errors import InputError


@pytest.fixture(scope="module")
def findings() -> Findings:
    phantom = make_phantom((40, 40, 32), (8.0, 8.0, 9.0), seed=1, orientation="RAS")
    lobes = LobeMap(phantom.lobes.labels, True, "planes")
    dram = (0.8 * phantom.lesion).astype(np.float32)
    table = quantify(phantom.ct.array, lobes, phantom.lesion, phantom.ct.spacing_mm, dram)
    record = {"model": {"name": "tiny"}, "settings": {"threshold": 0.4, "lobes": "planes"}, "seconds": {}}
    return Findings(phantom.ct, lobes, dram, phantom.lesion, table, record, np.sqrt(dram))


@pytest.fixture
def folder(findings, tmp_path) -> Path:
    write_volume(findings.lesion, findings.ct, tmp_path / "lesion.nii.gz")
    write_volume(findings.dram, findings.ct, tmp_path / "dram.nii.gz")
    write_volume(findings.refined, findings.ct, tmp_path / "refined_dram.nii.gz")
    write_volume(findings.lobes.labels, findings.ct, tmp_path / "lobes.nii.gz")
    write_summary(findings, tmp_path / "summary.json")
    return tmp_path


def test_everything_comes_back(findings, folder):
    read = read_findings(folder, findings.ct)
    for name in ("dram", "lesion", "refined"):
        np.testing.assert_array_equal(getattr(read, name), getattr(findings, name))
        assert getattr(read, name).dtype == getattr(findings, name).dtype
    np.testing.assert_array_equal(read.lobes.labels, findings.lobes.labels)
    assert (read.lobes.approximate, read.lobes.source) == (True, "planes")
    assert read.quantification == findings.quantification and read.record == findings.record


def test_without_the_crf_there_is_no_refined_map(findings, folder):
    (folder / "refined_dram.nii.gz").unlink()
    assert read_findings(folder, findings.ct).refined is None


def test_the_final_networks_probability_comes_back(findings, folder):
    assert read_findings(folder, findings.ct).probability is None
    made = findings.dram / 2
    write_volume(made, findings.ct, folder / "lesion_probability.nii.gz")
    np.testing.assert_array_equal(read_findings(folder, findings.ct).probability, made)


def test_the_callers_lobes_are_taken_and_named(findings, folder):
    (folder / "lobes.nii.gz").unlink()
    given = replace(findings.lobes, labels=np.flip(findings.lobes.labels, 2).copy(), source="radiologist")
    read = read_findings(folder, findings.ct, given)
    assert read.lobes is given and read.record["settings"] == {"threshold": 0.4, "lobes": "radiologist"}
    assert read.quantification != findings.quantification


@pytest.mark.parametrize("name", ["summary.json", "lesion.nii.gz", "dram.nii.gz", "lobes.nii.gz"])
def test_a_missing_result_is_named(findings, folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=name):
        read_findings(folder, findings.ct)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"record": {}, "lobes": {"source": "x"}}'])
def test_a_damaged_summary_is_refused(findings, folder, text):
    (folder / "summary.json").write_text(text)
    with pytest.raises(InputError, match=r"summary\.json"):
        read_findings(folder, findings.ct)


@pytest.mark.parametrize(
    ("name", "value"), [("lesion.nii.gz", 3), ("lobes.nii.gz", 9), ("dram.nii.gz", 1.5)], ids=str
)
def test_values_that_no_result_has_are_refused(findings, folder, name, value):
    wrong = np.full(findings.ct.array.shape, value, np.float32 if name == "dram.nii.gz" else np.uint8)
    write_volume(wrong, findings.ct, folder / name)
    with pytest.raises(InputError, match=name):
        read_findings(folder, findings.ct)


def test_results_of_another_ct_are_refused(findings, folder):
    other = make_phantom((40, 40, 31), (8.0, 8.0, 9.0)).ct
    with pytest.raises(InputError, match=r"lobes\.nii\.gz"):
        read_findings(folder, other)


def test_what_segment_writes_can_be_read(findings, tmp_path):
    write_findings(findings, tmp_path / "out", with_scene=False)
    read = read_findings(tmp_path / "out", findings.ct)
    assert read.quantification == findings.quantification
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["record"] == read.record
    lesions = LesionList.from_dict(json.loads((tmp_path / "out" / "summary.json").read_text()))
    assert lesions == list_lesions(findings.ct, findings.lobes.labels, findings.lesion) and lesions.lesions
    assert len(read_table(tmp_path / "out" / LESIONS)) == len(lesions.lesions) + bool(lesions.rest_count)


def test_a_reading_comes_back_with_the_mask_that_it_steered(findings, tmp_path):
    chance = np.random.default_rng(0).random(findings.dram.shape, np.float32)
    graded = replace(findings, refined=0.2 * chance + 0.7 * findings.refined)
    steered = steer(
        graded, percent=(40, None, 0, None, None), score=(None, 2, None, None, None), who="R. Reader"
    )
    write_findings(steered, tmp_path, with_scene=False)
    read = read_findings(tmp_path, findings.ct)
    np.testing.assert_array_equal(read.lesion, steered.lesion)
    assert (read.reading, read.cuts) == (steered.reading, steered.cuts)
    rows = read_table(tmp_path / TABLE)
    assert [row["wanted_percent"] for row in rows[:3]] == ["40.0000", "", "0.0000"]
    assert (rows[1]["wanted_score"], rows[1]["wanted_by"], rows[3]["wanted_by"]) == ("2", "R. Reader", "")
    assert float(rows[0]["lesion_percent"]) == pytest.approx(40, abs=1) and rows[1]["severity_score"] == "2"
    with (tmp_path / "terminal.txt").open("w", encoding="utf-8") as file:
        print_table(steered, Console(file=file, width=80))
    lines = [line.split("│") for line in (tmp_path / "terminal.txt").read_text(encoding="utf-8").splitlines()]
    shown = {cells[1].strip(): [cell.strip() for cell in cells[2:-1]] for cells in lines if len(cells) > 5}
    assert shown["left upper"][2] == f"{steered.quantification['LUL'].percent:.1f}"
    assert [shown[name][3] for name in ("left upper", "left lower", "right middle")] == ["40 %", "2", ""]
    page = (tmp_path / REPORT).read_text(encoding="utf-8")
    assert "R. Reader" in page and "40 %" in page and "score 2" in page
    again = steer(read, percent=(None, None, None, None, 7), who="Second")
    assert again.reading.percent[0] == 40 and again.reading.who == (
        "R. Reader",
        "R. Reader",
        "R. Reader",
        "",
        "Second",
    )


@pytest.mark.parametrize("values", [[], {"wanted_percent": [101] * 5}, {"wanted_percent": 3}])
def test_a_damaged_reading_is_refused(findings, folder, values):
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "reading": values}))
    with pytest.raises(InputError, match=r"summary\.json: its reading is damaged"):
        read_findings(folder, findings.ct)


def test_another_ct_on_the_same_grid_is_told_apart(findings, folder):
    check_same_ct(folder, findings)
    other = replace(findings.ct, array=(findings.ct.array * 0.9).astype(np.int16))
    with pytest.raises(InputError, match="give the CT that was segmented"):
        check_same_ct(folder, read_findings(folder, other))


def test_ranges_come_back_and_a_readers_number_takes_the_models_range_away(findings, tmp_path):
    ranged = replace(
        findings, quantification=findings.quantification.with_ranges({1: (3.0, 7.5), 2: (0.0, 2.0)})
    )
    write_findings(ranged, tmp_path, with_scene=False)
    read = read_findings(tmp_path, findings.ct)
    assert read.quantification == ranged.quantification
    steered = steer(read, percent=(0, None, None, None, None)).quantification
    assert steered["LUL"].percent_low is None and (
        steered["LLL"].percent_low,
        steered["LLL"].percent_high,
    ) == (0, 2)
