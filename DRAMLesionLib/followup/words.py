"""Names and changes of a comparison for people; :mod:`DRAMLesionLib.results.numbers` writes percentages and volumes."""

from __future__ import annotations

from DRAMLesionLib.results.numbers import ABSENT


def exam_name(days: float | None, number: int) -> str:
    """What an exam is called, such as ``exam 2, day 14``; ``number`` counts from 0."""
    name = f"exam {number + 1}"
    if days is not None:
        return f"{name}, day {days:g}"
    return f"{name} (baseline)" if number == 0 else name


def signed_text(value: float | None) -> str:
    """One decimal with its sign, two where one would show nothing: 1.9 → 1.8 is no change of 0."""
    if value is None:
        return ABSENT
    if abs(value) < 0.005:
        return "0"
    return f"{value:+.{1 if abs(value) >= 0.05 else 2}f}".replace("-", "−")


def range_text(low: float | None, high: float | None) -> str:
    """The range of a change, both ends with their sign: ``−1.2 to +3.4``."""
    return ABSENT if low is None or high is None else f"{signed_text(low)} to {signed_text(high)}"


def signed_ml_text(value: float) -> str:
    """As a signed number; without decimals from 100 mL on."""
    return f"{value:+.0f}".replace("-", "−") if abs(value) >= 100 else signed_text(value)


def whole_text(value: float | None) -> str:
    """A whole number with its sign."""
    if value is None:
        return ABSENT
    return "0" if abs(value) < 0.5 else f"{value:+.0f}".replace("-", "−")
