"""Correction from the command line, on the outputs of the main job."""

import json
import re
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage


@pytest.fixture
def edits(results, phantom_folder, tmp_path):
    """A reader paints a lesion that was missed, and rubs out a false one, with a small brush."""
    lesion = sitk.ReadImage(str(results / "lesion.nii.gz"))
    found = sitk.GetArrayFromImage(lesion) > 0
    lobes = sitk.GetArrayFromImage(sitk.ReadImage(str(results / "lobes.nii.gz")))
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(phantom_folder / "lesion.nii.gz"))) > 0
    painted = np.zeros(found.shape, np.uint8)
    painted[tuple(np.argwhere(truth & ~found & (lobes > 0))[:40].T)] = 1
    painted[tuple(np.argwhere(~truth & found)[:40].T)] = 2
    image = sitk.GetImageFromArray(painted)
    image.CopyInformation(lesion)
    path = tmp_path / "edits.nii.gz"
    sitk.WriteImage(image, str(path))
    return path, painted


def refine(run, phantom_folder, results, out, *more):
    command = ("refine", phantom_folder / "ct.nii.gz", "--map", results / "refined_dram.nii.gz")
    return run(*command, "--lobes", results / "lobes.nii.gz", "--out", out, "--json", *more)


def label(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_painted_voxels_win_and_the_neighbourhood_follows(run, phantom_folder, results, edits, tmp_path):
    path, painted = edits
    done = refine(run, phantom_folder, results, tmp_path / "out", "--edits", path)
    assert done.code == 0, done.err
    corrected = label(tmp_path / "out" / "lesion.nii.gz")
    assert corrected[painted == 1].all() and not corrected[painted == 2].any()
    assert done.events[-1]["changed_voxels"] >= (painted > 0).sum()
    np.testing.assert_array_equal(label(tmp_path / "out" / "edits.nii.gz"), painted)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == done.events[-1]["files"]


def test_without_edits_the_segmentation_stays(run, phantom_folder, results, tmp_path):
    """The label begins with the mask that lies beside the map, the threshold is the one of the run that made it."""
    done = refine(run, phantom_folder, results, tmp_path / "out")
    assert done.code == 0, done.err
    np.testing.assert_array_equal(label(tmp_path / "out" / "lesion.nii.gz"), label(results / "lesion.nii.gz"))
    assert done.events[-1]["changed_voxels"] == 0
    threshold = json.loads((results / "summary.json").read_text())["record"]["settings"]["threshold"]
    assert (
        json.loads((tmp_path / "out" / "summary.json").read_text())["record"]["settings"]["threshold"]
        == threshold
    )


def test_a_folder_of_results_is_corrected_near_the_strokes_alone(run, results, edits, tmp_path):
    path, painted = edits
    done = run("refine", results, "--edits", path, "--out", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    before, after = label(results / "lesion.nii.gz"), label(tmp_path / "out" / "lesion.nii.gz")
    assert after[painted == 1].all() and not after[painted == 2].any()
    spacing = sitk.ReadImage(str(path)).GetSpacing()[::-1]
    far = ndimage.distance_transform_edt(painted == 0, spacing) > 40
    assert far.any() and (before != after).any()
    np.testing.assert_array_equal(before[far], after[far])
    np.testing.assert_array_equal(label(tmp_path / "out" / "edits.nii.gz"), painted)
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert {
        "report.html",
        "lobes.csv",
        "lesion.seg.nrrd",
        "summary.json",
        "lobes.nii.gz",
        "dram.nii.gz",
    } <= names
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    voxel_ml = float(np.prod(spacing)) / 1000
    assert summary["total_lesion_ml"] == pytest.approx(after.sum() * voxel_ml, rel=1e-3)
    strokes = summary["record"]["correction"]
    assert strokes["painted_voxels"] == (painted > 0).sum()
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert re.search(rf"{strokes['strokes']} strokes? of {strokes['painted_voxels']} voxels", page)
    assert "True %" in page


def test_corrected_results_can_be_corrected_again_and_go_beside_the_first(run, results, edits, tmp_path):
    folder = tmp_path / "case"
    shutil.copytree(results, folder)
    path, _ = edits
    ct = json.loads((results / "summary.json").read_text())["record"]["ct_file"]
    moved = ("--ct", (results / ct).resolve())
    first = run("refine", folder, "--edits", path, "--json", *moved)
    assert first.code == 0, first.err
    again = run("refine", tmp_path / "case_corrected", "--out", tmp_path / "again", "--json")
    assert again.code == 0 and again.events[-1]["changed_voxels"] == 0, again.err
    np.testing.assert_array_equal(
        label(tmp_path / "again" / "lesion.nii.gz"), label(tmp_path / "case_corrected" / "lesion.nii.gz")
    )


def test_a_ct_that_is_gone_and_options_that_results_have_themselves_are_named(
    run, phantom_folder, results, tmp_path
):
    folder = tmp_path / "some" / "other" / "place" / "case"
    shutil.copytree(results, folder)
    assert "name it with --ct" in run("refine", folder, "--out", tmp_path / "out").err
    twice = run("refine", results, "--out", tmp_path / "out", "--map", results / "dram.nii.gz")
    assert twice.code == 2 and "leave out --map" in twice.err
    lacking = run("refine", phantom_folder / "ct.nii.gz", "--out", tmp_path / "out")
    assert lacking.code == 2 and "give --map and --lobes" in lacking.err
    assert not (tmp_path / "out").exists()


def test_edits_with_other_values_are_refused(run, phantom_folder, results, edits, tmp_path):
    path, painted = edits
    image = sitk.GetImageFromArray(painted * 3)
    image.CopyInformation(sitk.ReadImage(str(path)))
    sitk.WriteImage(image, str(path))
    done = refine(run, phantom_folder, results, tmp_path / "out", "--edits", path)
    assert done.code == 2 and "edits" in done.err and not (tmp_path / "out").exists()
