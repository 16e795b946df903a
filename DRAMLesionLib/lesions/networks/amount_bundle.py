"""The bundle of the network of the lobes' amounts: loaded with its checksum and without pickle, written."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DRAMLesionLib.lesions.networks.amount_description import AmountDescription
from DRAMLesionLib.system.bundle import (
    INFERENCE,
    METADATA,
    WEIGHTS,
    bundle_metadata,
    common_metadata,
    load_weights,
    write_bundle,
)
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import replaced_directory

if TYPE_CHECKING:
    from DRAMLesionLib.lesions.networks.amount_network import AmountNetwork

KIND = "amounts"
"""The key of the description in the bundle's metadata."""


def load_amount_network(folder: str | Path) -> AmountNetwork:
    """Load the network for inference; nothing in its bundle is executed or unpickled. A folder is read once in a process.

    Raises:
        InputError: A file is missing or damaged, or does not fit the others; names the file.
    """
    return _loaded(Path(folder))


@functools.lru_cache(maxsize=2)
def _loaded(folder: Path) -> AmountNetwork:
    from DRAMLesionLib.lesions.networks.amount_network import AmountNetwork

    metadata = bundle_metadata(folder)
    if KIND not in metadata:
        raise InputError(f"{folder}: knows no amounts: give a model that the task {KIND} has made")
    network = AmountNetwork(AmountDescription.from_dict(metadata[KIND], f"{folder / METADATA}: {KIND}"))
    load_weights(network, folder / WEIGHTS, metadata)
    return network.float().eval()


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
    import torch

    state = {
        key: value.to(torch.float16) if value.is_floating_point() else value
        for key, value in network.state_dict().items()
    }
    metadata = {
        **common_metadata(name, version, summary, data),
        "task": "Share of each lobe that is lesion in chest CT",
        "references": [],
        "network_data_format": _data_format(network.description),
        KIND: network.description.to_dict(),
    }
    with replaced_directory(folder) as staging:
        write_bundle(staging, state, metadata, card, licence)
        (staging / INFERENCE).write_text(json.dumps(_inference(), indent=2) + "\n", encoding="utf-8")
    return Path(folder)


def _data_format(description: AmountDescription) -> dict[str, Any]:
    low, high = description.hu_window
    image = {
        "type": "image",
        "format": "hounsfield",
        "modality": "CT",
        "num_channels": 1,
        "spatial_shape": ["n", "n", "n"],
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": False,
        "channel_def": {"0": f"both lungs, {low:g} to {high:g} HU as 0 to 1, 0 outside the lobes"},
    }
    inside = image | {"format": "segmentation", "channel_def": {"0": "1 in the lobes"}}
    output = image | {"type": "probabilities", "format": "segmentation", "channel_def": {"0": "lesion"}}
    return {"inputs": {"image": image, "inside": inside}, "outputs": {"pred": output}}


def _inference() -> dict[str, Any]:
    return {
        "imports": ["$from DRAMLesionLib.lesions.networks.amount_bundle import load_amount_network"],
        "bundle_root": ".",
        "run": ["$load_amount_network(@bundle_root)"],
    }
