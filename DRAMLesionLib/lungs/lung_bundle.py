"""The bundle of the lung network: found, loaded with its checksum and without pickle, written."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DRAMLesionLib.lungs.lung_description import LungDescription
from DRAMLesionLib.system.bundle import (
    METADATA,
    WEIGHTS,
    bundle_metadata,
    common_metadata,
    load_weights,
    save_bundle,
)
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.package import PACKAGE

if TYPE_CHECKING:
    import torch

    from DRAMLesionLib.lungs.lung_network import LungNetwork

KIND = "lungs"
"""The key of the description in the bundle's metadata."""

ENVIRONMENT = "DRAMLESION_LUNGS"
"""An environment variable that names another bundle's folder than the shipped one."""


def lung_model_folder() -> Path:
    """The folder of the lung network's bundle: the shipped one, or what :data:`ENVIRONMENT` names."""
    chosen = os.environ.get(ENVIRONMENT)
    return Path(chosen).expanduser() if chosen else PACKAGE / "models" / "lungs"


def load_lung_network(folder: str | Path | None = None) -> LungNetwork:
    """Load the lung network for inference on the CPU; nothing in its bundle is executed or unpickled.

    Args:
        folder: A bundle's folder; None is :func:`lung_model_folder`. A folder is read once in a process.

    Raises:
        InputError: A file is missing or damaged, or does not fit the others; names the file.
    """
    return _loaded(Path(folder) if folder is not None else lung_model_folder())


def load_lung_weights(folder: str | Path) -> dict[str, torch.Tensor]:
    """The weights of a bundle as training knows them, float32: where a training goes on.

    Raises:
        InputError: A file is missing or damaged, or does not fit the others; names the file.
    """
    return _read(Path(folder)).float().state_dict()


@functools.lru_cache(maxsize=2)
def _loaded(folder: Path) -> LungNetwork:
    return _read(folder).folded()


def _read(folder: Path) -> LungNetwork:
    from DRAMLesionLib.lungs.lung_network import LungNetwork

    metadata = bundle_metadata(folder)
    if KIND not in metadata:
        raise InputError(f"{folder}: finds no lungs: give a model that the task {KIND} has made")
    network = LungNetwork(LungDescription.from_dict(metadata[KIND], f"{folder / METADATA}: {KIND}"))
    load_weights(network, folder / WEIGHTS, metadata)
    return network


def save_lung_model(
    folder: str | Path,
    network: LungNetwork,
    *,
    name: str,
    version: str,
    card: str,
    summary: str,
    data: str,
    licence: str,
) -> Path:
    """Write the bundle in half precision, whole or not at all; an older one of that name is replaced.

    Args:
        folder: The bundle's folder.
        network: The network whose weights are written.
        name: The model's name.
        version: The bundle's version, such as ``0.1.0``.
        card: The model card, Markdown.
        summary: What it does, in a sentence, for the metadata.
        data: What it was trained on, in a sentence.
        licence: The terms of the weights, as text.

    Returns:
        The folder.

    Raises:
        OutputError: It can't be written.
    """
    metadata = {
        **common_metadata(name, version, summary, data),
        "task": "Lungs in chest CT",
        "references": [],
        "network_data_format": _data_format(network.description),
        KIND: network.description.to_dict(),
    }
    return save_bundle(folder, network, metadata, _inference(), card, licence)


def _data_format(description: LungDescription) -> dict[str, Any]:
    image = {
        "type": "image",
        "format": "hounsfield",
        "modality": "CT",
        "num_channels": 1,
        "spatial_shape": [f"{description.step}*n"] * 3,
        "dtype": "float32",
        "value_range": [-2.56, 1],
        "is_patch_data": False,
        "channel_def": {"0": f"a chest CT at {description.spacing_mm:g} mm, -1024 to 400 HU divided by 400"},
    }
    output = image | {
        "type": "probabilities",
        "format": "segmentation",
        "num_channels": 3,
        "value_range": [],
        "channel_def": {"0": "elsewhere", "1": "left lung", "2": "right lung"},
    }
    return {"inputs": {"image": image}, "outputs": {"pred": output}}


def _inference() -> dict[str, Any]:
    return {
        "imports": ["$from DRAMLesionLib.lungs.lung_mask import write_lungs"],
        "bundle_root": ".",
        "image": "ct.nii.gz",
        "output": "$@bundle_root + '/eval/lungs.nii.gz'",
        "run": ["$write_lungs(@image, @output, model=@bundle_root)"],
    }
