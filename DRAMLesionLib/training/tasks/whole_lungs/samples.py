"""Whole lungs as samples: scans with known percentages, and lungs with pasted disease of any amount."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from DRAMLesionLib.training.data.weak_label import WeakLabel
from DRAMLesionLib.training.tasks.synthetic.disease import DiseaseStyle, Lungs, paste_disease
from DRAMLesionLib.training.tasks.synthetic.texture import LesionTexture, paste_texture


@dataclass(frozen=True)
class WholeLungs:
    """Both lungs on the network's grid; arrays (z, y, x).

    Attributes:
        name: For people.
        hu: float32 HU.
        labels: uint8, lobes 1..5.
        lesion_map: float32, 0..1: the final network's.
        target: float32, 0..1: how much of the voxel is lesion; None where nobody says.
        known: What is known of a lobe, by its value.
    """

    name: str
    hu: np.ndarray
    labels: np.ndarray
    lesion_map: np.ndarray
    target: np.ndarray | None
    known: Mapping[int, WeakLabel]


@dataclass(frozen=True)
class LungsSample:
    """What the network sees and what it should say; tensors (z, y, x).

    Attributes:
        name: For people.
        image: float32: the HU window as 0..1, 0 outside the lobes.
        labels: uint8, lobes 1..5.
        lesion_map: float32, 0..1: the final network's.
        target: float32, 0..1; None where no voxel is known.
        known: What is known of a lobe, by its value.
    """

    name: str
    image: torch.Tensor
    labels: torch.Tensor
    lesion_map: torch.Tensor
    target: torch.Tensor | None
    known: Mapping[int, WeakLabel]


def with_disease(
    lungs: Lungs, rng: np.random.Generator, style: DiseaseStyle, texture: LesionTexture | None
) -> tuple[np.ndarray, np.ndarray]:
    """Lungs without lesion with pasted disease; each lobe's percentage is known then.

    Args:
        lungs: Without lesion.
        rng: Where chance comes from.
        style: Of the disease.
        texture: What the disease looks like; None draws that, too.

    Returns:
        HU, float32 (z, y, x), and where the lesion is, bool (z, y, x).
    """
    fractions = any_fractions(rng, style) if rng.random() < 0.5 else None
    if texture is None:
        return paste_disease(lungs, rng, style, fractions)
    return paste_texture(lungs, texture, rng, style, fractions)


def known_shares(labels: np.ndarray, lesion: np.ndarray) -> dict[int, WeakLabel]:
    """What is known of each lobe where each voxel is known."""
    return {
        int(lobe): WeakLabel.from_percent(100 * float(lesion[labels == lobe].mean()))
        for lobe in np.unique(labels[labels > 0])
    }


def any_fractions(rng: np.random.Generator, style: DiseaseStyle) -> tuple[float, ...]:
    """The diseased fraction of each of five lobes, 0..1: each of any amount, for itself."""
    drawn = rng.uniform(0.02, 0.97, 5)
    return tuple(float(v) if rng.random() < style.sick_lobes else 0.0 for v in drawn)


def varied(
    lungs: WholeLungs, hu_window: tuple[float, float], rng: np.random.Generator, turned: float
) -> LungsSample:
    """One sample: mirrored, at times turned and stretched, which also smooths it as interpolation does.

    Args:
        lungs: On the network's grid.
        hu_window: HU of 0 and of 1 in the image.
        rng: Where chance comes from.
        turned: Probability of rotation and stretching.
    """
    low, high = hu_window
    image = torch.from_numpy(((lungs.hu - low) / (high - low)).clip(0, 1).astype(np.float32))
    labels = torch.from_numpy(lungs.labels)
    lesion_map = torch.from_numpy(lungs.lesion_map)
    target = None if lungs.target is None else torch.from_numpy(lungs.target)
    if rng.random() < turned:
        grid = _turned_grid(image.shape, rng)
        image, labels = _at(image, grid, "bilinear"), _at(labels.float(), grid, "nearest").to(torch.uint8)
        lesion_map = _at(lesion_map, grid, "bilinear")
        target = None if target is None else _at(target, grid, "bilinear")
    axes = [axis for axis in range(3) if rng.random() < 0.5]
    image, labels, lesion_map = image.flip(axes), labels.flip(axes), lesion_map.flip(axes)
    target = None if target is None else target.flip(axes)
    return LungsSample(lungs.name, image * (labels > 0), labels, lesion_map, target, lungs.known)


def _turned_grid(shape: torch.Size, rng: np.random.Generator) -> torch.Tensor:
    """Where each voxel comes from, (1, z, y, x, 3) in the -1..1 of torch's ``grid_sample``."""
    size = torch.tensor(shape, dtype=torch.float32)
    stretch = np.exp(rng.uniform(-0.18, 0.18)) * np.exp(rng.uniform(-0.08, 0.08, 3))
    matrix = np.diag(1 / stretch)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        angle = math.radians(rng.uniform(-12, 12))
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = math.cos(angle)
        turn[first, second], turn[second, first] = -math.sin(angle), math.sin(angle)
        matrix = matrix @ turn
    # In voxels about the middle; grid_sample counts x first, and from -1 to 1 along each axis.
    scaled = torch.from_numpy(matrix).float() * size[None, :] / size[:, None]
    theta = torch.cat([scaled.flip(0, 1), torch.from_numpy(rng.uniform(-0.04, 0.04, (3, 1))).float()], 1)
    return functional.affine_grid(theta[None], [1, 1, *shape], align_corners=False)


def _at(values: torch.Tensor, grid: torch.Tensor, mode: str) -> torch.Tensor:
    return functional.grid_sample(values[None, None], grid, mode=mode, align_corners=False)[0, 0]
