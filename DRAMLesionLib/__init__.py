"""COVID-19 lesion maps, lobe percentages and severity scores from chest CT. Research use only, not for diagnosis.

The public interface is what this package hands on::

    import DRAMLesionLib as dl

    result = dl.segment("ct.nii.gz")
    print(result.table)
    result.steer(score={"LLL": 4}).save("results")

Importing it is cheap: torch, MONAI and SimpleITK are imported by what uses them. The library knows neither Slicer nor
Qt. Its folders are its parts, each of which imports only those before it: system, images, lungs, phantom, lesions,
results, followup, correction and training, api, batch, commands (``Documentation/architecture.md``).
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"
__all__ = ["Cancelled", "InputError", "Result", "compare", "make_phantom", "segment"]

_NAMES = {
    "Cancelled": "DRAMLesionLib.system.progress",
    "InputError": "DRAMLesionLib.system.errors",
    "Result": "DRAMLesionLib.api.result",
    "compare": "DRAMLesionLib.api.compare",
    "make_phantom": "DRAMLesionLib.phantom.phantom",
    "segment": "DRAMLesionLib.api.segment",
}

if TYPE_CHECKING:
    from DRAMLesionLib.api.compare import compare
    from DRAMLesionLib.api.result import Result
    from DRAMLesionLib.api.segment import segment
    from DRAMLesionLib.phantom.phantom import make_phantom
    from DRAMLesionLib.system.errors import InputError
    from DRAMLesionLib.system.progress import Cancelled


def __getattr__(name: str) -> Any:
    from DRAMLesionLib.system.lazy import load_name

    return load_name(__name__, name, _NAMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})
