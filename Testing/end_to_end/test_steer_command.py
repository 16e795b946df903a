"""Steering from the command line: with the segmentation, on a folder of results, and for a batch."""

import csv
import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk


def array(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def table(folder):
    with (folder / "lobes.csv").open() as file:
        return {row["region"]: row for row in csv.DictReader(file)}


@pytest.fixture
def copied(results, tmp_path):
    return shutil.copytree(results, tmp_path / "results")


def test_a_results_folder_is_steered_and_all_of_it_follows(run, phantom_folder, results, copied):
    done = run(
        "steer",
        copied,
        phantom_folder / "ct.nii.gz",
        "--percent",
        "30,-,2,-,100",
        "--who",
        "R. Reader",
        "--no-scene",
    )
    assert done.code == 0, done.err
    assert "30 %" in done.out and "reader" in done.out
    lobes, lesion, before = (
        array(f / n)
        for f, n in ((copied, "lobes.nii.gz"), (copied, "lesion.nii.gz"), (results, "lesion.nii.gz"))
    )
    for lobe, percent in ((1, 30), (3, 2), (5, 100)):
        count = (lobes == lobe).sum()
        assert abs(100 * lesion[lobes == lobe].sum() / count - percent) <= 100 / count
    for lobe in (2, 4):
        np.testing.assert_array_equal(lesion[lobes == lobe], before[lobes == lobe])
    rows = table(copied)
    assert float(rows["LUL"]["lesion_percent"]) == pytest.approx(30, abs=0.1)
    assert (rows["LUL"]["wanted_percent"], rows["LUL"]["wanted_by"]) == ("30.0000", "R. Reader")
    assert rows["LLL"]["wanted_percent"] == "" and rows["RLL"]["severity_score"] == "5"
    reading = json.loads((copied / "summary.json").read_text())["reading"]
    assert reading["wanted_percent"] == [30, None, 2, None, 100] and reading["percent"][4] == 100
    assert "R. Reader" in (copied / "report.html").read_text(encoding="utf-8")
    for name in ("dram.nii.gz", "refined_dram.nii.gz"):
        np.testing.assert_array_equal(array(copied / name), array(results / name))


def test_a_second_reading_adds_to_the_first_and_undoes_it_where_it_says_the_models_percentage(
    run, phantom_folder, results, copied
):
    model = {key: float(row["lesion_percent"]) for key, row in table(results).items()}
    ct = phantom_folder / "ct.nii.gz"
    assert run("steer", copied, ct, "--percent", "90,-,-,-,-", "--no-scene").code == 0
    assert run("steer", copied, ct, "--score=-,5,-,-,-", "--no-scene").code == 0
    rows = table(copied)
    assert float(rows["LUL"]["lesion_percent"]) == pytest.approx(90, abs=0.1)
    assert (rows["LLL"]["wanted_score"], rows["LLL"]["severity_score"]) == ("5", "5")
    back = f"{model['LUL']},{model['LLL']},-,-,-"
    assert run("steer", copied, ct, "--percent", back, "--no-scene").code == 0
    np.testing.assert_array_equal(array(copied / "lesion.nii.gz"), array(results / "lesion.nii.gz"))


def test_painted_voxels_hold(run, phantom_folder, copied, tmp_path):
    image = sitk.ReadImage(str(copied / "lobes.nii.gz"))
    lobes = sitk.GetArrayFromImage(image)
    painted = np.zeros_like(lobes)
    painted[tuple(np.argwhere(lobes == 1)[:30].T)] = 1
    edits = sitk.GetImageFromArray(painted)
    edits.CopyInformation(image)
    sitk.WriteImage(edits, str(tmp_path / "edits.nii.gz"))
    command = ("steer", copied, phantom_folder / "ct.nii.gz", "--percent", "0,-,-,-,-", "--no-scene")
    assert run(*command, "--edits", tmp_path / "edits.nii.gz").code == 0
    np.testing.assert_array_equal(array(copied / "lesion.nii.gz")[lobes == 1], painted[lobes == 1] == 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no lobe has a number"),
        (("--percent", "1,2,3"), "has 3 values"),
        (("--percent", "1,2,3,4,101"), "percent of RLL is 101"),
        (("--score", "1,2,x,4,5"), "'x' is no number"),
        (("--who", "me"), "names a reader without numbers"),
    ],
)
def test_what_can_not_be_meant_is_one_line_and_nothing_changes(run, phantom_folder, copied, words, message):
    before = {path.name: path.read_bytes() for path in copied.iterdir()}
    done = run("steer", copied, phantom_folder / "ct.nii.gz", *words)
    assert done.code == 2 and message in done.err and done.err.count("Error:") == 1
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before


def test_another_ct_is_refused(run, phantom_folder, copied, tmp_path):
    image = sitk.ReadImage(str(phantom_folder / "ct.nii.gz"))
    sitk.WriteImage(image + 20, str(tmp_path / "other.nii.gz"))
    done = run("steer", copied, tmp_path / "other.nii.gz", "--score", "1,1,1,1,1")
    assert done.code == 2 and "give the CT that was segmented" in done.err


def test_segment_and_batch_steer_at_once_and_alike(run, phantom_folder, results, tmp_path):
    """The same numbers for one CT, for the CTs of a table, and afterwards."""
    (tmp_path / "in").mkdir()
    for name in ("ct", "lobes"):
        shutil.copy(phantom_folder / f"{name}.nii.gz", tmp_path / "in" / f"a_{name}.nii.gz")
    flags = ("--method", "dram", "--no-scene", "--device", "cpu")
    numbers = ("--score", "1,4,-,0,3", "--who", "R. Reader")
    alone = ("segment", tmp_path / "in" / "a_ct.nii.gz", "--lobes", tmp_path / "in" / "a_lobes.nii.gz")
    assert run(*alone, "--out", tmp_path / "one", *flags, *numbers).code == 0
    header = ",".join(f"score_{lobe}" for lobe in ("LUL", "LLL", "RUL", "RML", "RLL"))
    (tmp_path / "scores.csv").write_text(f"name,{header}\na,1,4,,0,3\n")
    many = (
        "batch",
        tmp_path / "in",
        tmp_path / "many",
        "--lobes",
        "{name}_lobes.nii.gz",
        "--workers",
        "1",
        *flags,
    )
    done = run(*many, "--csv", tmp_path / "scores.csv", "--who", "R. Reader")
    assert done.code == 0, done.err
    for name in ("lesion.nii.gz", "lobes.csv"):
        one, other = tmp_path / "one" / name, tmp_path / "many" / "cases" / "a" / name
        if name.endswith("csv"):
            assert one.read_text() == other.read_text()
        else:
            np.testing.assert_array_equal(array(one), array(other))
    rows = table(tmp_path / "one")
    assert [rows[key]["severity_score"] for key in ("LUL", "LLL", "RML", "RLL")] == ["1", "4", "0", "3"]
    with (tmp_path / "many" / "volumes.csv").open() as file:
        assert next(csv.DictReader(file))["wanted_by"] == "R. Reader"
    (tmp_path / "scores.csv").write_text(f"name,{header}\nb,1,4,,0,3\n")
    done = run(*many, "--csv", tmp_path / "scores.csv")
    assert done.code == 2 and "no case is called b" in done.err
