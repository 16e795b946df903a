"""The U-Net of the final network: MONAI's DynUNet with kernels of 3 and halvings, by the names of its weights.

It is written here because importing MONAI takes longer than segmenting a CT with this network does. A test holds the two
together: weights of one give the same in the other. Isensee et al., "nnU-Net: a self-configuring method for deep
learning-based biomedical image segmentation", Nature Methods 18, 203-211 (2021).
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

SLOPE = 0.01
"""Negative slope of the leaky ReLU."""
Norm = Callable[[int], nn.Module]
"""Makes a normalisation of so many channels."""


class _Convolution(nn.Module):
    """A convolution under MONAI's name for it."""

    def __init__(self, conv: nn.Module):
        super().__init__()
        self.conv = conv

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(batch, channel, z, y, x) in and out."""
        return self.conv(values)


class Block(nn.Module):
    """Two convolutions of 3 x 3 x 3 voxels, each with normalisation and leaky ReLU; the first may halve the grid."""

    def __init__(self, before: int, after: int, stride: int, norm: Norm):
        """Build it for ``before`` input and ``after`` output channels."""
        super().__init__()
        self.conv1 = _Convolution(nn.Conv3d(before, after, 3, stride, padding=1, bias=False))
        self.conv2 = _Convolution(nn.Conv3d(after, after, 3, padding=1, bias=False))
        self.norm1, self.norm2 = norm(after), norm(after)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(batch, channel, z, y, x) in and out."""
        values = functional.leaky_relu_(self.norm1(self.conv1(values)), SLOPE)
        return functional.leaky_relu_(self.norm2(self.conv2(values)), SLOPE)


class UpBlock(nn.Module):
    """A transposed convolution to twice the grid, the encoder's features behind it, and a block."""

    def __init__(self, below: int, after: int, norm: Norm):
        """Build it for ``below`` channels of the coarse grid and ``after`` of the fine one."""
        super().__init__()
        self.transp_conv = _Convolution(nn.ConvTranspose3d(below, after, 2, stride=2, bias=False))
        self.conv_block = Block(2 * after, after, 1, norm)

    def forward(self, coarse: torch.Tensor, beside: torch.Tensor) -> torch.Tensor:
        """Features on the grid of ``beside``."""
        return self.conv_block(torch.cat([self.transp_conv(coarse), beside], dim=1))


class SkipLayer(nn.Module):
    """One resolution with all coarser ones inside."""

    def __init__(
        self, downsample: Block, next_layer: nn.Module, upsample: UpBlock, super_head: nn.Module | None = None
    ):
        """Put the parts together; ``super_head`` gives logits of this resolution where they are asked for."""
        super().__init__()
        self.downsample, self.next_layer, self.upsample = downsample, next_layer, upsample
        self.super_head = super_head

    def forward(self, values: torch.Tensor, coarser: list[torch.Tensor] | None = None) -> torch.Tensor:
        """Features of this resolution; with ``coarser`` the logits of the coarser heads are put in front of it."""
        down = self.downsample(values)
        below = self.next_layer
        up = self.upsample(below(down, coarser) if isinstance(below, SkipLayer) else below(down), down)
        if coarser is not None and self.super_head is not None:
            coarser.insert(0, self.super_head(up))
        return up


class DynUNet(nn.Module):
    """A U-Net of any depth from three resolutions on, with one logit per voxel."""

    def __init__(self, filters: Sequence[int], norm: Norm, heads: int = 0):
        """Build the network with random weights.

        Args:
            filters: Channels of each resolution.
            norm: Makes a normalisation.
            heads: So many resolutions below the finest give logits in training, too (deep supervision).
        """
        super().__init__()
        pairs = list(pairwise(filters))
        # In MONAI's order, so that a seed gives the same weights.
        downs = [Block(1, filters[0], 1, norm), *(Block(a, b, 2, norm) for a, b in pairs[:-1])]
        layer: nn.Module = Block(filters[-2], filters[-1], 2, norm)
        ups = [UpBlock(below, here, norm) for here, below in reversed(pairs)][::-1]
        self.output_block = _Convolution(_Convolution(nn.Conv3d(filters[0], 1, 1)))
        torch.rand(1)  # MONAI draws a number here
        super_heads = [_Convolution(_Convolution(nn.Conv3d(n, 1, 1))) for n in filters[1 : 1 + heads]]
        for block in (*downs, layer, *ups[::-1], self.output_block, *super_heads):
            block.apply(_initialize)
        above: list[nn.Module | None] = [None, *super_heads, *[None] * len(ups)]
        for down, up, head in reversed(list(zip(downs, ups, above, strict=False))):
            layer = SkipLayer(down, layer, up, head)
        self.heads, self.skip_layers = heads, layer

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits (batch, 1, z, y, x); in training with heads (batch, 1 + heads, 1, z, y, x), the finest first."""
        if not (self.training and self.heads):
            return self.output_block(self.skip_layers(image))
        coarser: list[torch.Tensor] = []
        logits = self.output_block(self.skip_layers(image, coarser))
        enlarged = [functional.interpolate(one, logits.shape[2:]) for one in coarser]
        return torch.stack([logits, *enlarged], dim=1)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
