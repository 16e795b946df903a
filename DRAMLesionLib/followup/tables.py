"""A comparison as rows: ``changes.csv``, ``lesions.csv``, and the values of ``summary.json``."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from DRAMLesionLib.followup import density, matching, registration
from DRAMLesionLib.followup.changes import RegionChange, changes_between
from DRAMLesionLib.followup.exam import Exam
from DRAMLesionLib.followup.interval import Interval
from DRAMLesionLib.lesions.quality import flags_for_record
from DRAMLesionLib.lesions.quantify import SCORE_DIFFERENCE, SCORE_SOURCE
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.record import RESEARCH_USE, versions

Row = dict[str, str | int | float | None]

CHANGE_COLUMNS = (
    "exam",
    "days",
    "region",
    "name",
    "volume_ml",
    "lesion_ml",
    "lesion_percent",
    "severity_score",
    "volume_change_ml",
    "lesion_change_ml",
    "percent_change_points",
    "score_change",
    "percent_change_low",
    "percent_change_high",
    "verdict",
    "confirmed_gain_ml",
    "confirmed_loss_ml",
    "lesion_change_ml_since_baseline",
    "percent_change_points_since_baseline",
    "score_change_since_baseline",
    "volume_change_ml_since_baseline",
)
"""Exams count from 1. Changes are against the exam before; ``since_baseline`` against the first one. The range of a
change in points and the verdict on it are empty where the percentages have no ranges; what the densities confirm is
measured on the earlier exam's lungs."""
LESION_COLUMNS = (
    "from_exam",
    "to_exam",
    "kind",
    "lobe",
    "before",
    "after",
    "before_ml",
    "after_ml",
    "change_ml",
    "change_percent",
    "before_slice",
    "after_slice",
    "r_mm",
    "a_mm",
    "s_mm",
)
"""``before`` and ``after`` are numbers of lesions, 1 for the largest of its exam, with a semicolon between. Numbers,
slice and place are those of the exam's own ``lesions.csv``; slice and place are the largest lesion's, the place the later
exam's, or the earlier one's where it is gone."""


def change_rows(exams: Sequence[Exam], intervals: Sequence[Interval]) -> list[Row]:
    """One row for each exam and region; see :data:`CHANGE_COLUMNS`."""
    rows: list[Row] = []
    for number, exam in enumerate(exams):
        for place, region in enumerate(exam.quantification.regions):
            row: Row = dict.fromkeys(CHANGE_COLUMNS)
            row |= {"exam": number + 1, "days": exam.days, "region": region.key, "name": region.name}
            row |= {"volume_ml": region.volume_ml, "lesion_ml": region.lesion_ml}
            row |= {"lesion_percent": region.percent, "severity_score": region.score}
            if number:
                last = intervals[number - 1].regions[place]
                row |= {**_change(last), **_certainty(last)}
                first = changes_between(exams[0], exam)[place]
                row |= {f"{name}_since_baseline": value for name, value in _change(first).items()}
            rows.append(row)
    return rows


def _change(change: RegionChange) -> Row:
    return {
        "volume_change_ml": change.change_volume_ml,
        "lesion_change_ml": change.change_ml,
        "percent_change_points": change.change_points,
        "score_change": change.change_score,
    }


def _certainty(change: RegionChange) -> Row:
    return {
        "percent_change_low": change.points_low,
        "percent_change_high": change.points_high,
        "verdict": change.verdict,
        "confirmed_gain_ml": change.gained_ml,
        "confirmed_loss_ml": change.lost_ml,
    }


def lesion_rows(intervals: Sequence[Interval]) -> list[Row]:
    """One row for each lesion, or group of lesions, of each interval; see :data:`LESION_COLUMNS`."""
    rows: list[Row] = []
    for number, interval in enumerate(intervals, start=1):
        for one in interval.lesions:
            largest = (one.after or one.before)[0]
            row: Row = {"from_exam": number, "to_exam": number + 1, "kind": one.kind}
            row |= {"lobe": LOBES[one.lobe - 1].abbreviation}
            for name, lesions in (("before", one.before), ("after", one.after)):
                row[name] = ";".join(str(lesion.number) for lesion in lesions)
                row[f"{name}_slice"] = lesions[0].slice_number if lesions else None
            row |= {"before_ml": one.before_ml, "after_ml": one.after_ml, "change_ml": one.change_ml}
            row["change_percent"] = 100 * one.change_ml / one.before_ml if one.before else None
            row |= dict(zip(("r_mm", "a_mm", "s_mm"), largest.ras_mm, strict=True))
            rows.append({column: row[column] for column in LESION_COLUMNS})
    return rows


def csv_text(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """A table as CSV: UTF-8, commas, decimal points, four decimals; what does not exist is an empty field."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_field(row[column]) for column in columns])
    return buffer.getvalue()


def _field(value: str | int | float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def summary(exams: Sequence[Exam], intervals: Sequence[Interval]) -> dict[str, Any]:
    """What ``summary.json`` holds; JSON values only."""
    return {
        "statement": f"{RESEARCH_USE}.",
        "exams": [
            {
                "exam": number,
                "ct": exam.name,
                "days": exam.days,
                "lobes_approximate": exam.approximate,
                "spacing_mm": list(exam.spacing_mm),
                "made_by": dict(exam.made_by),
                "flags": flags_for_record(exam.flags),
            }
            for number, exam in enumerate(exams, start=1)
        ],
        "changes": change_rows(exams, intervals),
        "intervals": [
            {
                "from_exam": number,
                "to_exam": number + 1,
                "lesion_counts": interval.counts(),
                "smaller_lesions": [
                    {"exam": exam, "count": count, "ml": ml}
                    for exam, (count, ml) in enumerate(interval.small, start=number)
                ],
                "registration": asdict(interval.registration),
                "density_limit_hu": interval.density_limit_hu,
                "flags": flags_for_record(interval.flags),
            }
            for number, interval in enumerate(intervals, start=1)
        ],
        "lesions": lesion_rows(intervals),
        "definitions": definitions(),
        "versions": versions(),
    }


def definitions() -> Mapping[str, Any]:
    """The numbers that decide what a lesion is called, and what is refused."""
    return {
        "least_lesion_ml": matching.LEAST_ML,
        "tolerance_mm": matching.TOLERANCE_MM,
        "least_share_of_the_smaller_lesion": matching.LEAST_SHARE,
        "least_part_of_a_merged_or_split_group": matching.LEAST_PART,
        "least_change_of_volume": matching.LEAST_CHANGE,
        "density_tolerance_mm": matching.TOLERANCE_MM,
        "density_repeated_percent": density.REPEATED_PERCENT,
        "least_change_hu": density.LEAST_CHANGE_HU,
        "least_lung_dice": registration.LEAST_DICE,
        "most_ratio_of_lung_volumes": registration.MOST_INFLATION,
        "severity_score_source": f"{SCORE_SOURCE}. {SCORE_DIFFERENCE}",
    }
