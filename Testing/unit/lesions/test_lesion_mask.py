"""From a map to a mask: cut, without the speckle of noise."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from DRAMLesionLib.lesions import mask as mask_module
from DRAMLesionLib.lesions.find import find_lesions
from DRAMLesionLib.lesions.mask import EDGE_MM, MAJORITY, segment_lesion, take_speckle_off
from DRAMLesionLib.lesions.options import Options
from DRAMLesionLib.lesions.run_models import load_case_models
from DRAMLesionLib.phantom import make_phantom

FINE = (1.0, 0.8, 0.7)


def ball(shape, center, radius_mm, spacing_mm):
    axes = np.ogrid[tuple(slice(0, length) for length in shape)]
    return sum(((a - c) * s) ** 2 for a, c, s in zip(axes, center, spacing_mm, strict=True)) <= radius_mm**2


def smoothed(lesion_map, labels, threshold, spacing_mm):
    """The mask, after checking that the map moved nowhere but across the threshold, and by the least that it can."""
    changed = lesion_map.copy()
    take_speckle_off(changed, labels, threshold, spacing_mm)
    moved = changed != lesion_map
    assert ((changed > threshold) != (lesion_map > threshold))[moved].all() and not moved[labels == 0].any()
    assert np.allclose(changed[moved], threshold, atol=1e-6)
    again = changed.copy()
    assert ((again.astype(np.float64) > threshold) == (changed > threshold)).all()
    return segment_lesion(changed, labels, threshold)


def by_definition(lesion_map, labels, threshold, spacing_mm):
    """Of the whole volume, in float64."""
    inside = labels > 0
    sigma = [EDGE_MM / length for length in spacing_mm]
    share = ndimage.gaussian_filter(
        ((lesion_map > threshold) & inside).astype(float), sigma, mode="constant", truncate=3.0
    )
    lobes = ndimage.gaussian_filter(inside.astype(float), sigma, mode="constant", truncate=3.0)
    return (share > MAJORITY * lobes) & inside, np.abs(share - MAJORITY * lobes) < 1e-5


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 20)] * 3),
    spacing=st.tuples(*[st.floats(0.4, 8)] * 3),
    rarity=st.floats(0.05, 0.999),
    seed=st.integers(0, 99),
)
def test_is_the_majority_around_each_voxel_whatever_is_cut_out(shape, spacing, rarity, seed):
    chance = np.random.default_rng(seed)
    lesion_map = chance.random(shape, np.float32)
    labels = (ndimage.gaussian_filter(chance.normal(size=shape), 2) > 0).astype(np.uint8)
    found = smoothed(lesion_map, labels, rarity, spacing)
    expected, undecided = by_definition(lesion_map, labels, rarity, spacing)
    assert found.dtype == np.uint8 and not found[labels == 0].any()
    assert (found.astype(bool) == expected)[~undecided].all()


def test_speckle_goes_and_a_lesion_stays():
    shape, labels = (40, 50, 60), np.ones((40, 50, 60), np.uint8)
    lesion = ball(shape, (20, 25, 30), 8, FINE)
    chance = np.random.default_rng(0).random(shape)
    noisy = np.where(chance < 0.03, ~lesion, lesion).astype(np.float32)
    found = smoothed(noisy, labels, 0.5, FINE).astype(bool)
    assert ndimage.label(found)[1] == 1
    assert (found & lesion).sum() / (found | lesion).sum() > 0.95
    assert found.sum() == pytest.approx(lesion.sum(), rel=0.05)


def test_a_lesion_at_the_pleura_does_not_fade():
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[:, :, 10:] = 2
    lesion = np.zeros(labels.shape, np.float32)
    lesion[8:22, 8:22, 10:20] = 1
    found = smoothed(lesion, labels, 0.5, (1.0, 1.0, 1.0))
    assert found[12:18, 12:18, 10].all() and not found[:, :, :10].any()


@pytest.mark.parametrize("spacing", [(8.0, 8.0, 8.0), (5.0, 6.0, 7.0)])
def test_coarse_voxels_stay_as_they_were_cut(spacing):
    lesion_map = np.random.default_rng(1).random((9, 8, 7), np.float32)
    labels = np.ones(lesion_map.shape, np.uint8)
    np.testing.assert_array_equal(smoothed(lesion_map, labels, 0.6, spacing), lesion_map > 0.6)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_nothing_and_everything(level):
    labels = np.ones((6, 7, 8), np.uint8)
    labels[0] = 0
    found = smoothed(np.full(labels.shape, level, np.float32), labels, 0.5, FINE)
    np.testing.assert_array_equal(found, (labels > 0) if level else np.zeros_like(labels))


@pytest.mark.parametrize("method", ["final", "dram"])
def test_the_main_job_smooths_what_it_cuts_and_leaves_the_heatmap(monkeypatch, method):
    made = make_phantom((48, 40, 30), (7.2, 8.4, 9.3), seed=0, severity=(12.0, 25.0, 8.0, 0.0, 30.0))
    models = load_case_models(None, method, torch.device("cpu"))
    found = {}
    for edge_mm in (0.01, 9.0):
        monkeypatch.setattr(mask_module, "EDGE_MM", edge_mm)
        found[edge_mm] = find_lesions(made.ct, models, Options(crf=False))
    for one in found.values():
        cut = one.refined if one.probability is None else one.probability
        settings = one.record["settings"]
        threshold = settings.get("segmentation", settings)["threshold"]
        np.testing.assert_array_equal(one.lesion > 0, (cut > threshold) & (one.lobes.labels > 0))
    rough, smooth = found.values()
    np.testing.assert_array_equal(rough.dram, smooth.dram)
    assert smooth.lesion.any()
    assert ndimage.label(smooth.lesion)[1] < ndimage.label(rough.lesion)[1]
