"""Models as MONAI bundles, whatever their network: write them, check them, fill a network without pickle.

A bundle is a folder::

    configs/metadata.json     MONAI's metadata, the model's description, the weights' checksum
    configs/inference.json    runs the model by ``python -m monai.bundle run``
    models/model.safetensors  the weights
    docs/README.md            the model card;  LICENSE: the terms of the weights

Imports no torch, so that a window can read metadata at once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import checksum, replaced_directory
from DRAMLesionLib.system.memory import is_out_of_memory
from DRAMLesionLib.system.text_file import read_json

if TYPE_CHECKING:
    import torch

METADATA, INFERENCE = Path("configs/metadata.json"), Path("configs/inference.json")
WEIGHTS, CARD = Path("models/model.safetensors"), Path("docs/README.md")
SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)


def bundle_metadata(folder: Path) -> dict[str, Any]:
    """A bundle's metadata.

    Raises:
        InputError: It can't be read.
    """
    path = folder / METADATA
    metadata = read_json(path, "a model's metadata, damaged model", "install the model again")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("checksum", {}), dict):
        raise InputError(f"{path}: damaged model: not a bundle's metadata: install the model again")
    return metadata


def common_metadata(name: str, version: str, summary: str, data: str) -> dict[str, Any]:
    """What the metadata of every bundle begin with.

    Args:
        name: The model's name.
        version: The bundle's version.
        summary: What the model does, in a sentence.
        data: What it was trained on, in a sentence.
    """
    import monai
    import numpy
    import torch

    return {
        "schema": SCHEMA,
        "version": version,
        "changelog": {version: summary},
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": numpy.__version__,
        "required_packages_version": {"SimpleITK": "2.4", "safetensors": "0.4", "scipy": "1.11"},
        "name": name,
        "description": summary,
        "authors": "The DRAMLesion developers",
        "copyright": "Copyright (c) The DRAMLesion developers",
        "data_source": data,
        "intended_use": "Research use only, not for diagnosis.",
    }


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


def save_bundle(
    folder: str | Path,
    network: torch.nn.Module,
    metadata: dict[str, Any],
    inference: dict[str, Any],
    card: str,
    licence: str,
    half: bool = True,
) -> Path:
    """Write a bundle, whole or not at all; an older one of that name is replaced.

    Args:
        folder: The bundle's folder.
        network: The network whose weights are written.
        metadata: JSON values; the weights' checksum is added.
        inference: What ``python -m monai.bundle run`` does with it, JSON values.
        card: The model card, Markdown.
        licence: The terms of the weights, as text.
        half: Store the weights in half precision (half the size; loaded as float32).

    Returns:
        The folder.

    Raises:
        OutputError: It can't be written.
    """
    import torch

    kind = torch.float16 if half else torch.float32
    state = {
        key: value.to(kind) if value.is_floating_point() else value
        for key, value in network.state_dict().items()
    }
    with replaced_directory(folder) as staging:
        write_bundle(staging, state, metadata, card, licence)
        (staging / INFERENCE).write_text(json.dumps(inference, indent=2) + "\n", encoding="utf-8")
    return Path(folder)


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
    import torch
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
