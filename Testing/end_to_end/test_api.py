"""The public interface does what the commands do, voxel for voxel."""

import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk

import DRAMLesionLib as dl


@pytest.fixture(scope="module")
def result(phantom_folder) -> dl.Result:
    told = []
    result = dl.segment(
        phantom_folder / "ct.nii.gz",
        phantom_folder / "lobes.nii.gz",
        method="dram",
        progress=lambda stage, fraction: told.append(stage),
    )
    assert {"Reading the CT", "Loading the models", "Computing the dRAM"} <= set(told)
    return result


def same(result: dl.Result, folder) -> None:
    files = {"lesion": "lesion.nii.gz", "lobes": "lobes.nii.gz", "map": "refined_dram.nii.gz"}
    for name, file in files.items():
        written, image = sitk.ReadImage(str(folder / file)), result.image(name)
        np.testing.assert_array_equal(
            sitk.GetArrayViewFromImage(image), sitk.GetArrayViewFromImage(written), err_msg=name
        )
        np.testing.assert_allclose(image.GetDirection(), written.GetDirection(), atol=1e-6)
        np.testing.assert_allclose(image.GetOrigin(), written.GetOrigin(), atol=1e-4)


def test_segment_is_the_command_voxel_for_voxel(result, results):
    same(result, results)
    summary = json.loads((results / "summary.json").read_text())
    assert [row["lesion_percent"] for row in result.table] == [
        r["lesion_percent"] for r in summary["regions"]
    ]
    assert (result.score, result.percent) == (
        summary["total_severity_score"],
        summary["total_lesion_percent"],
    )
    assert [flag.code for flag in result.flags] == [flag["code"] for flag in summary["flags"]]


def test_steering_and_refining_are_the_commands_voxel_for_voxel(
    run, result, results, phantom_folder, tmp_path
):
    ct, folder = phantom_folder / "ct.nii.gz", tmp_path / "steered"
    shutil.copytree(results, folder)
    assert run("steer", folder, ct, "--score", "-,4,-,-,2", "--no-scene").code == 0
    steered = result.steer(score={"LLL": 4, "RLL": 2})
    same(steered, folder)
    edits, corrected = phantom_folder / "lesion.nii.gz", tmp_path / "corrected"
    done = run("refine", folder, "--edits", edits, "--ct", ct, "--out", corrected)
    assert done.code == 0, done.err
    refined = steered.refine(edits)
    same(refined, corrected)
    loaded = dl.Result.load(corrected, ct)
    np.testing.assert_array_equal(loaded.lesion, refined.lesion)
    np.testing.assert_array_equal(loaded.edits, refined.edits)
    # What was painted holds for the command, too.
    assert run("steer", corrected, ct, "--percent", "0,0,0,0,0", "--no-scene").code == 0
    same(refined.steer(percent=(0, 0, 0, 0, 0)), corrected)


def test_stopping_from_progress_stops(phantom_folder):
    def stop(stage: str, fraction: float) -> None:
        if stage == "Lobes":
            raise dl.Cancelled

    with pytest.raises(dl.Cancelled):
        dl.segment(phantom_folder / "ct.nii.gz", progress=stop)


def test_what_can_not_be_used_is_refused_in_one_line(phantom_folder):
    ct = phantom_folder / "ct.nii.gz"
    for arguments, said in (
        ({"lobes": "nowhere.nii.gz"}, "no such file or folder"),
        ({"model": "best"}, "no such model"),
        ({"score": {"LLL": 9}}, "score of LLL is 9"),
    ):
        with pytest.raises(dl.InputError, match=said):
            dl.segment(ct, **arguments)


def test_results_in_memory_and_their_folders_compare_alike(result, tmp_path):
    later = result.steer(score={"LLL": 5, "RLL": 1})
    one = dl.compare(result, later, days=(0, 14), coarser=4)
    folders = [made.save(tmp_path / name) for name, made in (("first", result), ("second", later))]
    two = dl.compare(*folders, days=(0, 14), coarser=4)
    assert [row["lesion_ml"] for row in one.table] == [row["lesion_ml"] for row in two.table]
    assert one.lesions == two.lesions and one.exams[1].made_by == two.exams[1].made_by
    total = one.intervals[0].total
    assert total.change_ml == pytest.approx(
        later.table["total"]["lesion_ml"] - result.table["total"]["lesion_ml"]
    )
    with pytest.raises(dl.InputError, match="exam 2: is a int: give a result of segment, or the folder"):
        dl.compare(result, 5)
    with pytest.raises(dl.InputError, match=r"exam 1: is a list: .* each date on its own"):
        dl.compare([result, later], later)
    with pytest.raises(dl.InputError, match="days 14: give one for each"):
        dl.compare(result, later, days=14)
    for twice in ((result, result), (folders[0], folders[0])):
        with pytest.raises(dl.InputError, match="given twice"):
            dl.compare(*twice)
