"""Neighbour attention: each voxel of the dRAM becomes a weighted mean of its neighbours, alike ones weighing most.

After the attention module (pixel-correlation module) of Xie et al., arXiv 2105.11748, which follows Wang et al.,
"Self-supervised Equivariant Attention Mechanism for Weakly Supervised Semantic Segmentation", CVPR 2020. How alike two
voxels are is read from the image and from what the first layers of the network see.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import product
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from DRAMLesionLib.lesions.networks.description import AttentionSettings

OFFSETS: tuple[tuple[int, int, int], ...] = tuple(
    (z, y, x) for z, y, x in product((-1, 0, 1), repeat=3) if 1 <= abs(z) + abs(y) + abs(x) <= 2
)
"""The 18 neighbours that share a face or an edge with a voxel, (z, y, x)."""


class NeighbourAttention(nn.Module):
    """Refines a map by the mean over 18 neighbours, weighted by softmax of relu(query . key) / sqrt(channels).

    Query and key of a voxel are linear in its image value and in features of the network, projected by 1x1x1
    convolutions. Features are detached: the attention learns to read them and does not change them. Neighbours outside
    the mask or the grid take no part, and a voxel without any neighbour keeps its value.
    """

    def __init__(self, settings: AttentionSettings, feature_channels: Sequence[int]):
        """Build it with random weights.

        Args:
            settings: The module's size and grid.
            feature_channels: Channels of each feature that :meth:`forward` is given.
        """
        super().__init__()
        self.settings = settings
        self.projections = nn.ModuleList(
            nn.Conv3d(channels, settings.channels, 1) for channels in feature_channels
        )
        seen = 1 + settings.channels * len(feature_channels)
        self.query = nn.Conv3d(seen, settings.channels, 1)
        self.key = nn.Conv3d(seen, settings.channels, 1)
        # Key and query start alike, so that alike voxels score above zero: with unlike ones a lobe's scores may all be
        # negative, where relu has no gradient and the attention never learns.
        self.key.load_state_dict(self.query.state_dict())

    def forward(
        self, values: torch.Tensor, image: torch.Tensor, features: Sequence[torch.Tensor], mask: torch.Tensor
    ) -> torch.Tensor:
        """The refined map.

        All is computed in float32 (or float64 where ``values`` is), whatever autocast says: sums over a few thousand
        voxels of a map near zero lose too much otherwise, and on its coarse grid the attention costs little.

        Args:
            values: (batch, 1, z, y, x), the dRAM, 0..1. Gradients flow through it.
            image: (batch, 1, z, y, x), 0..1, any float dtype.
            features: Each (batch, its channels, z', y', x'), covering the same box on a grid of its own.
            mask: The shape of ``values``, bool or 0..1: the lobe.

        Returns:
            The shape and (at least float32) dtype of ``values``; between the least and the greatest value inside the
            mask, 0 outside it.
        """
        with without_autocast(values.device):
            values = _at_least_float32(values)
            inside = (mask > 0.5 if mask.is_floating_point() else mask.bool()).to(values.dtype)
            size = self.settings.grid_size(values.shape[2:])
            amount = _pool(inside, size)
            # Means over the lobe's part of each coarse voxel, so that the border does not fade into the outside.
            scale = 1 / amount.clamp_min(1e-6)
            refined = _pool(values * inside, size) * scale
            present = (amount > 0).to(values.dtype)
            query, key = self._query_and_key(image, features, inside, size, scale)
            weights, any_neighbour = neighbour_weights(query, key, present)
            for _ in range(self.settings.iterations):
                refined = torch.where(any_neighbour, weighted_mean(weights, refined), refined)
            if size == tuple(values.shape[2:]):
                return refined * inside
            return _enlarge(refined, present, values.shape[2:]) * inside

    def _query_and_key(
        self,
        image: torch.Tensor,
        features: Sequence[torch.Tensor],
        inside: torch.Tensor,
        size: tuple[int, int, int],
        scale: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, channels, \\*size) each."""
        with torch.no_grad():
            seen = [_pool(image.detach().to(inside.dtype) * inside, size) * scale]
            coarse = [_fit(feature.detach(), size).to(inside.dtype) for feature in features]
        seen += [
            torch.relu(projection(feature))
            for projection, feature in zip(self.projections, coarse, strict=True)
        ]
        together = torch.cat(seen, 1)
        return self.query(together), self.key(together)


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """A context in which nothing computes in less than its own precision; none where autocast is off anyway.

    So that an exported graph holds no trace of it.
    """
    active = torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if active else nullcontext()


def neighbour_weights(
    query: torch.Tensor, key: torch.Tensor, present: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights of each voxel's 18 neighbours.

    Args:
        query: (batch, channels, z, y, x).
        key: (batch, channels, z, y, x).
        present: (batch, 1, z, y, x), 1 where a voxel may be a neighbour, else 0.

    Returns:
        Weights (batch, 18, z, y, x) in the order of :data:`OFFSETS`, each voxel's sum 1; and bool (batch, 1, z, y, x),
        where any neighbour is present (elsewhere the weights mean nothing).
    """
    taking_part = _pad(present)
    scores = _Scores.apply(query, key, taking_part)
    any_neighbour = torch.zeros_like(present, dtype=torch.bool)
    for offset in OFFSETS:
        any_neighbour |= _shifted(taking_part, offset) > 0
    return torch.softmax(scores, 1), any_neighbour


def weighted_mean(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The mean over the neighbours.

    Args:
        weights: (batch, 18, z, y, x), in the order of :data:`OFFSETS`.
        values: (batch, 1, z, y, x).

    Returns:
        (batch, 1, z, y, x).
    """
    result: torch.Tensor = _WeightedMean.apply(weights, values)
    return result


class _Scores(torch.autograd.Function):
    """relu(query . key of the neighbour) / sqrt(channels), (batch, 18, z, y, x); the lowest number where it is absent.

    With autograd's own rules each of the 18 shifted products would be kept, and each shift's gradient would be a zero
    map of all channels; here shifts are views, and the two gradients are summed in place.
    """

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, taking_part: torch.Tensor) -> torch.Tensor:
        keys = _pad(key)
        scores = query.new_empty((query.shape[0], len(OFFSETS), *query.shape[2:]))
        for index, offset in enumerate(OFFSETS):
            torch.sum(query * _shifted(keys, offset), 1, out=scores[:, index])
        scores.mul_(query.shape[1] ** -0.5).relu_()
        for index, offset in enumerate(OFFSETS):
            absent = _shifted(taking_part, offset)[:, 0] == 0
            scores[:, index].masked_fill_(absent, torch.finfo(scores.dtype).min)
        ctx.save_for_backward(query, keys, scores > 0)
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        query, keys, positive = ctx.saved_tensors
        gradient = gradient * positive * query.shape[1] ** -0.5
        to_query, to_keys = torch.zeros_like(query), torch.zeros_like(keys)
        for index, offset in enumerate(OFFSETS):
            part = gradient[:, index : index + 1]
            to_query.addcmul_(part, _shifted(keys, offset))
            _shifted(to_keys, offset).addcmul_(part, query)
        return to_query, _shifted(to_keys, (0, 0, 0)), None


class _WeightedMean(torch.autograd.Function):
    """Sum of the neighbours' values times their weights, without a copy per neighbour."""

    @staticmethod
    def forward(ctx: Any, weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        padded = _pad(values)
        ctx.save_for_backward(weights, padded)
        result = torch.zeros_like(values)
        for index, offset in enumerate(OFFSETS):
            result.addcmul_(weights[:, index : index + 1], _shifted(padded, offset))
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        weights, padded = ctx.saved_tensors
        to_weights, to_padded = torch.empty_like(weights), torch.zeros_like(padded)
        for index, offset in enumerate(OFFSETS):
            torch.mul(gradient, _shifted(padded, offset), out=to_weights[:, index : index + 1])
            _shifted(to_padded, offset).addcmul_(gradient, weights[:, index : index + 1])
        return to_weights, _shifted(to_padded, (0, 0, 0))


def _pad(values: torch.Tensor) -> torch.Tensor:
    """One voxel of zeros about the grid."""
    return functional.pad(values, (1,) * 6)


def _shifted(padded: torch.Tensor, offset: tuple[int, int, int]) -> torch.Tensor:
    """A view, without the padding: at voxel i the value of voxel i + offset."""
    z, y, x = (slice(1 + o, n - 1 + o) for o, n in zip(offset, padded.shape[2:], strict=True))
    return padded[:, :, z, y, x]


def _pool(values: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
    """Means over the fine voxels of each coarse one."""
    return values if tuple(values.shape[2:]) == size else functional.adaptive_avg_pool3d(values, size)


def _fit(feature: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
    """A feature on the attention's grid: pooled along axes where that is coarser, interpolated where it is finer."""
    least = tuple(min(n, s) for n, s in zip(feature.shape[2:], size, strict=True))
    pooled = _pool(feature, (least[0], least[1], least[2]))
    return pooled if least == size else functional.interpolate(pooled, size, mode="trilinear")


def _enlarge(values: torch.Tensor, present: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Trilinear interpolation that leaves out coarse voxels which are not present."""
    enlarged, part = (
        functional.interpolate(v, tuple(size), mode="trilinear") for v in (values * present, present)
    )
    # A voxel of the lobe lies in a coarse voxel that is present, whose share in it is at least 1/8.
    return enlarged / part.clamp_min(1e-3)


def _at_least_float32(values: torch.Tensor) -> torch.Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
