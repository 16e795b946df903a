"""The bundle of the network of the lobes' amounts: loaded with its checksum and without pickle, written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DRAMLesionLib.lesions.whole_lungs.description import AmountDescription
from DRAMLesionLib.system.bundle import (
    METADATA,
    WEIGHTS,
    bundle_metadata,
    common_metadata,
    load_weights,
    save_bundle,
)
from DRAMLesionLib.system.errors import InputError

if TYPE_CHECKING:
    import torch

    from DRAMLesionLib.lesions.whole_lungs.network import AmountNetwork

KIND = "amounts"
"""The key of the description in the bundle's metadata."""


@dataclass(frozen=True)
class AmountModel:
    """A loaded network of the lobes' amounts.

    Attributes:
        name: Its name.
        version: The bundle's version.
        folder: Where the bundle is.
        checksum: SHA-256 of the weights, hexadecimal.
        network: In eval mode, float32.
    """

    name: str
    version: str
    folder: Path
    checksum: str
    network: AmountNetwork


def load_amount_model(folder: str | Path, device: torch.device | str = "cpu") -> AmountModel:
    """Load the network; nothing in its bundle is executed or unpickled.

    Args:
        folder: A bundle's folder.
        device: Where the network goes.

    Raises:
        InputError: A file is missing or damaged, or does not fit the others; names the file.
    """
    from DRAMLesionLib.lesions.whole_lungs.network import AmountNetwork

    folder = Path(folder)
    metadata = bundle_metadata(folder)
    if KIND not in metadata:
        raise InputError(f"{folder}: knows no amounts: give a model that the task {KIND} has made")
    network = AmountNetwork(AmountDescription.from_dict(metadata[KIND], f"{folder / METADATA}: {KIND}"))
    checked = load_weights(network, folder / WEIGHTS, metadata)
    network.float().eval().to(device)
    name, version = str(metadata.get("name", folder.name)), str(metadata.get("version", "?"))
    return AmountModel(name, version, folder, checked, network)


def save_amount_model(
    folder: str | Path,
    network: AmountNetwork,
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
    from DRAMLesionLib.lesions.whole_lungs.pooled import CHANNELS

    metadata = {
        **common_metadata(name, version, summary, data),
        "task": "Share of each lobe that is lesion in chest CT",
        "references": [],
        "network_data_format": _data_format(network.description, CHANNELS),
        KIND: network.description.to_dict(),
    }
    return save_bundle(folder, network, metadata, _inference(), card, licence)


def _data_format(description: AmountDescription, channels: int) -> dict[str, Any]:
    side = f"{description.step}*n"
    image = {
        "type": "image",
        "format": "magnitude",
        "modality": "CT",
        "num_channels": channels,
        "spatial_shape": [side, side, side],
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": False,
        "channel_def": {"0": "share of the voxel in the lungs", "1": "densities and probabilities, pooled"},
    }
    output = image | {
        "type": "probabilities",
        "format": "segmentation",
        "num_channels": 1,
        "channel_def": {"0": "lesion"},
    }
    return {"inputs": {"image": image}, "outputs": {"pred": output}}


def _inference() -> dict[str, Any]:
    """The main job, in which this network says the amounts at which the final network's map is cut."""
    return {
        "imports": [
            "$from dataclasses import replace",
            "$from DRAMLesionLib.case import segment_case",
            "$from DRAMLesionLib.lesions.run_models import load_case_models",
            "$from DRAMLesionLib.lesions.whole_lungs.bundle import load_amount_model",
            "$from DRAMLesionLib.system.device import find_device",
        ],
        "bundle_root": ".",
        "final": "segmentation-covid",
        "image": "ct.nii.gz",
        "lobes": None,
        "output_dir": "$@bundle_root + '/eval'",
        "device": "auto",
        "found": "$load_case_models(@final, device=find_device(@device))",
        "models": "$replace(@found, amounts=load_amount_model(@bundle_root, @found.device))",
        "run": ["$segment_case(@image, @output_dir, lobes=@lobes, models=@models, device=@device)"],
    }
