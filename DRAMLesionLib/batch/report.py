"""The report of a batch: how involvement and severity are spread, what stands out, what failed, and a link to each case.

One HTML file that asks nothing of a network; its links lead to the cases' own reports beside it.
"""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from DRAMLesionLib.batch.manifest import read_manifest
from DRAMLesionLib.batch.tables import read_volumes
from DRAMLesionLib.batch.work import CASES, DONE
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.folder import REPORT as CASE_REPORT
from DRAMLesionLib.results.folder import SUMMARY
from DRAMLesionLib.results.pages import render_page
from DRAMLesionLib.results.table import FLAGS_COLUMN
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import write_text
from DRAMLesionLib.system.record import RESEARCH_USE
from DRAMLesionLib.system.text_file import read_json

REPORT_NAME = "report.html"
"""The file of the batch's report."""
MOST_ROWS = 1000
"""Cases, and failures, that the report lists; the tables have all."""
LUNG_ML = (1000.0, 10000.0)
"""Lungs of adults outside of this are looked at: the scan may be cut off, or the lungs may not have been found."""
FAR = 3.5
"""What lies so many robust standard deviations (1.4826 times the median absolute deviation) from the median stands out;
B. Iglewicz and D. Hoaglin, How to Detect and Handle Outliers, 1993, recommend this number."""
FEWEST = 8
"""With fewer cases nothing can be said of what is usual."""

_LOOKED_AT = {
    "volume_ml": ("lung volume", "{:.0f} mL"),
    "lesion_percent": ("involvement", "{:.1f} %"),
    "mean_hu": ("mean density of the lungs", "{:.0f} HU"),
}


@dataclass(frozen=True)
class FinishedCase:
    """A finished case.

    Attributes:
        name: The case's name.
        total: Numbers of both lungs together, by their columns.
        lobes: Percentages of the lobes, None where a lobe has no voxels.
        approximate: Whether the lobes are.
        flags: Sentences of what should be looked at.
    """

    name: str
    total: dict[str, float]
    lobes: dict[str, float | None]
    approximate: bool
    flags: tuple[str, ...] = ()

    @property
    def link(self) -> str:
        """Its report, from the batch's."""
        return f"{CASES}/{quote(self.name)}/{CASE_REPORT}"


@dataclass
class Outlier:
    """A finished case that stands out, and why."""

    case: FinishedCase
    reasons: list[str] = field(default_factory=list)


def write_batch_report(out: str | Path) -> Path:
    """Write ``report.html`` from the tables of a batch.

    Args:
        out: The batch's folder, with ``manifest.csv`` and ``volumes.csv``.

    Returns:
        The report.
    """
    out = Path(out)
    write_text(
        out / REPORT_NAME,
        render_page("batch.html.j2", _values(out), {"number": _number}),
    )
    return out / REPORT_NAME


def read_finished(out: Path) -> list[FinishedCase]:
    """The finished cases of a batch."""
    finished = []
    for name, regions in read_volumes(out):
        row = regions["total"]
        total = {key: value for key in row if (value := _float(row[key])) is not None}
        lobes = {one.abbreviation: _float(regions[one.abbreviation]["lesion_percent"]) for one in LOBES}
        finished.append(
            FinishedCase(name, total, lobes, row["lobes"] == "approximate", _flags(out, name, row))
        )
    return finished


def _flags(out: Path, name: str, row: dict[str, str]) -> tuple[str, ...]:
    """Sentence and remedy of each of a case's flags; its codes where its summary can't be read."""
    codes = tuple(code for code in (row.get(FLAGS_COLUMN) or "").split(";") if code)
    if not codes:
        return ()
    try:
        flags = read_json(out / CASES / name / SUMMARY, "a summary", "run the case again")["flags"]
        return tuple(f"{flag['sentence']}: {flag['remedy']}" for flag in flags)
    except (InputError, KeyError, TypeError):
        return codes


def find_outliers(cases: list[FinishedCase]) -> list[Outlier]:
    """Cases with flags, lungs of unlikely size or a missing lobe, and those far from the others.

    Involvement is compared by its square root: most cohorts have many mild cases and few severe ones, all usual.
    """
    outliers: dict[str, Outlier] = {}

    def add(case: FinishedCase, reason: str) -> None:
        outliers.setdefault(case.name, Outlier(case)).reasons.append(reason)

    for case in cases:
        for sentence in case.flags:
            add(case, sentence)
        volume = case.total.get("volume_ml", 0.0)
        if not LUNG_ML[0] <= volume <= LUNG_ML[1]:
            add(case, f"lungs of {volume:.0f} mL")
        for lobe in (name for name, percent in case.lobes.items() if percent is None):
            add(case, f"{lobe} has no voxels")
    if len(cases) >= FEWEST:
        for key, (name, form) in _LOOKED_AT.items():
            for number, distance in _far_off(cases, key):
                case = cases[number]
                if key == "volume_ml" and case.name in outliers:
                    continue
                side = "high" if distance > 0 else "low"
                add(case, f"{side} {name}: {form.format(case.total[key])}".replace("-", "−"))
    return list(outliers.values())


def _far_off(cases: list[FinishedCase], key: str) -> list[tuple[int, float]]:
    values = np.array([case.total.get(key, np.nan) for case in cases])
    if key == "lesion_percent":
        values = np.sqrt(values)
    middle = np.nanmedian(values)
    spread = 1.4826 * np.nanmedian(np.abs(values - middle))
    if not spread > 0:
        return []
    distance = (values - middle) / spread
    return [(int(number), float(distance[number])) for number in np.flatnonzero(np.abs(distance) > FAR)]


def _values(out: Path) -> dict[str, Any]:
    cases = read_finished(out)
    last = {row["case"]: row for row in read_manifest(out)}
    counts = Counter(row["status"] for row in last.values())
    failures = [row for row in last.values() if row["status"] != DONE]
    seconds = np.array([float(row["seconds"] or 0) for row in last.values() if row["status"] == DONE])
    memory = [float(row["peak_memory_mb"]) for row in last.values() if row["peak_memory_mb"]]
    scores = np.array([int(case.total["severity_score"]) for case in cases], dtype=int)
    percent = np.array([case.total.get("lesion_percent", np.nan) for case in cases])
    ordered = [cases[number] for number in np.argsort(-np.nan_to_num(percent), kind="stable")]
    return {
        "statement": RESEARCH_USE,
        "name": out.resolve().name,
        "count": len(last),
        "done": counts[DONE],
        "cases": ordered[:MOST_ROWS],
        "more_cases": max(0, len(ordered) - MOST_ROWS),
        "failures": failures[:MOST_ROWS],
        "more_failures": max(0, len(failures) - MOST_ROWS),
        "outliers": find_outliers(cases),
        "fewest": FEWEST,
        "far": FAR,
        "approximate": sum(case.approximate for case in cases),
        "percent": _quartiles(percent[np.isfinite(percent)]),
        "score": _quartiles(scores),
        "score_maximum": 5 * len(LOBES),
        "seconds": _quartiles(seconds),
        "memory_mb": max(memory, default=None),
        "lobes": LOBES,
        "lung_ml": LUNG_ML,
        "charts": _charts(cases, percent, scores) if cases else [],
    }


def _charts(cases: list[FinishedCase], percent: np.ndarray, scores: np.ndarray) -> list[tuple[str, str]]:
    from DRAMLesionLib.batch import figures

    lobes = {
        one.abbreviation: np.array([p for c in cases if (p := c.lobes[one.abbreviation]) is not None])
        for one in LOBES
    }
    glass = [case.total.get("ground_glass_ml", 0.0) for case in cases]
    dense = [case.total.get("consolidation_ml", 0.0) for case in cases]
    known = percent[np.isfinite(percent)]
    pictures = (
        ("Cases by involvement of both lungs", figures.involvement_chart(known)),
        ("Cases by total severity score", figures.score_chart(scores)),
        ("Involvement of each lobe: median, quartiles, cases", figures.lobes_chart(lobes)),
        ("Ground glass and consolidation of each case", figures.density_chart(glass, dense)),
    )
    return [
        (title, "data:image/png;base64," + base64.b64encode(png).decode("ascii")) for title, png in pictures
    ]


def _quartiles(values: np.ndarray) -> tuple[float, float, float] | None:
    if not values.size:
        return None
    low, middle, high = np.percentile(values, [25, 50, 75])
    return float(low), float(middle), float(high)


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")
