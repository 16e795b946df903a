"""Randomness on a grid: the numbers and fields that samples of the lung network are drawn from."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import torch
from torch.nn import functional


class RandomGrid:
    """A grid (z, y, x) with its own randomness; the same seed gives the same draws on the same device."""

    def __init__(self, shape: Sequence[int], grid_mm: float, seed: int, device: torch.device | str = "cpu"):
        """Start the randomness.

        Args:
            shape: Size (z, y, x) in voxels.
            grid_mm: Voxel side.
            seed: Of all randomness.
            device: Where the fields are.
        """
        self._shape, self._grid_mm = tuple(int(n) for n in shape), float(grid_mm)
        self._device = torch.device(device)
        # Numbers come from the processor, fields from the device: a number from a GPU would wait for it each time.
        self._numbers = random.Random(seed)
        self._fields = torch.Generator(self._device).manual_seed(seed)
        axes = [
            (torch.arange(n, device=self._device, dtype=torch.float32) - (n - 1) / 2) * self._grid_mm
            for n in self._shape
        ]
        self._z, self._y, self._x = axes[0][:, None, None], axes[1][:, None], axes[2]

    def _uniform(self, low: float, high: float) -> float:
        return self._numbers.uniform(low, high)

    def _chance(self, share: float) -> bool:
        return self._uniform(0, 1) < share

    def _whole(self, low: int, high: int) -> int:
        return self._numbers.randint(low, high)

    def _noise(self, cell_mm: float) -> torch.Tensor:
        """Smooth noise of deviation 1 whose details are about ``cell_mm`` in size."""
        if cell_mm <= self._grid_mm:
            return torch.randn(self._shape, generator=self._fields, device=self._device)
        size = [max(2, math.ceil(n * self._grid_mm / cell_mm) + 1) for n in self._shape]
        coarse = torch.randn([1, 1, *size], generator=self._fields, device=self._device)
        fine = functional.interpolate(coarse, self._shape, mode="trilinear", align_corners=True)[0, 0]
        return fine / fine.std().clamp_min(1e-3)
