"""Models as MONAI bundles, whatever their network: write them, check them, fill a network without pickle.

A bundle is a folder::

    configs/metadata.json     MONAI's metadata, the model's description, the weights' checksum
    configs/inference.json    runs the model by ``python -m monai.bundle run``
    models/model.safetensors  the weights
    docs/README.md            the model card;  LICENSE: the terms of the weights

Imports no torch, so that a window can read metadata at once.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import replaced_directory
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
    if not isinstance(metadata, dict):
        raise InputError(f"{path}: damaged model: not a bundle's metadata: install the model again")
    return metadata


def read_metadata(path: Path) -> dict[str, Any]:
    """A bundle's metadata by the path of its file.

    Raises:
        InputError: It can't be read, or its checksums are no table.
    """
    metadata = bundle_metadata(path.parents[1])
    if not isinstance(metadata.get("checksum", {}), dict):
        raise InputError(f"{path}: damaged model: not a bundle's metadata: install the model again")
    return metadata


def load_checked(
    folder: Path, metadata: dict[str, Any], network: torch.nn.Module, device: torch.device | str
) -> tuple[str, str, str]:
    """Fill the network with the bundle's weights, ready to use; return the bundle's name, version and checksum.

    Raises:
        InputError: The weights are missing or damaged, or don't fit the network.
    """
    weights = folder / WEIGHTS
    found = _checksum(weights)
    expected = metadata.get("checksum", {}).get(WEIGHTS.as_posix())
    if found != expected:
        raise InputError(
            f"{weights}: damaged model: its SHA-256 is {found[:12]}..., {METADATA.name} says "
            f"{str(expected)[:12]}...: install the model again"
        )
    _load_weights(network, weights)
    network.eval().to(device)
    return str(metadata.get("name", folder.name)), str(metadata.get("version", "?")), found


def write_bundle(
    folder: str | Path,
    network: torch.nn.Module,
    metadata: dict[str, Any],
    inference: dict[str, Any],
    *,
    card: str,
    licence: str,
    half: bool = True,
) -> Path:
    """Write a bundle, whole or not at all; an older one of that name is replaced.

    Args:
        folder: The bundle's folder.
        network: Its weights are written.
        metadata: What is this model's own; versions, authors, intended use and the checksum are added.
        inference: What ``inference.json`` holds.
        card: The model card, Markdown.
        licence: The terms of the weights, as text.
        half: Store the weights in half precision (half the size; loaded as float32).

    Returns:
        The folder.

    Raises:
        OutputError: It can't be written.
    """
    import torch
    from safetensors.torch import save_file

    with replaced_directory(folder) as staging:
        for part in (METADATA, WEIGHTS, CARD):
            (staging / part).parent.mkdir(exist_ok=True)
        kind = torch.float16 if half else torch.float32
        state = {k: v.detach().cpu().to(kind).contiguous() for k, v in network.state_dict().items()}
        save_file(state, staging / WEIGHTS)
        whole = (
            _common_metadata() | metadata | {"checksum": {WEIGHTS.as_posix(): _checksum(staging / WEIGHTS)}}
        )
        (staging / METADATA).write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
        (staging / INFERENCE).write_text(json.dumps(inference, indent=2) + "\n", encoding="utf-8")
        (staging / CARD).write_text(card, encoding="utf-8")
        (staging / "LICENSE").write_text(licence.strip() + "\n", encoding="utf-8")
    return Path(folder)


def _common_metadata() -> dict[str, Any]:
    import monai
    import numpy
    import torch

    return {
        "schema": SCHEMA,
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": numpy.__version__,
        "required_packages_version": {"SimpleITK": "2.4", "safetensors": "0.4", "scipy": "1.11"},
        "authors": "The DRAMLesion developers",
        "copyright": "Copyright (c) The DRAMLesion developers",
        "intended_use": "Research use only, not for diagnosis.",
    }


def _checksum(path: Path) -> str:
    """SHA-256 of the weights' file, hexadecimal."""
    try:
        with path.open("rb") as weights:
            return hashlib.sha256(weights.read()).hexdigest()
    except OSError as error:
        raise InputError(
            f"{path}: model without weights: {error.strerror}: install the model again"
        ) from error


def _load_weights(network: torch.nn.Module, path: Path) -> None:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = {key: value.float() for key, value in load_file(path).items()}
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
