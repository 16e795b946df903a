"""The lobe table and the list of lesions as the page shows them: the library's numbers in the words of its reports."""

from __future__ import annotations

from typing import Any

from DRAMLesionLib.lesions.quantify import Quantification, Region
from DRAMLesionLib.lesions.reading import LARGEST, Reading
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.lesion_list import LesionList
from DRAMLesionLib.results.numbers import hu_text, ml_text, percent_text

NAMES = {lobe.abbreviation: lobe.name for lobe in LOBES}


def lobe_rows(table: Quantification, said: Reading) -> list[dict[str, Any]]:
    """A row for each lobe, in the order of their values.

    Args:
        table: The measurements.
        said: What a reader said of the lobes.

    Returns:
        JSON values: ``value`` 1..5, ``key`` such as ``RLL``, ``name``, ``percent`` 0..100 (0 for a lobe without voxels),
        and the texts of the columns; ``steered`` where a reader gave the lobe its number.
    """
    rows = []
    for lobe, region in zip(LOBES, table.lobes, strict=True):
        steered = said.of(lobe.value) is not None
        rows.append({"value": lobe.value, "steered": steered, **_texts(region)})
    return rows


def lung_rows(table: Quantification) -> list[dict[str, Any]]:
    """A row for the left lung, the right lung, and both."""
    return [_texts(region) for region in table.regions[len(LOBES) :]]


def headline(table: Quantification) -> str:
    """The total in one line."""
    most = LARGEST["score"] * len(LOBES)
    return f"{percent_text(table.total.percent)} % of the lungs, severity score {table.total_score} of {most}"


def _texts(region: Region) -> dict[str, Any]:
    return {
        "key": region.key,
        "name": region.name[0].upper() + region.name[1:],
        "percent": round(region.percent or 0.0, 1),
        "percent_text": percent_text(region.percent),
        "score": "" if region.score is None else str(region.score),
        "lesion_ml": ml_text(region.lesion_ml),
        "volume_ml": ml_text(region.volume_ml),
        "ground_glass_ml": ml_text(region.ground_glass_ml),
        "consolidation_ml": ml_text(region.consolidation_ml),
        "lesion_hu": hu_text(region.lesion_mean_hu),
    }


def lesion_rows(lesions: LesionList) -> list[dict[str, Any]]:
    """A row for each lesion, the largest first: its number, texts, and the point to look at in mm (RAS)."""
    rows = []
    for lesion in lesions.lesions:
        lobes = (lesion.lobe, *lesion.also_in)
        rows.append(
            {
                "number": lesion.number,
                "lobes": ", ".join(lobes),
                "names": ", ".join(NAMES[name] for name in lobes),
                "volume": ml_text(lesion.volume_ml),
                "hu": hu_text(lesion.mean_hu),
                "ras_mm": [float(value) for value in lesion.ras_mm],
            }
        )
    return rows


def rest_text(lesions: LesionList) -> str:
    """What of the lesion is not in the list."""
    if not lesions.rest_count:
        return "" if lesions.lesions else "No lesion."
    return (
        f"Smaller than {lesions.least_ml:g} mL, not listed: {lesions.rest_count}, "
        f"{lesions.rest_ml:.1f} mL together."
    )
