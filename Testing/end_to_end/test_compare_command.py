"""Comparing from the command line: folders of results and CTs, the page, and one line for what can't be compared."""

import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk


@pytest.fixture
def followed_up(results, phantom_folder, tmp_path):
    """A second date: the first one's results with the lesion of the left lower lobe gone, moved by 10 mm."""
    folder = shutil.copytree(results, tmp_path / "later")
    lobes = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "lobes.nii.gz")))
    for path, name in (
        (phantom_folder / "ct.nii.gz", "later_ct.nii.gz"),
        *((folder / f"{n}.nii.gz",) * 2 for n in ("lobes", "lesion")),
    ):
        image = sitk.ReadImage(str(path))
        if path.name == "lesion.nii.gz":
            values = sitk.GetArrayFromImage(image)
            values[lobes == 2] = 0
            emptied = sitk.GetImageFromArray(values)
            emptied.CopyInformation(image)
            image = emptied
        image.SetOrigin(np.add(image.GetOrigin(), (10.0, 0.0, 0.0)).tolist())
        sitk.WriteImage(image, str(tmp_path / name if name == "later_ct.nii.gz" else path))
    return folder


COARSE = ("--coarser", 2.5)
"""A second instead of twenty."""


def test_results_are_compared_and_all_files_written(run, results, phantom_folder, followed_up, tmp_path):
    out = tmp_path / "compared"
    ct = ("--ct", phantom_folder / "ct.nii.gz", "--ct", tmp_path / "later_ct.nii.gz")
    done = run("compare", results, followed_up, *ct, "--days", "0,14", *COARSE, "--out", out, "--json")
    assert done.code == 0, done.err
    assert {path.name for path in out.iterdir()} == {
        "report.html",
        "summary.json",
        "changes.csv",
        "lesions.csv",
    }
    said = done.events[-1]
    assert said["event"] == "result" and said["exams"][1]["days"] == 14
    changes = {row["region"]: row for row in said["changes"] if row["exam"] == 2}
    before = json.loads((results / "summary.json").read_text())["regions"]
    lower = next(row for row in before if row["region"] == "LLL")
    assert changes["LLL"]["lesion_change_ml"] == pytest.approx(-lower["lesion_ml"])
    assert changes["RLL"]["lesion_change_ml"] == 0
    assert said["intervals"][0]["registration"]["dice"] > 0.97
    told = [event for event in done.events if event["event"] == "progress"]
    stages = {event["stage"] for event in told}
    assert {f"Reading the results of exam {number}" for number in (1, 2)} <= stages
    assert "Registering the lungs of exams 1 and 2" in stages
    overall = [event["overall"] for event in told if "overall" in event]
    assert (
        overall == sorted(overall) and overall[0] < 0.2 < 0.7 < overall[-1]
    )  # one bar, which never starts anew


def test_a_ct_is_segmented_first_and_its_results_stay(run, monkeypatch, results, phantom_folder, tmp_path):
    """By the same path as segment; what it gives is that of the results that the other tests use."""
    from DRAMLesionLib.followup import sources

    asked = []

    def segment(source, out, options, progress):
        asked.append((source, options.with_scene, options.model))
        progress("Reading the CT", 0.0)
        shutil.copytree(results, out)

    monkeypatch.setattr(sources, "segment_case", segment)
    first, second = (shutil.copy(phantom_folder / "ct.nii.gz", tmp_path / f"{n}.nii.gz") for n in "ab")
    out = tmp_path / "compared"
    done = run("compare", first, second, "--model", "dram-covid", *COARSE, "--out", out)
    assert done.code == 0, done.err
    assert [(str(source), *rest) for source, *rest in asked] == [
        (str(path), False, "dram-covid") for path in (first, second)
    ]
    assert (out / "exam_1" / "summary.json").is_file() and (out / "report.html").is_file()
    assert "both lungs" in done.out and "Research use only" in done.out and "Start with" in done.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("{results}",), "one exam alone"),
        (("{results}", "{results}"), "given twice"),
        (("{results}", "{empty}/none"), "no such file or folder"),
        (("{results}", "{part}"), "results without a whole summary"),
        (("{results}", "{later}", "--days", "0,x"), "not numbers"),
        (("{results}", "{later}", "--days", "0"), "one for each of the 2 exams"),
        (("{results}", "{later}", "--ct", "-"), "1 CTs for 2 exams"),
    ],
)
def test_what_can_not_be_compared_is_one_line_and_nothing_is_written(run, results, tmp_path, words, message):
    later = shutil.copytree(results, tmp_path / "later")
    part = shutil.copytree(results, tmp_path / "part")
    (part / "summary.json").unlink()
    places = {"results": results, "later": later, "part": part, "empty": tmp_path}
    out = tmp_path / "compared"
    done = run("compare", *(word.format(**places) for word in words), "--out", out)
    assert done.code == 2 and message in done.err and done.err.count("Error:") == 1
    assert not out.exists()


def test_the_results_of_a_ct_are_not_overwritten(run, results, tmp_path):
    later = shutil.copytree(results, tmp_path / "later")
    before = {path.name: path.read_bytes() for path in later.iterdir()}
    done = run("compare", results, later, "--out", later)
    assert done.code == 2 and "give another folder" in done.err
    assert {path.name: path.read_bytes() for path in later.iterdir()} == before
