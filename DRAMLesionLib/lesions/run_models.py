"""Which models segment a CT: the dRAM model, and by default the final network, which makes heatmap and mask."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from DRAMLesionLib.lesions.networks.bundle import (
    DEFAULT_SEGMENTATION_MODEL,
    METADATA,
    Model,
    SegmentationModel,
    find_model,
    list_models,
    load_model,
    load_segmentation_model,
    model_kind,
)
from DRAMLesionLib.lesions.whole_lungs.bundle import AmountModel, load_amount_model
from DRAMLesionLib.system.errors import InputError

Method = Literal["final", "dram"]
"""What makes the mask: the final network, or the (refined) dRAM cut at its threshold."""


@dataclass(frozen=True)
class CaseModels:
    """The loaded models of a run.

    Attributes:
        dram: Makes the dRAM and the refined dRAM.
        final: Makes the mask; None where the map is cut instead.
        amounts: Says at which percentage the final network's map is cut in each lobe; None: the map's mean does.
    """

    dram: Model
    final: SegmentationModel | None = None
    amounts: AmountModel | None = None

    @property
    def method(self) -> Method:
        """What makes the mask."""
        return "dram" if self.final is None else "final"

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next((weights.device for weights in self.dram.network.parameters()), torch.device("cpu"))

    @property
    def checksum(self) -> str:
        """SHA-256 that tells all weights of the run from others: the dRAM model's own where it is alone."""
        if self.final is None:
            return self.dram.checksum
        parts = [self.dram.checksum, self.final.checksum]
        parts += [] if self.amounts is None else [self.amounts.checksum]
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()

    def facts(self) -> dict[str, Any]:
        """For the record of findings: ``model`` and, where there are such, ``segmentation_model``, ``amount_model``."""
        models = {"model": self.dram, "segmentation_model": self.final, "amount_model": self.amounts}
        return {
            key: {"name": model.name, "version": model.version, "checksum": model.checksum}
            for key, model in models.items()
            if model is not None
        }


def load_case_models(
    model: str | Path | None = None, method: str | None = None, device: torch.device | str = "cpu"
) -> CaseModels:
    """Load the models that a run needs.

    Args:
        model: A bundle's folder or name, of either kind: a dRAM model makes the mask itself, a final network brings the
            dRAM model that its metadata names. None is the default model of the method.
        method: ``final``, ``dram``, or None: ``final`` where a final network is there or given.
        device: The device that the networks are put on.

    Raises:
        InputError: An unknown method, a model that is missing, damaged or of the wrong kind.
    """
    if method is not None and method not in get_args(Method):
        raise InputError(f"method {method!r}: use one of {', '.join(get_args(Method))}")
    if model is None:
        has_final = DEFAULT_SEGMENTATION_MODEL in list_models()
        if method == "final" and not has_final:
            raise InputError(
                "method final: no final network is installed: give one with --model, or use method dram"
            )
        if method == "dram" or not has_final:
            return CaseModels(load_model(None, device))
        model = DEFAULT_SEGMENTATION_MODEL
    folder = find_model(model)
    if model_kind(folder) == "dram":
        if method == "final":
            raise InputError(
                f"{folder}: is a dRAM model: give a segmentation model (final network) for method final"
            )
        return CaseModels(load_model(folder, device))
    final = load_segmentation_model(folder, device)
    dram = final.description.dram_model
    companion = load_model(
        find_model(None) if dram is None else find_companion(final, "dram_model", dram), device
    )
    if method == "dram":
        return CaseModels(companion)
    wanted = final.description.amount_model
    if wanted is None:
        return CaseModels(companion, final)
    return CaseModels(
        companion, final, load_amount_model(find_companion(final, "amount_model", wanted), device)
    )


def find_companion(final: SegmentationModel, key: str, name: str) -> Path:
    """The folder of a model that goes with a final network: beside its bundle, else a known one.

    Args:
        final: The final network.
        key: Of its description.
        name: The model's name, which is the key's value.

    Raises:
        InputError: There is none of that name.
    """
    if Path(name).name != name or "\\" in name:
        raise InputError(
            f"{final.folder / METADATA}: segmentation.{key}: {name!r} is a path, not a model's name: install "
            "the model again"
        )
    beside = final.folder.resolve().parent / name
    if (beside / METADATA).is_file():
        return beside
    try:
        return find_model(name)
    except InputError as error:
        raise InputError(
            f"{final.folder / METADATA}: segmentation.{key}: {error}; or put it beside the bundle"
        ) from error
