"""The dRAM's training: what is known of each lobe, a percentage or a score, is all that it is told.

Up to four things are learned together: the map, by the regression of what is known; the attention that refines it, by
the map's own decision; the weights of the CRF, if it is a layer; and, from lesions pasted into healthy lobes, what a
lesion is.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.losses import MaskedDiceLoss
from torch.nn import functional

from DRAMLesionLib.lesions.networks.bundle import save_model
from DRAMLesionLib.lesions.networks.candidates import dram_and_refined
from DRAMLesionLib.lesions.networks.dram_network import build_network
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress
from DRAMLesionLib.training.data.datalist import read_datalist
from DRAMLesionLib.training.data.weak_label import candidates
from DRAMLesionLib.training.recipes.recipe import Recipe
from DRAMLesionLib.training.tasks.card import model_card
from DRAMLesionLib.training.tasks.dram_crf import CRFTraining
from DRAMLesionLib.training.tasks.dram_losses import (
    class_weights,
    lobe_mean,
    refinement_loss,
    refinement_target,
    roughness,
    softness,
    weak_loss,
)
from DRAMLesionLib.training.tasks.dram_samples import TrainingSample, Variation, load_samples
from DRAMLesionLib.training.tasks.synthetic_lesions import HEALTHY_FRACTION, paste_lesions

RISE = 0.3
"""Part of the training over which a term's weight rises from 0 to the whole."""


class DramTask:
    """Regression of what is known of the lobes; see :class:`~DRAMLesionLib.training.tasks.task.Task`."""

    weak_metric: str | None = "mae_points"
    samples_together = 1
    sample_weights: Sequence[float] | None = None

    def __init__(self, recipe: Recipe, data: Path, device: torch.device, progress: Progress):
        """Read the scans and build the network."""
        scans = read_datalist(data)
        self._recipe, self._settings, self._device = recipe, recipe.settings, device
        self._samples = load_samples(scans.training, recipe.model, progress, "Reading the training scans")
        self._watched = load_samples(scans.validation, recipe.model, progress, "Reading the validation scans")
        if not self._samples:
            raise InputError(f"{data}: no lobe has a known percentage or score: give at least one")
        self._healthy = [
            s for s in self._samples if s.label.is_healthy or s.label.known_range[1] <= HEALTHY_FRACTION
        ]
        self._scans = len(scans.training)
        self._vary = Variation(recipe.seed)
        scores = [sample.label.score for sample in self._samples]
        self._weights = class_weights(scores) if self._settings.balance == "loss" else None
        if self._settings.balance == "sampling":
            self.sample_weights = [1 / scores.count(score) for score in scores]
        self.network = build_network(recipe.model).to(device)
        self._crf = CRFTraining(recipe.model, self._settings.crf, self.network)
        self._dice = MaskedDiceLoss(reduction="mean", smooth_nr=1.0, smooth_dr=1.0)

    def __len__(self) -> int:
        """Lobes of which something is known."""
        return len(self._samples)

    def sample(self, index: int, epoch: int) -> TrainingSample:
        """One lobe, varied; at times a healthy one instead, with pasted lesions."""
        settings = self._settings
        chance = np.random.default_rng([self._recipe.seed, epoch, index])
        first = epoch <= settings.synthetic_first * self._recipe.epochs
        if (
            self._healthy
            and settings.synthetic_share
            and (first or chance.random() < settings.synthetic_share)
        ):
            healthy = self._healthy[chance.integers(len(self._healthy))]
            return self._pasted(self._vary(healthy, epoch, index), chance)
        return self._vary(self._samples[index], epoch, index)

    def loss(self, samples: Sequence[TrainingSample], done: float) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss to descend, and its parts before they are weighted."""
        (sample,) = samples
        image, mask = (part[None].to(self._device) for part in (sample.image, sample.mask))
        logits, refined = dram_and_refined(self.network, image, mask, self._recipe.model)
        if sample.lesion is not None:
            parts, total = self._drawn_losses(logits, refined, mask, sample.lesion[None].to(self._device))
        else:
            parts, total = self._weak_losses(logits, refined, image, mask, sample, done)
        return total, {key: value.item() for key, value in parts.items()}

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Mean absolute error of the lobes' percentages, in points: a weak metric, no voxel label is seen.

        A lobe of which only the score is known counts how far the percentage lies outside of the score's range.
        """
        if not self._watched:
            return {}
        self.network.eval()
        errors = []
        for sample in self._watched:
            image, mask = (part[None].to(self._device) for part in (sample.image, sample.mask))
            logits, _ = dram_and_refined(self.network, image, mask, self._recipe.model)
            predicted = lobe_mean(torch.sigmoid(logits), mask).item()
            errors.append(100 * sample.label.distance(predicted))
        self.network.train()
        return {"mae_points": float(np.mean(errors))}

    def save(self, out: Path, figures: dict[str, Any]) -> Path:
        """Write the bundle."""
        recipe = self._recipe
        description = self._crf.description()
        if self._settings.calibrate:
            description = replace(description, threshold=self._fitting_threshold())
        with self._crf.detached():
            return save_model(
                out,
                self.network,
                description,
                name=recipe.name,
                version=recipe.version,
                card=model_card(recipe, self._scans, len(self._samples), figures),
                summary=f"dRAM network, trained on weak labels of {len(self._samples)} lobes",
                data=recipe.data,
                licence=recipe.licence,
            )

    @torch.inference_mode()
    def _fitting_threshold(self) -> float:
        """The cut at which the (attended) map's masks agree best with what is known of the training lobes, in points."""
        cuts = torch.linspace(0.05, 0.95, 91)
        errors = torch.zeros(len(cuts))
        was_training = self.network.training
        self.network.eval()
        for sample in self._samples:
            image, mask = (part[None].to(self._device) for part in (sample.image, sample.mask))
            _, refined = dram_and_refined(self.network, image, mask, self._recipe.model)
            values = refined[mask].cpu()
            share = (values[None] > cuts[:, None]).float().mean(1)
            low, high = sample.label.known_range
            errors += torch.maximum(low - share, share - high).clamp_min(0)
        self.network.train(was_training)
        return round(float(cuts[errors.argmin()]), 2)

    def _pasted(self, sample: TrainingSample, chance: np.random.Generator) -> TrainingSample:
        image, lesion = paste_lesions(
            sample.image[0].numpy(),
            sample.mask[0].numpy(),
            self._recipe.model.spacing_mm,
            self._recipe.model.hu_window,
            chance,
        )
        lesion &= self._hu(image) > (self._recipe.model.candidate_hu or -np.inf)
        return replace(
            sample,
            image=torch.from_numpy(image)[None],
            lesion=torch.from_numpy(lesion)[None],
            name=f"{sample.name} with pasted lesions",
        )

    def _drawn_losses(
        self, logits: torch.Tensor, refined: torch.Tensor, mask: torch.Tensor, lesion: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The losses of a lobe with pasted lesions, whose voxels are known, and their weighted sum."""
        target = lesion.float()
        entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        parts = {
            "synthetic_cross_entropy": lobe_mean(entropy, mask).mean(),
            "synthetic_dice_loss": self._dice(torch.sigmoid(logits), target, mask),
        }
        total = 3 * parts["synthetic_cross_entropy"] + parts["synthetic_dice_loss"]
        if self.network.attention is not None:
            parts["synthetic_refinement_loss"] = refinement_loss(refined, target, mask)
            total = total + self._settings.refinement_weight * parts["synthetic_refinement_loss"]
        return parts, total

    def _weak_losses(
        self,
        logits: torch.Tensor,
        refined: torch.Tensor,
        image: torch.Tensor,
        mask: torch.Tensor,
        sample: TrainingSample,
        done: float,
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The losses of a lobe of which only a number is known, and their weighted sum.

        The map's shape matters once its amount is about right.
        """
        settings, dram = self._settings, torch.sigmoid(logits)
        parts = {
            "weak_loss": weak_loss(logits, mask, [sample.label], weights=self._weights),
            "softness": softness(dram, mask),
            "roughness": roughness(dram, mask),
        }
        shape = settings.softness_weight * parts["softness"] + settings.roughness_weight * parts["roughness"]
        total = parts["weak_loss"] + _risen(done, settings.priors_from) * shape
        rise = _risen(done, settings.refinement_from)
        if not rise:
            return parts, total
        hu = self._hu(image)
        if self.network.attention is not None:
            decided = dram if settings.crf == "none" else self._crf.target(refined, hu, mask)
            target = self._target(decided, mask, sample)
            parts["refinement_loss"] = refinement_loss(refined, target, mask)
            total = total + rise * settings.refinement_weight * parts["refinement_loss"]
        if settings.crf == "layer":
            after = self._crf.layer_logits(refined, hu, mask)
            parts["crf_loss"] = weak_loss(after, mask, [sample.label], weights=self._weights)
            total = total + rise * settings.refinement_weight * parts["crf_loss"]
        return parts, total

    def _target(self, decided: torch.Tensor, mask: torch.Tensor, sample: TrainingSample) -> torch.Tensor:
        """What the refined map learns from; see ``target`` of :class:`DramSettings`."""
        threshold, known = self._recipe.model.threshold, sample.label.fraction
        if self._settings.target == "quantile" and known is not None and 0 < known < 1:
            threshold = float(np.quantile(decided.detach()[mask].float().cpu().numpy(), 1 - known))
        return refinement_target(decided, self._candidates(sample), [sample.label], threshold=threshold)

    def _candidates(self, sample: TrainingSample) -> torch.Tensor:
        bright = candidates(sample.image[0].numpy(), sample.mask[0].numpy())
        return torch.from_numpy(bright)[None, None].to(self._device)

    def _hu(self, image: Any) -> Any:
        low, high = self._recipe.model.hu_window
        return low + image * (high - low)


def _risen(done: float, start: float) -> float:
    """A term's share of its weight: 0 before ``start``, 1 after ``start`` + :data:`RISE`."""
    return min(1.0, max(0.0, (done - start) / RISE))
