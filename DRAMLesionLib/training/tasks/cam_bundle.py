"""Models of class activation maps on disk: bundles in the layout of :mod:`~DRAMLesionLib.lesions.networks.bundle`."""

from dataclasses import asdict
from pathlib import Path

import torch

from DRAMLesionLib.lesions.networks.bundle import WEIGHTS, load_weights, write_bundle
from DRAMLesionLib.lesions.networks.bundle_folders import METADATA, bundle_metadata
from DRAMLesionLib.lesions.networks.description import ModelDescription
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import staged_directory
from DRAMLesionLib.training.recipes.settings import CamSettings
from DRAMLesionLib.training.tasks.cam_network import CamModel, CamNetwork


def save_cam_model(
    folder: str | Path,
    network: CamNetwork,
    description: ModelDescription,
    *,
    name: str,
    version: str,
    card: str,
    licence: str,
) -> Path:
    """Write a bundle, whole or not at all, with weights in float32.

    Args:
        folder: The bundle's folder.
        network: The network whose weights and settings are written.
        description: What the network expects.
        name: The model's name.
        version: The bundle's version.
        card: The model card, Markdown.
        licence: The terms of the weights, as text.

    Returns:
        The folder.

    Raises:
        OutputError: It can't be written.
    """
    metadata = {
        "name": name,
        "version": version,
        "cam": asdict(network.settings),
        "model": description.to_dict(),
    }
    with staged_directory(folder) as staging:
        write_bundle(staging, network.state_dict(), metadata, card, licence)
    return Path(folder)


def load_cam_model(folder: str | Path, device: torch.device | str = "cpu") -> CamModel:
    """Load a CAM model; nothing in its bundle is executed and nothing is unpickled.

    Args:
        folder: The bundle's folder.
        device: Where the network goes.

    Raises:
        InputError: A file is missing, damaged, or does not fit the others; names the file.
    """
    folder = Path(folder)
    metadata, where = bundle_metadata(folder), folder / METADATA
    if "cam" not in metadata or "model" not in metadata:
        raise InputError(f"{where}: no CAM model: cam or model is missing: train it again")
    settings = CamSettings.from_dict(metadata["cam"], f"{where}: cam")
    description = ModelDescription.from_dict(metadata["model"], f"{where}: model")
    network = CamNetwork(description.network, settings)
    load_weights(network, folder / WEIGHTS, metadata)
    return CamModel(str(metadata.get("name", "cam")), description, network.eval().to(device))
