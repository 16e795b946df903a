"""The candidate prior: voxels that are too dark to be lesion are held down in the logits."""

import torch

from DRAMLesionLib.lesions.networks.description import ModelDescription
from DRAMLesionLib.lesions.networks.dram_network import DenseNetwork

CANDIDATE_EDGE_HU = 25.0
"""Width of the soft edge of the candidate prior."""


def dram_logits(network: torch.nn.Module, image: torch.Tensor, description: ModelDescription) -> torch.Tensor:
    """Logits of the dRAM: the network's, held down on voxels that are too dark to be lesion.

    Without such a candidate prior the percentages alone are met best by a flat map, and training never leaves it. The
    published method bounds the *amount* by brighter voxels (candidates); here the same knowledge bounds the *place*.

    Args:
        network: Gives logits of the image's shape.
        image: (batch, 1, z, y, x), the HU window as 0..1.
        description: The model's; ``candidate_hu`` is the HU at which the prior is half open.

    Returns:
        (batch, 1, z, y, x) float32 logits.
    """
    logits = network(image).float()
    offset = candidate_offset(image, description)
    return logits if offset is None else logits + offset


def dram_and_refined(
    network: DenseNetwork, image: torch.Tensor, mask: torch.Tensor, description: ModelDescription
) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits of :func:`dram_logits` and the attention's refined map, by one pass through the network.

    Args:
        network: Without attention, the refined map is the dRAM inside the mask.
        image: (batch, 1, z, y, x), the HU window as 0..1.
        mask: (batch, 1, z, y, x), bool or 0..1: the lobe.
        description: The model's.

    Returns:
        Both float32 (batch, 1, z, y, x): logits; refined dRAM, 0..1, 0 outside the mask.
    """
    return network.forward_with_refined(image, mask, candidate_offset(image, description))


def candidate_offset(image: torch.Tensor, description: ModelDescription) -> torch.Tensor | None:
    """What the candidate prior adds to the logits: 0 on bright voxels, -10 on dark ones, -5 at ``candidate_hu``.

    Args:
        image: (batch, 1, z, y, x), the HU window as 0..1.
        description: The model's.

    Returns:
        float32, the image's shape; None where the model has no such prior.
    """
    if description.candidate_hu is None:
        return None
    low, high = description.hu_window
    hu = low + image.float() * (high - low)
    return -10.0 * torch.sigmoid((description.candidate_hu - hu) / CANDIDATE_EDGE_HU)
