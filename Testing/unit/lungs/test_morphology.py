"""Dilation, erosion and the nearest lung are scipy's, whatever way they are computed in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from DRAMLesionLib.lungs.lung_mask import _nearest_side
from DRAMLesionLib.lungs.morphology import CROSS, dilated, eroded, filled, opened, spread

shapes = st.tuples(*[st.integers(1, 9)] * 3)
UNEVEN = np.zeros((3, 3, 3), bool)
UNEVEN[0, 1, 2] = UNEVEN[1, 1, 1] = UNEVEN[1, 2, 1] = True
STRUCTURES = [CROSS, UNEVEN, np.ones((2, 2, 2)), np.ones((3, 3, 3)), np.ones((1, 2, 4), bool)]


@settings(max_examples=60, deadline=None)
@given(shape=shapes, seed=st.integers(0, 99), structure=st.sampled_from(STRUCTURES), outside=st.booleans())
def test_small_structures_dilate_and_erode_as_scipys(shape, seed, structure, outside):
    mask = np.random.default_rng(seed).random(shape) < 0.3
    dilation = ndimage.binary_dilation(mask, structure, border_value=outside)
    erosion = ndimage.binary_erosion(mask, structure, border_value=outside)
    np.testing.assert_array_equal(dilated(mask, structure, outside=outside), dilation)
    np.testing.assert_array_equal(eroded(mask, structure, outside=outside), erosion)
    np.testing.assert_array_equal(opened(mask, structure), ndimage.binary_opening(mask, structure))


@settings(max_examples=40, deadline=None)
@given(shape=shapes, seed=st.integers(0, 99), steps=st.integers(1, 4))
def test_what_spreads_stays_inside_but_for_where_it_began(shape, seed, steps):
    rng = np.random.default_rng(seed)
    mask, through = rng.random(shape) < 0.1, rng.random(shape) < 0.6
    expected = ndimage.binary_dilation(mask, iterations=steps, mask=through)
    np.testing.assert_array_equal(spread(mask, through, steps), expected)
    np.testing.assert_array_equal(spread(mask, None, steps), ndimage.binary_dilation(mask, iterations=steps))


@settings(max_examples=60, deadline=None)
@given(shape=shapes, seed=st.integers(0, 99), share=st.sampled_from([0.3, 0.6, 0.8]))
def test_what_a_mask_encloses_is_filled(shape, seed, share):
    mask = np.random.default_rng(seed).random(shape) < share
    np.testing.assert_array_equal(filled(mask), ndimage.binary_fill_holes(mask))


@pytest.mark.parametrize("seed", range(8))
def test_the_nearest_lung_is_told_where_both_are_within_reach_and_where_one_is(seed):
    rng = np.random.default_rng(seed)
    sides = np.where(rng.random((14, 16, 18)) < 0.02, rng.integers(1, 3, (14, 16, 18)), 0).astype(np.uint8)
    spacing, reach_mm = np.full(3, 2.5), 7.5
    distance, nearest = ndimage.distance_transform_edt(sides == 0, 2.5, return_indices=True)
    own = np.array([0, 1, -1])[sides[tuple(nearest)]]
    expected = np.where(distance <= reach_mm, own, 0)
    np.testing.assert_array_equal(_nearest_side(sides, None, reach_mm, spacing), expected)
    wanted = rng.random(sides.shape) < 0.2
    np.testing.assert_array_equal(_nearest_side(sides, wanted, reach_mm, spacing)[wanted], expected[wanted])
