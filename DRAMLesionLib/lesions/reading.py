"""What a reader says of the lobes: a percentage or a severity score each, and who said it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from DRAMLesionLib.lesions.quantify import SCORE_EDGES
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.errors import InputError

NOTHING = ("", "-", "–", "?", "na", "n/a", "nan", "none", "null")
"""Words (in lower case) for a lobe of which nothing is said."""
LARGEST = {"percent": 100, "score": len(SCORE_EDGES)}
"""The largest value of each kind of number; the smallest is 0."""
LONGEST_NAME = 100
"""Characters of a reader's name."""


@dataclass(frozen=True)
class Reading:
    """A reader's numbers, one per lobe in the order LUL, LLL, RUL, RML, RLL; None where nothing is said of a lobe.

    Where a lobe has both numbers, the percentage counts.

    Attributes:
        percent: Lesion in percent of the lobe, 0..100.
        score: Severity score of the lobe, 0..5.
        who: Who gave each lobe's number, for people; empty where nobody is named. One name alone is that of all numbers.
    """

    percent: tuple[float | None, ...] = (None,) * len(LOBES)
    score: tuple[int | None, ...] = (None,) * len(LOBES)
    who: str | tuple[str, ...] = ""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            InputError: They are not five of each kind, or out of range.
        """
        for kind in LARGEST:
            values = tuple(_checked(kind, lobe.abbreviation, value) for lobe, value in self._by_lobe(kind))
            object.__setattr__(self, kind, values)
        if isinstance(self.who, str):
            said = (self.of(lobe.value) is not None for lobe in LOBES)
            name = _name(self.who)
            object.__setattr__(self, "who", tuple(name if one else "" for one in said))
        object.__setattr__(self, "who", tuple(_name(who) for _, who in self._by_lobe("who")))

    def __bool__(self) -> bool:
        """Whether anything is said of any lobe."""
        return any(self.of(lobe.value) is not None for lobe in LOBES)

    def of(self, lobe: int) -> tuple[str, float] | None:
        """The number that counts for a lobe: ``("percent", 16.0)`` or ``("score", 2)``; None where nothing is said.

        Args:
            lobe: The lobe's value, 1..5.
        """
        for kind in LARGEST:
            value = getattr(self, kind)[lobe - 1]
            if value is not None:
                return kind, value
        return None

    def over(self, earlier: Reading | None) -> Reading:
        """This reading, and what an earlier one said of the lobes that this one leaves."""
        if earlier is None:
            return self
        sources = [earlier if self.of(lobe.value) is None else self for lobe in LOBES]
        fields = {
            name: tuple(getattr(source, name)[number] for number, source in enumerate(sources))
            for name in ("percent", "score", "who")
        }
        return Reading(**fields)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values: ``Reading(**values)`` is the way back."""
        return {"percent": list(self.percent), "score": list(self.score), "who": list(self.who)}

    def _by_lobe(self, kind: str) -> zip[Any]:
        values = getattr(self, kind)
        if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != len(LOBES):
            what = "names" if kind == "who" else "numbers"
            raise InputError(f"{kind}: give {len(LOBES)} {what}, one for each of {_lobe_names()}")
        return zip(LOBES, values, strict=True)


def parse_numbers(kind: str, text: str) -> tuple[float | None, ...]:
    """Five numbers from a text such as ``16,65,-,4,54``; ``-`` leaves a lobe as it is.

    Args:
        kind: ``percent`` or ``score``, for errors.
        text: Numbers with decimal points, separated by commas; a percent sign may follow each.

    Raises:
        InputError: They are not five, or one is no number.
    """
    words = [word.strip().removesuffix("%").strip() for word in text.split(",")]
    if len(words) != len(LOBES):
        raise InputError(
            f"--{kind} {text}: has {len(words)} values: give {len(LOBES)}, for {_lobe_names()}, and - for a lobe to leave"
        )
    numbers: list[float | None] = []
    for word in words:
        try:
            numbers.append(None if word.lower() in NOTHING else float(word))
        except ValueError as error:
            raise InputError(
                f"--{kind} {text}: {word!r} is no number: write - for a lobe to leave"
            ) from error
    return tuple(numbers)


def score_range(score: int) -> tuple[float, float]:
    """Percentages from (inclusive) and to (exclusive, but 100) that have a severity score, 0..5."""
    edges = (0.0, *SCORE_EDGES, 100.0)
    return edges[score], edges[score + 1]


def _checked(kind: str, lobe: str, value: Any) -> float | int | None:
    if value is None:
        return None
    most = LARGEST[kind]
    number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not 0 <= number <= most or (kind == "score" and number != int(number)):
        whole = "a whole number from " if kind == "score" else ""
        raise InputError(f"{kind} of {lobe} is {value!r}: give {whole}0 to {most}")
    return int(number) if kind == "score" else number


def _name(who: Any) -> str:
    name = " ".join(str(who).split())
    if len(name) > LONGEST_NAME:
        raise InputError(f"who: {name[:20]}... is longer than {LONGEST_NAME} characters: give a shorter name")
    return name


def _lobe_names() -> str:
    return ", ".join(lobe.abbreviation for lobe in LOBES)
