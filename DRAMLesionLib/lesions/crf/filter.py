"""Gaussian and bilateral kernels between all pairs of voxels, as low-rank matrix products.

A Gaussian kernel on a grid is the tensor product of three 1-D Gaussians, and the spectrum of each 1-D kernel matrix
falls off fast: its leading eigenvectors, each scaled by the root of its eigenvalue, give ``K ~ U U^T`` with a few
columns per axis. The range kernel over HU is treated the same way, its error weighted by how often each HU occurs.
The product of the kernel with a volume is then a handful of dense matrix products: no lattice, no scatter, the same on
every device that torch knows.

The first axis of a volume is cut into slabs that stay in the cache and that threads share; the second axis is
contracted first. :func:`axis_order` says how to lay a volume out so that this is cheap.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch

from DRAMLesionLib.lesions.crf.threads import for_slabs

# Eigenvalues below tolerance x share x the largest are dropped: the slab axis costs nearly nothing, so it is kept finer.
SLAB_AXIS_SHARE = 0.1
# The range kernel's error is weighted by the histogram already, so half the tolerance is enough there.
RANGE_SHARE = 0.5
# One slab's features, in values; 8 MB in float32. Smaller ones would fit a core's own cache, but two threads then spend
# more time on taking turns in Python than the cache saves.
SLAB_VALUES = 1 << 21
# Features are kept in half precision between iterations up to this size, else looked up again for every slab.
KEPT_FEATURE_BYTES = 1 << 30


@lru_cache(maxsize=64)
def _axis_basis(size: int, sigma: float, tolerance: float) -> torch.Tensor:
    """U (size, rank), float64 on the CPU (MPS has no float64), with U U^T close to the 1-D Gaussian of ``sigma``."""
    steps = torch.arange(size, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(
        torch.exp(-((steps[:, None] - steps[None]) ** 2) / (2 * sigma * sigma))
    )
    keep = values > tolerance * values[-1]
    return vectors[:, keep] * values[keep].sqrt()


def _range_table(counts: torch.Tensor, step: float, sigma: float, tolerance: float) -> torch.Tensor:
    """Range features of every HU bin, (rank, bins), float64 on the CPU.

    The eigenvectors are found on nodes sigma / 8 apart, weighted by the histogram, so that the HU that fill the volume
    are approximated best; the finer bins follow from them by Nystroem's extension.

    Args:
        counts: Histogram, (bins,).
        step: HU per bin.
        sigma: Standard deviation of the kernel, HU.
        tolerance: Smallest eigenvalue to keep, relative to the largest.
    """
    bins = len(counts)
    per_node = max(1, int(sigma / 8 / step))
    nodes = -(-bins // per_node)
    padded = torch.zeros(nodes * per_node, dtype=torch.float64)
    padded[:bins] = counts
    weight = padded.view(nodes, per_node).sum(1)
    weight = (weight / weight.sum() + 0.02 / nodes).sqrt()
    at = (torch.arange(nodes, dtype=torch.float64) * per_node + (per_node - 1) / 2) * step
    cross = torch.exp(
        -((torch.arange(bins, dtype=torch.float64)[:, None] * step - at) ** 2) / (2 * sigma * sigma)
    )
    kernel = torch.exp(-((at[:, None] - at) ** 2) / (2 * sigma * sigma))
    values, vectors = torch.linalg.eigh(weight[:, None] * kernel * weight)
    keep = values > tolerance * values[-1]
    return ((cross * weight) @ (vectors[:, keep] / values[keep].sqrt())).T.contiguous()


def axis_order(shape: Sequence[int], sigma_voxels: Sequence[float]) -> tuple[int, int, int]:
    """The permutation of (z, y, x) that makes the filter cheap: the smoothest short axis second, x last if it can be."""
    second = min(range(3), key=lambda axis: shape[axis] / sigma_voxels[axis])
    first, last = (axis for axis in range(3) if axis != second)
    return first, second, last


class LowRankFilter:
    """One kernel between all voxels of a volume: Gaussian in position, and in HU where ``hu`` is given.

    Volumes have the shape given here, axes in the order of :func:`axis_order`; the kernel is never normalised here.
    It includes each voxel's kernel with itself.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        sigma_voxels: tuple[float, float, float],
        *,
        index: torch.Tensor | None = None,
        table: torch.Tensor | None = None,
        tolerance: float = 1e-2,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Prepares the bases.

        Args:
            shape: Voxels along the three axes, in the order of :func:`axis_order`.
            sigma_voxels: Standard deviations in voxels, same order.
            index: int32, same shape: each voxel's column of ``table``; None for a kernel of position alone.
            table: Range features, see :func:`range_features`.
            tolerance: Smallest eigenvalue to keep, relative to the largest; also about the relative error.
            device: Where the volumes will be.
            dtype: float32, or float64 to check gradients.
        """
        self.shape, self.device, self.dtype = shape, torch.device(device), dtype
        tolerances = (tolerance * SLAB_AXIS_SHARE, tolerance, tolerance)
        self._a, self._b, self._c = (
            _axis_basis(n, float(s), t).to(device=device, dtype=dtype)
            for n, s, t in zip(shape, sigma_voxels, tolerances, strict=True)
        )
        self._bt = self._b.T.contiguous()
        self._ct = self._c.T.contiguous()
        self._index, self._table = index, None if table is None else table.to(device=device, dtype=dtype)
        self.rank = 1 if self._table is None else len(self._table)
        self.core_size = self.rank * self._b.shape[1] * self._c.shape[1]
        self._scratch = threading.local()
        self._kept: torch.Tensor | None = None
        size = self.rank * math.prod(shape)
        if index is not None and dtype == torch.float32 and 2 * size <= KEPT_FEATURE_BYTES:
            kept = torch.empty((shape[0], self.rank, *shape[1:]), dtype=torch.float16, device=device)

            def keep(slab: slice) -> None:
                kept[slab] = self._look_up(slab)

            for_slabs(keep, self.slabs(), self.device)
            self._kept, self._index = kept, None

    def slabs(self) -> list[slice]:
        """Cuts of the first axis that fit the cache."""
        rows = max(1, SLAB_VALUES // (self.rank * self.shape[1] * self.shape[2]))
        return [slice(a, min(self.shape[0], a + rows)) for a in range(0, self.shape[0], rows)]

    def _look_up(self, slab: slice) -> torch.Tensor:
        assert self._table is not None and self._index is not None
        part = self._index[slab]
        return self._table.index_select(1, part.reshape(-1)).view(self.rank, *part.shape).transpose(0, 1)

    def features(self, slab: slice) -> torch.Tensor | None:
        """The slab's range features, (rows, rank, b, c), or None for a kernel of position alone."""
        if self._kept is not None:
            kept = self._kept[slab]
            return self._buffer("features", *kept.shape).copy_(kept)
        return None if self._index is None else self._look_up(slab)

    def _buffer(self, name: str, *shape: int) -> torch.Tensor:
        """Memory that one thread uses again for every slab: fresh pages would cost as much as the arithmetic."""
        size = math.prod(shape)
        held = getattr(self._scratch, name, None)
        if held is None or held.numel() < size:
            held = torch.empty(size, device=self.device, dtype=self.dtype)
            setattr(self._scratch, name, held)
        return held[:size].view(shape)

    def gather(self, part: torch.Tensor, features: torch.Tensor | None, out: torch.Tensor) -> None:
        """Sums a slab (rows, b, c) onto the bases of the last two axes and of HU: ``out`` (rows, core_size)."""
        rows, ranks = len(part), self.rank
        part = part[:, None]
        if features is not None:
            part = torch.mul(features, part, out=self._buffer("full", *features.shape))
        flat = part.reshape(rows * ranks, *self.shape[1:])
        half = self._buffer("half", rows * ranks, len(self._bt), self.shape[2])
        torch.bmm(self._bt.expand(rows * ranks, -1, -1), flat, out=half)
        torch.mm(half.view(-1, self.shape[2]), self._c, out=out.view(-1, self._c.shape[1]))

    def mix(self, core: torch.Tensor) -> torch.Tensor:
        """The kernel along the first axis: (a, core_size) to (a, core_size)."""
        return self._a @ (self._a.T @ core)

    def spread(self, core: torch.Tensor, features: torch.Tensor | None) -> torch.Tensor:
        """The opposite of :meth:`gather`: (rows, core_size) to (rows, b, c)."""
        rows, ranks = len(core), self.rank
        half = self._buffer("half", rows * ranks * len(self._bt), self.shape[2])
        torch.mm(core.reshape(-1, len(self._ct)), self._ct, out=half)
        part = self._buffer("full", rows * ranks, *self.shape[1:])
        torch.bmm(self._b.expand(rows * ranks, -1, -1), half.view(rows * ranks, -1, self.shape[2]), out=part)
        part = part.view(rows, ranks, *self.shape[1:])
        return part[:, 0] if features is None else part.mul_(features).sum(1)

    def multiply(self, volume: torch.Tensor) -> torch.Tensor:
        """The kernel times ``volume``, same shape."""
        core = volume.new_empty(self.shape[0], self.core_size)
        result = torch.empty_like(volume)

        def first(slab: slice) -> None:
            self.gather(volume[slab], self.features(slab), core[slab])

        def last(slab: slice) -> None:
            result[slab] = self.spread(mixed[slab], self.features(slab))

        for_slabs(first, self.slabs(), self.device)
        mixed = self.mix(core)
        for_slabs(last, self.slabs(), self.device)
        return result


def range_features(
    hu: torch.Tensor, mask: torch.Tensor | None, sigma_hu: float, tolerance: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each voxel's bin and the table of range features by bin.

    Args:
        hu: HU, float32 or float64, any shape; finite inside the mask.
        mask: bool, same shape: only these voxels weigh; None for all.
        sigma_hu: Standard deviation of the range kernel, HU.
        tolerance: See :class:`LowRankFilter`.

    Returns:
        int32 bins, shape of ``hu`` (1 HU or finer), and the table (rank, bins), float64 on the CPU.
    """
    step = min(1.0, sigma_hu / 64)
    first = 0 if mask is None else int(mask.flatten().to(torch.uint8).argmax())
    if mask is not None:  # what is outside becomes like one voxel inside: no list of those inside is made
        hu = hu.masked_fill(~mask, float(hu.flatten()[first]))
    low, high = (float(end) for end in hu.aminmax())
    bins = round((high - low) / step) + 1
    index = (hu - low).div_(step).round_().clamp_(0, bins - 1).to(torch.int32)
    counts = torch.bincount(index.flatten(), minlength=bins)
    if mask is not None:
        counts[index.flatten()[first]] -= mask.numel() - int(mask.sum())
    return index, _range_table(counts.cpu(), step, sigma_hu, tolerance * RANGE_SHARE)


class KernelProduct(torch.autograd.Function):
    """``scale * K (scale * volume)`` for autograd.

    The matrix is symmetric, so the gradient is the same product again and no intermediate volume has to be kept.
    """

    @staticmethod
    def forward(ctx: Any, volume: torch.Tensor, kernel: LowRankFilter, scale: torch.Tensor) -> torch.Tensor:
        """The product; ``scale`` has the shape of ``volume``."""
        ctx.kernel, ctx.scale = kernel, scale
        return kernel.multiply(volume * scale).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """The kernel's product with the gradient, scaled in the same way."""
        return ctx.kernel.multiply(gradients[0] * ctx.scale).mul_(ctx.scale), None, None
