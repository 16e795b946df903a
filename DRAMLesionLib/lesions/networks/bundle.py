"""Models as MONAI bundles: find them, load them without pickle and with their checksum, save them.

A bundle is a folder::

    configs/metadata.json     MONAI's metadata, our description under "dram" or "segmentation", the weights' checksum
    configs/inference.json    runs the main job by ``python -m monai.bundle run``
    models/model.safetensors  the weights
    docs/README.md            the model card;  LICENSE: the terms of the weights

There are two kinds: "dram" makes the lesion map; "segmentation" is the final network, which makes the mask and names the
dRAM model whose map goes with it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from DRAMLesionLib.lesions.networks.bundle_folders import (
    METADATA,
    SHIPPED,
    bundle_folders,
    bundle_metadata,
    find_bundles,
)
from DRAMLesionLib.lesions.networks.bundle_folders import user_models_folder as user_models_folder
from DRAMLesionLib.lesions.networks.description import ModelDescription
from DRAMLesionLib.lesions.networks.dram_network import DenseNetwork, build_network
from DRAMLesionLib.lesions.networks.final_description import SegmentationDescription
from DRAMLesionLib.lesions.networks.final_network import SegmentationNetwork
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import checksum, replaced_directory
from DRAMLesionLib.system.memory import is_out_of_memory

Kind = Literal["dram", "segmentation"]
KINDS: tuple[Kind, Kind] = ("dram", "segmentation")
DEFAULT_MODEL = "dram-covid"
DEFAULT_SEGMENTATION_MODEL = "segmentation-covid"
INFERENCE = Path("configs/inference.json")
WEIGHTS, CARD = Path("models/model.safetensors"), Path("docs/README.md")
SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)


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
    wanted = str(name_or_folder or DEFAULT_MODEL)
    if (Path(wanted) / METADATA).is_file():
        return Path(wanted)
    known = list_models()
    if wanted in known:
        return known[wanted]
    if Path(wanted).is_dir():
        raise InputError(
            f"{wanted}: no model: the folder has no {METADATA.as_posix()}: give a bundle's folder"
        )
    names = ", ".join(sorted(known)) or "none"
    raise InputError(f"{wanted}: no such model: use a bundle's folder or one of: {names}")


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
    kind = torch.float16 if half else torch.float32
    state = {
        key: value.to(kind) if value.is_floating_point() else value
        for key, value in network.state_dict().items()
    }
    with replaced_directory(folder) as staging:
        write_bundle(staging, state, _metadata(name, version, summary, data, description), card, licence)
        (staging / INFERENCE).write_text(json.dumps(_inference(), indent=2) + "\n", encoding="utf-8")
    return Path(folder)


def write_bundle(
    folder: Path, state: dict[str, torch.Tensor], metadata: dict[str, Any], card: str, licence: str
) -> None:
    """Write what every bundle has: weights, metadata, card and licence.

    Args:
        folder: An empty folder.
        state: The weights by name.
        metadata: JSON values; the weights' checksum is added.
        card: The model card, Markdown.
        licence: The terms of the weights, as text.
    """
    from safetensors.torch import save_file

    for part in (METADATA, WEIGHTS, CARD):
        (folder / part).parent.mkdir(exist_ok=True)
    save_file({key: value.detach().cpu().contiguous() for key, value in state.items()}, folder / WEIGHTS)
    metadata = {**metadata, "checksum": {WEIGHTS.as_posix(): checksum(folder / WEIGHTS)}}
    (folder / METADATA).write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
    (folder / CARD).write_text(card, encoding="utf-8")
    (folder / "LICENSE").write_text(licence.strip() + "\n", encoding="utf-8")


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


def load_weights(network: torch.nn.Module, path: Path, metadata: dict[str, Any]) -> str:
    """Fill a network with the weights of a bundle, as float32.

    Args:
        network: The network that the bundle describes.
        path: The weights, ``.safetensors``.
        metadata: The bundle's metadata, which names the weights' checksum.

    Returns:
        The weights' SHA-256, hexadecimal.

    Raises:
        InputError: The weights are missing, are not those that the metadata names, do not fit the network, or are not
            finite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    checked = _matching_checksum(path, metadata)
    try:
        state = {
            key: value.float() if value.is_floating_point() else value
            for key, value in load_file(path).items()
        }
        network.load_state_dict(state)
    except (SafetensorError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path}: weights that do not fit the model: {reason}: install the model again"
        ) from error
    if not all(torch.isfinite(value).all() for value in state.values()):
        raise InputError(f"{path}: damaged model: weights that are not finite: install the model again")
    return checked


def _matching_checksum(path: Path, metadata: dict[str, Any]) -> str:
    try:
        actual = checksum(path)
    except OSError as error:
        raise InputError(
            f"{path}: model without weights: {error.strerror}: install the model again"
        ) from error
    expected = metadata.get("checksum", {}).get(WEIGHTS.as_posix())
    if actual != expected:
        raise InputError(
            f"{path}: damaged model: its SHA-256 is {actual[:12]}..., {METADATA.name} says "
            f"{str(expected)[:12]}...: install the model again"
        )
    return actual


def _metadata(
    name: str,
    version: str,
    summary: str,
    data: str,
    description: ModelDescription | SegmentationDescription,
) -> dict[str, Any]:
    import monai
    import numpy

    kind: Kind = "dram" if isinstance(description, ModelDescription) else "segmentation"
    task = {
        "dram": "COVID-19 lesion map and lobe percentages from chest CT",
        "segmentation": "COVID-19 lesion segmentation from chest CT",
    }
    return {
        "schema": SCHEMA,
        "version": version,
        "changelog": {version: summary},
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": numpy.__version__,
        "required_packages_version": {"SimpleITK": "2.4", "safetensors": "0.4", "scipy": "1.11"},
        "name": name,
        "task": task[kind],
        "description": summary,
        "authors": "The DRAMLesion developers",
        "copyright": "Copyright (c) The DRAMLesion developers",
        "data_source": data,
        "intended_use": "Research use only, not for diagnosis.",
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
