"""What a lobe's map stands for: fitted after the training, on weak labels and on pasted disease."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

from DRAMLesionLib.lesions.amount import FAINT, estimate, evidence
from DRAMLesionLib.lesions.networks.final_description import AmountSettings

KNOWN_WEIGHT = 8.0
"""Of a real lobe with a known percentage, beside 1 of a lobe with pasted disease."""
HELD = 0.8
"""Part of the real lobes with lesion whose percentage shall lie in the range."""
ERROR_POINTS = 1.0
ERROR_SHARES = np.arange(0.5, 0.95, 0.05)
"""Begins where 82 % of lobes with ellipsoids of even density, a disease that the fit had not seen, lay in the range (0.4
held 76 %). Of real lobes, whose maps the training has seen, narrower ranges hold as many."""
LEVELS = (0.3, 3.0, 10.0, 25.0, 40.0, 60.0, 80.0)
"""Percentages between which lobes count as equally sick."""
PERCENTS = (0.0, 1.0, 3.0, 8.0, 15.0, 30.0, 50.0, 70.0, 90.0, 100.0)
"""Where the curve has its knots."""
INVERSE = 0.5
"""How far the curve goes from the mean percentage of lobes with such a map (0), which draws all lobes to the middle, to
the percentage whose lobes have such a map on average (1), which exaggerates where a map says little."""
_RIDGE = 0.01


class KnownLobe(NamedTuple):
    """A lobe's map and the lobe's percentage.

    Attributes:
        mean: 100 times the map's mean.
        faint: Percentage of the voxels above :data:`~DRAMLesionLib.lesions.amount.FAINT`.
        percent: The known percentage.
    """

    mean: float
    faint: float
    percent: float

    @classmethod
    def of(cls, probability: np.ndarray, percent: float) -> "KnownLobe":
        """Take a lobe by the map's values (0..1) of its voxels."""
        return cls(100 * float(probability.mean()), 100 * float((probability > FAINT).mean()), percent)


def fit_amount(known: Sequence[KnownLobe], pasted: Sequence[KnownLobe] = ()) -> AmountSettings:
    """The settings under which the maps agree best with what is known.

    Ridge regression of the percentage's root on the map's evidence, then a rising curve that takes a part
    (:data:`INVERSE`) of the regression's pull to the middle back. Mild and severe lobes count alike, however many of
    each there are. The range is the narrowest of :data:`ERROR_SHARES` that holds :data:`HELD` of
    the real lobes with lesion.

    Args:
        known: Real lobes.
        pasted: Lobes with pasted disease.
    """
    mean, faint, percent = np.array([*known, *pasted], dtype=float).reshape(-1, 3).T
    weight = _balanced(percent, np.r_[np.full(len(known), KNOWN_WEIGHT), np.ones(len(pasted))])
    weights = _ridge(evidence(mean, faint), np.sqrt(percent), weight)
    knots = np.sqrt(PERCENTS)
    curve = _rising(knots, np.sqrt(percent), evidence(mean, faint) @ weights, weight)
    roots = INVERSE * curve + (1 - INVERSE) * knots
    settings = AmountSettings(
        weights=tuple(round(float(value), 5) for value in weights),  # type: ignore[arg-type]
        roots=tuple(round(float(value), 4) for value in roots),
        percents=PERCENTS,
        error_points=ERROR_POINTS,
    )
    real = slice(len(known))
    return replace(settings, error_share=_error_share(estimate(mean, faint, settings)[real], percent[real]))


def _error_share(estimated: np.ndarray, percent: np.ndarray) -> float:
    """The smallest of :data:`ERROR_SHARES` under which the ranges hold enough of the lobes that have a lesion."""
    sick = percent >= ERROR_POINTS
    error, room = np.abs(estimated - percent)[sick], np.minimum(estimated, 100 - estimated)[sick]
    for share in ERROR_SHARES:
        held = error <= ERROR_POINTS + share * room
        if not held.size or held.mean() >= HELD:
            return round(float(share), 2)
    return round(float(ERROR_SHARES[-1]), 2)


def _balanced(percent: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weights of sum 1 under which a level with four times the lobes counts twice, not four times."""
    level = np.digitize(percent, LEVELS)
    sums = np.bincount(level, weights=weight)
    balanced = weight / np.sqrt(sums[level])
    return balanced / balanced.sum()


def _ridge(terms: np.ndarray, wanted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Ridge regression; the first term, a constant, is free."""
    scale = terms.std(0) + 1e-6
    scale[0] = 1.0
    scaled = terms / scale
    penalty = _RIDGE * np.eye(terms.shape[1])
    penalty[0, 0] = 0.0
    weighted = scaled * weight[:, None]
    return np.linalg.solve(weighted.T @ scaled + penalty, weighted.T @ wanted) / scale


def _rising(knots: np.ndarray, at: np.ndarray, values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The curve through ``values`` over ``at`` that never falls and is straight between the knots: its height at each."""
    steps = np.clip((at[:, None] - knots[:-1]) / np.diff(knots), 0, 1)
    ones = np.ones((len(at), 1))
    root = np.sqrt(weight)
    heights, _ = nnls(np.hstack([ones, -ones, steps]) * root[:, None], values * root)
    return heights[0] - heights[1] + np.r_[0.0, np.cumsum(heights[2:])]
