"""Numbers as people read them."""

import numpy as np
import pytest

from DRAMLesionLib.lesions.quantify import SCORE_EDGES, severity_score
from DRAMLesionLib.results.numbers import hu_text, ml_text, mm_text, percent_text, rounded_percent


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0.0, "0.0"),
        (0.03, "<0.1"),
        (0.06, "0.1"),
        (0.94, "0.9"),
        (0.98, "0.98"),
        (0.996, "0.996"),
        (1.02, "1.0"),
        (4.96, "4.96"),
        (25.78, "25.8"),
        (24.9996, "24.9996"),
        (49.95, "49.95"),
        (99.97, "100.0"),
        (100.0, "100.0"),
    ],
)
def test_a_percentage_as_people_read_it(value, shown):
    assert percent_text(value) == shown


def test_no_percentage_contradicts_its_score():
    edges = np.array(SCORE_EDGES)
    near = (edges + np.array([-0.06, -0.05, -0.004, -1e-4, -1e-8, 0.0, 1e-6, 0.04])[:, None]).ravel()
    for percent in [*near, *np.random.default_rng(0).uniform(0.05, 100, 300)]:
        score = severity_score(float(percent))
        assert severity_score(float(percent_text(float(percent)))) == score
        assert severity_score(rounded_percent(float(percent))) == score


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (ml_text(0.0), "0.0"),
        (ml_text(0.02), "<0.1"),
        (ml_text(12.34), "12.3"),
        (ml_text(123.6), "124"),
        (hu_text(-499.6), "−500"),
        (hu_text(None), "–"),
        (mm_text(0.0), "0"),
        (mm_text(0.3), "<1"),
        (mm_text(7.6), "8"),
        (mm_text(None), "–"),
    ],
)
def test_volumes_densities_and_distances_as_people_read_them(shown, text):
    assert shown == text
