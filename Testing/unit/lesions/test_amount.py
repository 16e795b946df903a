import numpy as np
import pytest
import torch
from scipy import special

from DRAMLesionLib.lesions.amount import (
    Amount,
    amounts_for_record,
    cut_at_amounts,
    dense_percent,
    lobe_amounts,
    lobe_cuts,
    ranges_of,
    with_range,
)
from DRAMLesionLib.lesions.networks.final_description import AmountSettings, DensityFloor
from DRAMLesionLib.system.errors import InputError

SPACING = (2.0, 2.0, 2.0)


@pytest.fixture
def lobes():
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[2:18, 2:10, 2:18], labels[2:18, 10:18, 2:18] = 1, 5
    return labels


@pytest.fixture
def faint(lobes):
    """A map whose order is right and whose values are far too low in lobe 5."""
    rng = np.random.default_rng(0)
    values = np.where(lobes == 5, 0.2, 0.9) * rng.random(lobes.shape) * (lobes > 0)
    return values.astype(np.float32)


def test_the_amount_is_the_maps_mean_and_the_dense_share_as_weighted(lobes):
    lesion_map = np.where(lobes == 1, 0.25, 0).astype(np.float32)
    hu = np.where(lobes == 5, -300, -860).astype(np.int16)
    settings = AmountSettings(offset=-2, mean=0.8, dense=0.5)
    amounts = lobe_amounts(lesion_map, hu, lobes, SPACING, settings)
    assert set(amounts) == {1, 5}
    near = 100 * 1 / 8  # the slice of lobe 1 beside the dense lobe, at most
    assert 18 <= amounts[1].percent <= 18 + 0.5 * near
    assert 30 < amounts[5].percent <= 48
    without = lobe_amounts(lesion_map, hu, lobes, SPACING, AmountSettings())
    assert without[1].percent == pytest.approx(25) and without[5].percent == 0
    convex = lobe_amounts(lesion_map, hu, lobes, SPACING, AmountSettings(offset=1, mean=0.5, square=0.8))
    assert convex[1].percent == pytest.approx(1 + 12.5 + 0.8 * 6.25)


def test_air_beyond_the_ct_is_not_dense(lobes):
    hu = np.full(lobes.shape, -860, np.int16)
    settings = AmountSettings(mean=0, dense=1)
    assert (
        lobe_amounts(lobes * np.float32(0), hu, np.where(lobes > 0, lobes, 2), SPACING, settings)[2].percent
        == 0
    )


@pytest.fixture
def severe(lobes):
    """Lobe 5 is dense in 70 % of its slices, and its map marks a fifth; lobe 1 is healthy."""
    dense = (lobes == 5) & (np.arange(20)[:, None, None] < 13)
    lesion_map = np.where(dense & (np.arange(20)[:, None, None] < 5), 0.9, 0).astype(np.float32)
    return lesion_map, np.where(dense, -400, -860).astype(np.int16)


FLOOR = DensityFloor(dense_hu=-550, start=18, slope=1.6, seen=5)


def test_a_severe_lobe_gets_the_amount_of_its_density_and_others_keep_the_maps(lobes, severe):
    lesion_map, hu = severe
    alone = lobe_amounts(lesion_map, hu, lobes, SPACING, AmountSettings())
    amounts = lobe_amounts(lesion_map, hu, lobes, SPACING, AmountSettings(floor=FLOOR))
    assert alone[5].percent == amounts[5].by_map == pytest.approx(100 * 0.9 * 3 / 16, abs=0.1)
    dense = dense_percent(hu, lobes, SPACING, -550)
    assert dense[5] == pytest.approx(100 * 11 / 16, abs=7) and dense[2] == 0
    assert amounts[5].percent == amounts[5].by_density == pytest.approx(1.6 * (dense[5] - 18))
    assert amounts[5].is_by_density and amounts[5].low == alone[5].low
    assert amounts[5].high == pytest.approx(
        min(100, amounts[5].percent + 3 * (1 + 0.2 * (100 - amounts[5].percent)))
    )
    assert amounts[1].percent == alone[1].percent == 0 and not amounts[1].is_by_density
    told = amounts_for_record(amounts)
    assert told["RLL"]["source"] == "density" and told["LUL"]["source"] == "map"
    assert told["RLL"]["density_percent"] > told["RLL"]["map_percent"] + 40
    assert amounts_for_record(alone)["RLL"] == {
        "source": "map",
        "map_percent": round(alone[5].percent, 2),
        "density_percent": None,
        "lungs_percent": None,
    }


def test_a_dense_lobe_in_which_the_map_sees_nothing_keeps_the_maps_amount(lobes, severe):
    amounts = lobe_amounts(severe[0] * 0.2, severe[1], lobes, SPACING, AmountSettings(floor=FLOOR))
    assert amounts[5].by_map < 5 and amounts[5].by_density > 60
    assert amounts[5].percent == amounts[5].by_map and not amounts[5].is_by_density


@pytest.mark.parametrize("finer", [1, 3])
def test_vessels_noise_and_the_chest_wall_make_no_lobe_dense_at_any_voxel_size(lobes, finer):
    hu = np.where(lobes > 0, -850 + 100 * np.random.default_rng(0).standard_normal(lobes.shape), 40)
    hu[:, 4, 4] = hu[:, 7, 12] = 50  # vessels, one voxel thick
    hu, labels = (np.repeat(np.repeat(a, finer, axis=1), finer, axis=2) for a in (hu, lobes))
    spacing = (SPACING[0], SPACING[1] / finer, SPACING[2] / finer)
    assert dense_percent(hu, labels, spacing, -550).max() < 1
    assert dense_percent(hu + 600, labels, spacing, -550)[1:6:4].min() > 99


def test_cuts_give_each_lobe_its_amount(lobes, faint):
    wanted = {1: Amount(12.0, 10, 14), 5: Amount(80.0, 70, 90)}
    cuts = lobe_cuts(faint, lobes, wanted)
    for lobe, amount in wanted.items():
        assert 100 * (faint[lobes == lobe] > cuts[lobe]).mean() == pytest.approx(amount.percent, abs=0.1)
    assert lobe_cuts(faint, lobes, {1: Amount(0, 0, 1), 5: Amount(100, 99, 100)}) == {1: 1.0, 5: 0.0}


def test_one_threshold_cuts_the_moved_map_at_all_amounts(lobes, faint):
    wanted = {1: Amount(12.0, 10, 14), 5: Amount(80.0, 70, 90)}
    before = faint.copy()
    cut_at_amounts(faint, lobes, 0.5, wanted)
    for lobe, amount in wanted.items():
        here = lobes == lobe
        assert 100 * (faint[here] > 0.5).mean() == pytest.approx(amount.percent, abs=0.1)
        assert (np.diff(faint[here][np.argsort(before[here])]) >= 0).all()
    assert (faint[lobes == 0] == 0).all() and faint.dtype == np.float32


def test_nothing_is_lesion_in_a_lobe_of_amount_0(lobes, faint):
    cut_at_amounts(faint, lobes, 0.5, {1: Amount(0, 0, 1), 5: Amount(50, 40, 60)})
    assert not (faint[lobes == 1] > 0.5).any()


def test_ranges_hold_the_estimate_and_end_at_0_and_100():
    settings = AmountSettings(error_points=1, error_share=0.2)
    assert with_range(0.5, settings) == Amount(0.5, 0.0, pytest.approx(1.6))
    assert with_range(40, settings) == Amount(40, pytest.approx(31), pytest.approx(49))
    assert with_range(99.5, settings).high == 100
    assert ranges_of({3: Amount(40, 31, 49)}) == {3: (31, 49)}


@pytest.mark.parametrize("values", [{"mean": "x"}, {"slope": 1}, {"error_points": -1}, {"floor": 1}])
def test_wrong_settings_are_named(values):
    with pytest.raises(InputError, match=f"a.{next(iter(values))}"):
        AmountSettings.from_dict(values, "a")


@pytest.mark.parametrize("values", [{"slope": -1}, {"start": 101}, {"hu": -550}])
def test_a_wrong_floor_is_named(values):
    with pytest.raises(InputError, match=f"a.floor.{next(iter(values))}"):
        AmountSettings.from_dict({"floor": values}, "a")


def test_a_floor_is_read_and_written():
    settings = AmountSettings.from_dict({"floor": {"start": 20}}, "a")
    assert settings.floor == DensityFloor(start=20)
    assert AmountSettings.from_dict({}, "a").floor is None


def test_the_whole_lobe_moves_by_the_log_odds_of_its_cut_and_lobes_without_amount_stay(lobes, faint):
    amounts = {5: Amount(20.0, 10, 30)}
    moved = faint.copy()
    cut_at_amounts(moved, lobes, 0.5, amounts)
    by = special.logit(0.5) - special.logit(lobe_cuts(faint, lobes, amounts)[5])
    odds = special.logit(np.clip(faint, 1e-6, 1 - 1e-6).astype(float))
    expected = np.where(lobes == 5, special.expit(odds + by), np.where(lobes == 1, special.expit(odds), 0))
    np.testing.assert_allclose(moved, expected, atol=1e-6)


def test_a_small_lesion_that_is_plain_to_see_counts_where_the_estimate_says_nothing(lobes):
    lesion_map = np.where(lobes > 0, 0.001, 0).astype(np.float32)
    lesion_map[10:12, 4:6, 4:6] = 0.9
    lesion_map[10:12, 14:16, 4:6] = 0.6
    hu, share = np.full(lobes.shape, -850, np.int16), 100 * 8 / (lobes == 1).sum()
    plain, sure = (
        lobe_amounts(lesion_map, hu, lobes, SPACING, AmountSettings(offset=-1, sure=limit))
        for limit in (None, 0.7)
    )
    assert plain[1].percent == plain[5].percent == sure[5].percent == 0
    assert sure[1].percent == sure[1].by_map == pytest.approx(share)
    assert sure[1].low <= share <= sure[1].high and not sure[1].is_raised
    cut_at_amounts(lesion_map, lobes, 0.5, sure)
    assert (lesion_map > 0.5).sum() == 8 and lesion_map[10, 4, 4] > 0.5
    with pytest.raises(InputError, match=r"a\.sure"):
        AmountSettings.from_dict({"sure": 2}, "a")


def test_any_number_of_threads_gives_the_same_bits():
    labels = np.repeat(np.arange(1, 6, dtype=np.uint8), 80_001).reshape(1, 1, -1)
    lesion_map = np.random.default_rng(0).random(labels.shape, dtype=np.float32)
    amounts, found = {lobe: Amount(20.0 + lobe, 10, 30) for lobe in range(1, 6)}, []
    before = torch.get_num_threads()
    try:
        for threads in (1, 3, 7):
            torch.set_num_threads(threads)
            found.append(lesion_map.copy())
            cut_at_amounts(found[-1], labels, 0.5, amounts)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
