"""The networks: their descriptions (without torch), layers, bundles on disk, ONNX."""

from typing import Any

from DRAMLesionLib.system.lazy import load_name

_NAMES = {
    "find_model": "DRAMLesionLib.lesions.networks.bundle",
    "list_models": "DRAMLesionLib.lesions.networks.bundle",
    "load_model": "DRAMLesionLib.lesions.networks.bundle",
}


def __getattr__(name: str) -> Any:
    return load_name(__name__, name, _NAMES)
