import numpy as np
import pytest

from DRAMLesionLib.lesions.amount import estimate
from DRAMLesionLib.training.tasks.amounts import (
    ERROR_SHARES,
    PERCENTS,
    KnownLobe,
    _balanced,
    _error_share,
    _rising,
    fit_amount,
)


def lobes(percent, mean, faint=None):
    faint = mean if faint is None else faint
    return [KnownLobe(*row) for row in zip(mean, faint, percent, strict=True)]


def estimated(settings, rows):
    return estimate(np.array([r.mean for r in rows]), np.array([r.faint for r in rows]), settings)


def test_a_lobe_is_known_by_its_mean_and_its_faint_share():
    assert KnownLobe.of(np.array([0.0, 0.05, 0.2, 0.75]), 40) == KnownLobe(25, 50, 40)


def test_a_faint_map_of_sick_lobes_is_bent_up_and_mild_lobes_stay():
    percent = np.array([0, 0.5, 1, 3, 6, 10, 15, 20, 28, 40, 50, 60, 75, 90])
    rows = lobes(percent, percent - 0.5 * percent**2 / 100)
    settings = fit_amount(rows[:9], rows)
    assert estimated(settings, rows)[:-1] == pytest.approx(percent[:-1], abs=2.5)
    assert rows[-1].mean < 50 and estimated(settings, rows)[-1] > 80
    assert settings.percents == PERCENTS and settings.error_share == pytest.approx(ERROR_SHARES[0])


def test_real_lobes_weigh_more_than_pasted_ones():
    mean = np.array([1.0, 5.0, 10.0, 20.0])
    known, pasted = lobes(mean, mean), lobes(1.6 * mean, mean)
    both = estimated(fit_amount(known, pasted), known)[-1]
    assert 19 < both < 26
    assert estimated(fit_amount(known), known)[-1] == pytest.approx(20, abs=1)


def test_many_mild_lobes_do_not_draw_severe_ones_down():
    rng = np.random.default_rng(0)
    percent = np.r_[rng.uniform(0, 5, 300), rng.uniform(60, 95, 20)]
    rows = lobes(percent, percent * rng.uniform(0.4, 0.8, 320))
    error = estimated(fit_amount([], rows), rows) - percent
    assert abs(error[300:].mean()) < 6


def test_lobes_of_a_level_share_a_weight_that_grows_with_its_root():
    weight = _balanced(np.array([1.0, 1.0, 1.0, 1.0, 50.0]), np.ones(5))
    assert weight == pytest.approx([1 / 6] * 4 + [2 / 6])


def test_a_curve_never_falls():
    at = knots = np.array([0.0, 1.0, 2.0])
    assert _rising(knots, at, np.array([-1.0, 3.0, 2.0]), np.ones(3) / 3) == pytest.approx([-1, 2.5, 2.5])


def test_the_range_is_the_narrowest_that_holds_enough_lobes_with_lesion():
    estimates = np.array([0.0, 0.0, 20.0, 20.0, 20.0, 20.0, 20.0])
    truth = np.array([0.5, 0.9, 20.0, 22.0, 24.0, 34.0, 60.0])
    assert _error_share(estimates, truth) == pytest.approx(0.65)  # 1 + 0.65 * 20 points hold four of five
    assert _error_share(estimates[:-2], truth[:-2]) == pytest.approx(0.5)
    assert _error_share(estimates[:0], truth[:0]) == pytest.approx(0.5)


def test_the_range_is_that_of_the_real_lobes():
    rng = np.random.default_rng(0)
    percent = np.arange(5.0, 90.0)
    rows = lobes(percent, percent * rng.uniform(0.5, 0.9, percent.size))
    wild = lobes(percent, rng.uniform(0, 90, percent.size))
    assert fit_amount(rows, wild).error_share < fit_amount(wild, rows).error_share
