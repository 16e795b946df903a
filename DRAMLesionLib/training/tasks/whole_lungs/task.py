"""Training of the network of the lobes' amounts."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from DRAMLesionLib.lesions.networks.amount_bundle import save_amount_model
from DRAMLesionLib.lesions.networks.amount_description import AmountDescription
from DRAMLesionLib.lesions.networks.amount_network import AmountNetwork
from DRAMLesionLib.lesions.networks.bundle import find_model, load_segmentation_model
from DRAMLesionLib.lesions.networks.final_description import SegmentationDescription
from DRAMLesionLib.lesions.probability import predict_on_grid
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress
from DRAMLesionLib.training.data.datalist import Scan, read_datalist
from DRAMLesionLib.training.recipes.recipe import Recipe
from DRAMLesionLib.training.recipes.settings import WholeLungSettings
from DRAMLesionLib.training.tasks.card import amounts_card
from DRAMLesionLib.training.tasks.dram_losses import lobe_mean, weak_loss
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
from DRAMLesionLib.training.tasks.synthetic_lesions import HEALTHY_FRACTION
from DRAMLesionLib.training.tasks.whole_lungs.samples import (
    LungsSample,
    WholeLungs,
    known_shares,
    varied,
    with_disease,
)

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

    It learns from the percentages of scans, from their ``label`` where they have one, and from disease pasted into lobes
    without lesion.
    """

    weak_metric: str | None = None
    samples_together = 1
    sample_weights: Sequence[float] | None = None

    def __init__(self, recipe: Recipe, data: Path, device: torch.device, progress: Progress):
        """Read the scans of the data list, and build the network.

        Raises:
            InputError: A scan can't be read, or the list has no lobe without lesion.
        """
        self._recipe, self._device = recipe, device
        self._settings: WholeLungSettings = recipe.settings
        self._description: AmountDescription = recipe.model
        scans = read_datalist(data).training
        sick = [scan for scan in scans if _has_lesion(scan)]
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
        self._pasted: dict[tuple[int, int], WholeLungs] = {}
        self.network = AmountNetwork(self._description).to(device)

    def __len__(self) -> int:
        """Samples in an epoch."""
        return self._settings.samples

    def sample(self, index: int, epoch: int) -> LungsSample:
        """Sample ``index`` of an epoch."""
        rng = np.random.default_rng([self._recipe.seed, epoch, index])
        if self._scans and rng.random() < self._settings.real_share:
            lungs = self._real(int(rng.integers(len(self._scans))), rng)
        else:
            lungs = self._pasted_lungs(epoch, index // self._settings.uses)
        return varied(lungs, self._description.hu_window, rng, self._settings.turned)

    def _real(self, number: int, rng: np.random.Generator) -> WholeLungs:
        scan = self._scans[number].in_turn(int(rng.integers(2)))
        hu = vary_scanner(_hu(scan), scan.labels, rng, SCANNER, published=self._equalised[number])
        target = scan.target.numpy() if bool((scan.target > 0).any()) else None
        return WholeLungs(scan.name, hu, scan.labels, self._map(hu, scan.labels), target, scan.weak_labels)

    def _pasted_lungs(self, epoch: int, number: int) -> WholeLungs:
        """Lungs number ``number`` of an epoch; they are kept as long as it lasts, since several samples use them."""
        if (epoch, number) not in self._pasted:
            self._pasted = {key: lungs for key, lungs in self._pasted.items() if key[0] == epoch}
            rng = np.random.default_rng([self._recipe.seed, epoch, number, 1])
            self._pasted[epoch, number] = self._made(self._healthy[rng.integers(len(self._healthy))], rng)
        return self._pasted[epoch, number]

    def _made(self, healthy: HealthyLungs, rng: np.random.Generator) -> WholeLungs:
        lungs, texture = healthy.lungs, None
        if not healthy.equalised and rng.random() < VARIED:
            lungs = replace(lungs, hu=vary_normal(lungs, rng))
        hu, lesion = lungs.hu, np.zeros(lungs.labels.shape, bool)
        if rng.random() >= self._settings.healthy_share:
            if self._textures and rng.random() < self._settings.texture_share:
                texture = self._textures[rng.integers(len(self._textures))]
            hu, lesion = with_disease(lungs, rng, self._style, texture)
        hu = vary_scanner(hu, lungs.labels, rng, SCANNER, published=healthy.equalised)
        return WholeLungs(
            f"{healthy.name} with pasted disease",
            hu,
            lungs.labels,
            self._map(hu, lungs.labels),
            lesion.astype(np.float32),
            known_shares(lungs.labels, lesion),
        )

    def _map(self, hu: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """What the final network says of lungs on its grid."""
        low, high = self._description.hu_window
        image = np.where(labels > 0, ((hu - low) / (high - low)).clip(0, 1), 0).astype(np.float32)
        probability = predict_on_grid(
            self._final.network, self._final.description, image, device=self._device, flips=False
        )
        return probability * (labels > 0)

    def loss(self, samples: Sequence[LungsSample], done: float) -> tuple[torch.Tensor, dict[str, float]]:
        """Cross entropy of the voxels, and how far the lobes' amounts are off."""
        total, parts = torch.zeros((), device=self._device), {"cross_entropy": 0.0, "amount_loss": 0.0}
        for sample in samples:
            inside = (sample.labels > 0).to(self._device)
            logits = self.network(
                sample.image[None, None].to(self._device),
                inside[None, None].float(),
                sample.lesion_map[None, None].to(self._device),
            ).float()
            amounts = lobe_loss(logits, sample.labels.to(self._device), sample.known)
            total = total + self._settings.amount_weight * amounts
            parts["amount_loss"] += amounts.item() / len(samples)
            if sample.target is not None:
                entropy = functional.binary_cross_entropy_with_logits(
                    logits[0, 0][inside], sample.target.to(self._device)[inside]
                )
                total = total + entropy
                parts["cross_entropy"] += entropy.item() / len(samples)
        return total / len(samples), parts

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


def lobe_loss(logits: torch.Tensor, labels: torch.Tensor, known: Any) -> torch.Tensor:
    """How far the mean probability of each lobe lies from what is known of it: in points, and in logits.

    Args:
        logits: float32 (1, 1, z, y, x).
        labels: uint8 (z, y, x), lobes 1..5.
        known: The :class:`~DRAMLesionLib.training.data.weak_label.WeakLabel` of each lobe by its value.

    Returns:
        A scalar: the mean over the lobes that are there; 0 where nothing is known.
    """
    losses = []
    for lobe, label in known.items():
        mask = (labels == lobe)[None, None]
        if mask.any():
            share = lobe_mean(torch.sigmoid(logits), mask)[0]
            low, high = label.known_range
            points = (low - share).clamp_min(0) + (share - high).clamp_min(0)
            losses.append(points + LOGIT_WEIGHT * weak_loss(logits, mask, [label]))
    return torch.stack(losses).mean() if losses else logits.sum() * 0


def _has_lesion(scan: Scan) -> bool:
    known = [scan.weak_label(lobe.value) for lobe in LOBES]
    return any(label is not None and label.known_range[1] > HEALTHY_FRACTION for label in known)


def _hu(lungs: LungSample) -> np.ndarray:
    low, high = HELD_HU
    return low + lungs.image.numpy() * np.float32(high - low)
