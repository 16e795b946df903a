"""What changed in each lobe, in each lung and in total between two dates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import hypot

from DRAMLesionLib.followup.exam import Exam
from DRAMLesionLib.lesions.quality import Flag
from DRAMLesionLib.lesions.quantify import Quantification, Region
from DRAMLesionLib.lungs.lobes import LOBES

MORE, LESS, UNCERTAIN = VERDICTS = ("more", "less", "no certain change")
"""What is said of a region's change: it is above or below 0 with its whole range, or it is not."""
MOST_LUNG_CHANGE = 0.25
"""Change of a lung's volume, as a part of the larger: more, and another breath explains part of a change in percent."""
LEAST_CORRELATION = 0.55
"""Correlation of the densities in the lungs after registration. See Documentation/followup.md for what it is of one
patient and of two."""
MOST_INVERSE_ERROR_MM = 4.0
"""The tolerance of matching lesions."""


@dataclass(frozen=True)
class RegionChange:
    """One lobe, one lung, or both lungs at two dates.

    Attributes:
        before: At the earlier date.
        after: At the later date.
        gained_ml: Lesion of the later date alone where the lung became denser, in mL of the earlier date's lungs; see
            :mod:`DRAMLesionLib.followup.density`. None where it was not measured.
        lost_ml: Lesion of the earlier date alone where the lung became less dense, in the same mL.
        points_low: Lower end of the range of :attr:`change_points`; None where the percentages have no ranges.
        points_high: Upper end.
    """

    before: Region
    after: Region
    gained_ml: float | None = None
    lost_ml: float | None = None
    points_low: float | None = None
    points_high: float | None = None

    @property
    def key(self) -> str:
        """``LUL``, ``LLL``, ``RUL``, ``RML``, ``RLL``, ``left``, ``right`` or ``total``."""
        return self.after.key

    @property
    def change_ml(self) -> float:
        """Lesion in mL, later minus earlier."""
        return self.after.lesion_ml - self.before.lesion_ml

    @property
    def change_points(self) -> float | None:
        """Percent of the region that is lesion, later minus earlier, in percentage points; None without voxels."""
        if self.before.percent is None or self.after.percent is None:
            return None
        return self.after.percent - self.before.percent

    @property
    def change_score(self) -> int | None:
        """Severity score, later minus earlier; None for a lung."""
        if self.before.score is None or self.after.score is None:
            return None
        return self.after.score - self.before.score

    @property
    def change_volume_ml(self) -> float:
        """The region's own volume in mL, later minus earlier."""
        return self.after.volume_ml - self.before.volume_ml

    @property
    def confirmed_ml(self) -> float | None:
        """Gained minus lost lesion in mL: the change that the densities confirm; None where it was not measured."""
        if self.gained_ml is None or self.lost_ml is None:
            return None
        return self.gained_ml - self.lost_ml

    @property
    def verdict(self) -> str | None:
        """One of :data:`VERDICTS`: whether the percentage has changed beyond its range; None where it has none."""
        if self.points_low is None or self.points_high is None:
            return None
        if self.points_low > 0:
            return MORE
        return LESS if self.points_high < 0 else UNCERTAIN


def changes_between(
    before: Exam, after: Exam, confirmed: Mapping[str, tuple[float, float]] | None = None
) -> tuple[RegionChange, ...]:
    """The changes of all regions, in the order of the table.

    Args:
        before: The earlier exam.
        after: The later exam.
        confirmed: By a region's key, what it gained and lost in mL by the densities; None: not measured.
    """
    changes = []
    pairs = list(zip(before.quantification.regions, after.quantification.regions, strict=True))
    for one, other in pairs:
        gained, lost = (confirmed or {}).get(other.key, (None, None))
        parts = [pair for pair in pairs[: len(LOBES)] if _holds(other.key, pair[1].key)]
        low, high = _range_of_change(one, other, parts)
        changes.append(RegionChange(one, other, gained, lost, low, high))
    return tuple(changes)


def total_range(table: Quantification) -> tuple[float, float] | None:
    """The range of the percentage of both lungs, as if the lobes' errors were equal ones; None where a lobe has none."""
    spread = _spread(table.total, table.lobes)
    if spread is None or table.total.percent is None:
        return None
    return table.total.percent - spread[0], table.total.percent + spread[1]


def _holds(region: str, lobe: str) -> bool:
    sides = {one.abbreviation: one.side for one in LOBES}
    return region in (lobe, sides[lobe], "total")


def _range_of_change(
    before: Region, after: Region, lobes: Sequence[tuple[Region, Region]]
) -> tuple[float | None, float | None]:
    """The range of a change in points: errors of the two dates add as independent ones do, those of lobes at one date
    as equal ones. Both are on the safe side: a method errs alike on alike CTs, and less alike on unlike lobes."""
    if before.percent is None or after.percent is None:
        return None, None
    spread = [_spread(before, [pair[0] for pair in lobes]), _spread(after, [pair[1] for pair in lobes])]
    if None in spread:
        return None, None
    (below, above), (later_below, later_above) = (one for one in spread if one is not None)
    change = after.percent - before.percent
    return change - hypot(later_below, above), change + hypot(later_above, below)


def _spread(region: Region, lobes: Sequence[Region]) -> tuple[float, float] | None:
    """How far the range of a region's percentage reaches below and above it, in points; None where a lobe has none."""
    below = above = 0.0
    for lobe in lobes:
        if lobe.percent is None:
            continue
        if lobe.percent_low is None or lobe.percent_high is None:
            return None
        share = lobe.volume_ml / region.volume_ml
        below += share * max(0.0, lobe.percent - lobe.percent_low)
        above += share * max(0.0, lobe.percent_high - lobe.percent)
    return below, above


def flags_between(before: Exam, after: Exam, correlation: float, inverse_error_mm: float) -> tuple[Flag, ...]:
    """What a person should look at before the changes between two exams are used."""
    return tuple(_flags(before, after, correlation, inverse_error_mm))


def _flags(before: Exam, after: Exam, correlation: float, inverse_error_mm: float) -> Iterator[Flag]:
    if correlation < LEAST_CORRELATION:
        yield Flag(
            "other-patient",
            f"Vessels do not lie on vessels after registration (correlation {correlation:.2f})",
            "see that both CTs are of one patient, and look at the matched slices",
        )
    if inverse_error_mm > MOST_INVERSE_ERROR_MM:
        yield Flag(
            "registration",
            f"The registration there and back misses by {inverse_error_mm:.1f} mm at a twentieth of the points",
            "look at the matched slices before lesions are called new or resolved",
        )
    for change in changes_between(before, after):
        volumes = (change.before.volume_ml, change.after.volume_ml)
        if change.key in ("left", "right") and abs(change.change_volume_ml) > MOST_LUNG_CHANGE * max(
            *volumes, 1e-9
        ):
            yield Flag(
                "lung-volume",
                f"The {change.after.name} has {volumes[1]:.0f} mL after {volumes[0]:.0f} mL",
                "another breath, or lungs found in part: trust mL of lesion more than its percentage",
            )
    if before.made_by != after.made_by:
        yield Flag(
            "made-differently",
            f"The two masks were made in different ways (different {', '.join(_differences(before, after))})",
            "segment both CTs with the same model and settings before the difference is called a change",
        )
    thickness = (before.spacing_mm[0], after.spacing_mm[0])
    if max(thickness) > 2 * min(thickness):
        yield Flag(
            "slices",
            f"The slices lie {thickness[0]:.4g} and {thickness[1]:.4g} mm apart",
            "small lesions of the finer CT may be missing in the other for that reason alone",
        )


def _differences(before: Exam, after: Exam) -> list[str]:
    keys = sorted(before.made_by.keys() | after.made_by.keys())
    return [key.replace("_", " ") for key in keys if before.made_by.get(key) != after.made_by.get(key)]
