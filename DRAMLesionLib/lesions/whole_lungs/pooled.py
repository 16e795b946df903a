"""Both lungs in voxels of about 10 mm: of each, how dense its voxels are and what the final network says of them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from DRAMLesionLib.lungs.lobes import LOBES

DENSE = (0.1, 0.2, 0.35, 0.5, 0.7)
"""Values of the HU window above which voxels are counted."""
LIKELY = (0.05, 0.2, 0.5, 0.9)
"""Probabilities above which voxels are counted."""
CHANNELS = 3 + len(DENSE) + 1 + 3 + len(LIKELY)
ODDS, ODDS_UNIT = 10, 3.0
"""The channel of the mean probability's log odds, and what its 1 stands for."""


@dataclass(frozen=True)
class PooledLungs:
    """What the network of the lobes' amounts sees, and where the lobes are.

    Attributes:
        features: float32 (channel, z, y, x): share of the voxel in the lungs; mean and spread of density; shares above
            :data:`DENSE`; change from slice to slice; mean probability, its log odds, mean log odds; shares above
            :data:`LIKELY`. 0 outside the lungs.
        lobes: float32 (5, z, y, x): share of the voxel in each lobe, in the order of the lobes' values.
    """

    features: torch.Tensor
    lobes: torch.Tensor


def pool_lungs(image: np.ndarray, labels: np.ndarray, probability: np.ndarray, block: int) -> PooledLungs:
    """Pool lungs and map.

    Args:
        image: float32 (z, y, x): the HU window as 0..1.
        labels: uint8, the same shape: lobes 1..5.
        probability: float32, the same shape, 0..1: the final network's.
        block: Voxels along each axis that are pooled to one.
    """
    inside = torch.from_numpy((labels > 0).astype(np.float32))
    density, likely = torch.from_numpy(image), torch.from_numpy(probability)
    share = pooled(inside, block)
    of = share.clamp_min(1e-3)

    def mean(values: torch.Tensor) -> torch.Tensor:
        return pooled(values * inside, block) / of

    average = mean(density)
    spread = (mean(density.square()) - average.square()).clamp_min(0).sqrt()
    both = functional.pad(inside[1:] * inside[:-1], (0, 0, 0, 0, 1, 0))
    change = functional.pad((density[1:] - density[:-1]).abs(), (0, 0, 0, 0, 1, 0)) * both
    probable = mean(likely)
    odds = torch.logit(likely, 1e-4).clamp(-6, 6)
    channels = [share, 2 * average - 0.5, 4 * spread]
    channels += [mean((density > value).float()) for value in DENSE]
    channels += [8 * pooled(change, block) / pooled(both, block).clamp_min(1e-3)]
    channels += [probable, torch.logit(probable, 1e-3) / ODDS_UNIT, mean(odds) / ODDS_UNIT]
    channels += [mean((likely > value).float()) for value in LIKELY]
    lobes = [pooled(torch.from_numpy((labels == lobe.value).astype(np.float32)), block) for lobe in LOBES]
    return PooledLungs(torch.stack(channels) * (share > 0), torch.stack(lobes))


def pooled(values: torch.Tensor, block: int) -> torch.Tensor:
    """Means of blocks; what lies beyond the end is 0. float32 (z, y, x) to a grid that is so many times as coarse."""
    padding = [p for n in reversed(values.shape) for p in (0, -n % block)]
    return functional.avg_pool3d(functional.pad(values[None, None], padding), block)[0, 0]


def lobe_shares(odds: torch.Tensor, lobes: torch.Tensor) -> torch.Tensor:
    """The share of each lobe that is lesion.

    Args:
        odds: (batch, 1, z, y, x): log odds of the network.
        lobes: (batch, 5, z, y, x) of :class:`PooledLungs`.

    Returns:
        (batch, 5), 0..1; 0 where the lobe is missing.
    """
    sums = (torch.sigmoid(odds) * lobes).sum((2, 3, 4))
    return sums / lobes.sum((2, 3, 4)).clamp_min(1e-3)
