"""The training of the CAM baseline: classification of each lobe's severity score, by the same data as the dRAM's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from DRAMLesionLib.images.volume import read_ct
from DRAMLesionLib.lesions.lung_grid import lobe_samples, lung_grid
from DRAMLesionLib.lesions.networks.description import ModelDescription
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.lungs.read_lobes import read_lobes
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress
from DRAMLesionLib.training.data.datalist import Scan, read_datalist
from DRAMLesionLib.training.recipes.recipe import Recipe
from DRAMLesionLib.training.recipes.settings import CamSettings
from DRAMLesionLib.training.tasks.cam_bundle import save_cam_model
from DRAMLesionLib.training.tasks.cam_network import CamNetwork
from DRAMLesionLib.training.tasks.card import cam_card
from DRAMLesionLib.training.tasks.dram_samples import Variation

__all__ = ["CamSample", "CamSettings", "CamTask"]


@dataclass(frozen=True)
class CamSample:
    """One lobe and its class.

    Attributes:
        image: float32 (1, z, y, x), 0..1, 0 outside the lobe.
        mask: bool (1, z, y, x): the lobe.
        target: The number of the lobe's class.
        name: For messages: the scan and the lobe.
    """

    image: torch.Tensor
    mask: torch.Tensor
    target: int
    name: str


class CamTask:
    """Classification of lobes; see :class:`~DRAMLesionLib.training.tasks.task.Task`. No voxel label is seen."""

    weak_metric: str | None = "cross_entropy"
    samples_together = 1
    sample_weights: Sequence[float] | None = None

    def __init__(self, recipe: Recipe, data: Path, device: torch.device, progress: Progress):
        """Read the scans and build the network.

        Raises:
            InputError: A scan can't be read, or nothing is known of any lobe.
        """
        scans = read_datalist(data)
        self._recipe, self._device = recipe, device
        self._settings: CamSettings = recipe.settings
        self._samples = self._load(scans.training, recipe.model, progress, "Reading the training scans")
        self._watched = self._load(scans.validation, recipe.model, progress, "Reading the validation scans")
        if not self._samples:
            raise InputError(f"{data}: no lobe has a known percentage or score: give at least one")
        if not self._watched:
            self.weak_metric = None
        self._scans = len(scans.training)
        self._weights = self._class_weights().to(device)
        self._vary = Variation(recipe.seed)
        self.network = CamNetwork(recipe.model.network, self._settings).to(device)

    def __len__(self) -> int:
        """Lobes of which something is known."""
        return len(self._samples)

    def sample(self, index: int, epoch: int) -> CamSample:
        """One lobe, varied."""
        varied: CamSample = self._vary(self._samples[index], epoch, index)  # type: ignore[assignment,arg-type]
        return varied

    def loss(self, samples: Sequence[CamSample], done: float) -> tuple[torch.Tensor, dict[str, float]]:
        """Cross entropy of the class, rare classes weighing more."""
        (sample,) = samples
        entropy, right = self._judge(sample)
        return entropy * self._weights[sample.target], {"accuracy": right}

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Mean cross entropy and accuracy on the validation scans."""
        if not self._watched:
            return {}
        self.network.eval()
        judged = [self._judge(sample) for sample in self._watched]
        self.network.train()
        return {
            "cross_entropy": float(np.mean([entropy.item() for entropy, _ in judged])),
            "accuracy": float(np.mean([right for _, right in judged])),
        }

    def save(self, out: Path, figures: dict[str, Any]) -> Path:
        """Write the bundle."""
        recipe = self._recipe
        return save_cam_model(
            out,
            self.network,
            recipe.model,
            name=recipe.name,
            version=recipe.version,
            card=cam_card(recipe, self._scans, len(self._samples), figures),
            licence=recipe.licence,
        )

    def _judge(self, sample: CamSample) -> tuple[torch.Tensor, float]:
        """Cross entropy, and 1 where the most probable class is the right one, else 0."""
        logits = self.network(*(part[None].to(self._device) for part in (sample.image, sample.mask)))
        target = torch.tensor([sample.target], device=self._device)
        return functional.cross_entropy(logits, target), float(logits.argmax(1).item() == sample.target)

    def _class_weights(self) -> torch.Tensor:
        """Inverse of each class's frequency, so that the mean over the training lobes is 1; or all 1."""
        counts = np.bincount([sample.target for sample in self._samples], minlength=self._settings.count)
        if not self._settings.balance:
            return torch.ones(len(counts))
        present = np.count_nonzero(counts)
        return torch.tensor(len(self._samples) / (present * np.maximum(counts, 1)), dtype=torch.float32)

    def _load(
        self, scans: Sequence[Scan], description: ModelDescription, progress: Progress, stage: str
    ) -> list[CamSample]:
        samples = []
        for number, scan in enumerate(scans):
            progress(stage, number / len(scans))
            ct = read_ct(scan.image)
            lobes = read_lobes(scan.lobes, ct, allow_missing=True)
            grid = lung_grid(ct.array, lobes.labels, ct.spacing_mm, description)
            for lobe in lobe_samples(grid, description):
                label = scan.weak_label(lobe.lobe)
                if label is not None:
                    image, mask = (torch.from_numpy(a)[None] for a in (lobe.image, lobe.mask))
                    name = f"{scan.name} {LOBES[lobe.lobe - 1].abbreviation}"
                    samples.append(CamSample(image, mask, self._settings.class_of(label.score), name))
        progress(stage, 1.0)
        return samples
