"""What samples of the lung network are made with: turning, sampling, pooling and blurring of volumes (z, y, x)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

UNKNOWN = 6
"""Value in the lobes where nobody can tell lung from what is beside it."""

IGNORED = -1
"""Class of a voxel that the loss leaves out."""


def rotation(angles: Sequence[float]) -> torch.Tensor:
    """The product of rotations about z, y and x; acts on (z, y, x)."""
    matrix = torch.eye(3)
    for angle, (i, j) in zip(angles, ((1, 2), (0, 2), (0, 1)), strict=True):
        turn = torch.eye(3)
        turn[i, i] = turn[j, j] = math.cos(angle)
        turn[i, j], turn[j, i] = -math.sin(angle), math.sin(angle)
        matrix = matrix @ turn
    return matrix


def sampled(values: torch.Tensor, grid: torch.Tensor, mode: str) -> torch.Tensor:
    """Volumes (channels, z, y, x) at the places of a grid (1, z, y, x, 3), as ``grid_sample`` wants it."""
    return functional.grid_sample(values[None], grid, mode=mode, align_corners=False)[0]


def other_side(lobes: torch.Tensor) -> torch.Tensor:
    """Values after a mirroring: left upper and right upper change places, and so on."""
    return torch.tensor([0, 3, 5, 1, 1, 2, UNKNOWN], dtype=torch.uint8, device=lobes.device)[lobes.long()]


def classes(sides: torch.Tensor) -> torch.Tensor:
    """The class of each voxel from the shares of left lung, right lung and unknown, float32 (3, z, y, x): int64."""
    left, right, unknown = sides
    inside = left + right
    target = torch.where(inside + unknown > 0.5, torch.where(left > right, 1, 2), 0)
    return torch.where((unknown > 0.02) & (unknown >= inside), IGNORED, target)


def grown(mask: torch.Tensor, voxels: int) -> torch.Tensor:
    """A mask with all that lies in the cube that reaches so many voxels from one of its own."""
    return along_axes(functional.max_pool3d, mask[None, None].float(), voxels)[0, 0] > 0


def boxed(mask: torch.Tensor, voxels: int) -> torch.Tensor:
    """The part of the mask in the cube that reaches so many voxels from each voxel, float32."""
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
    """A Gaussian in the slice, sigma in voxels."""
    reach = torch.arange(-3, 4, dtype=torch.float32, device=values.device)
    weights = torch.exp(-(reach**2) / (2 * sigma**2))
    weights = (weights / weights.sum()).view(1, 1, -1)
    shape = values.shape
    rows = functional.conv1d(_reflected(values.reshape(-1, 1, shape[2])), weights).view(shape)
    columns = rows.transpose(1, 2).reshape(-1, 1, shape[1])
    return functional.conv1d(_reflected(columns), weights).view(shape[0], shape[2], shape[1]).transpose(1, 2)


def _reflected(rows: torch.Tensor) -> torch.Tensor:
    return functional.pad(rows, (3, 3), mode="replicate")
