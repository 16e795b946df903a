"""Training of the network of the lobes' amounts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from DRAMLesionLib.lesions.networks.bundle import find_model, load_segmentation_model
from DRAMLesionLib.lesions.networks.final_description import SegmentationDescription
from DRAMLesionLib.lesions.probability import predict_on_grid
from DRAMLesionLib.lesions.whole_lungs.bundle import save_amount_model
from DRAMLesionLib.lesions.whole_lungs.description import AmountDescription
from DRAMLesionLib.lesions.whole_lungs.network import AmountNetwork
from DRAMLesionLib.lesions.whole_lungs.pooled import lobe_shares, pool_lungs, pooled
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress
from DRAMLesionLib.training.data.datalist import Scan, read_datalist
from DRAMLesionLib.training.data.weak_label import WeakLabel
from DRAMLesionLib.training.recipes.recipe import Recipe
from DRAMLesionLib.training.recipes.settings import WholeLungSettings
from DRAMLesionLib.training.tasks.card import amounts_card
from DRAMLesionLib.training.tasks.dram_losses import share_loss
from DRAMLesionLib.training.tasks.patches import LungSample, load_lungs
from DRAMLesionLib.training.tasks.synthetic.disease import DiseaseStyle, vary_normal
from DRAMLesionLib.training.tasks.synthetic.lungs import (
    HELD_HU,
    VARIED,
    HealthyLungs,
    lesion_texture,
    load_healthy_lungs,
)
from DRAMLesionLib.training.tasks.synthetic.scanner import ScannerStyle, vary_scanner
from DRAMLesionLib.training.tasks.synthetic.texture import LesionTexture
from DRAMLesionLib.training.tasks.synthetic.whole_lung_samples import (
    LungsSample,
    batch_of,
    known_shares,
    varied,
    with_disease,
)
from DRAMLesionLib.training.tasks.synthetic_lesions import HEALTHY_FRACTION

DISEASE = DiseaseStyle(
    sick_lobes=0.8,
    severe=(0.15, 0.97),
    gap_share=(0.0, 0.55),
    ground_glass=(0.22, 0.5),
    steepness=(6.0, 40.0),
)
"""Disease that can be seen: of what looks like lung that is breathed out a network can only learn to guess the mean."""
SCANNER = ScannerStyle(equalised=0.2)
"""Equalisation takes away how dense a lobe is."""
LOGIT_WEIGHT = 0.3
"""Of the percentages' distance in logits, by which mild lobes count; that in points is 1."""


class WholeLungTask:
    """The task of the amount network; see :class:`~DRAMLesionLib.training.tasks.task.Task`.

    It learns from the percentages of scans and their ``label``, and from disease pasted into lobes without lesion.
    """

    weak_metric: str | None = None
    sample_weights: Sequence[float] | None = None

    def __init__(self, recipe: Recipe, data: Path, device: torch.device, progress: Progress):
        """Read the scans of the data list, make the lungs with disease, and build the network.

        Raises:
            InputError: A scan can't be read or has no label, or the list has no lobe without lesion.
        """
        self._recipe, self._device = recipe, device
        self._settings: WholeLungSettings = recipe.settings
        self._description: AmountDescription = recipe.model
        self.samples_together = recipe.batch
        scans = read_datalist(data).training
        sick = [scan for scan in scans if _has_lesion(scan)]
        without = [scan.name for scan in sick if scan.label is None]
        if without:
            raise InputError(
                f"{data}: no label for {', '.join(without)}: make labels with the command pseudo-label"
            )
        prepared = SegmentationDescription(
            spacing_mm=self._description.spacing_mm, hu_window=HELD_HU, margin_mm=self._description.margin_mm
        )
        stage = "Reading the training scans"
        self._scans = load_lungs(sick, prepared, 1.0, progress, stage, built_in_lungs=True)
        self._equalised = [scan.equalised for scan in sick]
        stage = "Reading the lobes without lesion"
        self._healthy = load_healthy_lungs(scans, prepared, progress, stage)
        if not self._healthy:
            raise InputError(f"{data}: no lobe is known to have no lesion: add scans with percent 0")
        found = [lesion_texture(lungs, HELD_HU) for lungs in self._scans]
        self._textures: list[LesionTexture] = [texture for texture in found if texture is not None]
        self._style = replace(DISEASE, severe_share=self._settings.severe_share)
        self._final = load_segmentation_model(find_model(self._settings.final), device)
        self._real = self._real_lungs(progress)
        self._pasted = self._pasted_lungs(progress)
        self.network = AmountNetwork(self._description).to(device)

    def __len__(self) -> int:
        """Samples in an epoch."""
        return self._settings.samples

    def sample(self, index: int, epoch: int) -> LungsSample:
        """Sample ``index`` of an epoch."""
        rng = np.random.default_rng([self._recipe.seed, epoch, index])
        is_real = self._real and rng.random() < self._settings.real_share
        lungs = self._real if is_real else self._pasted
        return varied(lungs[int(rng.integers(len(lungs)))], rng)

    def _real_lungs(self, progress: Progress) -> list[LungsSample]:
        """Each scan, in either outline, as it is and as other scanners show it."""
        made, count = [], self._settings.variants
        for number, scan in enumerate(self._scans):
            for variant in range(count):
                progress("Varying the scans", (number + variant / count) / len(self._scans))
                rng = np.random.default_rng([self._recipe.seed, number, variant, 2])
                lungs = scan.in_turn(variant)
                hu = _hu(lungs)
                if variant > 1:
                    hu = vary_scanner(hu, lungs.labels, rng, SCANNER, published=self._equalised[number])
                target = lungs.target.numpy()
                made.append(self._pooled(scan.name, hu, lungs.labels, target, lungs.weak_labels))
        return made

    def _pasted_lungs(self, progress: Progress) -> list[LungsSample]:
        """Lungs with pasted disease; the lobes without lesion take turns."""
        made = []
        for number in range(self._settings.pasted):
            progress("Pasting disease", number / self._settings.pasted)
            rng = np.random.default_rng([self._recipe.seed, number, 1])
            made.append(self._made(self._healthy[number % len(self._healthy)], rng))
        return made

    def _made(self, healthy: HealthyLungs, rng: np.random.Generator) -> LungsSample:
        lungs, texture = healthy.lungs, None
        if not healthy.equalised and rng.random() < VARIED:
            lungs = replace(lungs, hu=vary_normal(lungs, rng))
        hu, lesion = lungs.hu, np.zeros(lungs.labels.shape, bool)
        if rng.random() >= self._settings.healthy_share:
            if self._textures and rng.random() < self._settings.texture_share:
                texture = self._textures[rng.integers(len(self._textures))]
            hu, lesion = with_disease(lungs, rng, self._style, texture)
        hu = vary_scanner(hu, lungs.labels, rng, SCANNER, published=healthy.equalised)
        name, known = f"{healthy.name} with pasted disease", known_shares(lungs.labels, lesion)
        return self._pooled(name, hu, lungs.labels, lesion.astype(np.float32), known)

    def _pooled(
        self,
        name: str,
        hu: np.ndarray,
        labels: np.ndarray,
        target: np.ndarray,
        known: Mapping[int, WeakLabel],
    ) -> LungsSample:
        """Lungs with what the final network says of them, on the network's grid."""
        low, high = self._description.hu_window
        image = np.where(labels > 0, ((hu - low) / (high - low)).clip(0, 1), 0).astype(np.float32)
        probability = predict_on_grid(
            self._final.network, self._final.description, image, device=self._device, flips=False
        )
        block, inside = self._description.block, torch.from_numpy(labels > 0).float()
        share = pooled(inside, block).clamp_min(1e-3)
        seen = pool_lungs(image, labels, probability, block)
        return LungsSample(name, seen, pooled(torch.from_numpy(target) * inside, block) / share, known)

    def loss(self, samples: Sequence[LungsSample], done: float) -> tuple[torch.Tensor, dict[str, float]]:
        """Cross entropy of the voxels, and how far the lobes' amounts are off."""
        features, lobes, target = (
            values.to(self._device) for values in batch_of(samples, self._description.step)
        )
        odds = self.network(features).float()
        weight = features[:, :1]
        entropy = functional.binary_cross_entropy_with_logits(odds, target.clamp(0, 1), reduction="none")
        entropy = (entropy * weight).sum() / weight.sum()
        amounts = amount_loss(lobe_shares(odds, lobes), lobes, [sample.known for sample in samples])
        parts = {"cross_entropy": entropy.item(), "amount_loss": amounts.item()}
        return entropy + self._settings.amount_weight * amounts, parts

    def validate(self) -> dict[str, float]:
        """Nothing is measured while it trains."""
        return {}

    def save(self, out: Path, figures: dict[str, Any]) -> Path:
        """Write the bundle."""
        recipe = self._recipe
        return save_amount_model(
            out,
            self.network,
            name=recipe.name,
            version=recipe.version,
            card=amounts_card(recipe, len(self._scans), len(self._healthy), figures),
            summary=f"share of each lobe that is lesion in chest CT, trained on {len(self._scans)} scans and disease "
            "pasted into lobes without",
            data=recipe.data,
            licence=recipe.licence,
        )


def amount_loss(
    shares: torch.Tensor, lobes: torch.Tensor, known: Sequence[Mapping[int, WeakLabel]]
) -> torch.Tensor:
    """How far each lobe's share lies from what is known of it: in points, and a little in logits.

    Args:
        shares: (batch, 5), 0..1.
        lobes: (batch, 5, z, y, x): where they are; missing ones do not count.
        known: Of each sample, by the lobe's value.

    Returns:
        A scalar: the mean over the lobes of which something is known; 0 where nothing is.
    """
    present = lobes.flatten(2).any(2)
    losses = []
    for number, labels in enumerate(known):
        for lobe, label in labels.items():
            if present[number, lobe - 1]:
                share = shares[number, lobe - 1]
                low, high = label.known_range
                points = (low - share).clamp_min(0) + (share - high).clamp_min(0)
                losses.append(points + LOGIT_WEIGHT * share_loss(share, label))
    return torch.stack(losses).mean() if losses else shares.sum() * 0


def _has_lesion(scan: Scan) -> bool:
    known = [scan.weak_label(lobe.value) for lobe in LOBES]
    return any(label is not None and label.known_range[1] > HEALTHY_FRACTION for label in known)


def _hu(lungs: LungSample) -> np.ndarray:
    low, high = HELD_HU
    return low + lungs.image.numpy() * np.float32(high - low)
