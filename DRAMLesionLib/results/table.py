"""The table per lobe, per lung and in total: as CSV, as JSON with its record, and on the terminal."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DRAMLesionLib.lesions.quality import flags_for_record, flags_of
from DRAMLesionLib.lesions.quantify import (
    CONSOLIDATION_HU,
    GROUND_GLASS_HU,
    HU_SOURCE,
    SCORE_DIFFERENCE,
    SCORE_EDGES,
    SCORE_SOURCE,
    Region,
)
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.lesion_list import lesions_of
from DRAMLesionLib.results.numbers import ABSENT, ml_text, percent_text, range_text
from DRAMLesionLib.system.files import write_text

if TYPE_CHECKING:
    from rich.console import Console

    from DRAMLesionLib.lesions.findings import Findings
    from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.system.record import RESEARCH_USE

COLUMNS: dict[str, str] = {
    "region": "key",
    "name": "name",
    "volume_ml": "volume_ml",
    "lesion_ml": "lesion_ml",
    "lesion_percent": "percent",
    "dram_percent": "dram_percent",
    "severity_score": "score",
    "ground_glass_ml": "ground_glass_ml",
    "consolidation_ml": "consolidation_ml",
    "other_ml": "other_ml",
    "mean_hu": "mean_hu",
    "lesion_mean_hu": "lesion_mean_hu",
    "lesion_percent_low": "percent_low",
    "lesion_percent_high": "percent_high",
}
"""The table's columns, and the :class:`~DRAMLesionLib.lesions.quantify.Region` attribute behind each."""


LOBES_COLUMN = "lobes"
"""The column that says ``approximate`` or ``given``."""


READER_COLUMNS = ("wanted_percent", "wanted_score", "wanted_by")
"""Columns of what a reader said of a lobe, and who; empty where the mask was not steered."""


FLAGS_COLUMN = "flags"
"""The last column: the codes of the result's flags with a semicolon between, the same in every row."""


ALL_COLUMNS = (*COLUMNS, LOBES_COLUMN, *READER_COLUMNS, FLAGS_COLUMN)
"""Every column of the table, in order."""


def write_table(findings: Findings, path: str | Path) -> None:
    """Write ``lobes.csv``: a header and one row per region, in the order of ``Quantification.regions``.

    UTF-8, commas, decimal points, four decimals; a value that does not exist is an empty field. The columns are
    :data:`ALL_COLUMNS`.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(ALL_COLUMNS)
    kind = "approximate" if findings.lobes.approximate else "given"
    flags = ";".join(flag.code for flag in flags_of(findings.record))
    for region in findings.quantification.regions:
        measured = (_csv_field(getattr(region, name)) for name in COLUMNS.values())
        writer.writerow([*measured, kind, *map(_csv_field, wanted_of(findings, region.key)), flags])
    write_text(path, buffer.getvalue())


def wanted_of(findings: Findings, key: str) -> tuple[float | None, int | None, str | None]:
    """What a reader said of a region: percent, score, and who; all None where nothing was said of it.

    Args:
        findings: The results of one CT.
        key: The region's key, such as ``LUL``; lungs and total have no numbers of their own.
    """
    lobe = next((lobe.value for lobe in LOBES if lobe.abbreviation == key), None)
    reading = findings.reading
    if reading is None or lobe is None or reading.of(lobe) is None:
        return None, None, None
    return reading.percent[lobe - 1], reading.score[lobe - 1], reading.who[lobe - 1] or None


def wanted_text(findings: Findings, key: str) -> str:
    """What a reader said of a region, for people: ``65 %`` or ``score 4``; empty where nothing was said of it."""
    percent, score, _ = wanted_of(findings, key)
    if percent is not None:
        return f"{percent:.4g} %"
    return "" if score is None else f"score {score}"


def read_table(path: str | Path) -> list[dict[str, str]]:
    """The rows of a ``lobes.csv``, fields as they were written by the names of their columns.

    Raises:
        OSError: The file can't be read.
    """
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def summary(findings: Findings) -> dict[str, Any]:
    """What ``summary.json`` holds: the table, the score, the lesions, how all were defined, warnings and the record.

    Returns:
        JSON values only. Percentages are 0..100, volumes mL, densities HU.
    """
    measured = findings.quantification
    regions = [
        {column: getattr(region, name) for column, name in COLUMNS.items()} for region in measured.regions
    ]
    return {
        "statement": f"{RESEARCH_USE}.",
        "ct": ct_name(findings),
        "total_lesion_percent": measured.total.percent,
        "total_lesion_ml": measured.total.lesion_ml,
        "total_severity_score": measured.total_score,
        "total_severity_score_maximum": 5 * len(LOBES),
        "lobes": {"approximate": findings.lobes.approximate, "source": findings.lobes.source},
        "regions": regions,
        **lesions_of(findings).to_dict(),
        **({"reading": _reading(findings)} if findings.reading else {}),
        "definitions": {
            "severity_score_from_percent": list(SCORE_EDGES),
            "severity_score_source": f"{SCORE_SOURCE}. {SCORE_DIFFERENCE}",
            "ground_glass_hu": list(GROUND_GLASS_HU),
            "consolidation_hu": list(CONSOLIDATION_HU),
            "hu_source": HU_SOURCE,
        },
        "flags": flags_for_record(flags_of(findings.record)),
        "warnings": warnings_of(findings),
        "record": dict(findings.record),
    }


def made_by(summary: dict[str, Any], lobes: LobeMap) -> dict[str, str]:
    """What decides how large a mask is, by name: method, models, lobes, whether a reader steered.

    Args:
        summary: What ``summary.json`` holds.
        lobes: The lobes.
    """
    record = summary["record"]
    settings = record.get("settings")
    makers = {
        "method": str(settings.get("method", "")) if isinstance(settings, dict) else "",
        "lobes": "approximate" if lobes.approximate else "given",
        "reader": "steered by a reader" if summary.get("reading") else "not steered",
    }
    for key in ("model", "segmentation_model"):
        if isinstance(model := record.get(key), dict):
            makers[key] = " ".join(str(model.get(name, ""))[:32] for name in ("name", "version", "checksum"))
    return makers


def _reading(findings: Findings) -> dict[str, Any]:
    """What a reader wanted and who, per lobe, and what was found: its percentage and where the map was cut."""
    assert findings.reading is not None
    return {
        "lobes": [lobe.abbreviation for lobe in LOBES],
        "wanted_percent": list(findings.reading.percent),
        "wanted_score": list(findings.reading.score),
        "wanted_by": list(findings.reading.who),
        "percent": [region.percent for region in findings.quantification.lobes],
        "cut": list(findings.cuts or (None,) * len(LOBES)),
        "model_threshold": findings.threshold,
    }


def write_summary(findings: Findings, path: str | Path) -> None:
    """Write ``summary.json``.

    Raises:
        ValueError, TypeError: ``findings.record`` holds what JSON can't (NaN, infinity, an object).
    """
    text = json.dumps(summary(findings), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def warnings_of(findings: Findings) -> list[str]:
    """The CT's warnings and the record's, each once."""
    warnings = [*findings.ct.warnings, *findings.record.get("warnings", ())]
    return list(dict.fromkeys(str(warning) for warning in warnings))


def print_table(findings: Findings, console: Console) -> None:
    """Print the table to a terminal: a row per region, the total score, and the research-use statement."""
    from rich.table import Table
    from rich.text import Text

    title = ct_name(findings) + (" (the lobes are approximate)" if findings.lobes.approximate else "")
    table = Table(title=Text(title), title_justify="left", header_style="bold")
    table.add_column("region", no_wrap=True)
    for name in (
        "mL",
        "lesion\nmL",
        "lesion\n%",
        "reader" if findings.reading else "range\n%",  # a terminal of 80 columns has no room for both
        "score",
        "ground\nglass mL",
        "consoli-\ndation mL",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for number, region in enumerate(findings.quantification.regions):
        last = number == len(findings.quantification.regions) - 1
        style = "bold" if last else ("dim" if region.score is None else "")
        row = _terminal_row(region)
        if findings.reading:
            row[4] = wanted_text(findings, region.key).removeprefix("score ")
        table.add_row(*row, style=style, end_section=number in (4, 6))
    console.print(table)
    console.print(Text(f"{RESEARCH_USE}."))


def _terminal_row(region: Region) -> list[str]:
    # Without the word "lobe" the table fits a terminal of 80 columns.
    name = region.name.removesuffix(" lobe")
    score = ABSENT if region.score is None else str(region.score)
    if region.key == "total":
        score = f"{score}/{5 * len(LOBES)}"
    amounts = [ml_text(region.ground_glass_ml), ml_text(region.consolidation_ml)]
    shares = [percent_text(region.percent), range_text(region)]
    return [name, ml_text(region.volume_ml), ml_text(region.lesion_ml), *shares, score, *amounts]


def ct_name(findings: Findings) -> str:
    """The CT's file name, or its own name where it comes from no file."""
    return findings.ct.path.name if findings.ct.path is not None else findings.ct.name


def _csv_field(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
