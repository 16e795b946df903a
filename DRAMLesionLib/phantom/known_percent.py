"""The percentages that a phantom was made with, for a report that compares them with what was found."""

import json
from pathlib import Path

from DRAMLesionLib.lungs.lobes import LOBES

CT_NAME, FILE_NAME = "ct.nii.gz", "percent.json"
"""What :func:`~DRAMLesionLib.phantom.phantom.save_phantom` writes beside the phantom's CT."""


def known_percent(ct: str | Path) -> dict[str, float]:
    """The true percentage of each lobe of a phantom, 0..100 by the lobe's abbreviation; empty for any other CT.

    Args:
        ct: The CT's file; a phantom's is called ``ct.nii.gz`` and has its ``percent.json`` beside it. A file of any
            other name there may be another CT.
    """
    path = Path(ct).parent / FILE_NAME
    if Path(ct).name != CT_NAME or not Path(ct).is_file() or not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if not {"seed", "percent", "severity_wanted"} <= facts.keys():
            return {}
        known = {lobe.abbreviation: float(facts["percent"][lobe.abbreviation]) for lobe in LOBES}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return known if all(0 <= value <= 100 for value in known.values()) else {}
