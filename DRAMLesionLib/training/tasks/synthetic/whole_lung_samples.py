"""Whole lungs as samples, pooled: scans with known percentages, and lungs with pasted disease of any amount."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from DRAMLesionLib.lesions.whole_lungs.pooled import PooledLungs
from DRAMLesionLib.training.data.weak_label import WeakLabel
from DRAMLesionLib.training.tasks.synthetic.disease import DiseaseStyle, Lungs, paste_disease
from DRAMLesionLib.training.tasks.synthetic.texture import LesionTexture, paste_texture

UNEVEN = 0.04
"""Standard deviation of what is added to each channel of a sample."""


@dataclass(frozen=True)
class LungsSample:
    """What the network sees and what it should say; on the network's grid.

    Attributes:
        name: For people.
        pooled: What it sees.
        target: float32 (z, y, x), 0..1: how much of the voxel's lung is lesion.
        known: What is known of a lobe, by its value.
    """

    name: str
    pooled: PooledLungs
    target: torch.Tensor
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


def any_fractions(rng: np.random.Generator, style: DiseaseStyle) -> tuple[float, ...]:
    """The diseased fraction of each of five lobes, 0..1: each of any amount, for itself."""
    drawn = rng.uniform(0.02, 0.97, 5)
    return tuple(float(v) if rng.random() < style.sick_lobes else 0.0 for v in drawn)


def known_shares(labels: np.ndarray, lesion: np.ndarray) -> dict[int, WeakLabel]:
    """What is known of each lobe where each voxel is known."""
    return {
        int(lobe): WeakLabel.from_percent(100 * float(lesion[labels == lobe].mean()))
        for lobe in np.unique(labels[labels > 0])
    }


def varied(sample: LungsSample, rng: np.random.Generator) -> LungsSample:
    """The sample mirrored by chance, each channel a little higher or lower in the lungs."""
    axes = [axis for axis in (1, 2, 3) if rng.random() < 0.5]
    features = sample.pooled.features.flip(axes)
    added = torch.from_numpy(rng.normal(0, UNEVEN, len(features)).astype(np.float32))
    added[0] = 0  # the share that is lung
    features = features + added[:, None, None, None] * (features[:1] > 0)
    target = sample.target.flip([axis - 1 for axis in axes])
    return LungsSample(
        sample.name, PooledLungs(features, sample.pooled.lobes.flip(axes)), target, sample.known
    )


def batch_of(samples: Sequence[LungsSample], step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features, lobes and targets of samples of any size together, (batch, channel, z, y, x); sides grow to ``step``."""
    shapes = [sample.target.shape for sample in samples]
    size = [-(-max(sides) // step) * step for sides in zip(*shapes, strict=True)]

    def grown(values: torch.Tensor) -> torch.Tensor:
        missing = [n - own for n, own in zip(size, values.shape[-3:], strict=True)]
        return functional.pad(values, [p for m in reversed(missing) for p in (0, m)])

    features = torch.stack([grown(sample.pooled.features) for sample in samples])
    lobes = torch.stack([grown(sample.pooled.lobes) for sample in samples])
    return features, lobes, torch.stack([grown(sample.target[None]) for sample in samples])
