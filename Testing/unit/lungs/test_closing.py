"""Voxels within reach are those of a Euclidean distance transform."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from DRAMLesionLib.lungs.closing import POCKET_MM, VESSEL_MM, within_reach


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 99),
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    spacing=st.tuples(*[st.sampled_from([1.0, 2.5, 3.1])] * 3),
    radius_mm=st.sampled_from([0.5, 2.5, 6.0, 12.5, 20.0]),
)
def test_within_reach_is_what_distances_say(seed, shape, spacing, radius_mm):
    mask = np.random.default_rng(seed).random(shape) < 0.05
    mask.flat[seed % mask.size] = True
    expected = ndimage.distance_transform_edt(~mask, spacing) <= radius_mm
    np.testing.assert_array_equal(within_reach(mask, radius_mm, np.array(spacing)), expected)


@pytest.mark.parametrize("spacing", [(2.5, 2.5, 2.5), (1e6, 2.5, 2.5)])
@pytest.mark.parametrize("radius_mm", [VESSEL_MM, POCKET_MM])
def test_so_it_is_at_the_lungs_own_grid_and_in_planes(spacing, radius_mm):
    mask = np.random.default_rng(0).random((20, 40, 30)) < 0.002
    expected = ndimage.distance_transform_edt(~mask, spacing) <= radius_mm
    found = within_reach(mask, radius_mm, np.array(spacing))
    np.testing.assert_array_equal(found, expected)


def test_nothing_is_near_to_nothing():
    assert not within_reach(np.zeros((4, 5, 6), bool), 6.0, np.full(3, 2.5)).any()
