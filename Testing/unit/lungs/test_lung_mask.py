"""Lungs and planes on small thoraxes made here, on the phantom, and on two real scans."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from DRAMLesionLib.images.volume import read_ct, read_on_grid
from DRAMLesionLib.lungs.lung_mask import LEFT, RIGHT, segment_lungs, split_lobes
from DRAMLesionLib.phantom import make_phantom

SPACING = (4.0, 2.5, 2.5)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * np.sum(one & other) / max(1, np.sum(one) + np.sum(other)))


def grid(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """mm from the middle, (z, y, x)."""
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, SPACING, strict=True)]
    return tuple(np.meshgrid(*axes, indexing="ij", sparse=True))  # type: ignore[return-value]


def ball(shape: tuple[int, int, int], centre: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    parts = [((a - c) / r) ** 2 for a, c, r in zip(grid(shape), centre, radii, strict=True)]
    return parts[0] + parts[1] + parts[2] <= 1


def thorax(
    gap_mm: float = 40.0, table: bool = False, seed: int = 0, shape: tuple[int, int, int] = (45, 104, 124)
) -> tuple[np.ndarray, np.ndarray]:
    """A body with two lungs ``gap_mm`` apart and a trachea: float32 HU, and the true lung labels."""
    z, y, x = grid(shape)
    hu = np.full(shape, -1000.0, np.float32)
    hu[np.broadcast_to((y / 95) ** 2 + (x / 140) ** 2 <= 1, shape)] = 40.0
    truth = np.zeros(shape, np.uint8)
    centre = gap_mm / 2 + 50
    truth[ball(shape, (0, 0, centre), (75, 65, 50))] = LEFT
    truth[ball(shape, (0, 0, -centre), (75, 65, 50))] = RIGHT
    hu[truth > 0] = -860.0
    if gap_mm >= 30:
        hu[np.broadcast_to((z > 0) & ((y + 10) ** 2 + x**2 <= 9**2), shape)] = -1000.0
    if table:
        hu[:, 92:96] = 300.0
        hu[:, 96:100] = -850.0
        hu[:, 100:102] = 300.0
    noise = np.random.default_rng(seed).normal(0, 20, shape)
    return (ndimage.gaussian_filter(hu, 0.5) + noise).astype(np.float32), truth


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_both_lungs_found_and_air_around_and_trachea_and_table_left_out(dtype: type) -> None:
    hu, truth = thorax(table=True)
    lungs = segment_lungs(hu.astype(dtype), SPACING)
    assert lungs.dtype == np.uint8
    assert lungs.shape == hu.shape
    assert dice(lungs == LEFT, truth == LEFT) > 0.97
    assert dice(lungs == RIGHT, truth == RIGHT) > 0.97
    z, y, x = grid(hu.shape)
    assert not lungs[np.broadcast_to((z > 20) & (np.hypot(y + 10, x) < 9), hu.shape)].any()
    assert not lungs[:, 90:].any()


def test_left_is_where_x_is_large() -> None:
    lungs = segment_lungs(thorax()[0], SPACING)
    x = np.arange(lungs.shape[2])
    assert np.average(x, weights=(lungs == LEFT).sum((0, 1))) > 80
    assert np.average(x, weights=(lungs == RIGHT).sum((0, 1))) < 44


def test_consolidation_at_the_pleura_and_inside_is_kept() -> None:
    hu, truth = thorax()
    lesion = (ball(hu.shape, (0, 25, 115), (20, 18, 18)) | ball(hu.shape, (0, -10, -70), (15, 15, 15))) & (
        truth > 0
    )
    hu[lesion] += 880.0
    lungs = segment_lungs(hu, SPACING)
    assert np.mean(lungs[lesion] > 0) > 0.75
    assert dice(lungs > 0, truth > 0) > 0.97


def test_ground_glass_over_a_whole_lower_part_is_kept() -> None:
    hu, truth = thorax()
    lesion = (truth == LEFT) & np.broadcast_to(grid(hu.shape)[1] > 20, hu.shape)
    hu[lesion] += 420.0
    assert np.mean(segment_lungs(hu, SPACING)[lesion] == LEFT) > 0.85


@pytest.mark.parametrize("gap", [0.0, -6.0])
def test_lungs_that_touch_are_cut_in_the_middle(gap: float) -> None:
    hu, truth = thorax(gap_mm=gap)
    lungs = segment_lungs(hu, SPACING)
    x = grid(hu.shape)[2]
    for side, place in ((LEFT, x > 4), (RIGHT, x < -4)):
        assert np.mean(lungs[(truth > 0) & np.broadcast_to(place, hu.shape)] == side) > 0.97


def test_gas_in_the_stomach_is_left_out() -> None:
    hu, truth = thorax()
    gas = ball(hu.shape, (-40, -55, 20), (25, 18, 25)) & (
        ndimage.distance_transform_edt(truth == 0, SPACING) > 6
    )
    hu[gas] = -1000.0
    lungs = segment_lungs(hu, SPACING)
    assert gas.sum() > 200
    assert np.mean(lungs[gas] > 0) < 0.05
    assert dice(lungs > 0, truth > 0) > 0.96


def test_scan_that_begins_and_ends_inside_the_lungs() -> None:
    hu, truth = thorax()
    lungs = segment_lungs(hu[13:32], SPACING)
    assert dice(lungs == LEFT, truth[13:32] == LEFT) > 0.97
    assert (lungs[0] > 0).any()
    assert (lungs[-1] > 0).any()


def test_field_of_view_that_cuts_the_chest() -> None:
    hu, truth = thorax()
    cut = np.s_[:, 14:90, 16:108]
    assert (truth[cut][:, :, -1] == LEFT).any()
    assert dice(segment_lungs(hu[cut], SPACING) > 0, truth[cut] > 0) > 0.95


@pytest.mark.parametrize("step", [1, 2])
def test_thick_slices(step: int) -> None:
    phantom = make_phantom((110, 96, 96 // step), (3.2, 3.0, 3.0 * step), seed=3, severity=0)
    lungs = segment_lungs(phantom.ct.array, phantom.ct.spacing_mm)
    assert dice(lungs > 0, phantom.lobes.labels > 0) > 0.95


def test_thin_slices() -> None:
    phantom = make_phantom((110, 96, 80), (3.2, 3.0, 0.6), seed=3, severity=0)
    lungs = segment_lungs(phantom.ct.array, phantom.ct.spacing_mm)
    assert dice(lungs > 0, phantom.lobes.labels > 0) > 0.95


@pytest.mark.parametrize("seed", [0, 1])
def test_phantom_with_lesions(seed: int) -> None:
    phantom = make_phantom((110, 96, 72), (3.2, 3.0, 4.0), seed=seed, severity=25)
    lungs = segment_lungs(phantom.ct.array, phantom.ct.spacing_mm)
    truth = phantom.lobes.labels
    assert dice(lungs == LEFT, np.isin(truth, (1, 2))) > 0.94
    assert dice(lungs == RIGHT, truth >= 3) > 0.94
    assert np.mean(lungs[phantom.lesion > 0] > 0) > 0.75


def test_mirrored_patient_gets_mirrored_lungs() -> None:
    hu, _ = thorax(gap_mm=20.0, seed=4)
    hu[ball(hu.shape, (10, 0, 80), (20, 20, 20))] = -300.0
    lungs, mirrored = segment_lungs(hu, SPACING), segment_lungs(hu[:, :, ::-1], SPACING)[:, :, ::-1]
    swapped = np.array([0, RIGHT, LEFT], np.uint8)[mirrored]
    assert dice(lungs == LEFT, swapped == LEFT) > 0.995
    assert dice(lungs == RIGHT, swapped == RIGHT) > 0.995


def test_one_lung_alone_is_named_by_its_side() -> None:
    hu, truth = thorax()
    hu[truth == RIGHT] += 900.0
    lungs = segment_lungs(hu, SPACING)
    assert dice(lungs == LEFT, truth == LEFT) > 0.97
    assert not (lungs == RIGHT).any()


@pytest.mark.parametrize("hu", [-1000.0, 40.0])
def test_no_lungs_in_air_or_water(hu: float) -> None:
    assert not segment_lungs(np.full((20, 40, 40), hu, np.float32), SPACING).any()


def test_no_lungs_in_a_body_without_lungs() -> None:
    hu, truth = thorax()
    hu[truth > 0] += 900.0
    assert not segment_lungs(hu, SPACING).any()


def test_planes_cut_two_and_three_lobes_in_anatomical_order() -> None:
    _, truth = thorax()
    lobes = split_lobes(truth)
    assert np.array_equal(lobes > 0, truth > 0)
    assert set(np.unique(lobes[truth == LEFT])) == {1, 2}
    assert set(np.unique(lobes[truth == RIGHT])) == {3, 4, 5}
    z, y, _ = (np.array(ndimage.center_of_mass(lobes == value)) for value in (3, 4, 5))
    assert z[0] > y[0]  # upper above middle
    behind = {value: ndimage.center_of_mass(lobes == value)[1] for value in (1, 2, 3, 4, 5)}
    assert behind[2] > behind[1]
    assert behind[5] > max(behind[3], behind[4])


def test_planes_are_those_of_the_box_of_each_lung() -> None:
    lungs = np.zeros((41, 51, 61), np.uint8)
    lungs[5:36, 10:41, 35:56] = LEFT
    lobes = split_lobes(lungs)
    w, v = 15 / 30, np.arange(31) / 30
    expected = np.where(-0.0166 * 0.0 + 0.6749 * v - 0.7377 * w + 0.0167 > 0, 2, 1)
    assert np.array_equal(lobes[20, 10:41, 35], expected)


def test_no_lungs_no_lobes() -> None:
    assert not split_lobes(np.zeros((4, 5, 6), np.uint8)).any()


@pytest.mark.real
@pytest.mark.parametrize("case", ["case02", "case06"])
def test_real_scans(covid_ct: Path, case: str) -> None:
    ct = read_ct(covid_ct / f"{case}_ct.nii.gz")
    reference = read_on_grid(covid_ct / f"{case}_lobes.nii.gz", ct)
    lungs = segment_lungs(ct.array, ct.spacing_mm)
    lobes = split_lobes(lungs)
    assert dice(lungs > 0, reference > 0) > 0.95
    for value in range(1, 6):
        assert dice(lobes == value, reference == value) > 0.86
