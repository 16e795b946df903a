"""The U-Net of the dRAM: MONAI's BasicUNet with non-trainable upsampling, by the names of its weights and their numbers.

It is written here because importing MONAI takes longer than segmenting a CT with this network does. A test holds the two
together: weights of one give the same in the other. Falk et al., "U-Net: deep learning for cell counting, detection, and
morphometry", Nature Methods 16, 67-70 (2019).
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from DRAMLesionLib.lesions.networks.norm import InstanceNorm3d

SLOPE = 0.1
"""Negative slope of the leaky ReLU."""


class Convolution(nn.Module):
    """A convolution of 3 x 3 x 3 voxels, instance normalisation, leaky ReLU."""

    def __init__(self, before: int, after: int):
        """Build it for ``before`` input and ``after`` output channels."""
        super().__init__()
        self.conv = nn.Conv3d(before, after, 3, padding=1)
        self.adn = nn.ModuleDict({"N": InstanceNorm3d(after)})

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(batch, channel, z, y, x) to the same grid."""
        return functional.leaky_relu_(self.adn["N"](self.conv(values)), SLOPE)


class TwoConvolutions(nn.Sequential):
    """Two of :class:`Convolution`, one after the other."""

    def __init__(self, before: int, after: int):
        """Build them for ``before`` input and ``after`` output channels."""
        super().__init__()
        self.conv_0 = Convolution(before, after)
        self.conv_1 = Convolution(after, after)


class Down(nn.Sequential):
    """Maxima of 2 x 2 x 2 voxels, then two convolutions."""

    def __init__(self, before: int, after: int):
        """Build it for ``before`` input and ``after`` output channels."""
        super().__init__()
        self.max_pooling = nn.MaxPool3d(2)
        self.convs = TwoConvolutions(before, after)


class UpSample(nn.Module):
    """Trilinear interpolation to twice the grid, by a convolution of one voxel to fewer channels before it."""

    def __init__(self, before: int, after: int):
        """Build it; where the channels stay as they are there is no convolution."""
        super().__init__()
        self.preconv = nn.Conv3d(before, after, 1) if before != after else nn.Identity()

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(batch, channel, z, y, x) to the doubled grid; corner voxels keep their values."""
        values = self.preconv(values)
        return functional.interpolate(values, scale_factor=2.0, mode="trilinear", align_corners=True)


class UpCat(nn.Module):
    """Coarse features to twice their grid, the encoder's of that grid before them, two convolutions."""

    def __init__(self, below: int, beside: int, after: int, *, halved: bool = True):
        """Build it.

        Args:
            below: Channels of the coarse features.
            beside: Channels of the encoder's features.
            after: Output channels.
            halved: The coarse features' channels are halved before they are enlarged.
        """
        super().__init__()
        above = below // 2 if halved else below
        self.upsample = UpSample(below, above)
        self.convs = TwoConvolutions(beside + above, after)

    def forward(self, coarse: torch.Tensor, beside: torch.Tensor) -> torch.Tensor:
        """Features on the grid of ``beside``, whose sides are twice those of ``coarse`` or one more."""
        enlarged = self.upsample(coarse)
        missing = [a - b for a, b in zip(beside.shape[2:], enlarged.shape[2:], strict=True)]
        if any(missing):
            z, y, x = missing
            enlarged = functional.pad(enlarged, (0, x, 0, y, 0, z), "replicate")
        # Under autocast the first stage's features are wider than the convolution takes them.
        return self.convs(torch.cat([beside.to(enlarged.dtype), enlarged], dim=1))


class BasicUNet(nn.Module):
    """Five resolutions, two convolutions each, and a convolution of one voxel that gives the logits."""

    def __init__(self, in_channels: int, out_channels: int, features: Sequence[int]):
        """Build the network with random weights.

        Args:
            in_channels: Of the image.
            out_channels: Of the logits.
            features: Channels of the five resolutions, and of the last decoder stage.
        """
        super().__init__()
        first, second, third, fourth, fifth, last = features
        self.conv_0 = TwoConvolutions(in_channels, first)
        self.down_1 = Down(first, second)
        self.down_2 = Down(second, third)
        self.down_3 = Down(third, fourth)
        self.down_4 = Down(fourth, fifth)
        self.upcat_4 = UpCat(fifth, fourth, fourth)
        self.upcat_3 = UpCat(fourth, third, third)
        self.upcat_2 = UpCat(third, second, second)
        self.upcat_1 = UpCat(second, first, last, halved=False)
        self.final_conv = nn.Conv3d(last, out_channels, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits (batch, out_channels, z, y, x) of an image whose sides are 16 or more."""
        return self.final_conv(self.from_first(self.conv_0(image))[0])

    def from_first(self, first: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the head takes, and the second encoder stage's output, of the first stage's output."""
        second = self.down_1(first)
        third = self.down_2(second)
        fourth = self.down_3(third)
        up = self.upcat_4(self.down_4(fourth), fourth)
        up = self.upcat_2(self.upcat_3(up, third), second)
        return self.upcat_1(up, first), second
