"""Lobes by planes, and along fissures where the CT shows them."""

import numpy as np
import pytest
from scipy import ndimage

from DRAMLesionLib.lungs.fissures import LEAST_SEEN, Fissure, _least, split_lobes
from DRAMLesionLib.phantom import Phantom, make_phantom

SIZE, SPACING = (180, 130, 140), (2.0, 2.0, 2.2)
BORDERS = {"left oblique": ((1,), (2,)), "right oblique": ((3, 4), (5,)), "right horizontal": ((3,), (4,))}


def lungs_of(labels: np.ndarray) -> np.ndarray:
    return np.array([0, 1, 1, 2, 2, 2], np.uint8)[labels]


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(SIZE, SPACING, seed=22, severity=0)


def distances_mm(phantom: Phantom, fissure: Fissure) -> np.ndarray:
    """How far the true border between the lobes lies from the fissure that was found."""
    labels = phantom.lobes.labels
    upper, lower = BORDERS[fissure.name]
    border = np.isin(labels, upper) & ndimage.binary_dilation(np.isin(labels, lower))
    box = ndimage.find_objects(lungs_of(labels))[0 if fissure.name.startswith("left") else 1]
    places = [
        (i - b.start) * s for i, b, s in zip(np.nonzero(border), box, phantom.ct.spacing_mm, strict=True)
    ]
    return np.abs(fissure.above(places))


def test_fissures_that_are_seen_are_followed(phantom: Phantom) -> None:
    labels = phantom.lobes.labels
    lungs = lungs_of(labels)
    lobes, fissures = split_lobes(lungs, phantom.ct.spacing_mm, phantom.ct.array)
    planes, _ = split_lobes(lungs, phantom.ct.spacing_mm)
    assert [fissure.name for fissure in fissures] == list(BORDERS)
    for fissure in fissures:
        assert LEAST_SEEN < fissure.seen <= 1
        assert np.median(distances_mm(phantom, fissure)) < 2.0
    inside = labels > 0
    assert np.mean(lobes[inside] == labels[inside]) > 0.97 > np.mean(planes[inside] == labels[inside])


def test_without_visible_fissures_the_planes_stay(phantom: Phantom) -> None:
    lungs = lungs_of(phantom.lobes.labels)
    noise = np.random.default_rng(0).normal(-860, 60, lungs.shape)
    hu = np.where(lungs > 0, ndimage.gaussian_filter(noise, 1.5), 40).astype(np.float32)
    lobes, fissures = split_lobes(lungs, phantom.ct.spacing_mm, hu)
    planes, _ = split_lobes(lungs, phantom.ct.spacing_mm)
    assert all(fissure.seen == 0 for fissure in fissures)
    assert np.array_equal(lobes, planes)


def test_planes_cut_two_and_three_lobes_in_anatomical_order(phantom: Phantom) -> None:
    lobes, _ = split_lobes(lungs_of(phantom.lobes.labels))
    z, y, _ = np.indices(lobes.shape, sparse=True)
    heights = {
        value: np.average(np.broadcast_to(z, lobes.shape), weights=lobes == value) for value in range(1, 6)
    }
    depths = {
        value: np.average(np.broadcast_to(y, lobes.shape), weights=lobes == value) for value in range(1, 6)
    }
    assert heights[1] > heights[2] and depths[1] < depths[2]
    assert heights[3] > heights[4] and heights[3] > heights[5] and depths[4] < depths[5]


def test_one_lung_alone_and_none() -> None:
    lungs = np.zeros((20, 20, 20), np.uint8)
    assert not split_lobes(lungs)[0].any()
    lungs[4:16, 4:16, 12:18] = 1
    lobes, fissures = split_lobes(lungs)
    assert set(np.unique(lobes)) == {0, 1, 2}
    assert [fissure.name for fissure in fissures] == ["left oblique"]


@pytest.mark.parametrize("most", [6.0, 1e9])
def test_the_least_message_is_that_over_all_labels(most: float) -> None:
    labels = np.arange(21)
    change = np.minimum(0.2 * (labels[:, None] - labels) ** 2, most).astype(np.float32)
    told = np.random.default_rng(0).normal(size=(7, 5, 21)).astype(np.float32) * 3
    expected = (told[..., None, :] + change).min(axis=-1)
    np.testing.assert_array_equal(_least(told, change), expected)
