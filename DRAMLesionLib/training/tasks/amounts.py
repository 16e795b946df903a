"""What the mean of a lobe's map stands for: fitted after the training, on weak labels and on pasted disease."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import lsq_linear

from DRAMLesionLib.lesions.networks.final_description import AmountSettings, DensityFloor

KNOWN_WEIGHT = 4.0
"""Of a real lobe with a known percentage, beside 1 of a lobe with pasted disease."""
HELD = 0.8
"""Part of the real lobes whose percentage shall lie in the range."""
ERROR_POINTS = 1.0
ERROR_SHARES = np.arange(0.5, 0.95, 0.05)
"""Begins where the range of segmentation-covid held 81 % of lobes with ellipsoids of even density, which its training
did not paste (0.2 held 58 %). Of real lobes, whose maps the training has seen, narrower ranges hold as many."""
_BOUNDS = ((-1.0, 0.3, 0.0), (0.0, 1.5, 3.0))
"""Lowest and highest offset, mean and square: what is fitted rises with the map, and faster where there is more."""


def fit_amount(
    known: Sequence[tuple[float, float]], pasted: Sequence[tuple[float, float]] = ()
) -> AmountSettings:
    """The settings under which the maps' means agree best with what is known.

    Least squares, each lobe weighing by the inverse square of 2 points plus 15 % of its percentage, since few percentages
    are known more exactly. The range is the narrowest that holds :data:`HELD` of the real lobes.

    Args:
        known: Of real lobes, 100 times the map's mean and the known percentage.
        pasted: The same of lobes with pasted disease.

    Returns:
        Settings without dense share, and with the usual :class:`DensityFloor`.
    """
    rows = np.array([*known, *pasted], dtype=float).reshape(-1, 2)
    mean, percent = rows.T
    weight = np.r_[np.full(len(known), KNOWN_WEIGHT), np.ones(len(pasted))]
    root = np.sqrt(weight) / (2 + 0.15 * percent)
    terms = np.stack([np.ones_like(mean), mean, mean**2 / 100], 1)
    found = lsq_linear(terms * root[:, None], percent * root, bounds=_BOUNDS).x
    offset, slope, square = (round(float(value), 3) for value in found)
    estimate = np.clip(terms[: len(known)] @ (offset, slope, square), 0, 100)
    error = np.abs(estimate - percent[: len(known)])
    room = np.minimum(estimate, 100 - estimate)
    shares = [share for share in ERROR_SHARES if np.mean(error <= ERROR_POINTS + share * room) >= HELD]
    share = round(float(shares[0] if shares else ERROR_SHARES[-1]), 2)
    return AmountSettings(
        offset, slope, square, error_points=ERROR_POINTS, error_share=share, floor=DensityFloor()
    )
