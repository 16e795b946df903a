"""The report's page: its pictures, its values, and the file."""

from __future__ import annotations

import base64
from collections.abc import Mapping
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
from DRAMLesionLib.results.lesion_list import LesionList, lesions_of
from DRAMLesionLib.results.numbers import percent_text
from DRAMLesionLib.results.pages import render_page
from DRAMLesionLib.results.report.bars import DENSITIES, bar_end, density_bar
from DRAMLesionLib.results.report.facts import (
    by_person,
    details_of,
    readers_of,
    study_facts,
    title_of,
    truth_of,
)
from DRAMLesionLib.results.report.lobe_scheme import lobe_scheme
from DRAMLesionLib.results.table import wanted_text, warnings_of
from DRAMLesionLib.system.files import write_text
from DRAMLesionLib.system.record import RESEARCH_USE

if TYPE_CHECKING:
    from DRAMLesionLib.lesions.findings import Findings
    from DRAMLesionLib.results.report.views import View


PICTURE_TITLES = {
    "view_axial": "Axial slice view from the scene",
    "view_coronal": "Coronal slice view from the scene",
    "view_3d": "Lung and lesion surfaces from the scene",
}
"""Captions of pictures that a caller of :func:`write_report` gives, by their key (with or without ``.png``)."""

MOST_LESIONS = 10
"""Lesions that the page lists; ``lesions.csv`` has all."""

_PRINTED_VIEW_MM = 56.0
"""Height of the tallest of the three views on paper: with the rest of the first page it fits A4."""

_MASK_SOURCES = {
    "final": "The segmentation is the final network's map, cut in each lobe and smoothed a little; the heatmap shows "
    "that map.",
    "dram": "The segmentation is the map (after attention and CRF where they ran), cut at the model's threshold and "
    "smoothed a little.",
}
"""What the report says of each method, see :mod:`DRAMLesionLib.lesions.run_models`."""


@dataclass(frozen=True)
class Drawings:
    """The report's own pictures.

    Attributes:
        views: An axial, a coronal and a sagittal slice with lobe lines and lesion outline.
        strip: PNG of axial slices with heatmap and outline.
    """

    views: tuple[View, ...]
    strip: bytes


def draw(findings: Findings) -> Drawings:
    """Draw the report's own pictures, which takes most of its time."""
    from DRAMLesionLib.results.report import views

    return Drawings(views.three_views(findings), views.axial_strip(findings))


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
        pictures: PNG files to show behind the slices, such as ``{"view_3d": Path("view_3d.png")}``; a key of
            :data:`PICTURE_TITLES` gets that caption, any other is its own caption.
        drawings: The pictures of :func:`draw`, where they are made already.

    Raises:
        OSError: A picture can't be read, or ``path`` can't be written.
    """
    values = {
        **_answers(findings),
        **_lesion_values(lesions_of(findings)),
        **_pictures(pictures or {}, drawings or draw(findings)),
        **_methods(findings),
    }
    write_text(path, render_page("report.html.j2", values))


def _answers(findings: Findings) -> dict[str, Any]:
    """What the first page says: how much, where, score, ranges and flags, and what a person did."""
    measured = findings.quantification
    percents = {
        one.key: f"{percent_text(one.percent)} %" for one in measured.lobes if one.percent is not None
    }
    scores = {one.key: one.score for one in measured.lobes if one.percent is not None}
    end = bar_end(measured.regions)
    return {
        "statement": RESEARCH_USE,
        "name": title_of(findings),
        "facts": study_facts(findings),
        "lobes": findings.lobes,
        "total": measured.total,
        "score": measured.total_score,
        "score_maximum": 5 * len(LOBES),
        "regions": measured.regions,
        "scheme": lobe_scheme(percents, scores),
        "bars": {region.key: density_bar(region, end) for region in measured.regions},
        "bar_end": end,
        "densities": DENSITIES,
        "truth": truth_of(findings),
        "readers": readers_of(findings),
        "wanted": {region.key: wanted_text(findings, region.key) for region in measured.regions},
        "by_person": by_person(findings),
        "look": [f"{flag.sentence}: {flag.remedy}." for flag in flags_of(findings.record)],
        "know": _to_know(findings),
    }


def _to_know(findings: Findings) -> list[str]:
    approximate = (
        "The lobes are approximate: the lungs were cut where fissures usually are, and along them where they were seen "
        f"({findings.lobes.source}). So are values and scores per lobe; those of the lungs do not depend on the cuts."
    )
    return [*([approximate] if findings.lobes.approximate else []), *warnings_of(findings)]


def _lesion_values(lesions: LesionList) -> dict[str, Any]:
    beyond = lesions.lesions[MOST_LESIONS:]
    return {
        "lesions": lesions,
        "shown": MOST_LESIONS,
        "more": len(beyond),
        "more_ml": sum(one.volume_ml for one in beyond),
        "ground_glass": GROUND_GLASS_HU,
        "consolidation": CONSOLIDATION_HU,
    }


def _pictures(pictures: Mapping[str, Path], drawings: Drawings) -> dict[str, Any]:
    from DRAMLesionLib.results.report.drawing import LUNG_WINDOW_HU

    tallest = max(view.height_mm for view in drawings.views)
    return {
        "views": [
            {"png": data_url(view.png), "label": view.label, "width_mm": view.width_mm}
            for view in drawings.views
        ],
        "views_width_mm": _PRINTED_VIEW_MM * sum(one.width_mm for one in drawings.views) / tallest,
        "strip": data_url(drawings.strip),
        "pictures": [
            (PICTURE_TITLES.get(Path(key).stem, key), data_url(Path(file).read_bytes()))
            for key, file in pictures.items()
        ],
        "window": LUNG_WINDOW_HU,
    }


def _methods(findings: Findings) -> dict[str, Any]:
    return {
        "score_edges": SCORE_EDGES,
        "score_source": SCORE_SOURCE,
        "score_difference": SCORE_DIFFERENCE,
        "hu_source": HU_SOURCE,
        "mask": _MASK_SOURCES.get(findings.record.get("settings", {}).get("method"), ""),
        "details": details_of(findings),
    }


def data_url(png: bytes) -> str:
    """A PNG as text that a page's ``img`` takes as its source."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
