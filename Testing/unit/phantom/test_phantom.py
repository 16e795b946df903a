"""The phantom is what its tables say: percentages, sides, grey values, geometry."""

import json
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from DRAMLesionLib.images.volume import from_image, read_ct, read_on_grid, to_image
from DRAMLesionLib.lungs.lung_mask import segment_lungs
from DRAMLesionLib.phantom import Phantom, lobe_percent, make_phantom, save_phantom
from DRAMLesionLib.phantom import phantom as whole
from DRAMLesionLib.phantom.fields import Grid, Noise, capsule, coverage
from DRAMLesionLib.phantom.lesions import random_severity
from DRAMLesionLib.system.errors import InputError

LEFT, RIGHT = (1, 2), (3, 4, 5)
TARGETS = (3.0, 20.0, 8.0, 0.0, 45.0)
SMALL = {"size": (48, 48, 48), "spacing": (7.4, 7.4, 6.0)}


@cache
def usual(seed: int = 0) -> Phantom:
    """The default size: made once, and only read."""
    return make_phantom(seed=seed, severity=TARGETS)


@cache
def small(seed: int = 0) -> Phantom:
    return make_phantom(**SMALL, seed=seed)


def eroded(mask: np.ndarray, times: int = 2) -> np.ndarray:
    return ndimage.binary_erosion(mask, iterations=times)


def test_arrays_have_the_asked_grid_and_types():
    made = usual()
    assert made.ct.array.shape == (96, 160, 160)
    assert made.ct.array.dtype == np.int16
    assert made.ct.spacing_mm == pytest.approx((3.0, 2.2, 2.2))
    assert made.ct.geometry.orientation == "LPS"
    for labels in (made.lobes.labels, made.lesion, made.kind):
        assert labels.shape == made.ct.array.shape
        assert labels.dtype == np.uint8
    assert not made.lobes.approximate
    assert made.lobes.source == "phantom"
    middle = made.ct.geometry.matrix @ [79.5, 79.5, 47.5, 1]
    assert middle[:3] == pytest.approx((0, 0, 0), abs=1e-6)


def test_percent_is_lesion_over_lobe():
    made = usual()
    for value, percent in enumerate(made.percent, start=1):
        lobe = made.lobes.labels == value
        assert percent == pytest.approx(100 * made.lesion[lobe].mean(), abs=1e-9)
    assert lobe_percent(np.zeros((2, 2, 2), np.uint8), np.ones((2, 2, 2), np.uint8)) == (0,) * 5


@pytest.mark.parametrize("seed", [0, 1])
def test_targets_are_met(seed):
    for wanted, got in zip(TARGETS, usual(seed).percent, strict=True):
        assert got == pytest.approx(wanted, abs=0.1)


def test_extreme_targets_are_met():
    made = make_phantom(**SMALL, severity=(100, 0.5, 90, 1, 0))
    assert made.percent[0] == 100
    assert made.percent[2] == pytest.approx(90, abs=0.2)
    assert made.percent[4] == 0
    assert 0 < made.percent[1] < 1


def test_lesions_lie_in_the_lobes_and_kinds_in_the_lesion():
    made = usual()
    assert not made.lesion[made.lobes.labels == 0].any()
    assert np.array_equal(made.lesion > 0, made.kind > 0)
    assert (made.kind == 2).any()
    assert (made.kind == 1).sum() > (made.kind == 2).sum()


def test_lesions_are_patches_near_the_pleura_and_the_back():
    made = usual()
    left_lower = made.lobes.labels == 2
    lesion = left_lower & (made.lesion > 0)
    _, pieces = ndimage.label(lesion)
    assert pieces < lesion.sum() / 200
    lungs = made.lobes.labels > 0
    depth = ndimage.distance_transform_edt(lungs, made.ct.spacing_mm)
    assert depth[lesion].mean() < 0.85 * depth[left_lower].mean()
    assert np.argwhere(made.lesion)[:, 1].mean() > np.argwhere(lungs)[:, 1].mean() + 3


def test_healthy_has_no_lesion():
    made = make_phantom(**SMALL, severity=0)
    assert not made.lesion.any()
    assert not made.kind.any()
    assert made.percent == (0,) * 5
    assert np.median(made.ct.array[made.lobes.labels > 0]) < -800


def test_random_severity_differs_by_seed_and_stays_plausible():
    drawn = np.array([random_severity(np.random.default_rng(seed)) for seed in range(300)])
    assert len({tuple(row) for row in drawn}) == 300
    assert drawn.min() >= 0
    assert drawn.max() <= 70
    assert (drawn.max(axis=1) > 0).all()
    upper, lower = drawn[:, (0, 2, 3)].mean(), drawn[:, (1, 4)].mean()
    assert 2 < upper < lower < 20
    assert small(1).severity != small(2).severity
    assert small(1).percent == pytest.approx(small(1).severity, abs=0.5)


@pytest.mark.parametrize("seed", [0, 1])
def test_grey_values_are_those_of_a_chest_ct(seed):
    made = usual(seed)
    hu, lungs = made.ct.array, made.lobes.labels > 0
    normal = eroded(lungs & (made.lesion == 0))
    assert np.median(hu[normal]) == pytest.approx(-855, abs=20)
    glass = hu[eroded(made.kind == 1, 1)]
    assert -700 < np.median(glass) < -450
    assert np.mean((glass > -760) & (glass < -250)) > 0.9
    solid = hu[eroded(made.kind == 2, 1)]
    assert -150 < np.median(solid) < 50
    assert np.median(hu[0, :10, :]) == pytest.approx(-1000, abs=10)
    # Vessels and the walls of airways show in normal lung.
    assert 0.01 < np.mean(hu[normal] > -500) < 0.15
    body = eroded(hu > -300)
    share = {
        "fat": np.mean((hu[body] > -160) & (hu[body] < -50)),
        "soft tissue": np.mean((hu[body] > 0) & (hu[body] < 100)),
        "bone": np.mean(hu[body] > 200),
    }
    assert 0.05 < share["fat"] < 0.4, share
    assert 0.4 < share["soft tissue"] < 0.9, share
    assert 0.02 < share["bone"] < 0.12, share
    assert hu.max() < 1200


def test_lung_is_denser_at_the_back():
    made = make_phantom(severity=0, noise_hu=5)
    normal = eroded(made.lobes.labels > 0)
    y = np.broadcast_to(np.arange(160)[None, :, None], normal.shape)
    values, where = made.ct.array[normal], y[normal]
    front, back = np.quantile(where, (0.2, 0.8))
    gradient = np.median(values[where > back]) - np.median(values[where < front])
    assert 20 < gradient < 80


@pytest.mark.parametrize("noise_hu", [0.0, 12.0, 40.0])
def test_noise_has_the_asked_deviation_above_what_a_ct_can_store(noise_hu):
    air, quiet = (
        make_phantom(**SMALL, noise_hu=noise, severity=0).ct.array[:, :6, :] for noise in (noise_hu, 0.0)
    )
    noise = np.random.default_rng(0).normal(0, noise_hu, 100_000)
    stored = np.maximum(quiet.mean() + noise, -1024)  # at 40 HU a quarter of the air falls below
    assert air.min() >= -1024
    assert air.std() == pytest.approx(stored.std(), rel=0.08, abs=0.1)
    assert (air == -1024).mean() == pytest.approx((stored == -1024).mean(), abs=0.03)


def test_lobes_lie_where_they_should():
    made = usual()
    z, y, x = (
        {v: np.argwhere(made.lobes.labels == v)[:, axis].mean() for v in range(1, 6)} for axis in range(3)
    )
    assert min(x[v] for v in LEFT) > max(x[v] for v in RIGHT) + 20
    assert z[1] > z[2]
    assert z[3] > z[4] > z[5] - 3
    assert y[1] < y[2]
    assert y[4] < y[5] - 10


@pytest.mark.parametrize("seed", range(3))
def test_lobes_have_the_size_of_an_adult(seed):
    made = small(seed)
    millilitres = np.bincount(made.lobes.labels.ravel(), minlength=6)[1:] * np.prod(made.ct.spacing_mm) / 1000
    lower, upper = (700, 700, 400, 200, 700), (1900, 1900, 1500, 900, 2300)
    assert (millilitres > lower).all(), millilitres
    assert (millilitres < upper).all(), millilitres
    tall = np.flatnonzero((made.lobes.labels > 0).any(axis=(1, 2)))
    assert 240 <= (np.ptp(tall) + 1) * made.ct.spacing_mm[0] <= 320


def test_each_lobe_is_one_piece_of_lung():
    made = usual()
    for value in range(1, 6):
        lobe = made.lobes.labels == value
        pieces, count = ndimage.label(lobe)
        assert np.bincount(pieces.ravel())[1:].max() > 0.98 * lobe.sum(), (value, count)


def test_windpipe_is_air_and_no_lobe():
    made = usual()
    top = made.ct.array[-12, 60:110, 60:100]
    air = ndimage.label(top < -700)[0]
    assert air.max() >= 1
    where = np.argwhere(made.ct.array[-12] < -700)
    middle = where[(np.abs(where[:, 1] - 79) < 6) & (np.abs(where[:, 0] - 84) < 12)]
    assert len(middle) > 10
    assert not made.lobes.labels[-12][tuple(middle.T)].any()


def test_same_seed_same_voxels_and_another_seed_another_person():
    first = small(1)
    whole._person.cache_clear()
    again = make_phantom(**SMALL, seed=1)
    assert np.array_equal(first.ct.array, again.ct.array)
    assert np.array_equal(small(1).kind, again.kind)
    assert small(1).percent == again.percent
    assert not np.array_equal(small(1).lobes.labels, small(2).lobes.labels)
    assert (small(1).lobes.labels != small(2).lobes.labels).mean() < 0.1


def test_one_person_at_two_resolutions():
    coarse = make_phantom((60, 60, 40), (6, 6, 8), seed=1, severity=0)
    fine = make_phantom((120, 120, 80), (3, 3, 4), seed=1, severity=0)
    volumes = [
        np.bincount(p.lobes.labels.ravel(), minlength=6)[1:] * np.prod(p.ct.spacing_mm)
        for p in (coarse, fine)
    ]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.05)
    blocks = fine.lobes.labels[::2, ::2, ::2]
    assert np.mean((blocks > 0) == (coarse.lobes.labels > 0)) > 0.96


@pytest.mark.parametrize("orientation", ["RAS", "LPI", "PIR", "SLA", "AIL"])
def test_orientation_changes_the_file_and_not_the_patient(orientation):
    size, spacing = (40, 44, 36), (9.0, 7.0, 8.0)
    plain = make_phantom(size, spacing, seed=0)
    turned = make_phantom(size, spacing, seed=0, orientation=orientation)
    assert turned.ct.geometry.orientation == orientation
    assert np.array_equal(plain.ct.array, turned.ct.array)
    assert np.array_equal(plain.lesion, turned.lesion)
    assert turned.ct.spacing_mm == pytest.approx(plain.ct.spacing_mm)
    # A voxel of the canonical array is the same point of the patient.
    mine, its = turned.ct.geometry.canonical(), plain.ct.geometry.canonical()
    assert mine.difference(its) is None
    image = to_image(turned.ct.array, turned.ct)
    assert np.array_equal(from_image(image, "again").array, plain.ct.array)


def test_oblique_direction_and_origin():
    angle = np.radians(20)
    turn = [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    plain = small(0)
    turned = make_phantom(**SMALL, direction=turn, origin=(10, -20, 30), orientation="RAS")
    assert turned.ct.geometry.origin == pytest.approx((10, -20, 30))
    assert turned.ct.geometry.orientation == "RAS"
    assert np.array_equal(turned.ct.array, plain.ct.array)
    canonical = np.reshape(turned.ct.geometry.canonical().direction, (3, 3))
    assert canonical == pytest.approx(np.array(turn), abs=1e-9)


def test_thick_slices_work():
    made = make_phantom((96, 96, 24), (3.6, 3.6, 12.0), severity=TARGETS)
    assert made.ct.spacing_mm == pytest.approx((12.0, 3.6, 3.6))
    assert made.percent == pytest.approx(TARGETS, abs=0.5)
    assert np.median(made.ct.array[eroded(made.lobes.labels > 0, 1) & (made.lesion == 0)]) < -800


def test_a_small_field_of_view_cuts_and_a_large_one_shows_air():
    cut = make_phantom((48, 48, 48), (2.2, 2.2, 2.2))
    assert cut.ct.array.shape == (48, 48, 48)
    assert (cut.lobes.labels > 0).any()
    wide = make_phantom((48, 48, 48), (18, 18, 18))
    border = np.ones(wide.ct.array.shape, bool)
    border[4:-4, 4:-4, 4:-4] = False
    assert np.mean(wide.ct.array[border] < -850) > 0.97  # The rest is the table.
    assert {1, 2, 3, 5} <= set(np.unique(wide.lobes.labels).tolist())


def test_field_of_view_without_lungs():
    made = make_phantom((8, 8, 8), (1, 1, 1))
    assert made.ct.array.shape == (8, 8, 8)
    assert made.percent == lobe_percent(made.lobes.labels, made.lesion)


def test_saved_files_read_back(tmp_path):
    made = make_phantom((40, 44, 36), (9.0, 7.0, 8.0), seed=2, orientation="PIR")
    stages = []
    save_phantom(made, tmp_path / "out", progress=lambda stage, fraction: stages.append(fraction))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "ct.nii.gz",
        "lesion.nii.gz",
        "lobes.nii.gz",
        "percent.json",
    ]
    ct = read_ct(tmp_path / "out" / "ct.nii.gz")
    assert ct.geometry.orientation == "PIR"
    assert np.array_equal(ct.array, made.ct.array)
    lobes = read_on_grid(tmp_path / "out" / "lobes.nii.gz", ct)
    lesion = read_on_grid(tmp_path / "out" / "lesion.nii.gz", ct)
    assert np.array_equal(lobes, made.lobes.labels)
    assert np.array_equal(lesion, made.lesion)
    facts = json.loads((tmp_path / "out" / "percent.json").read_text())
    assert list(facts["percent"].values()) == pytest.approx(made.percent)
    assert list(facts["percent"]) == ["LUL", "LLL", "RUL", "RML", "RLL"]
    assert facts["seed"] == 2
    assert stages[0] == 0
    assert stages[-1] == 1


def test_cancelled_save_leaves_nothing(tmp_path):
    def stop(stage: str, fraction: float) -> None:
        if fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_phantom(small(), tmp_path / "out", progress=stop)
    assert not (tmp_path / "out").exists()


def test_progress_can_stop_it():
    def stop(stage: str, fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_phantom(**SMALL, progress=stop)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"size": (48, 48)}, "size"),
        ({"size": (48, 48, 4)}, "size"),
        ({"size": (48, 48, 4000)}, "size"),
        ({"size": (48.5, 48, 48)}, "size"),
        ({"size": "large"}, "size"),
        ({"spacing": (2, 2, 0)}, "spacing"),
        ({"spacing": (2, 2, float("nan"))}, "spacing"),
        ({"spacing": (2, -2, 2)}, "spacing"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"orientation": "LPP"}, "orientation"),
        ({"orientation": "LP"}, "orientation"),
        ({"orientation": "XYZ"}, "orientation"),
        ({"direction": np.ones((3, 3))}, "direction"),
        ({"direction": np.diag((1, 1, -1))}, "direction"),
        ({"direction": [[0, -1, 0], [1, 0, 0], [0, 0, 1]]}, "direction"),
        ({"direction": [1, 2]}, "direction"),
        ({"origin": (1, 2)}, "origin"),
        ({"severity": 101}, "severity"),
        ({"severity": (1, 2, 3)}, "severity"),
        ({"severity": (1, 2, 3, 4, -5)}, "severity"),
        ({"severity": "mild"}, "severity"),
        ({"noise_hu": -1}, "noise"),
        ({"noise_hu": float("inf")}, "noise"),
    ],
)
def test_bad_arguments_are_named(arguments, word):
    with pytest.raises(InputError) as caught:
        make_phantom(**{**SMALL, **arguments})
    message = str(caught.value)
    assert message.startswith(f"phantom {word}:")
    assert "\n" not in message


def test_noise_field_is_standard_and_bound_to_millimetres():
    field = Noise(np.random.default_rng(0), 5.0)
    grid = Grid.centred((60, 60, 60), (4.1, 4.1, 4.1))
    values = field(grid)
    assert values.dtype == np.float32
    assert values.mean() == pytest.approx(0, abs=0.05)
    assert values.std() == pytest.approx(1, abs=0.05)
    part = (slice(5, 9), slice(20, 60), slice(3, 4))
    assert field(grid.crop(part)) == pytest.approx(values[part], abs=1e-5)


def test_capsule_and_coverage_are_distances_and_shares():
    grid = Grid.centred((21, 21, 41), (1.0, 1.0, 1.0))
    distance = capsule(grid, np.array([-10, 0, 0]), np.array([10, 0, 0]), 3, 3)
    assert distance[10, 10, 20] == pytest.approx(-3)
    assert distance[10, 15, 20] == pytest.approx(2)
    assert distance[10, 10, 34] == pytest.approx(1)
    volume = coverage(distance, 1.0).sum()
    assert volume == pytest.approx(np.pi * 9 * 20 + 4 / 3 * np.pi * 27, rel=0.02)


def test_built_in_lungs_find_the_phantoms():
    made = make_phantom((112, 112, 72), (3.2, 3.2, 4.0), seed=1, severity=(2, 5, 3, 1, 8))
    found = segment_lungs(made.ct.array, made.ct.spacing_mm) > 0
    truth = made.lobes.labels > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.96
