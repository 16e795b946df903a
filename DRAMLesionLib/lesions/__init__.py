"""From a CT and its lobes to findings: dRAM, refined dRAM, probability, lesion mask, table."""

from typing import Any

from DRAMLesionLib.system.lazy import load_name

_NAMES = {
    "find_lesions": "DRAMLesionLib.lesions.find",
    "Findings": "DRAMLesionLib.lesions.findings",
    "Options": "DRAMLesionLib.lesions.options",
    "Reading": "DRAMLesionLib.lesions.reading",
    "Steering": "DRAMLesionLib.lesions.steer",
    "Quantification": "DRAMLesionLib.lesions.quantify",
    "quantify": "DRAMLesionLib.lesions.quantify",
    "load_case_models": "DRAMLesionLib.lesions.run_models",
}


def __getattr__(name: str) -> Any:
    return load_name(__name__, name, _NAMES)
