"""What is about a voxel: pools and a Gaussian in a cube, one axis after the other."""

from collections.abc import Callable

import torch
from torch.nn import functional


def grown(mask: torch.Tensor, voxels: int) -> torch.Tensor:
    """The mask grown by a cube that reaches so many voxels, bool (z, y, x)."""
    return along_axes(functional.max_pool3d, mask[None, None].float(), voxels)[0, 0] > 0


def share_about(mask: torch.Tensor, voxels: int) -> torch.Tensor:
    """The share of the mask in the cube that reaches so many voxels from each voxel, float32 (z, y, x)."""
    return along_axes(functional.avg_pool3d, mask[None, None].float(), voxels)[0, 0]


def along_axes(pool: Callable[..., torch.Tensor], values: torch.Tensor, voxels: int) -> torch.Tensor:
    """Pool in a cube that reaches so many voxels from each voxel, one axis after the other: far less work than at once.

    Args:
        pool: ``max_pool3d`` or ``avg_pool3d``.
        values: float32 (batch, 1, z, y, x).
        voxels: The reach.
    """
    width = 2 * voxels + 1
    for axis in range(3):
        size, padding = [1, 1, 1], [0, 0, 0]
        size[axis], padding[axis] = width, voxels
        values = pool(values, size, 1, padding)
    return values


def blurred(values: torch.Tensor, sigma: float) -> torch.Tensor:
    """A Gaussian in the slice, sigma in voxels; float32 (z, y, x)."""
    reach = torch.arange(-3, 4, dtype=torch.float32, device=values.device)
    weights = torch.exp(-(reach**2) / (2 * sigma**2))
    weights = (weights / weights.sum()).view(1, 1, -1)
    shape = values.shape
    rows = functional.conv1d(_reflected(values.reshape(-1, 1, shape[2])), weights).view(shape)
    columns = rows.transpose(1, 2).reshape(-1, 1, shape[1])
    return functional.conv1d(_reflected(columns), weights).view(shape[0], shape[2], shape[1]).transpose(1, 2)


def _reflected(rows: torch.Tensor) -> torch.Tensor:
    return functional.pad(rows, (3, 3), mode="replicate")
