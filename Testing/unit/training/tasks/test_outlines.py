"""Lobes in the outline of the built-in lungs, and how the final network's training takes turns with them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from DRAMLesionLib.images.volume import write_volume
from DRAMLesionLib.lungs.lung_mask import segment_lungs
from DRAMLesionLib.phantom import make_phantom
from DRAMLesionLib.system.progress import silent
from DRAMLesionLib.training.recipes.recipe import recipe_from_dict
from DRAMLesionLib.training.tasks import outlines
from DRAMLesionLib.training.tasks.outlines import NEAREST_MM, _nearest, in_built_in_lungs
from DRAMLesionLib.training.tasks.segmentation import SegmentationTask


@pytest.fixture(scope="module")
def phantom():
    return make_phantom((96, 96, 64), seed=2)


def test_the_outline_is_that_of_the_lungs(phantom):
    ct, labels = phantom.ct, phantom.lobes.labels
    inside = segment_lungs(ct.array, ct.spacing_mm) > 0
    found = in_built_in_lungs(ct, labels)
    assert not np.array_equal(found, labels)
    np.testing.assert_array_equal(found > 0, inside)
    both = inside & (labels > 0)
    np.testing.assert_array_equal(found[both], labels[both])


def test_what_lies_beyond_belongs_to_the_nearest_lobe(phantom):
    ct, labels = phantom.ct, phantom.lobes.labels
    found = in_built_in_lungs(ct, labels)
    away = {
        lobe: ndimage.distance_transform_edt(labels != lobe, sampling=ct.spacing_mm) for lobe in range(1, 6)
    }
    nearest = np.min(list(away.values()), axis=0)
    beyond = (found > 0) & (labels == 0)
    assert beyond.any()
    chosen = np.select([found == lobe for lobe in away], list(away.values()))
    # It is looked for on a grid of about NEAREST_MM.
    assert (chosen - nearest)[beyond].max() <= 2 * np.sqrt(3) * NEAREST_MM


def test_a_lobe_where_the_lungs_fail_keeps_its_own(phantom, monkeypatch):
    ct, labels = phantom.ct, phantom.lobes.labels
    half = labels == 5
    half[: np.argwhere(half)[:, 0].mean().astype(int)] = False
    monkeypatch.setattr(
        outlines,
        "segment_lungs",
        lambda hu, spacing_mm: np.where(half, np.uint8(0), segment_lungs(hu, spacing_mm)),
    )
    found = in_built_in_lungs(ct, labels)
    np.testing.assert_array_equal((found == 5) & (labels > 0), labels == 5)
    assert not np.array_equal(found == 1, labels == 1)


def test_a_missing_lobe_stays_missing(phantom):
    labels = np.where(phantom.lobes.labels == 4, np.uint8(0), phantom.lobes.labels)
    assert not (in_built_in_lungs(phantom.ct, labels) == 4).any()


@pytest.fixture(scope="module")
def data(phantom, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scan")
    for name, array in (
        ("ct", phantom.ct.array),
        ("lobes", phantom.lobes.labels),
        ("label", phantom.lesion),
    ):
        write_volume(array, phantom.ct, folder / f"{name}.nii.gz")
    row = {"image": "ct.nii.gz", "lobes": "lobes.nii.gz", "label": "label.nii.gz", "percent": [1, 2, 3, 0, 5]}
    (folder / "list.json").write_text(json.dumps({"training": [row]}))
    return folder / "list.json"


def final(data: Path, **settings) -> SegmentationTask:
    model = {"spacing_mm": [6, 6, 6], "patch": [16, 16, 16], "network": {"filters": [2, 4, 4]}}
    section = {"rotation": 0, "scaling": 0, "intensity": 0, "patches_per_scan": 4, **settings}
    recipe = recipe_from_dict(
        {"task": "segmentation", "name": "tiny", "epochs": 4, "segmentation": section, "model": model}, "test"
    )
    return SegmentationTask(recipe, data, torch.device("cpu"), silent)


def test_a_training_of_the_final_network_does_so_patch_by_patch(data):
    task, plain = final(data, built_in_lungs=True), final(data)
    assert len(task) == len(plain) == 4
    (lungs,) = task._lungs
    assert lungs.other is not None and lungs.in_turn(0) is lungs and lungs.in_turn(1) is lungs.other
    same = [
        torch.equal(task.sample(index, 1).weight, plain.sample(index, 1).weight) for index in range(len(task))
    ]
    assert same == [True, False, True, False]


def test_the_nearest_lobe_is_nearest_in_mm_where_slices_are_thick():
    labels = np.zeros((12, 9, 30), np.uint8)
    labels[4] = 1  # two slices of 5 mm away
    labels[:, :, :9] = 2  # nine voxels of 1 mm away
    voxel = (np.array([6]), np.array([3]), np.array([17]))
    assert _nearest(labels, (5.0, 1.0, 1.0), voxel).tolist() == [2]
    assert _nearest(labels, (2.0, 1.0, 1.0), voxel).tolist() == [1]
