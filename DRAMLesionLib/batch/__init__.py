"""Many CTs at once, or one after the other: cases, workers, the manifest, the table and report of a batch."""

from typing import Any

from DRAMLesionLib.system.lazy import load_name

_NAMES = {
    "BatchOptions": "DRAMLesionLib.batch.run",
    "BatchResult": "DRAMLesionLib.batch.run",
    "CaseEvent": "DRAMLesionLib.batch.run",
    "Workers": "DRAMLesionLib.batch.run",
    "segment_batch": "DRAMLesionLib.batch.run",
}


def __getattr__(name: str) -> Any:
    return load_name(__name__, name, _NAMES)
