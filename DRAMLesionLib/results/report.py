"""Findings for people and programs: a table (CSV), a summary (JSON), a report (HTML) and the terminal's table.

The report is one file that asks nothing of a network: pictures and style are inside. It shows the CT's file name
and no patient data.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DRAMLesionLib.lesions.quality import flags_of
from DRAMLesionLib.lesions.quantify import (
    CONSOLIDATION_HU,
    GROUND_GLASS_HU,
    HU_SOURCE,
    SCORE_DIFFERENCE,
    SCORE_EDGES,
    SCORE_SOURCE,
)
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.numbers import ABSENT, hu_text, ml_text, percent_text, range_text
from DRAMLesionLib.results.pages import render_page
from DRAMLesionLib.results.table import _ct_name, wanted_text, warnings_of
from DRAMLesionLib.system.files import write_text
from DRAMLesionLib.system.record import RESEARCH_USE

if TYPE_CHECKING:
    from DRAMLesionLib.lesions.findings import Findings


PICTURE_TITLES = {
    "view_axial": "Axial slice view from the scene",
    "view_coronal": "Coronal slice view from the scene",
    "view_3d": "Lung and lesion surfaces from the scene",
}
"""Captions of pictures that a caller of :func:`write_report` gives, by their key (with or without ``.png``)."""


_MASK_SOURCES = {
    "final": "The segmentation is the final network's map, cut in each lobe and smoothed a little; the heatmap shows "
    "that map. ",
    "dram": "The segmentation is the map (after attention and CRF where they ran), cut at the model's threshold and "
    "smoothed a little. ",
}
"""What the report says of each method, see :mod:`DRAMLesionLib.lesions.run_models`."""


@dataclass(frozen=True)
class Drawings:
    """The report's own pictures, PNG.

    Attributes:
        chart: Percent per lobe.
        axial: Axial slices, plain and with the overlay.
        coronal: Coronal slices, plain and with the overlay.
    """

    chart: bytes
    axial: bytes
    coronal: bytes


def draw(findings: Findings) -> Drawings:
    """Draw the report's own pictures, which takes most of its time."""
    from DRAMLesionLib.results import figures

    return Drawings(
        chart=figures.lobe_chart(findings.quantification, findings.lobes.approximate),
        axial=figures.axial_montage(findings),
        coronal=figures.coronal_montage(findings),
    )


def write_report(
    findings: Findings,
    path: str | Path,
    pictures: Mapping[str, Path] | None = None,
    drawings: Drawings | None = None,
) -> None:
    """Write ``report.html``, one self-contained file.

    Args:
        findings: The results of one CT.
        path: The file to make.
        pictures: PNG files to show at the end, such as ``{"view_3d": Path("view_3d.png")}``; a key of
            :data:`PICTURE_TITLES` gets that caption, any other is its own caption.
        drawings: The pictures of :func:`draw`, where they are made already.

    Raises:
        OSError: A picture can't be read, or ``path`` can't be written.
    """
    values = _report_values(findings, pictures or {}, drawings or draw(findings))
    filters: dict[str, Callable[..., Any]] = {
        "percent": percent_text,
        "ml": ml_text,
        "hu": hu_text,
        "range": range_text,
    }
    write_text(path, render_page("report.html.j2", values, filters))


def _report_values(findings: Findings, pictures: Mapping[str, Path], drawings: Drawings) -> dict[str, Any]:
    from DRAMLesionLib.results import figures

    measured = findings.quantification
    record = findings.record
    return {
        "statement": RESEARCH_USE,
        "name": _ct_name(findings),
        "ct": findings.ct,
        "lobes": findings.lobes,
        "total": measured.total,
        "score": measured.total_score,
        "score_maximum": 5 * len(LOBES),
        "regions": measured.regions,
        "readers": _readers(findings),
        "wanted": {region.key: wanted_text(findings, region.key) for region in measured.regions},
        "colors": {lobe.abbreviation: "#{:02x}{:02x}{:02x}".format(*lobe.color) for lobe in LOBES},
        "flags": flags_of(record),
        "warnings": warnings_of(findings),
        "chart": _data_url(drawings.chart),
        "axial": _data_url(drawings.axial),
        "coronal": _data_url(drawings.coronal),
        "pictures": [
            (PICTURE_TITLES.get(Path(key).stem, key), _data_url(Path(file).read_bytes()))
            for key, file in pictures.items()
        ],
        "window": figures.LUNG_WINDOW_HU,
        "score_edges": SCORE_EDGES,
        "score_source": SCORE_SOURCE,
        "score_difference": SCORE_DIFFERENCE,
        "ground_glass": GROUND_GLASS_HU,
        "consolidation": CONSOLIDATION_HU,
        "hu_source": HU_SOURCE,
        "mask": _MASK_SOURCES.get(record.get("settings", {}).get("method"), ""),
        "details": _details(record),
    }


def _readers(findings: Findings) -> str:
    """Who gave the numbers that steered the mask, for people; empty where it was not steered."""
    if not findings.reading:
        return ""
    return ", ".join(dict.fromkeys(filter(None, findings.reading.who))) or "a reader"


def _details(record: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The record as groups of name and value, known groups first, each only where the record has it."""
    titles = {"model": "Model", "settings": "Settings", "versions": "Versions", "seconds": "Time"}
    keys = [*titles, *(key for key in record if key not in titles and key not in ("warnings", "flags"))]
    groups = []
    for key in keys:
        value = record.get(key)
        if value is None or value == {} or value == []:
            continue
        unit = " s" if key == "seconds" else ""
        rows = list(_rows(value, unit))
        groups.append((titles.get(key, _words(key)), rows))
    return groups


def _rows(value: Any, unit: str, prefix: str = "") -> list[tuple[str, str]]:
    if not isinstance(value, Mapping):
        return [(prefix or "value", _text(value) + (unit if isinstance(value, int | float) else ""))]
    rows = []
    for key, inner in value.items():
        rows += _rows(inner, unit, f"{prefix} {_words(str(key))}".strip())
    return rows


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(one) for one in value)
    return ABSENT if value is None else str(value)


def _words(key: str) -> str:
    return key.replace("_", " ")


def _data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
