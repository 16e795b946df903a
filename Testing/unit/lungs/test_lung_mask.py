"""Lungs by the network that ships and the densities: on phantoms, healthy, sick and damaged, and on two real scans."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from DRAMLesionLib.images.resampling import resample
from DRAMLesionLib.images.volume import read_ct, read_on_grid, write_volume
from DRAMLesionLib.lungs.closing import LEFT, RIGHT
from DRAMLesionLib.lungs.lung_bundle import ENVIRONMENT, load_lung_network, lung_model_folder
from DRAMLesionLib.lungs.lung_mask import _levels, _on_ct_grid, segment_lungs, write_lungs
from DRAMLesionLib.phantom import Phantom, make_phantom
from DRAMLesionLib.system.errors import InputError

SIZE, SPACING = (110, 96, 72), (3.2, 3.0, 4.0)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * np.sum(one & other) / max(1, np.sum(one) + np.sum(other)))


@pytest.fixture(scope="module")
def healthy() -> Phantom:
    return make_phantom(SIZE, SPACING, seed=3, severity=0)


@pytest.fixture(scope="module")
def found(healthy: Phantom) -> np.ndarray:
    return segment_lungs(healthy.ct.array, healthy.ct.spacing_mm)


def test_both_lungs_of_a_healthy_phantom(healthy: Phantom, found: np.ndarray) -> None:
    truth = healthy.lobes.labels
    assert found.dtype == np.uint8
    assert found.shape == truth.shape
    assert dice(found == LEFT, (truth > 0) & (truth < 3)) > 0.96
    assert dice(found == RIGHT, truth >= 3) > 0.96


def test_float_and_padding_frame_give_the_same_lungs(healthy: Phantom, found: np.ndarray) -> None:
    hu = healthy.ct.array.astype(np.float32)
    y, x = np.ogrid[: hu.shape[1], : hu.shape[2]]
    outside = np.hypot((y - hu.shape[1] / 2) * 3.0, (x - hu.shape[2] / 2) * 3.2) > 186
    hu[:, outside] = -3024
    assert dice(segment_lungs(hu, healthy.ct.spacing_mm) > 0, found > 0) > 0.98


def test_left_is_where_x_is_large(found: np.ndarray) -> None:
    x = np.arange(found.shape[2])
    left, right = (np.average(x, weights=(found == side).sum((0, 1))) for side in (LEFT, RIGHT))
    assert left > right + 20


def test_mirrored_patient_gets_mirrored_lungs(healthy: Phantom, found: np.ndarray) -> None:
    mirrored = segment_lungs(healthy.ct.array[:, :, ::-1], healthy.ct.spacing_mm)[:, :, ::-1]
    assert dice(mirrored == RIGHT, found == LEFT) > 0.95


def test_a_lower_lobe_of_ground_glass_stays_lung(healthy: Phantom) -> None:
    hu, lobes = healthy.ct.array.copy(), healthy.lobes.labels
    texture = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 1, hu.shape), 1.5)
    hu[lobes == 5] = np.maximum(hu, -450 + 400 * texture)[lobes == 5]
    share = np.mean(segment_lungs(hu, healthy.ct.spacing_mm)[lobes == 5] == RIGHT)
    assert share > 0.9


def test_gas_below_the_diaphragm_is_left_out(healthy: Phantom) -> None:
    hu, lungs = healthy.ct.array.copy(), healthy.lobes.labels > 0
    z, y, x = np.indices(hu.shape, sparse=True)
    ball = ((z - 9) * 4.0 / 28) ** 2 + ((y - 40) * 3.0 / 40) ** 2 + ((x - 62) * 3.2 / 45) ** 2 < 1
    gas = ball & (ndimage.distance_transform_edt(~lungs, (4.0, 3.0, 3.2)) > 8) & (hu > -200)
    hu[gas] = -990
    assert gas.sum() > 1000
    assert np.mean(segment_lungs(hu, healthy.ct.spacing_mm)[gas] > 0) < 0.02


@pytest.mark.parametrize("part", [slice(24, 50), slice(30, 42)])
def test_scan_that_begins_and_ends_inside_the_lungs(healthy: Phantom, part: slice) -> None:
    lungs = segment_lungs(healthy.ct.array[part], healthy.ct.spacing_mm)
    assert dice(lungs > 0, healthy.lobes.labels[part] > 0) > 0.93
    for end in (0, -1):
        assert dice(lungs[end] > 0, healthy.lobes.labels[part][end] > 0) > 0.85


@pytest.mark.parametrize(("slices", "thickness"), [(36, 8.0), (240, 1.2)])
def test_thick_and_thin_slices(slices: int, thickness: float) -> None:
    phantom = make_phantom((110, 96, slices), (3.2, 3.0, thickness), seed=3, severity=0)
    lungs = segment_lungs(phantom.ct.array, phantom.ct.spacing_mm)
    assert dice(lungs > 0, phantom.lobes.labels > 0) > 0.95


def test_phantom_with_lesions() -> None:
    phantom = make_phantom(SIZE, SPACING, seed=1, severity=25)
    lungs = segment_lungs(phantom.ct.array, phantom.ct.spacing_mm)
    assert dice(lungs > 0, phantom.lobes.labels > 0) > 0.94
    assert np.mean(lungs[phantom.lesion > 0] > 0) > 0.8


def test_a_windpipe_behind_a_thin_wall_is_left_out_and_lungs_own_rim_is_not() -> None:
    coarse = np.full((24, 24, 24), 40.0, np.float32)
    coarse[:, :, :12], coarse[:, :, 12] = -850.0, -300.0  # lung, and a wall that is thinner than a voxel
    coarse[:, 8:14, 13:17] = -980.0  # the windpipe
    sides = np.zeros(coarse.shape, np.uint8)
    sides[:, :, :13] = RIGHT
    sides[:, :6, 11:13] = 0  # here the network stops a voxel before the lung does
    shares = np.stack([np.zeros_like(coarse), np.where(sides > 0, np.float32(0.8), np.float32(0))])
    shares[1, :, :6, 11] = 0.4
    level = _levels(sides, sides, shares, coarse, 2.5)
    assert (level[:, :, :12] > 0).all()
    assert (level[:, :, 13:] < 0).all()


@pytest.mark.parametrize("hu", [-1000.0, 30.0])
def test_no_lungs_in_air_or_water(hu: float) -> None:
    assert not segment_lungs(np.full((20, 40, 40), hu, np.float32), (4.0, 2.5, 2.5)).any()


def test_lungs_are_written_by_the_bundle_as_a_label_map(
    tmp_path: Path, healthy: Phantom, found: np.ndarray
) -> None:
    write_volume(healthy.ct.array, healthy.ct, tmp_path / "ct.nii.gz")
    write_lungs(tmp_path / "ct.nii.gz", tmp_path / "eval" / "lungs.nii.gz", model=lung_model_folder())
    read = read_on_grid(tmp_path / "eval" / "lungs.nii.gz", healthy.ct, "lungs")
    assert np.array_equal(read, found)


def test_another_bundle_is_taken_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"nowhere.*metadata\.json"):
        load_lung_network()


@pytest.mark.real
@pytest.mark.parametrize("case", ["case01", "case06"])
def test_real_scans(covid_ct: Path, case: str) -> None:
    ct = read_ct(covid_ct / f"{case}_ct.nii.gz")
    reference = read_on_grid(covid_ct / f"{case}_lobes.nii.gz", ct)
    lesion = read_on_grid(covid_ct / f"{case}_lesion.nii.gz", ct, "lesion mask") > 0
    lungs = segment_lungs(ct.array, ct.spacing_mm)
    assert dice(lungs == LEFT, (reference > 0) & (reference < 3)) > 0.93
    assert dice(lungs == RIGHT, reference >= 3) > 0.93
    assert np.mean(lungs[lesion & (reference > 0)] > 0) > 0.97


@pytest.mark.parametrize("shape", [(23, 41, 37), (8, 9, 30), (14, 20, 22)])
def test_the_outline_on_the_cts_grid_is_that_of_all_voxels(shape):
    """Only the voxels about the lungs are interpolated, finer or coarser ones."""
    grid, box = (14, 20, 22), np.s_[2:12, 3:18, 4:21]
    rng = np.random.default_rng(0)
    level = np.full((10, 15, 17), -1.0, np.float32)
    level[1:9, 4:12, 2:15] = rng.uniform(-1, 1, (8, 8, 13))
    side = np.where(np.arange(17) < 8, -1.0, 1.0).astype(np.float32) * np.ones_like(level)
    levels, nearest = np.full(grid, -1.0, np.float32), np.ones(grid, np.float32)
    levels[box], nearest[box] = level, side
    expected = np.where(resample(nearest, shape, 1) > 0, 1, 2) * (resample(levels, shape, 1) > 0)
    found = _on_ct_grid(level, side, box, grid, shape)
    np.testing.assert_array_equal(found, expected)
    assert {1, 2} <= set(np.unique(found))
    assert not _on_ct_grid(np.minimum(level, -0.1), side, box, grid, shape).any()
