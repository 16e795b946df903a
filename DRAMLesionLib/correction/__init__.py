"""Correction of a lesion mask: strokes spread to what looks alike nearby, with undo and a journal."""

from typing import Any

from DRAMLesionLib.system.lazy import load_name

_NAMES = {
    "CorrectionSession": "DRAMLesionLib.correction.session",
    "correct_case": "DRAMLesionLib.correction.correct_case",
    "refine_case": "DRAMLesionLib.correction.correct_case",
}


def __getattr__(name: str) -> Any:
    return load_name(__name__, name, _NAMES)
