"""Numbers of a comparison for people: rounded so that none contradicts the one beside it."""

from __future__ import annotations


def exam_name(days: float | None, number: int) -> str:
    """What an exam is called, such as ``exam 2, day 14``; ``number`` counts from 0."""
    name = f"exam {number + 1}"
    if days is not None:
        return f"{name}, day {days:g}"
    return f"{name} (baseline)" if number == 0 else name


def percent_text(value: float | None) -> str:
    """One decimal; what is there but rounds to nothing is ``<0.1``."""
    if value is None:
        return "–"
    return "<0.1" if 0 < value < 0.05 else f"{value:.1f}"


def ml_text(value: float) -> str:
    """As a percentage; without decimals from 100 mL on."""
    return f"{value:.0f}" if value >= 100 else percent_text(value)


def signed_text(value: float | None) -> str:
    """One decimal with its sign, two where one would show nothing: 1.9 → 1.8 is no change of 0."""
    if value is None:
        return "–"
    if abs(value) < 0.005:
        return "0"
    return f"{value:+.{1 if abs(value) >= 0.05 else 2}f}".replace("-", "−")


def signed_ml_text(value: float) -> str:
    """As a signed number; without decimals from 100 mL on."""
    return f"{value:+.0f}".replace("-", "−") if abs(value) >= 100 else signed_text(value)


def whole_text(value: float | None) -> str:
    """A whole number with its sign."""
    if value is None:
        return "–"
    return "0" if abs(value) < 0.5 else f"{value:+.0f}".replace("-", "−")
