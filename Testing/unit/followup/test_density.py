"""Densities of two dates: what came is told from what only the masks say, and from a blurred CT."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from drawn_exams import LEFT, RIGHT, draw
from scipy import ndimage

from DRAMLesionLib.followup.density import LEAST_CHANGE_HU, DensityChange, density_change
from DRAMLesionLib.followup.exam import Images, images_of
from DRAMLesionLib.followup.interval import MATCHING_MM
from DRAMLesionLib.followup.registration import grid_about


def date(*balls, shift_hu: float = 0.0, blur: float = 0.0, noise_hu: float = 0.0) -> Images:
    ct, lobes, lesion = draw(*balls)
    hu = ct.array + shift_hu + noise_hu * np.random.default_rng(3).standard_normal(ct.array.shape)
    return images_of(type(ct)(ndimage.gaussian_filter(hu, blur), *_rest(ct)), lobes.labels, lesion)


def _rest(ct) -> tuple:
    return ct.spacing_mm, ct.geometry, ct.name


def changed(before: Images, after: Images) -> tuple[DensityChange, np.ndarray]:
    """The change where the dates lie on each other, and the lesion of both on its grid."""
    grid = grid_about(before, MATCHING_MM)
    lesion = np.zeros(grid.GetSize()[::-1], bool)
    for one in (before, after):
        image = one.image(one.lesion.astype(np.uint8))
        lesion |= (
            sitk.GetArrayFromImage(sitk.Resample(image, grid, sitk.Transform(), sitk.sitkNearestNeighbor)) > 0
        )
    return density_change((before, after), sitk.Transform(), grid, lesion), lesion


def test_a_lesion_that_came_is_denser_and_one_that_went_is_less_dense():
    came, lesion = changed(date(), date(LEFT))
    assert came.denser[lesion].mean() > 0.9 and came.less_dense[lesion].sum() == 0
    went, lesion = changed(date(LEFT), date())
    assert went.less_dense[lesion].mean() > 0.9 and went.denser[lesion].sum() == 0


@pytest.mark.parametrize("other", [{"noise_hu": 40.0}, {"blur": 0.6}, {"shift_hu": -60.0}])
def test_noise_a_softer_kernel_and_another_breath_are_no_change(other):
    found, lesion = changed(date(RIGHT), date(RIGHT, **other))
    inside = ndimage.binary_erosion(lesion, iterations=2)
    assert found.denser[inside].mean() < 0.05 and found.less_dense[inside].mean() < 0.05
    assert (found.denser | found.less_dense)[found.inside & ~lesion].mean() < 0.06  # by its own definition


def test_no_difference_below_the_scatter_of_scanners_counts():
    found, _ = changed(date(), date())
    assert found.limit_hu == LEAST_CHANGE_HU and not found.denser.any()


def test_a_slab_of_three_slices_can_be_compared():
    slab = slice(18, 21)
    thin = [
        replace(one, hu=one.hu[slab], lobes=one.lobes[slab], lesion=one.lesion[slab])
        for one in (date(), date(shift_hu=5.0))
    ]
    found, _ = changed(*thin)
    assert found.inside.any() and not found.denser.any()
