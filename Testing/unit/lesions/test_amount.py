import numpy as np
import pytest

from DRAMLesionLib.lesions.amount import (
    Amount,
    cut_at_amounts,
    estimate,
    evidence,
    lobe_amounts,
    lobe_cuts,
    ranges_of,
    with_range,
)
from DRAMLesionLib.lesions.networks.final_description import AmountSettings
from DRAMLesionLib.system.errors import InputError


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


def test_the_amount_is_the_maps_mean_where_nothing_else_is_said(lobes):
    lesion_map = np.where(lobes == 1, 0.25, 0).astype(np.float32)
    amounts = lobe_amounts(lesion_map, lobes, AmountSettings())
    assert set(amounts) == {1, 5}
    assert amounts[1].percent == pytest.approx(25) and amounts[5].percent == 0


def test_the_faint_share_counts_voxels_above_a_tenth(lobes):
    lesion_map = np.zeros(lobes.shape, np.float32)
    lesion_map[2:6, 2:10, 2:18] = 0.11  # a quarter of lobe 1
    lesion_map[6:10, 2:10, 2:18] = 0.09
    by_faint = AmountSettings(weights=(0, 0, 1, 0, 0, 0))
    assert lobe_amounts(lesion_map, lobes, by_faint)[1].percent == pytest.approx(25)


def test_evidence_has_the_terms_of_second_order():
    assert evidence(np.array([4.0]), np.array([9.0])).tolist() == [[1, 2, 3, 4, 6, 9]]


def test_the_curve_is_straight_between_the_roots_of_its_percentages():
    settings = AmountSettings(weights=(0, 0, 1, 0, 0, 0), roots=(1, 4, 10), percents=(0, 25, 100))
    faint = np.array([0.0, 1.0, 16.0, 36.0, 100.0, 400.0])
    between = (5 + 5 * (6 - 4) / (10 - 4)) ** 2
    assert estimate(faint, faint, settings) == pytest.approx([0, 0, 25, between, 100, 100])


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


@pytest.mark.parametrize(
    "values",
    [
        {"weights": [1, 2]},
        {"slope": 1},
        {"error_points": -1},
        {"roots": [0, 0], "percents": [0, 100]},
        {"percents": [0, 50, 100]},
        {"percents": [0, 101]},
    ],
)
def test_wrong_settings_are_named(values):
    with pytest.raises(InputError, match=f"a.{next(iter(values))}: "):
        AmountSettings.from_dict(values, "a")
