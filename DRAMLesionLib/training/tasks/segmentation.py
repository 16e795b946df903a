"""Training of the final network: patches of the lungs against a label of each voxel, mostly a pseudo label."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from DRAMLesionLib.lesions.networks.bundle import save_model
from DRAMLesionLib.lesions.networks.final_description import AmountSettings, SegmentationDescription
from DRAMLesionLib.lesions.networks.final_network import SegmentationNetwork
from DRAMLesionLib.lesions.probability import predict_on_grid
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress
from DRAMLesionLib.training.data.datalist import Scan, read_datalist
from DRAMLesionLib.training.recipes.recipe import Recipe
from DRAMLesionLib.training.recipes.settings import SegmentationSettings
from DRAMLesionLib.training.tasks.amounts import fit_amount
from DRAMLesionLib.training.tasks.card import segmentation_card
from DRAMLesionLib.training.tasks.patches import LungSample, Patch, PatchSampler, load_lungs
from DRAMLesionLib.training.tasks.segmentation_losses import (
    amount_loss,
    weighted_cross_entropy,
    weighted_dice_loss,
)
from DRAMLesionLib.training.tasks.synthetic.lungs import (
    HealthyLungs,
    load_healthy_lungs,
    paste_into,
    transplant,
    without_disease,
)

PASTED_FOR_AMOUNT = 24
"""Lungs with pasted disease that the amount is fitted to, beside the real lobes."""
VALIDATION_OVERLAP = 0.25
"""Overlap of the sliding window's patches, as a share of a side, while it only watches the training."""


class SegmentationTask:
    """The final network's task; see :class:`~DRAMLesionLib.training.tasks.task.Task`.

    It learns from the ``label`` of each training scan, a guess or an expert's, and from disease pasted into lobes without
    lesion; a scan without lesion needs no label. ``edits`` say which voxels a person painted. Validation looks at the
    lobes' percentages or scores alone.
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
        without = [scan.name for scan in scans.training if scan.label is None and not scan.is_healthy]
        if without:
            raise InputError(
                f"{data}: no label for {', '.join(without)}: make labels with the command pseudo-label, or give "
                "masks as 'label'; a scan without lesion needs none if the percentage of all five lobes is 0 "
                "(null: not known), that of a missing lobe, too"
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
        self._healthy: list[HealthyLungs] = []
        if s.pasted_share:
            stage = "Reading the lobes without lesion"
            self._healthy = load_healthy_lungs(scans.training, self._description, progress, stage)
        self._pasted: dict[tuple[int, int], LungSample] = {}
        if self._description.network.norm == "batch":
            # Its statistics are those of the samples in one call.
            self.samples_together = recipe.batch
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
        """Patch ``index`` of an epoch: of scan ``index`` modulo the number of scans, or of lungs with pasted disease."""
        chance = np.random.default_rng([self._recipe.seed, epoch, index])
        if self._healthy and chance.random() < self._settings.pasted_share:
            return self._pasted_patch(index, epoch, chance)
        turn, scan = divmod(index, len(self._lungs))
        return self._sampler(self._lungs[scan].in_turn(turn), epoch, index)

    def _pasted_patch(self, index: int, epoch: int, chance: np.random.Generator) -> Patch:
        """A patch of lungs with pasted disease, or of healthy ones with the lesions of a patch of a labelled scan."""
        window = self._description.hu_window
        labelled = [lungs for lungs in self._lungs if bool((lungs.target > 0.5).any())]
        if labelled and chance.random() < self._settings.transplant_share:
            healthy = self._healthy[chance.integers(len(self._healthy))]
            receiver = self._sampler(without_disease(healthy, window), epoch, index, once=True)
            donor = labelled[chance.integers(len(labelled))]
            return transplant(receiver, self._sampler(donor, epoch, len(self) + index))
        which = (epoch, index // self._settings.patches_per_scan)
        if which not in self._pasted:
            self._pasted = {key: lungs for key, lungs in self._pasted.items() if key[0] == epoch}
            own = np.random.default_rng([self._recipe.seed, *which, 1])
            self._pasted[which] = paste_into(self._healthy[own.integers(len(self._healthy))], window, own)
        return self._sampler(self._pasted[which], epoch, index, once=True)

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
            amount = amount_loss(logits.float(), target, weight)
            weighted = self._settings.dice_weight * dice + self._settings.amount_weight * amount
            total = total + 0.5**number * (entropy + weighted)
            if number == 0:
                parts = {"cross_entropy": entropy.item(), "dice_loss": dice.item()}
                if self._settings.amount_weight:
                    parts["amount_loss"] = amount.item()
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
        recipe, description = self._recipe, self._description
        if self._settings.fit_amount:
            description = replace(description, amount=self._fitted_amount())
        return save_model(
            out,
            self.network,
            description,
            name=recipe.name,
            version=recipe.version,
            card=segmentation_card(recipe, len(self._lungs), figures),
            summary=f"final lesion segmentation network, trained on {len(self._lungs)} scans (see data_source)",
            data=recipe.data,
            licence=recipe.licence,
        )

    @torch.inference_mode()
    def _fitted_amount(self) -> AmountSettings | None:
        """What the maps' means stand for in the training lobes, ``sure`` as given; None where no percentage is known."""
        was_training = self.network.training
        self.network.eval()
        known, pasted = [], []
        for lungs in self._lungs:
            probability = self._probability(lungs)
            for lobe, label in lungs.weak_labels.items():
                inside = lungs.labels == lobe
                if label.fraction is not None and inside.any():
                    known.append((100 * float(probability[inside].mean()), 100 * label.fraction))
        for number in range(PASTED_FOR_AMOUNT if known and self._healthy else 0):
            own = np.random.default_rng([self._recipe.seed, number, 2])
            healthy = self._healthy[number % len(self._healthy)]
            lungs = paste_into(healthy, self._description.hu_window, own)
            probability, target = self._probability(lungs), lungs.target.numpy()
            for lobe in np.unique(lungs.labels[lungs.labels > 0]):
                inside = lungs.labels == lobe
                pasted.append((100 * float(probability[inside].mean()), 100 * float(target[inside].mean())))
        self.network.train(was_training)
        given = self._description.amount
        return replace(fit_amount(known, pasted), sure=given.sure if given else None) if known else None

    def _probability(self, lungs: LungSample) -> np.ndarray:
        return predict_on_grid(
            self.network,
            self._description,
            lungs.image.numpy(),
            device=self._device,
            flips=False,
            overlap=VALIDATION_OVERLAP,
        )

    def _errors(self, lungs: LungSample) -> list[float]:
        """The error of each lobe of which something is known, in percentage points; 0 anywhere in a score's range."""
        lesion = self._probability(lungs) > self._description.threshold
        errors = []
        for lobe, known in lungs.weak_labels.items():
            inside = lungs.labels == lobe
            if not inside.any():
                continue
            errors.append(100 * known.distance(float(lesion[inside].mean())))
        return errors


def _without_label(scan: Scan) -> Scan:
    return Scan(scan.image, scan.lobes, scan.percent, scan.score)
