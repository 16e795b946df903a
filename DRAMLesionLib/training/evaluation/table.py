"""The scores of an evaluation for people and for programs: a table in the terminal, CSV, JSON."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import write_text
from DRAMLesionLib.training.evaluation.masks import Evaluation, ScanScore, Summary

if TYPE_CHECKING:
    from rich.console import Console

FORMATS = (".csv", ".json")
_MEASURES = ("iou", "dice", "mae_points", "kappa_lobes")


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print a row per scan, and the means below."""
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold")
    table.add_column("scan")
    for name in (
        "IoU",
        "Dice",
        "MAE\npoints",
        "score\n(ref.)",
        "kappa\nlobes",
        "kappa\ntotal",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for number, scan in enumerate(evaluation.scans):
        last = number == len(evaluation.scans) - 1
        totals = (
            "-" if scan.total_score is None else f"{scan.total_score:2d} ({scan.reference_total_score:2d})"
        )
        table.add_row(
            Text(scan.name), *_figures(scan)[:3], totals, _text(scan.kappa_lobes, 3), "", end_section=last
        )
    for summary in evaluation.summaries if len(evaluation.scans) > 1 else ():
        kappas = (_text(summary.kappa_lobes, 3), _text(summary.kappa_total, 3))
        table.add_row(
            f"{summary.name}, mean of {summary.scans}", *_figures(summary), "", *kappas, style="bold"
        )
    console.print(table)


def as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """The scores as JSON values: ``scans`` and ``summaries``, the last summary over all scans."""
    return {
        "scans": [
            {
                "name": scan.name,
                "part": scan.part or None,
                **{key: getattr(scan, key) for key in _MEASURES},
                "percent": scan.percent,
                "reference_percent": scan.reference_percent,
                "scores": scan.scores,
                "reference_scores": scan.reference_scores,
                "total_score": scan.total_score,
                "reference_total_score": scan.reference_total_score,
                "notes": list(scan.notes),
            }
            for scan in evaluation.scans
        ],
        "summaries": [
            {
                "name": summary.name,
                "scans": summary.scans,
                **{key: getattr(summary, key) for key in _MEASURES},
                "kappa_total": summary.kappa_total,
            }
            for summary in evaluation.summaries
        ],
    }


def write_evaluation(evaluation: Evaluation, path: str | Path) -> None:
    """Write the scores as CSV (a row per scan and summary) or JSON, by the suffix.

    Raises:
        InputError: The suffix is neither.
        OutputError: It can't be written.
    """
    check_format(path)
    if Path(path).suffix.lower() == ".json":
        write_text(path, json.dumps(as_dict(evaluation), indent=2, ensure_ascii=False) + "\n")
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    per_lobe = ("percent", "reference_percent", "scores", "reference_scores")
    single = (*_MEASURES, "total_score", "reference_total_score", "kappa_total")
    lobes = [f"{key}_{lobe.abbreviation}" for key in per_lobe for lobe in LOBES]
    writer.writerow(["name", "part", *single, *lobes])
    content = as_dict(evaluation)
    for row in (*content["scans"], *content["summaries"]):
        values = [value for key in per_lobe for value in (row.get(key) or (None,) * len(LOBES))]
        cells = [row["name"], row.get("part"), *(row.get(key) for key in single), *values]
        writer.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells])
    write_text(path, text.getvalue())


def check_format(path: str | Path) -> None:
    """Refuse a file name of another format than CSV and JSON.

    Raises:
        InputError: It ends otherwise.
    """
    if Path(path).suffix.lower() not in FORMATS:
        raise InputError(f"{path}: can't write this format: end the name in {' or '.join(FORMATS)}")


def _figures(row: ScanScore | Summary) -> list[str]:
    return [_text(row.iou, 3), _text(row.dice, 3), _text(row.mae_points, 1)]


def _text(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
