"""Samples for the lung network: whole chests, turned and stretched, with disease and gas pasted where all is known.

Everything is torch on one device, so that a GPU makes the samples that it learns from. Volumes are (z, y, x) in
canonical axes (z inferior to superior, y anterior to posterior, x right to left) on the network's grid.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch.nn import functional

from DRAMLesionLib.training.tasks.lungs.transforms import (
    UNKNOWN,
    blurred,
    boxed,
    classes,
    grown,
    other_side,
    rotation,
    sampled,
)

AIR_HU = -1024.0

LUNG_HU, SOFT_HU = -860.0, 40.0
"""Aerated lung and soft tissue."""


@dataclass(frozen=True)
class LungScan:
    """A scan with its true lungs, on the network's grid.

    Attributes:
        name: For people.
        hu: float32 (z, y, x).
        lobes: uint8 (z, y, x): 1..5 as in :data:`LOBES`, 0 elsewhere, :data:`UNKNOWN` where nobody can tell. The
            lobes' borders matter only for where disease is pasted.
    """

    name: str
    hu: torch.Tensor
    lobes: torch.Tensor

    @cached_property
    def middle(self) -> tuple[float, float, float]:
        """Middle (z, y, x) of the lungs' box in voxels; of the scan where it has no lung."""
        ranges = [
            (self.lobes > 0).any(dim=a).any(dim=b).nonzero().flatten() for a, b in ((2, 1), (2, 0), (1, 0))
        ]
        if not all(len(r) for r in ranges):
            depth, height, width = self.lobes.shape
            return (depth - 1) / 2, (height - 1) / 2, (width - 1) / 2
        z, y, x = ((float(r[0]) + float(r[-1])) / 2 for r in ranges)
        return z, y, x


@dataclass(frozen=True)
class LungSample:
    """What the network sees and what it should say.

    Attributes:
        hu: float32 (z, y, x).
        target: int64 (z, y, x): 0 elsewhere, 1 left lung, 2 right lung, :data:`IGNORED`.
    """

    hu: torch.Tensor
    target: torch.Tensor


class SampleMaker:
    """Draws samples; the same seed gives the same samples on the same device."""

    def __init__(
        self,
        shape: Sequence[int],
        grid_mm: float,
        seed: int,
        device: torch.device | str = "cpu",
        disease: float = 0.75,
    ):
        """Make a maker.

        Args:
            shape: Size (z, y, x) of a sample in voxels.
            grid_mm: Voxel side.
            seed: Of all randomness.
            device: Where the scans are, and the samples will be.
            disease: The share of samples that get pasted disease.
        """
        self._shape, self._grid_mm = tuple(int(n) for n in shape), float(grid_mm)
        self._disease, self._device = disease, torch.device(device)
        # Numbers come from the processor, fields from the device: a number from a GPU would wait for it each time.
        self._numbers = random.Random(seed)
        self._fields = torch.Generator(self._device).manual_seed(seed)
        axes = [
            (torch.arange(n, device=self._device, dtype=torch.float32) - (n - 1) / 2) * self._grid_mm
            for n in self._shape
        ]
        self._z, self._y, self._x = axes[0][:, None, None], axes[1][:, None], axes[2]

    def __call__(self, scan: LungScan) -> LungSample:
        """One sample of ``scan``, whose tensors are on the generator's device."""
        hu, lobes, sides = self._turned(scan)
        if self._chance(0.5):
            hu, lobes, sides = hu.flip(2), other_side(lobes.flip(2)), sides[[1, 0, 2]].flip(3)
        target = classes(sides)
        if self._chance(0.35):
            hu = self._toned(hu)
        if self._chance(0.7):
            hu = self._gas(hu, lobes)
        if self._chance(0.2):
            hu = self._emphysema(hu, lobes)
        if self._chance(self._disease):
            hu, target = self._diseased(hu, lobes, target)
        return LungSample(*self._scanned(hu, target))

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

    def _turned(self, scan: LungScan) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The scan under a random rotation, zoom, shift and smooth deformation: HU, lobes, share of each side."""
        size = torch.tensor(scan.hu.shape, dtype=torch.float32)
        angles = [math.radians(self._uniform(-a, a)) for a in (15.0, 8.0, 8.0)]
        zoom = self._uniform(0.82, 1.2)
        stretch = torch.tensor([self._uniform(0.9, 1.12) for _ in range(3)]) * zoom
        matrix = rotation(angles) / stretch
        jitter = torch.tensor([self._uniform(-1, 1) for _ in range(3)]) * torch.tensor([45.0, 25.0, 25.0])
        middle = torch.tensor(scan.middle) + jitter / self._grid_mm
        own = torch.stack(
            torch.broadcast_tensors(
                self._z / self._grid_mm, self._y / self._grid_mm, self._x / self._grid_mm
            ),
            dim=-1,
        )
        places = own @ matrix.T.to(own) + middle.to(own)
        if self._chance(0.7):
            reach = self._uniform(1.0, 5.0) / self._grid_mm
            places = places + reach * torch.stack([self._noise(70.0) for _ in range(3)], dim=-1)
        grid = ((places + 0.5) * 2 / size.to(own) - 1).flip(-1)[None]
        hu = sampled(scan.hu[None] - AIR_HU, grid, "bilinear")[0] + AIR_HU
        lobes = sampled(scan.lobes[None].float(), grid, "nearest")[0].to(torch.uint8)
        left = (scan.lobes == 1) | (scan.lobes == 2)
        right = (scan.lobes > 2) & (scan.lobes < UNKNOWN)
        unknown = scan.lobes == UNKNOWN
        sides = sampled(torch.stack([left, right, unknown]).float(), grid, "bilinear")
        return hu, lobes, sides

    def _toned(self, hu: torch.Tensor) -> torch.Tensor:
        """Tissue of other grey levels: fat anywhere from its own -100 HU to -500, as in slices of equalised contrast.

        Air, aerated lung and soft tissue stay. Before disease is pasted: then ground glass and fat are of one density,
        and only the place tells them apart.
        """
        share = ((hu - LUNG_HU) / (SOFT_HU - LUNG_HU)).clamp(0, 1)
        toned = LUNG_HU + (SOFT_HU - LUNG_HU) * share ** self._uniform(1.0, 5.0)
        return torch.where((hu > LUNG_HU) & (hu < SOFT_HU), toned, hu)

    def _diseased(
        self, hu: torch.Tensor, lobes: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Ground glass, consolidation and fluid in the true lungs; fluid is no lung."""
        lung = (lobes > 0) & (lobes < UNKNOWN)
        if not lung.any():
            return hu, target
        kind = self._uniform(0, 1)
        if kind < 0.55:
            hu = self._patches(hu, lung)
        if kind > 0.4:
            for _ in range(self._whole(1, 2)):
                hu = self._region(hu, lobes, lung)
        if self._chance(0.04):
            hu, target = self._effusion(hu, lobes, target)
        return hu, target

    def _patches(self, hu: torch.Tensor, lung: torch.Tensor) -> torch.Tensor:
        """Up to 25 ellipsoids with a rough border, in all densities from ground glass to consolidation."""
        cover = torch.zeros_like(hu)
        places = lung.nonzero()
        rough = self._noise(12.0) * 0.2 + self._noise(25.0) * 0.2
        coarse = self._uniform(0, 1) < 0.5
        for _ in range(self._whole(1, 25)):
            z, y, x = places[self._whole(0, len(places) - 1)].tolist()
            radii = [self._uniform(5, 60 if coarse else 25) for _ in range(3)]
            box = tuple(
                slice(max(0, int(c - 1.6 * r / self._grid_mm)), int(c + 1.6 * r / self._grid_mm) + 2)
                for c, r in zip((z, y, x), radii, strict=True)
            )
            parts = [
                ((torch.arange(b.start, min(b.stop, n), device=hu.device) - c) * self._grid_mm / r) ** 2
                for b, c, r, n in zip(box, (z, y, x), radii, self._shape, strict=True)
            ]
            distance = (parts[0][:, None, None] + parts[1][:, None] + parts[2]).sqrt()
            drawn = torch.sigmoid((1 - distance + rough[box]) * self._uniform(4, 14))
            cover[box] = torch.maximum(cover[box], drawn)
        return self._filled(hu, cover * lung, self._uniform(-650, 60))

    def _region(self, hu: torch.Tensor, lobes: torch.Tensor, lung: torch.Tensor) -> torch.Tensor:
        """A share of a lobe, of a lung or of both, mostly behind, below or at the ribs, up to all of it."""
        choice = self._uniform(0, 1)
        if choice < 0.4:
            chosen = lobes == (2 if self._chance(0.5) else 5)
        elif choice < 0.6:
            chosen = lobes == self._whole(1, 5)
        elif choice < 0.85:
            chosen = ((lobes == 1) | (lobes == 2)) if self._chance(0.5) else ((lobes > 2) & (lobes < UNKNOWN))
        else:
            chosen = lung
        count = int(chosen.sum())
        if count < 50:
            return hu
        lean = [self._uniform(-1, 0.5), self._uniform(-0.6, 1), self._uniform(-0.5, 0.5)]
        field = lean[0] * self._z + lean[1] * self._y + lean[2] * self._x
        field = field + self._uniform(2, 30) * self._noise(30.0) + self._uniform(0, 8) * self._noise(10.0)
        if self._chance(0.3):  # a rind along the pleura
            field = 0.3 * field - self._uniform(60, 200) * boxed(chosen, 9)
        share = 1.0 if self._chance(0.2) else self._uniform(0.03, 1.0)
        least = field[chosen].kthvalue(max(1, round(count * (1 - share)))).values if share < 0.99 else -1e6
        cover = torch.sigmoid((field - least) / self._uniform(1.0, 6.0)) * chosen
        return self._filled(
            hu, cover, self._uniform(-650, 60) if self._chance(0.3) else self._uniform(-60, 60)
        )

    def _filled(self, hu: torch.Tensor, cover: torch.Tensor, level: float) -> torch.Tensor:
        """Lung under ``cover`` (0..1) takes on ``level`` HU with texture, vessels shine through, airways may stay."""
        texture = max(8.0, 0.18 * abs(level - 40))
        dense = level + texture * (0.7 * self._noise(12.0) + 0.5 * self._noise(5.0))
        if level > -200 and self._chance(0.8):
            width = self._uniform(0.05, 0.16)
            tubes = (self._noise(16.0) / width).square() + (self._noise(16.0) / width).square()
            dense = dense + (-850 - dense) * torch.exp(-tubes)
        if self._chance(0.3):
            cover = cover * torch.sigmoid(4 * (self._noise(8.0) + self._uniform(0, 1)))
        return hu + cover * (torch.maximum(dense, hu.clamp(max=60.0)) - hu)

    def _effusion(
        self, hu: torch.Tensor, lobes: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Fluid that settles behind and below, no lung; above it often a seam of collapsed lung."""
        left = self._chance(0.5)
        side = ((lobes == 1) | (lobes == 2)) if left else ((lobes > 2) & (lobes < UNKNOWN))
        count = int(side.sum())
        if count < 500:
            return hu, target
        aside = self._x * (1 if left else -1)
        field = self._y - self._uniform(0, 0.6) * self._z + self._uniform(0, 0.3) * aside
        field = field + self._uniform(1, 6) * self._noise(50.0)
        share = 1.0 if self._chance(0.05) else self._uniform(0.03, 0.5)
        least = field[side].kthvalue(max(1, round(count * (1 - share)))).values if share < 1 else -1e6
        if self._chance(0.6):
            seam = torch.sigmoid((field - least + self._uniform(5, 35)) / 2.0) * side
            hu = self._filled(hu, seam, self._uniform(-50, 60))
        fluid = side & (field > least)
        level = self._uniform(-5, 18)
        hu = torch.where(fluid, level + 4 * self._noise(8.0), hu)
        return hu, torch.where(fluid & (target > 0), 0, target)

    def _emphysema(self, hu: torch.Tensor, lobes: torch.Tensor) -> torch.Tensor:
        """Air where lung was: bullae of any size."""
        holes = torch.sigmoid(4 * (self._noise(self._uniform(6, 40)) - self._uniform(0, 1.5)))
        lung = (lobes > 0) & (lobes < UNKNOWN)
        return torch.where(lung & (hu < -500), hu + holes * self._uniform(0.3, 1) * (-990 - hu), hu)

    def _gas(self, hu: torch.Tensor, lobes: torch.Tensor) -> torch.Tensor:
        """Gas and its like in stomach and bowel, under the diaphragm and away from the lungs."""
        lung = lobes > 0
        heights = lung.any(dim=2).any(dim=1).nonzero()
        if not len(heights):
            return hu
        top = float(heights.float().quantile(self._uniform(0.05, 0.45)))
        apart = ~grown(lung, self._whole(1, 3))
        tissue = (hu > -200) & apart
        deep = boxed(tissue, 3) > 0.93
        deep[int(top) + 1 :] = False
        places = deep.nonzero()
        if len(places) < 20:
            return hu
        rough = self._noise(20.0) * 0.2
        for _ in range(self._whole(1, 6)):
            z, y, x = places[self._whole(0, len(places) - 1)].tolist()
            radii = [self._uniform(6, 25 if self._chance(0.6) else 60) for _ in range(3)]
            distance = (
                ((self._z - self._z[z]) / radii[0]) ** 2
                + ((self._y - self._y[y]) / radii[1]) ** 2
                + ((self._x - self._x[x]) / radii[2]) ** 2
            ).sqrt()
            inside = (distance + rough < 1) & tissue & (hu < 200)
            if self._chance(0.3):
                filling = -500 + self._uniform(100, 400) * self._noise(8.0) + self._uniform(-300, 300)
                hu = torch.where(inside, filling.clamp(-1000, 60), hu)
                continue
            level = self._y[y] + self._uniform(-0.4, 1.2) * radii[1]
            hu = torch.where(inside & (self._y < level), self._uniform(-1010, -900), hu)
            hu = torch.where(inside & (self._y >= level), self._uniform(-20, 60), hu)
        return hu

    def _scanned(self, hu: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As another scanner would show it: kernel, slices, noise, HU's offset and scale, field of view."""
        if self._chance(0.35):
            hu = blurred(hu, self._uniform(0.3, 1.0))
        if self._chance(0.4):
            hu = self._sliced(hu)
        if self._chance(0.7):
            noise = self._noise(self._grid_mm)
            if self._chance(0.5):
                noise = noise * 0.5 + 0.5 * self._noise(self._uniform(3, 12))
            hu = hu + noise * self._uniform(0, 1) ** 2 * 150
        if self._chance(0.6):
            hu = (hu + 1000) * self._uniform(0.94, 1.06) - 1000 + self._uniform(-40, 40)
        if self._chance(0.15):  # shades of rebuilt or badly calibrated scans
            hu = hu + self._uniform(0, 60) * self._noise(120.0)
        seen = self._seen()
        if seen is None:
            return hu.clamp(min=AIR_HU), target
        return torch.where(seen, hu, AIR_HU).clamp(min=AIR_HU), torch.where(seen, target, 0)

    def _sliced(self, hu: torch.Tensor) -> torch.Tensor:
        """Thick slices: means over up to 10 mm, drawn again at the network's grid as a reader would."""
        count = max(2, round(len(hu) * self._grid_mm / self._uniform(3.0, 10.0)))
        thick = functional.interpolate(hu[None, None], (count, *hu.shape[1:]), mode="area")
        return functional.interpolate(thick, hu.shape, mode="trilinear")[0, 0]

    def _seen(self) -> torch.Tensor | None:
        """A field of view that cuts: slices that begin or end in the lungs, a circle, a narrow frame; None is all."""
        seen = torch.ones(self._shape, dtype=torch.bool, device=self._device)
        cut = False
        if self._chance(0.4):
            half = self._shape[0] // 2
            start = self._whole(0, half) if self._chance(0.6) else 0
            stop = self._shape[0] - (self._whole(0, half) if self._chance(0.6) else 0)
            if stop - start > 16:
                cut = True
                seen[:start] = False
                seen[stop:] = False
        if self._chance(0.3):
            cut = True
            radius, dy, dx = self._uniform(110, 200), self._uniform(-20, 20), self._uniform(-20, 20)
            seen &= (self._y - dy) ** 2 + (self._x - dx) ** 2 < radius**2
        if self._chance(0.15):
            cut = True
            left, right, front, back = (self._uniform(90, 200) for _ in range(4))
            seen &= (self._x > -right) & (self._x < left) & (self._y > -front) & (self._y < back)
        return seen if cut else None
