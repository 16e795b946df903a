"""The list of lesions as the page shows it."""

from __future__ import annotations

from typing import Any

from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.lesion_list import LesionList
from DRAMLesionLib.results.numbers import hu_text, ml_text

NAMES = {lobe.abbreviation: lobe.name for lobe in LOBES}


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
