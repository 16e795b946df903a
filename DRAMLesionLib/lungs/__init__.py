"""Lungs and the five lobes: what they are called, found in a CT, or read from a file."""

from typing import Any

from DRAMLesionLib.system.lazy import load_name

_NAMES = {
    "LOBES": "DRAMLesionLib.lungs.lobes",
    "Lobe": "DRAMLesionLib.lungs.lobes",
    "LobeMap": "DRAMLesionLib.lungs.lobes",
    "find_lobes": "DRAMLesionLib.lungs.read_lobes",
    "read_lobes": "DRAMLesionLib.lungs.read_lobes",
}


def __getattr__(name: str) -> Any:
    return load_name(__name__, name, _NAMES)
