"""The dense conditional random field: one-shot refinement, the layer that learns, and its filters."""

from typing import Any

from DRAMLesionLib.system.lazy import load_name

_NAMES = {
    "DenseCRF": "DRAMLesionLib.lesions.crf.crf",
    "refine": "DRAMLesionLib.lesions.crf.crf",
}


def __getattr__(name: str) -> Any:
    return load_name(__name__, name, _NAMES)
