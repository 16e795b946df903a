"""The models that there are, as far as one can tell without loading torch."""

from pathlib import Path

from DRAMLesionLib.lesions.networks.bundle_folders import bundle_folders, bundle_metadata, find_bundles
from DRAMLesionLib.system.errors import InputError

DEFAULT_DRAM, DEFAULT_FINAL = "dram-covid", "segmentation-covid"
"""The models that ship. Their library module has these names, too, but imports torch."""


def knownModels() -> dict[str, Path]:
    """All models by name."""
    return find_bundles(bundle_folders())


def folderOf(model: str) -> Path:
    """The folder of a model that is given by its name or by its folder."""
    return knownModels().get(model, Path(model))


def kindOf(model: str) -> str | None:
    """``dram`` or ``segmentation``; None where there is no such model, or it is damaged."""
    try:
        metadata = bundle_metadata(folderOf(model))
    except InputError:
        return None
    return next((kind for kind in ("dram", "segmentation") if kind in metadata), None)
