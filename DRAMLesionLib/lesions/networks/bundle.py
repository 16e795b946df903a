"""Models as MONAI bundles: find them, load them without pickle and with their checksum, save them.

A bundle is a folder::

    configs/metadata.json     MONAI's metadata, our description under "dram" or "segmentation", the weights' checksum
    configs/inference.json    runs the main job by ``python -m monai.bundle run``
    models/model.safetensors  the weights
    docs/README.md            the model card;  LICENSE: the terms of the weights

There are two kinds: "dram" makes the lesion map; "segmentation" is the final network, which makes the mask and names the
dRAM model whose map goes with it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from DRAMLesionLib.lesions.networks.bundle_folders import (
    METADATA,
    SHIPPED,
    bundle_folders,
    bundle_metadata,
    find_bundle,
    find_bundles,
)
from DRAMLesionLib.lesions.networks.bundle_folders import user_models_folder as user_models_folder
from DRAMLesionLib.lesions.networks.description import ModelDescription
from DRAMLesionLib.lesions.networks.dram_network import DenseNetwork, build_network
from DRAMLesionLib.lesions.networks.final_description import SegmentationDescription
from DRAMLesionLib.lesions.networks.final_network import SegmentationNetwork
from DRAMLesionLib.system.bundle import CARD as CARD
from DRAMLesionLib.system.bundle import INFERENCE as INFERENCE
from DRAMLesionLib.system.bundle import WEIGHTS as WEIGHTS
from DRAMLesionLib.system.bundle import common_metadata, save_bundle
from DRAMLesionLib.system.bundle import load_weights as load_weights
from DRAMLesionLib.system.bundle import write_bundle as write_bundle
from DRAMLesionLib.system.errors import InputError

Kind = Literal["dram", "segmentation"]
KINDS: tuple[Kind, Kind] = ("dram", "segmentation")
DEFAULT_MODEL = "dram-covid"
DEFAULT_SEGMENTATION_MODEL = "segmentation-covid"


@dataclass(frozen=True)
class Model:
    """A loaded dRAM model.

    Attributes:
        name: The name for people and for ``--model``.
        version: The bundle's version.
        folder: Where the bundle is.
        checksum: SHA-256 of the weights, hexadecimal.
        description: What the network expects, and how its map is read.
        network: The network in eval mode, float32.
    """

    name: str
    version: str
    folder: Path
    checksum: str
    description: ModelDescription
    network: DenseNetwork


@dataclass(frozen=True)
class SegmentationModel:
    """A loaded final network.

    Attributes:
        name: The name for people and for ``--model``.
        version: The bundle's version.
        folder: Where the bundle is.
        checksum: SHA-256 of the weights, hexadecimal.
        description: What the network expects, and how its probability is read.
        network: The network in eval mode, float32.
    """

    name: str
    version: str
    folder: Path
    checksum: str
    description: SegmentationDescription
    network: SegmentationNetwork


def model_folders() -> list[Path]:
    """Folders that hold bundles: the shipped ones, those of ``DRAMLESION_MODELS``, then the user's own."""
    return bundle_folders(SHIPPED)


def list_models() -> dict[str, Path]:
    """Every bundle found, by name; a later folder does not hide an earlier one's model."""
    return find_bundles(model_folders())


def find_model(name_or_folder: str | Path | None) -> Path:
    """The folder of a bundle.

    Args:
        name_or_folder: A bundle's folder or the name of a known one; None is the default model.

    Raises:
        InputError: There is no such model; lists those there are.
    """
    return find_bundle(name_or_folder or DEFAULT_MODEL, SHIPPED)


def model_kind(folder: str | Path) -> Kind:
    """What a bundle holds, without its weights.

    Raises:
        InputError: The bundle's metadata can't be read or describes neither kind.
    """
    path = Path(folder) / METADATA
    metadata = bundle_metadata(Path(folder))
    kinds = [kind for kind in KINDS if kind in metadata]
    if len(kinds) != 1:
        raise InputError(f"{path}: dram: is missing or no table of settings: install the model again")
    return kinds[0]


def load_model(name_or_folder: str | Path | None = None, device: torch.device | str = "cpu") -> Model:
    """Load a dRAM model; nothing in its bundle is executed and nothing is unpickled.

    Args:
        name_or_folder: See :func:`find_model`.
        device: Where the network goes.

    Raises:
        InputError: A file is missing, damaged, or does not fit the others; names the file.
    """
    folder = _of_kind(find_model(name_or_folder), "dram")
    metadata = bundle_metadata(folder)
    description = ModelDescription.from_dict(metadata["dram"], f"{folder / METADATA}: dram")
    network = build_network(description)
    name, version, checked = _filled(folder, metadata, network, device)
    return Model(name, version, folder, checked, description, network)


def load_segmentation_model(
    name_or_folder: str | Path | None = None, device: torch.device | str = "cpu"
) -> SegmentationModel:
    """Load a final network; nothing in its bundle is executed and nothing is unpickled.

    Args:
        name_or_folder: A bundle's folder or the name of a known one; None is the default final network.
        device: Where the network goes.

    Raises:
        InputError: A file is missing, damaged, or does not fit the others; names the file.
    """
    folder = _of_kind(find_model(name_or_folder or DEFAULT_SEGMENTATION_MODEL), "segmentation")
    metadata = bundle_metadata(folder)
    where = f"{folder / METADATA}: segmentation"
    description = SegmentationDescription.from_dict(metadata["segmentation"], where)
    network = SegmentationNetwork(description.network)
    name, version, checked = _filled(folder, metadata, network, device)
    return SegmentationModel(name, version, folder, checked, description, network)


def load_any_model(
    name_or_folder: str | Path | None = None, device: torch.device | str = "cpu"
) -> Model | SegmentationModel:
    """Load a bundle of either kind."""
    folder = find_model(name_or_folder)
    load = load_model if model_kind(folder) == "dram" else load_segmentation_model
    return load(folder, device)


def save_model(
    folder: str | Path,
    network: DenseNetwork | SegmentationNetwork,
    description: ModelDescription | SegmentationDescription,
    *,
    name: str,
    version: str,
    card: str,
    summary: str,
    data: str,
    licence: str,
    half: bool = True,
) -> Path:
    """Write a bundle, whole or not at all; an older one of that name is replaced.

    Args:
        folder: The bundle's folder.
        network: The network whose weights are written.
        description: What the network expects; its class decides the bundle's kind.
        name: The model's name.
        version: The bundle's version, such as ``0.1.0``.
        card: The model card, Markdown.
        summary: What it does, in a sentence, for the metadata.
        data: What it was trained on, in a sentence.
        licence: The terms of the weights, as text.
        half: Store the weights in half precision (half the size; loaded as float32).

    Returns:
        The folder.

    Raises:
        OutputError: It can't be written.
    """
    metadata = _metadata(name, version, summary, data, description)
    return save_bundle(folder, network, metadata, _inference(), card, licence, half)


def _of_kind(folder: Path, wanted: Kind) -> Path:
    kind = model_kind(folder)
    if kind != wanted:
        what = {"dram": "a dRAM model", "segmentation": "a segmentation model (final network)"}
        raise InputError(f"{folder}: is {what[kind]}: give {what[wanted]} here")
    return folder


def _filled(
    folder: Path, metadata: dict[str, Any], network: torch.nn.Module, device: torch.device | str
) -> tuple[str, str, str]:
    """Fill the network with the bundle's weights, ready to use; return the bundle's name, version and checksum."""
    checked = load_weights(network, folder / WEIGHTS, metadata)
    network.eval().to(device)
    return str(metadata.get("name", folder.name)), str(metadata.get("version", "?")), checked


def _metadata(
    name: str,
    version: str,
    summary: str,
    data: str,
    description: ModelDescription | SegmentationDescription,
) -> dict[str, Any]:
    kind: Kind = "dram" if isinstance(description, ModelDescription) else "segmentation"
    task = {
        "dram": "COVID-19 lesion map and lobe percentages from chest CT",
        "segmentation": "COVID-19 lesion segmentation from chest CT",
    }
    return {
        **common_metadata(name, version, summary, data),
        "task": task[kind],
        "references": [
            "Xie W., Jacobs C., Charbonnier J.-P., van Ginneken B., Dense Regression Activation Maps for Lesion "
            "Segmentation in CT scans of COVID-19 patients, arXiv 2105.11748"
        ],
        "network_data_format": _data_format(description),
        kind: description.to_dict(),
    }


def _data_format(description: ModelDescription | SegmentationDescription) -> dict[str, Any]:
    low, high = description.hu_window
    if isinstance(description, ModelDescription):
        shape: list[Any] = ["*", "*", "*"]
        seen, meaning = "one lobe of a chest CT", "lesion logit; its sigmoid is the dRAM"
        outside = ", outside the lobe 0"
    else:
        shape = list(description.patch)
        seen, meaning = "a patch of a chest CT", "lesion logit; its sigmoid is the probability"
        outside = ", outside the lobes 0" if description.lobes_only else ""
    image = {
        "type": "image",
        "format": "hounsfield",
        "modality": "CT",
        "num_channels": 1,
        "spatial_shape": shape,
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": True,
        "channel_def": {"0": f"{seen}, {low:g} to {high:g} HU as 0 to 1{outside}"},
    }
    output = image | {
        "type": "probabilities",
        "format": "segmentation",
        "value_range": [],
        "channel_def": {"0": meaning},
    }
    return {"inputs": {"image": image}, "outputs": {"pred": output}}


def _inference() -> dict[str, Any]:
    return {
        "imports": ["$from DRAMLesionLib.case import segment_case"],
        "bundle_root": ".",
        "image": "ct.nii.gz",
        "lobes": None,
        "output_dir": "$@bundle_root + '/eval'",
        "device": "auto",
        "run": ["$segment_case(@image, @output_dir, lobes=@lobes, model=@bundle_root, device=@device)"],
    }
