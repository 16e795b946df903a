"""What people get: tables, report, pictures, segmentations, DICOM objects, and the folder that holds them."""

from typing import Any

from DRAMLesionLib.system.lazy import load_name

_NAMES = {
    "read_findings": "DRAMLesionLib.results.folder",
    "write_findings": "DRAMLesionLib.results.folder",
}


def __getattr__(name: str) -> Any:
    return load_name(__name__, name, _NAMES)
