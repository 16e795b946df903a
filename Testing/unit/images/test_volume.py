"""Volumes: canonical axes and the way back."""

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from volume_files import (
    ANGLES,
    ORIENTATIONS,
    ct_image,
    reordered,
    rotation,
)

from DRAMLesionLib.images import volume


def test_there_are_48_orientations():
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_each_axis_order_and_flip_gives_the_same_canonical_array_and_comes_back_exactly(orientation):
    original = ct_image()
    stored = reordered(original, orientation)
    result = volume.from_image(stored, "case")

    assert result.geometry.orientation == orientation
    np.testing.assert_array_equal(result.array, sitk.GetArrayFromImage(original))
    assert result.array.flags.c_contiguous
    assert result.spacing_mm == pytest.approx((2.5, 0.8, 0.7))

    back = volume.to_image(result.array, result)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(stored))
    assert volume.Geometry.from_image(back) == volume.Geometry.from_image(stored)  # bitwise


@settings(max_examples=60, deadline=None)
@given(
    orientation=st.sampled_from(ORIENTATIONS),
    angles=ANGLES,
    size=st.tuples(*[st.integers(2, 7)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 5)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
)
def test_oblique_images_come_back_exactly_with_each_voxel_at_its_point(
    orientation, angles, size, spacing, origin
):
    original = ct_image(size[::-1], spacing, origin, rotation(angles))
    stored = reordered(original, orientation)
    result = volume.from_image(stored, "case")
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(volume.to_image(result.array, result)), sitk.GetArrayFromImage(stored)
    )

    canonical = result.geometry.canonical()
    assert canonical.orientation == "LPS"
    assert canonical.size == result.array.shape[::-1]
    assert canonical.spacing[::-1] == result.spacing_mm
    for corner in itertools.product(*[(0, length - 1) for length in canonical.size]):
        point = (canonical.matrix @ [*corner, 1])[:3]
        index = stored.TransformPhysicalPointToIndex([float(value) for value in point])
        x, y, z = corner
        assert result.array[z, y, x] == stored[index]
        np.testing.assert_allclose(stored.TransformIndexToPhysicalPoint(index), point, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(orientation=st.sampled_from(ORIENTATIONS), angles=ANGLES)
def test_an_oblique_scan_has_one_canonical_array_however_it_is_stored(orientation, angles):
    original = ct_image(direction=rotation(angles))
    expected = volume.from_image(original, "case")
    stored = volume.from_image(reordered(original, orientation), "case")
    np.testing.assert_array_equal(stored.array, expected.array)
    np.testing.assert_allclose(
        stored.geometry.canonical().matrix, expected.geometry.canonical().matrix, atol=1e-9
    )


def test_a_processed_array_lands_at_the_same_point_as_in_the_input():
    stored = reordered(ct_image(), "AIR")
    result = volume.from_image(stored, "case")
    marked = np.zeros(result.array.shape, np.uint8)
    marked[2, 3, 4] = 1
    out = volume.to_image(marked, result)
    (index,) = np.argwhere(sitk.GetArrayViewFromImage(out))
    point = out.TransformIndexToPhysicalPoint([int(value) for value in index[::-1]])
    np.testing.assert_allclose(point, ct_image().TransformIndexToPhysicalPoint((4, 3, 2)), atol=1e-9)


def test_booleans_and_half_floats_get_a_type_that_files_know():
    result = volume.from_image(ct_image(), "case")
    assert volume.to_image(result.array > 0, result).GetPixelID() == sitk.sitkUInt8
    assert volume.to_image(result.array.astype(np.float16), result).GetPixelID() == sitk.sitkFloat32


def test_an_array_of_another_shape_is_refused():
    result = volume.from_image(ct_image(), "case")
    with pytest.raises(ValueError, match=r"shape \(1, 2, 3\)"):
        volume.to_image(np.zeros((1, 2, 3)), result)
