"""Synthetic chest CTs of which everything is known: lobes, lesions, percentages."""

from typing import Any

from DRAMLesionLib.system.lazy import load_name

_NAMES = {
    "Phantom": "DRAMLesionLib.phantom.phantom",
    "lobe_percent": "DRAMLesionLib.phantom.phantom",
    "make_phantom": "DRAMLesionLib.phantom.phantom",
    "save_phantom": "DRAMLesionLib.phantom.phantom",
}


def __getattr__(name: str) -> Any:
    return load_name(__name__, name, _NAMES)
