"""The table of a study: Markdown for people, CSV for programs."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.files import write_text
from DRAMLesionLib.training.evaluation.masks import ScanScore, summarize
from DRAMLesionLib.training.evaluation.study import Run

PARTS = ("training", "validation")
_LOBES = [lobe.abbreviation for lobe in LOBES]
CSV_COLUMNS = (
    *("method", "seed", "part", "scan", "iou", "dice", "mae_points", "kappa_lobes"),
    *(f"{name}_percent" for name in _LOBES),
    *(f"{name}_expert_percent" for name in _LOBES),
    "minutes",
)
"""Of ``study.csv``: percentages of the five lobes, errors in points, minutes of the training."""


def write_study_table(runs: Sequence[Run], out: str | Path) -> str:
    """Write ``study.md`` and ``study.csv``; return the Markdown.

    Args:
        runs: All runs of the study.
        out: The folder.
    """
    out = Path(out)
    text = study_markdown(runs)
    write_text(out / "study.md", text)
    write_text(out / "study.csv", _csv(runs))
    return text


def study_markdown(runs: Sequence[Run]) -> str:
    """One line per method: IoU of each scan and means over scans, each the mean over seeds (with their range)."""
    names = [(score.part, score.name) for score in runs[0].scores]
    parts = [part for part in PARTS if any(p == part for p, _ in names)]
    columns = ["method", "seeds"]
    for part in parts:
        columns += [name for p, name in names if p == part]
        columns += [f"{part}: IoU", "Dice", "MAE, points", "kappa, lobes"]
    lines = ["| " + " | ".join([*columns, "minutes"]) + " |", "|---" * (len(columns) + 1) + "|"]
    for group in _by_row(runs):
        lines.append("| " + " | ".join(_cells(group, parts)) + " |")
    return "\n".join(lines) + "\n\n" + _NOTE


_NOTE = (
    "IoU of each scan, then the part's means of IoU, Dice, mean absolute error of the lobe percentages (points), and the "
    "quadratic-weighted kappa of the lobes' severity scores; all against the experts' masks inside the lobes. Means over "
    "seeds; in brackets the least and the largest mean IoU of a seed. Minutes: of one training.\n"
)


def _by_row(runs: Sequence[Run]) -> list[list[Run]]:
    names = dict.fromkeys(run.row.name for run in runs)
    return [[run for run in runs if run.row.name == name] for name in names]


def _cells(group: list[Run], parts: Sequence[str]) -> list[str]:
    cells = [group[0].row.name, ", ".join(str(run.seed) for run in group) if _has_seeds(group) else ""]
    for part in parts:
        of_part = [[score for score in run.scores if score.part == part] for run in group]
        cells += [_number(np.mean([s.iou for s in same])) for same in zip(*of_part, strict=True)]
        sums = [summarize(scores, part) for scores in of_part]
        ious = [s.iou for s in sums]
        spread = f" ({min(ious):.3f}-{max(ious):.3f})" if len(ious) > 1 else ""
        cells.append(f"**{np.mean(ious):.3f}**{spread}")
        cells.append(_number(np.mean([s.dice for s in sums])))
        cells.append(_mean([s.mae_points for s in sums], 1))
        cells.append(_mean([s.kappa_lobes for s in sums], 2))
    minutes = [run.minutes for run in group if run.minutes is not None]
    return [*cells, f"{np.mean(minutes):.1f}" if minutes else ""]


def _has_seeds(group: list[Run]) -> bool:
    return group[0].row.recipe is not None or group[0].row.model_of is not None


def _number(value: float | np.floating) -> str:
    return f"{value:.3f}"


def _mean(values: Sequence[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.{digits}f}" if known else ""


def _csv(runs: Sequence[Run]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(CSV_COLUMNS)
    for run in runs:
        for score in run.scores:
            table.writerow(_line(run, score))
    return text.getvalue()


def _line(run: Run, score: ScanScore) -> list[object]:
    figures = (score.iou, score.dice, score.mae_points, score.kappa_lobes)
    known = (*(score.percent or (None,) * 5), *(score.reference_percent or (None,) * 5))
    return [
        *(run.row.name, run.seed, score.part, score.name),
        *("" if value is None else f"{value:.6f}" for value in (*figures, *known, run.minutes)),
    ]
