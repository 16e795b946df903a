"""Training of the lung network: whole chests whose lungs are known, made harder by pasted disease and gas."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from DRAMLesionLib.images.resampling import low_pass_resample, resample
from DRAMLesionLib.images.volume import Volume, read_ct, read_on_grid
from DRAMLesionLib.lungs.fissures import split_lobes
from DRAMLesionLib.lungs.lung_bundle import save_lung_model
from DRAMLesionLib.lungs.lung_description import LungDescription
from DRAMLesionLib.lungs.lung_network import LungNetwork, network_input
from DRAMLesionLib.lungs.read_lobes import read_lobes
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress
from DRAMLesionLib.training.data.datalist import Scan, read_datalist
from DRAMLesionLib.training.recipes.recipe import Recipe
from DRAMLesionLib.training.recipes.settings import LungSettings
from DRAMLesionLib.training.tasks.card import lungs_card
from DRAMLesionLib.training.tasks.lungs.samples import LungSample, LungScan, SampleMaker
from DRAMLesionLib.training.tasks.lungs.transforms import IGNORED, UNKNOWN, along_axes

LEFT, RIGHT, NOBODY_KNOWS = 1, 2, 255
"""Values of a lung label."""

DENSE_HU, BESIDE = -650.0, 5
"""Denser lung, and denser tissue that is no more than so many voxels beside lung, is hard to tell apart."""


class LungTask:
    """The lung network's task; see :class:`~DRAMLesionLib.training.tasks.task.Task`."""

    weak_metric: str | None = None
    samples_together = 4
    sample_weights: Sequence[float] | None = None

    def __init__(self, recipe: Recipe, data: Path, device: torch.device, progress: Progress):
        """Read the scans of the data list and build the network.

        Raises:
            InputError: A scan or its label can't be read, or the samples' size does not fit the network.
        """
        self._recipe, self._device = recipe, device
        self._settings: LungSettings = recipe.settings
        self._description: LungDescription = recipe.model
        if any(n % self._description.step for n in self._settings.size):
            raise InputError(
                f"lungs.size: {list(self._settings.size)} are no multiples of {self._description.step}: change them"
            )
        scans = read_datalist(data)
        self._scans = self._read(scans.training, "Reading the training scans", progress)
        self._watched = self._read(scans.validation, "Reading the validation scans", progress)
        self.network = LungNetwork(self._description).to(device)

    def __len__(self) -> int:
        """Samples in an epoch."""
        return len(self._scans) * self._settings.samples_per_scan

    def sample(self, index: int, epoch: int) -> LungSample:
        """Sample ``index`` of an epoch: of scan ``index`` modulo the number of scans."""
        seed = int(np.random.SeedSequence([self._recipe.seed, epoch, index]).generate_state(1)[0])
        make = SampleMaker(
            self._settings.size, self._description.spacing_mm, seed, self._device, self._settings.disease
        )
        with torch.no_grad():
            return make(self._scans[index % len(self._scans)])

    def loss(self, samples: Sequence[LungSample], done: float) -> tuple[torch.Tensor, dict[str, float]]:
        """Cross entropy plus soft Dice of both lungs."""
        hu = torch.stack([sample.hu for sample in samples])[:, None]
        target = torch.stack([sample.target for sample in samples])
        weights = hard_places(target, hu, self._settings.dense_weight)
        if self._settings.keep_statistics:
            keep_statistics(self.network)
        return lung_loss(self.network(network_input(hu)).float(), target, weights)

    def validate(self) -> dict[str, float]:
        """``dice``: Dice coefficient of each lung on the network's grid, on average."""
        if not self._watched:
            return {}
        was_training = self.network.training
        self.network.eval()
        dices = [dice for scan in self._watched for dice in self._dices(scan)]
        self.network.train(was_training)
        return {"dice": float(np.mean(dices))} if dices else {}

    def save(self, out: Path, figures: dict[str, Any]) -> Path:
        """Write the bundle."""
        recipe = self._recipe
        return save_lung_model(
            out,
            self.network,
            name=recipe.name,
            version=recipe.version,
            card=lungs_card(recipe, len(self._scans), figures),
            summary=f"left and right lung in chest CT, trained on {len(self._scans)} scans",
            data=recipe.data,
            licence=recipe.licence,
        )

    def _read(self, scans: Sequence[Scan], stage: str, progress: Progress) -> list[LungScan]:
        found = []
        for number, scan in enumerate(scans):
            progress(stage, number / len(scans))
            found.append(read_lung_scan(scan, self._description.spacing_mm, self._device))
        if scans:
            progress(stage, 1.0)
        return found

    def _dices(self, scan: LungScan) -> list[float]:
        step = self._description.step
        padding = [p for n in reversed(scan.hu.shape) for p in (0, -n % step)]
        hu = functional.pad(scan.hu, padding, value=-1024.0)
        z, y, x = scan.hu.shape
        with torch.no_grad():
            found = self.network(network_input(hu[None, None]))[0, :, :z, :y, :x].argmax(dim=0)
        known = scan.lobes != UNKNOWN
        true = _sides(scan.lobes)
        dices = []
        for side in (LEFT, RIGHT):
            one, other = (found == side) & known, (true == side) & known
            if other.any():
                dices.append(float(2 * (one & other).sum() / (one.sum() + other.sum())))
        return dices


def keep_statistics(network: torch.nn.Module) -> None:
    """Let normalisation use the statistics that it has: those of one or two samples are not those of chests."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.eval()


def lung_loss(
    logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, dict[str, float]]:
    """Weighted cross entropy plus soft Dice of left and right lung over the whole batch.

    Args:
        logits: float32 (batch, 3, z, y, x).
        target: int64 (batch, z, y, x): 0, 1 left, 2 right, or ``IGNORED``.
        weights: float32 (batch, z, y, x): how much a voxel counts in the cross entropy.

    Returns:
        The loss and its parts by name.
    """
    each = functional.cross_entropy(logits, target, ignore_index=IGNORED, reduction="none")
    known = target != IGNORED
    entropy = (each * weights).sum() / (weights * known).sum().clamp(min=1)
    shares = logits.softmax(dim=1)
    dice = logits.new_zeros(())
    for side in (LEFT, RIGHT):
        true = (target == side).float()
        found = shares[:, side] * known
        dice = dice + 0.5 * (1 - (2 * (found * true).sum() + 1) / (found.sum() + true.sum() + 1))
    return entropy + dice, {"cross_entropy": entropy.item(), "dice_loss": dice.item()}


def hard_places(target: torch.Tensor, hu: torch.Tensor, weight: float) -> torch.Tensor:
    """How much a voxel counts: more where lung is dense, and in dense tissue beside the lungs, which look alike.

    Args:
        target: int64 (batch, z, y, x), as for :func:`lung_loss`.
        hu: float32 (batch, 1, z, y, x).
        weight: Of these places; 1 elsewhere.

    Returns:
        float32 (batch, z, y, x).
    """
    lung = (target == LEFT) | (target == RIGHT)
    near = along_axes(functional.max_pool3d, lung[:, None].float(), BESIDE)[:, 0] > 0
    return torch.where((hu[:, 0] > DENSE_HU) & near, weight, 1.0)


def read_lung_scan(scan: Scan, grid_mm: float, device: torch.device | str = "cpu") -> LungScan:
    """A scan with its lungs on the network's grid.

    Raises:
        InputError: The CT, its label or its lobes can't be read; or the label has other values than 0, 1, 2 and 255.
    """
    ct = read_ct(scan.image)
    size = [max(1, round(n * s / grid_mm)) for n, s in zip(ct.array.shape, ct.spacing_mm, strict=True)]

    def slab(part: slice) -> torch.Tensor:
        return torch.from_numpy(ct.array[part].astype(np.float32))

    hu = low_pass_resample(slab, ct.array.shape, size)
    sides = _lungs_of(scan, ct)
    shares = np.stack(
        [resample((sides == value).astype(np.float32), size, 1) for value in (LEFT, RIGHT, NOBODY_KNOWS)]
    )
    values = np.array([LEFT, RIGHT, NOBODY_KNOWS], np.uint8)[shares.argmax(axis=0)]
    coarse = np.where(shares.sum(axis=0) > 0.5, values, np.uint8(0))
    lobes, _ = split_lobes(np.where(coarse == NOBODY_KNOWS, np.uint8(0), coarse))
    lobes[coarse == NOBODY_KNOWS] = UNKNOWN
    return LungScan(scan.name, torch.from_numpy(hu).to(device), torch.from_numpy(lobes).to(device))


def _lungs_of(scan: Scan, ct: Volume) -> np.ndarray:
    if scan.label is None:
        lobes = read_lobes(scan.lobes, ct, allow_missing=True).labels
        return np.array([0, LEFT, LEFT, RIGHT, RIGHT, RIGHT], np.uint8)[lobes]
    label = read_on_grid(scan.label, ct, "lung mask")
    if not np.isin(label, (0, LEFT, RIGHT, NOBODY_KNOWS)).all():
        raise InputError(
            f"{scan.label}: other values than 0, 1 (left lung), 2 (right lung) and 255 (nobody knows): correct the label"
        )
    return label.astype(np.uint8)


def _sides(lobes: torch.Tensor) -> torch.Tensor:
    values = torch.tensor([0, LEFT, LEFT, RIGHT, RIGHT, RIGHT, 0], device=lobes.device)
    return values[lobes.long()]
