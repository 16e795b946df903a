"""Two or more dates of one patient compared: lungs registered, change per lobe, and what became of each lesion."""

from typing import Any

from DRAMLesionLib.system.lazy import load_name

_NAMES = {
    "Comparison": "DRAMLesionLib.followup.comparison",
    "compare": "DRAMLesionLib.followup.comparison",
    "compare_sources": "DRAMLesionLib.followup.sources",
}


def __getattr__(name: str) -> Any:
    return load_name(__name__, name, _NAMES)
