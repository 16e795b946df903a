"""The lung network: a small 3-D U-Net that reads a CT at 2.5 mm and works at 5 mm.

Eight neighbouring voxels become the channels of one (space to depth), and the last layer gives each of the eight its
own logits again (Shi et al., Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional
Neural Network, CVPR 2016): an outline at 2.5 mm for an eighth of the work.
"""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from DRAMLesionLib.lungs.lung_description import BLOCK, LungDescription
from DRAMLesionLib.system.device import has_bfloat16

CLASSES = 3
"""Logits of a voxel: elsewhere, left lung, right lung."""

AIR_HU = -1024.0
"""What lies outside a scan, as the network learned it."""

HIGHEST_HU, UNIT_HU = 400.0, 400.0


class LungNetwork(nn.Module):
    """U-Net with batch normalisation, which :meth:`folded` takes into the convolutions."""

    def __init__(self, description: LungDescription):
        """Build the network with random weights."""
        super().__init__()
        self.description = description
        widths = description.features
        self.down = nn.ModuleList(
            _two_convolutions(before, after)
            for before, after in zip((BLOCK**3, *widths[:-1]), widths, strict=True)
        )
        self.up = nn.ModuleList(
            _two_convolutions(below + here, here)
            for here, below in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.head = nn.Conv3d(widths[0], CLASSES * BLOCK**3, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits of each voxel.

        Args:
            image: (batch, 1, z, y, x) as :func:`network_input` makes it; sides are multiples of
                ``description.step``.

        Returns:
            (batch, 3, z, y, x): elsewhere, left lung, right lung.
        """
        values = _space_to_depth(image).to(self.head.weight.dtype)
        skipped: list[torch.Tensor] = []
        for block in self.down:
            if skipped:
                values = functional.max_pool3d(values, 2)
            values = block(values)
            skipped.append(values)
        skipped.pop()
        for block in self.up:
            values = functional.interpolate(values, scale_factor=2, mode="nearest")
            values = block(torch.cat([values, skipped.pop()], dim=1))
        return _depth_to_space(self.head(values))

    def folded(self, dtype: torch.dtype | None = None) -> LungNetwork:
        """A copy for inference on a CPU that computes the same with the normalisation inside the convolutions.

        Args:
            dtype: Of its weights and of what it computes with; None is bfloat16 where the CPU has it, else float32.
        """
        if dtype is None:
            dtype = torch.bfloat16 if has_bfloat16(torch.device("cpu")) else torch.float32
        network = copy.deepcopy(self).eval()
        for block in (*network.down, *network.up):
            assert isinstance(block, nn.Sequential)
            for number in range(0, len(block), 3):
                convolution, normalisation = block[number], block[number + 1]
                assert isinstance(convolution, nn.Conv3d) and isinstance(normalisation, nn.BatchNorm3d)
                block[number] = fuse_conv_bn_eval(convolution, normalisation)
                block[number + 1] = nn.Identity()
        return network.to(dtype=dtype, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def network_input(hu: torch.Tensor) -> torch.Tensor:
    """HU as the network reads them: soft tissue near 0, where half precision is finest; air at -2.56."""
    return hu.clamp(AIR_HU, HIGHEST_HU) / UNIT_HU


def _two_convolutions(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [
            nn.Conv3d(channels, after, 3, padding=1, bias=False),
            nn.BatchNorm3d(after),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def _space_to_depth(values: torch.Tensor) -> torch.Tensor:
    batch, channels, z, y, x = values.shape
    b = BLOCK
    parts = values.reshape(batch, channels, z // b, b, y // b, b, x // b, b)
    return parts.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(batch, channels * b**3, z // b, y // b, x // b)


def _depth_to_space(values: torch.Tensor) -> torch.Tensor:
    batch, channels, z, y, x = values.shape
    b = BLOCK
    parts = values.reshape(batch, channels // b**3, b, b, b, z, y, x)
    return parts.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(batch, channels // b**3, z * b, y * b, x * b)
