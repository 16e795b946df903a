"""Weak labels: scores stand for ranges, and candidates narrow them."""

import numpy as np
import pytest

from DRAMLesionLib.lesions.lung_grid import LobeSample
from DRAMLesionLib.lesions.quantify import severity_score
from DRAMLesionLib.training.data.weak_label import (
    SCORE_RANGES,
    WeakLabel,
    candidate_fraction,
    candidates,
)


def test_a_percentage_keeps_its_value_and_gets_its_scores_range():
    label = WeakLabel.from_percent(12.5)
    assert label == WeakLabel(fraction=0.125, low=0.05, high=0.25, score=2)


@pytest.mark.parametrize(
    ("score", "low", "high"),
    [(0, 0, 0.01), (1, 0.01, 0.05), (2, 0.05, 0.25), (3, 0.25, 0.5), (4, 0.5, 0.75), (5, 0.75, 1)],
)
def test_a_score_stands_for_its_range(score, low, high):
    assert WeakLabel.from_score(score) == WeakLabel(None, low, high, score)


def test_the_ranges_are_those_of_the_table():
    for score, (low, high) in enumerate(SCORE_RANGES):
        assert severity_score(100 * low) == score
        assert severity_score(100 * (high - 1e-6)) == score


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("nan")])
def test_no_percentage(percent):
    with pytest.raises(ValueError, match="0 to 100"):
        WeakLabel.from_percent(percent)


@pytest.mark.parametrize("score", [-1, 6, 1.5])
def test_no_score(score):
    with pytest.raises(ValueError, match="0 to 5"):
        WeakLabel.from_score(score)


@pytest.mark.parametrize(
    ("label", "healthy"),
    [
        (WeakLabel.from_percent(0), True),
        (WeakLabel.from_percent(0.03), False),  # a trace is known to be there, whatever its score
        (WeakLabel.from_score(0), True),
        (WeakLabel.from_score(1), False),
    ],
)
def test_what_is_healthy(label, healthy):
    assert label.is_healthy is healthy


@pytest.mark.parametrize(
    ("score", "share", "narrowed", "centred"),
    [
        (3, 0.30, (0.25, 0.31), (0.29, 0.31)),  # the candidates lie in the range
        (3, 0.60, (0.25, 0.50), (0.25, 0.50)),  # there are more of them than the range allows
        (3, 0.10, (0.25, 0.50), (0.09, 0.11)),  # there are fewer: a contradiction
        (3, 0.245, (0.25, 0.255), (0.25, 0.255)),  # the band reaches into the range from below
        (0, 0.30, (0.00, 0.01), (0.00, 0.01)),
        (5, 0.995, (0.75, 1.00), (0.985, 1.00)),
    ],
)
def test_candidates_narrow_the_range(score, share, narrowed, centred):
    label = WeakLabel.from_score(score)
    for found, expected in ((label.narrowed(share), narrowed), (label.centred(share), centred)):
        assert (found.low, found.high) == pytest.approx(expected)
        assert found.score == score and found.fraction is None


def test_candidates_are_brighter_than_three_quarters_of_otsus_threshold():
    """Otsu cuts an even ramp from 0 to 1 in its middle; three quarters of that are 0.375, so 62.5 % are brighter."""
    ramp = np.linspace(0, 1, 1000, dtype=np.float32).reshape(10, 10, 10)
    image = np.concatenate([ramp, np.ones_like(ramp)])
    mask = np.concatenate([np.ones(ramp.shape, bool), np.zeros(ramp.shape, bool)])
    lobe = LobeSample(1, image, mask, (slice(0, 20), slice(0, 10), slice(0, 10)))
    assert candidate_fraction(lobe) == pytest.approx(0.625, abs=0.005)  # a bin of the histogram is 0.004
    found = candidates(image, mask)
    assert not found[10:].any()
    assert image[found].min() == pytest.approx(0.375, abs=0.005)


def test_an_empty_lobe_has_no_candidates():
    lobe = LobeSample(1, np.ones((2, 2, 2), np.float32), np.zeros((2, 2, 2), bool), (slice(0, 2),) * 3)
    assert candidate_fraction(lobe) == 0
    assert not candidates(lobe.image, lobe.mask).any()


@pytest.mark.parametrize(
    ("label", "fraction", "distance"),
    [
        (WeakLabel.from_percent(20), 0.25, 0.05),
        (WeakLabel.from_percent(20), 0.05, 0.15),
        (WeakLabel.from_score(2), 0.05, 0.0),
        (WeakLabel.from_score(2), 0.2, 0.0),
        (WeakLabel.from_score(2), 0.02, 0.03),
        (WeakLabel.from_score(2), 0.45, 0.2),
    ],
)
def test_the_distance_counts_from_a_percentage_and_from_the_ends_of_a_score(label, fraction, distance):
    assert label.distance(fraction) == pytest.approx(distance)
