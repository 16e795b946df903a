"""Training of the final network: patches of the lungs against a label of each voxel, mostly a pseudo label."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from DRAMLesionLib.lesions.networks.bundle import save_model
from DRAMLesionLib.lesions.networks.final_description import SegmentationDescription
from DRAMLesionLib.lesions.networks.final_network import SegmentationNetwork
from DRAMLesionLib.lesions.probability import predict_on_grid
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress
from DRAMLesionLib.training.data.datalist import Scan, read_datalist
from DRAMLesionLib.training.recipes.recipe import Recipe
from DRAMLesionLib.training.recipes.settings import SegmentationSettings
from DRAMLesionLib.training.tasks.card import segmentation_card
from DRAMLesionLib.training.tasks.patches import LungSample, Patch, PatchSampler, load_lungs
from DRAMLesionLib.training.tasks.segmentation_losses import weighted_cross_entropy, weighted_dice_loss

VALIDATION_OVERLAP = 0.25
"""Overlap of the sliding window's patches, as a share of a side, while it only watches the training."""


class SegmentationTask:
    """The final network's task; see :class:`~DRAMLesionLib.training.tasks.task.Task`.

    It learns from the ``label`` of each training scan, a guess or an expert's; ``edits`` say which voxels a person
    painted. Validation looks at the lobes' percentages or scores alone.
    """

    weak_metric: str | None = "mae_points"
    samples_together = 2
    sample_weights: Sequence[float] | None = None

    def __init__(self, recipe: Recipe, data: Path, device: torch.device, progress: Progress):
        """Read the scans of the data list and build the network.

        Raises:
            InputError: A scan can't be read, or has no label to train on.
        """
        scans = read_datalist(data)
        without = [scan.name for scan in scans.training if scan.label is None]
        if without:
            raise InputError(
                f"{data}: no label for {', '.join(without)}: make labels with the command pseudo-label, or give "
                "masks as 'label'"
            )
        self._recipe, self._device = recipe, device
        self._settings: SegmentationSettings = recipe.settings
        self._description: SegmentationDescription = recipe.model
        stage, watched = "Reading the training scans", "Reading the validation scans"
        self._lungs = load_lungs(
            scans.training,
            self._description,
            self._settings.edit_weight,
            progress,
            stage,
            self._settings.built_in_lungs,
        )
        self._watched = load_lungs(
            [_without_label(scan) for scan in scans.validation], self._description, 1.0, progress, watched
        )
        if not self._watched:
            self.weak_metric = None
        s = self._settings
        self._sampler = PatchSampler(
            self._description.patch,
            seed=recipe.seed,
            lesion_share=s.lesion_share,
            rotation=s.rotation,
            scaling=s.scaling,
            intensity=s.intensity,
            flip_all=s.flip_all,
        )
        self.network = SegmentationNetwork(self._description.network).to(device)

    def __len__(self) -> int:
        """Patches in an epoch."""
        return len(self._lungs) * self._settings.patches_per_scan

    def sample(self, index: int, epoch: int) -> Patch:
        """Patch ``index`` of an epoch: of scan ``index`` modulo the number of scans."""
        turn, scan = divmod(index, len(self._lungs))
        return self._sampler(self._lungs[scan].in_turn(turn), epoch, index)

    def loss(self, samples: Sequence[Patch], done: float) -> tuple[torch.Tensor, dict[str, float]]:
        """Soft Dice plus cross entropy, each voxel with its weight; with deep supervision also of coarser stages."""
        image, target, weight = (
            torch.stack([getattr(sample, key) for sample in samples]).to(self._device)
            for key in ("image", "target", "weight")
        )
        output = self.network(image)
        stages = output.unbind(1) if output.ndim == 6 else (output,)
        total = image.new_zeros(())
        parts: dict[str, float] = {}
        for number, logits in enumerate(stages):
            entropy = weighted_cross_entropy(logits.float(), target, weight)
            dice = weighted_dice_loss(logits.float(), target, weight)
            total = total + 0.5**number * (entropy + self._settings.dice_weight * dice)
            if number == 0:
                parts = {"cross_entropy": entropy.item(), "dice_loss": dice.item()}
        return total / sum(0.5**number for number in range(len(stages))), parts

    def validate(self) -> dict[str, float]:
        """``mae_points``: how far the lobes' percentages lie from what is known of them, on average."""
        if not self._watched:
            return {}
        was_training = self.network.training
        self.network.eval()
        errors = [error for lungs in self._watched for error in self._errors(lungs)]
        self.network.train(was_training)
        return {"mae_points": float(np.mean(errors))} if errors else {}

    def save(self, out: Path, figures: dict[str, Any]) -> Path:
        """Write the bundle."""
        recipe = self._recipe
        return save_model(
            out,
            self.network,
            self._description,
            name=recipe.name,
            version=recipe.version,
            card=segmentation_card(recipe, len(self._lungs), figures),
            summary=f"final lesion segmentation network, trained on voxel labels of {len(self._lungs)} scans",
            data=recipe.data,
            licence=recipe.licence,
        )

    def _errors(self, lungs: LungSample) -> list[float]:
        """The error of each lobe of which something is known, in percentage points; 0 anywhere in a score's range."""
        probability = predict_on_grid(
            self.network,
            self._description,
            lungs.image.numpy(),
            device=self._device,
            flips=False,
            overlap=VALIDATION_OVERLAP,
        )
        lesion = probability > self._description.threshold
        errors = []
        for lobe, known in lungs.weak_labels.items():
            inside = lungs.labels == lobe
            if not inside.any():
                continue
            errors.append(100 * known.distance(float(lesion[inside].mean())))
        return errors


def _without_label(scan: Scan) -> Scan:
    return Scan(scan.image, scan.lobes, scan.percent, scan.score)
