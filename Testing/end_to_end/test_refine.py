"""Correction from the command line, on the outputs of the main job."""

import json

import numpy as np
import pytest
import SimpleITK as sitk


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
    """The threshold is the one of the run that made the map, found in the summary beside it."""
    done = refine(run, phantom_folder, results, tmp_path / "out")
    assert done.code == 0, done.err
    expected = label(results / "lesion.nii.gz")
    # The session keeps the map's logits in steps of 1/16 or so: voxels just at the threshold may fall either way.
    assert (label(tmp_path / "out" / "lesion.nii.gz") != expected).mean() < 1e-3
    threshold = json.loads((results / "summary.json").read_text())["record"]["settings"]["threshold"]
    assert (
        json.loads((tmp_path / "out" / "summary.json").read_text())["record"]["settings"]["threshold"]
        == threshold
    )


def test_edits_with_other_values_are_refused(run, phantom_folder, results, edits, tmp_path):
    path, painted = edits
    image = sitk.GetImageFromArray(painted * 3)
    image.CopyInformation(sitk.ReadImage(str(path)))
    sitk.WriteImage(image, str(path))
    done = refine(run, phantom_folder, results, tmp_path / "out", "--edits", path)
    assert done.code == 2 and "edits" in done.err and not (tmp_path / "out").exists()
