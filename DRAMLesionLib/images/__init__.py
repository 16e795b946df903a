"""Images on their grids: CT volumes in HU, their geometry and files, boxes of voxels, resampling."""

from typing import Any

from DRAMLesionLib.system.lazy import load_name

_NAMES = {
    "Volume": "DRAMLesionLib.images.volume",
    "read_ct": "DRAMLesionLib.images.volume",
    "read_on_grid": "DRAMLesionLib.images.volume",
    "write_volume": "DRAMLesionLib.images.volume",
}


def __getattr__(name: str) -> Any:
    return load_name(__name__, name, _NAMES)
