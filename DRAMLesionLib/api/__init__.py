"""The public interface: a CT in, one result object out, which is read, steered, corrected, saved and read again.

Use it as ``import DRAMLesionLib as dl``; the names are handed on by the package.
"""

from typing import Any

from DRAMLesionLib.system.lazy import load_name

_NAMES = {
    "Result": "DRAMLesionLib.api.result",
    "Table": "DRAMLesionLib.api.table",
    "compare": "DRAMLesionLib.api.compare",
    "segment": "DRAMLesionLib.api.segment",
}


def __getattr__(name: str) -> Any:
    return load_name(__name__, name, _NAMES)
