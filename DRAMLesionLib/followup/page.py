"""A comparison for a reader: one self-contained HTML page beside the tables."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from DRAMLesionLib.followup import changes, density, matching, registration
from DRAMLesionLib.followup.exam import Exam
from DRAMLesionLib.followup.interval import Interval
from DRAMLesionLib.followup.tables import (
    CHANGE_COLUMNS,
    LESION_COLUMNS,
    change_rows,
    csv_text,
    lesion_rows,
    summary,
)
from DRAMLesionLib.followup.words import exam_name, range_text, signed_ml_text, signed_text, whole_text
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.colors import css
from DRAMLesionLib.results.pages import render_page
from DRAMLesionLib.system.files import staged_directory
from DRAMLesionLib.system.record import RESEARCH_USE

REPORT, SUMMARY, CHANGES, LESIONS = "report.html", "summary.json", "changes.csv", "lesions.csv"
OUTPUTS = {
    REPORT: "page with the changes and matched slices",
    SUMMARY: "all numbers, with the rules and the quality of the registration",
    CHANGES: "table per exam and region",
    LESIONS: "table of the lesions: new, grown, shrunk, resolved and so on",
}
"""What a comparison writes."""
MOST_LESIONS = 40
"""Lesions of an interval that the page lists; the table has all."""


def save(exams: Sequence[Exam], intervals: Sequence[Interval], folder: Path) -> None:
    """Write the four files, all of them or none."""
    with staged_directory(folder, OUTPUTS, last=SUMMARY) as staging:
        (staging / CHANGES).write_text(
            csv_text(change_rows(exams, intervals), CHANGE_COLUMNS), encoding="utf-8"
        )
        (staging / LESIONS).write_text(csv_text(lesion_rows(intervals), LESION_COLUMNS), encoding="utf-8")
        (staging / REPORT).write_text(page_text(exams, intervals), encoding="utf-8")
        text = json.dumps(summary(exams, intervals), indent=2, ensure_ascii=False, allow_nan=False)
        (staging / SUMMARY).write_text(text + "\n", encoding="utf-8")


def page_text(exams: Sequence[Exam], intervals: Sequence[Interval]) -> str:
    """The page's HTML."""
    from DRAMLesionLib.followup import figures

    values = {
        "statement": RESEARCH_USE,
        "exams": [(exam_name(exams[number].days, number), exam) for number, exam in enumerate(exams)],
        "first": exams[0].quantification,
        "last": exams[-1].quantification,
        "overall": changes.changes_between(exams[0], exams[-1]),
        "maximum": 5 * len(LOBES),
        "course": _data_url(figures.course_chart(exams), "png"),
        "intervals": [_interval(exams, intervals, number) for number in range(len(intervals))],
        "colors": {lobe.abbreviation: css(lobe.color) for lobe in LOBES},
        "difference": [
            (css(figures.DIFFERENCE_COLORS[value]), name) for value, name in figures.DIFFERENCE_NAMES.items()
        ],
        "rules": matching,
        "limits": registration,
        "density": density,
        "most_lung_change": changes.MOST_LUNG_CHANGE,
        "ranged": all(changes.total_range(exam.quantification) for exam in exams),
        "approximate": any(exam.approximate for exam in exams),
    }
    filters: dict[str, Callable[..., str]] = {
        "signed": signed_text,
        "signed_ml": signed_ml_text,
        "whole": whole_text,
        "span": range_text,
    }
    return render_page("followup.html.j2", values, filters)


def _interval(exams: Sequence[Exam], intervals: Sequence[Interval], number: int) -> dict[str, Any]:
    from DRAMLesionLib.followup import figures

    interval = intervals[number]
    first, second = exams[number : number + 2]
    names = (exam_name(first.days, number), exam_name(second.days, number + 1))
    rows = [row for row in lesion_rows(intervals) if row["from_exam"] == number + 1]
    return {
        "names": names,
        "changes": interval.regions,
        "counts": {kind: count for kind, count in interval.counts().items() if count},
        "lesions": rows[:MOST_LESIONS],
        "more": max(0, len(rows) - MOST_LESIONS),
        "small": interval.small,
        "quality": interval.registration,
        "flags": interval.flags,
        "ranged": any(change.verdict is not None for change in interval.regions),
        "confirmed": interval.total.confirmed_ml is not None,
        "limit_hu": interval.density_limit_hu,
        "picture": _levels(interval, names, figures.levels_picture),
    }


def _levels(interval: Interval, names: tuple[str, str], draw: Any) -> str:
    return _data_url(draw(interval.levels, names), "jpeg") if interval.levels else ""


def _data_url(picture: bytes, kind: str) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(picture).decode("ascii")
