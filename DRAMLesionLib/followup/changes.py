"""What changed in each lobe, in each lung and in total between two dates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from DRAMLesionLib.followup.exam import Exam
from DRAMLesionLib.lesions.quality import Flag
from DRAMLesionLib.lesions.quantify import Region

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
    """

    before: Region
    after: Region

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
    def beyond_ranges(self) -> bool | None:
        """Whether the ranges of the two percentages are apart; None where one of them has none."""
        ends = (
            self.before.percent_low,
            self.before.percent_high,
            self.after.percent_low,
            self.after.percent_high,
        )
        if None in ends:
            return None
        low, high, later_low, later_high = (float(end or 0.0) for end in ends)
        return later_low > high or later_high < low


def changes_between(before: Exam, after: Exam) -> tuple[RegionChange, ...]:
    """The changes of all regions, in the order of the table."""
    pairs = zip(before.quantification.regions, after.quantification.regions, strict=True)
    return tuple(RegionChange(one, other) for one, other in pairs)


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
