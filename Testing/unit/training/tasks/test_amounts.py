import numpy as np
import pytest

from DRAMLesionLib.training.tasks.amounts import ERROR_SHARES, fit_amount


def curve(settings, mean):
    return settings.offset + settings.mean * mean + settings.square * mean**2 / 100


def test_a_faint_map_of_sick_lobes_is_bent_up_and_mild_lobes_stay():
    mean = np.array([0.2, 1, 3, 6, 10, 15, 20, 25, 30, 40, 50, 60])
    percent = 0.8 * mean + 0.6 * mean**2 / 100
    settings = fit_amount(
        list(zip(mean[:8], percent[:8], strict=True)), list(zip(mean, percent, strict=True))
    )
    assert curve(settings, mean) == pytest.approx(percent, abs=0.2)
    assert settings.dense == 0 and settings.error_share == pytest.approx(ERROR_SHARES[0])


def test_real_lobes_weigh_more_than_pasted_ones():
    known = [(m, m) for m in (1.0, 5.0, 10.0, 20.0)]
    pasted = [(m, 1.4 * m) for m in (1.0, 5.0, 10.0, 20.0)]
    at_20 = curve(fit_amount(known, pasted), 20)
    assert 20 < at_20 < 24
    assert curve(fit_amount(known), 20) == pytest.approx(20, abs=0.1)


def test_the_range_holds_most_real_lobes():
    rng = np.random.default_rng(0)
    percent = rng.uniform(2, 40, 60)
    known = [(p * rng.uniform(0.75, 1.25), p) for p in percent]
    settings = fit_amount(known)
    estimate = np.array([curve(settings, m) for m, _ in known])
    half = settings.error_points + settings.error_share * np.minimum(estimate, 100 - estimate)
    assert np.mean(np.abs(estimate - percent) <= half) >= 0.8
    assert settings.error_share == pytest.approx(ERROR_SHARES[0])


def test_the_range_widens_where_real_lobes_scatter():
    percent = np.r_[np.full(10, 5.0), np.full(10, 35.0)]
    assert fit_amount([(20.0, p) for p in percent]).error_share == pytest.approx(ERROR_SHARES[-1])


def test_the_curve_rises_whatever_is_known():
    settings = fit_amount([(10.0, 5.0), (20.0, 1.0)])
    assert settings.mean >= 0.3 and settings.square >= 0
