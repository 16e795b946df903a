"""Numbers of the table as people read them: few digits, but never so few that they contradict a severity score.

Files for programs (CSV, JSON) keep the digits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from DRAMLesionLib.lesions.quantify import severity_score

if TYPE_CHECKING:
    from DRAMLesionLib.lesions.quantify import Region

ABSENT = "–"
"""Stands for a value that does not exist."""

_MOST_DECIMALS = 12


def rounded_percent(percent: float) -> float:
    """A percentage with one decimal, or with as many more as keep it in the range of its severity score.

    99.97 becomes 100.0, but 0.98 stays 0.98: with one decimal it would be 1.0, from where the score is 1.

    Args:
        percent: 0..100.
    """
    return round(percent, _decimals(percent))


def percent_text(percent: float | None) -> str:
    """A percentage for people, see :func:`rounded_percent`; what is there but rounds to nothing is ``<0.1``."""
    if percent is None:
        return ABSENT
    if 0.0 < percent < 0.05:
        return "<0.1"
    return f"{percent:.{_decimals(percent)}f}"


def _decimals(percent: float) -> int:
    score = severity_score(percent)
    fitting = (n for n in range(1, _MOST_DECIMALS) if severity_score(min(100.0, round(percent, n))) == score)
    return next(fitting, _MOST_DECIMALS)


def ml_text(ml: float) -> str:
    """A volume for people: whole mL from 100, else one decimal; what is there but rounds to nothing is ``<0.1``."""
    if ml >= 100.0:
        return f"{ml:.0f}"
    return "<0.1" if 0.0 < ml < 0.05 else f"{ml:.1f}"


def hu_text(hu: float | None) -> str:
    """A density for people: whole HU, with a minus sign as wide as a digit, which no one takes for a dash."""
    return ABSENT if hu is None else f"{hu:.0f}".replace("-", "−")


def mm_text(mm: float | None) -> str:
    """A distance for people: whole mm; what is there but rounds to nothing is ``<1``."""
    if mm is None:
        return ABSENT
    return "<1" if 0.0 < mm < 0.5 else f"{mm:.0f}"


def range_text(region: Region) -> str:
    """The range of a lobe's percentage for people, such as ``3–7``; a dash where there is none."""
    if region.percent_low is None or region.percent_high is None:
        return ABSENT
    return f"{region.percent_low:.0f}–{region.percent_high:.0f}"
