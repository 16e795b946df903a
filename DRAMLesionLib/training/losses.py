"""Losses of the percentage regression. All take one number per lobe as the label, and nothing voxel-wise.

The map's priors (`softness`, `roughness`) are ratios over the map's own sum, so they shape *where* the
map is without pulling *how much* of it there is, which is the regression's business.
"""

import torch
from torch.nn import functional

from DRAMLesionLib.dram import lobe_mean

SMALLEST_FRACTION = 0.003
"""Fractions are compared above this: below 0.3 % of a lobe a reader can't tell, and the logit has no floor."""


def percent_loss(logits: torch.Tensor, mask: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
    """Huber loss between the logits of the predicted and the known lesion fraction of each lobe.

    In logit space a lobe of 2 % weighs as much as one of 40 %: a plain squared difference leaves small lesions
    without a gradient.

    Args:
        logits: (batch, 1, z, y, x) of the network.
        mask: The same shape: the lobe.
        fraction: (batch,), known lesion fraction, 0..1.

    Returns:
        A scalar.
    """
    predicted = lobe_mean(torch.sigmoid(logits), mask)
    return functional.huber_loss(_logit(predicted), _logit(fraction))


def softness(dram: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """How undecided the map is: 0 where every voxel is 0 or 1, towards 1 for a flat, faint map.

    Args:
        dram: (batch, 1, z, y, x), 0..1.
        mask: The same shape: the lobe.
    """
    inside = dram * mask
    return _ratio((inside * (1 - dram)).flatten(1).sum(1), inside.flatten(1).sum(1))


def roughness(dram: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Total variation of the map over its sum: large for thin structures such as vessels, small for patches.

    Args:
        dram: (batch, 1, z, y, x), 0..1.
        mask: The same shape: the lobe. Differences across its border do not count.
    """
    variation = dram.new_zeros(dram.shape[0])
    inside = mask.to(dram.dtype)
    for axis in (2, 3, 4):
        length = dram.shape[axis] - 1
        both = inside.narrow(axis, 0, length) * inside.narrow(axis, 1, length)
        step = dram.narrow(axis, 1, length) - dram.narrow(axis, 0, length)
        variation = variation + (step.abs() * both).flatten(1).sum(1)
    return _ratio(variation, (dram * inside).flatten(1).sum(1))


def _ratio(part: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    # One voxel's worth is added, so that an empty map (rightly empty, in a healthy lobe) costs nothing.
    return (part / (whole + 1.0)).mean()


def _logit(fraction: torch.Tensor) -> torch.Tensor:
    return torch.logit(fraction.clamp(SMALLEST_FRACTION, 1 - SMALLEST_FRACTION))
