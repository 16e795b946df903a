"""The final network: MONAI's DynUNet with one lesion logit per voxel, as nnU-Net builds it but smaller."""

import copy

import torch
from torch import nn

from DRAMLesionLib.lesions.networks.dyn_unet import DynUNet
from DRAMLesionLib.lesions.networks.final_description import (
    SMALLEST_DEPTH,
    Norm,
    SegmentationNetworkDescription,
)
from DRAMLesionLib.lesions.networks.norm import instance_norm


class InstanceNorm(nn.Module):
    """Instance normalisation, statistics in float32, output in the input's dtype.

    Not torch's module: that one is kept in float32 where autocast is on, because a small lobe leaves it single voxels.
    Patches have a fixed size, and with bfloat16 between convolutions a training step takes half the time.
    """

    def __init__(self, channels: int):
        """Begin with scale 1 and shift 0."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Normalise (batch, channel, z, y, x) over each channel's voxels."""
        return instance_norm(values, self.weight, self.bias)


BATCH_MOMENTUM = 0.03
"""Weight of the batch at hand in the running statistics: batches are small, and hold more lesion than lungs do."""


def _norm(kind: Norm, channels: int) -> nn.Module:
    return InstanceNorm(channels) if kind == "instance" else nn.BatchNorm3d(channels, momentum=BATCH_MOMENTUM)


class SegmentationNetwork(nn.Module):
    """DynUNet (instance or batch normalisation, leaky ReLU, strided convolutions) with one logit per voxel."""

    def __init__(self, description: SegmentationNetworkDescription, head_bias: float = -2.0):
        """Build the network with random weights.

        Args:
            description: The network's size.
            head_bias: First value of the head's bias: lesions are rare.
        """
        super().__init__()
        self.description = description
        heads = (
            (1 if len(description.filters) == SMALLEST_DEPTH else 2) if description.deep_supervision else 0
        )
        self.unet = DynUNet(description.filters, lambda channels: _norm(description.norm, channels), heads)
        head = self.unet.output_block.conv.conv
        assert isinstance(head, nn.Conv3d) and head.bias is not None
        nn.init.constant_(head.bias, head_bias)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits for patches.

        Args:
            image: (batch, 1, z, y, x), the HU window mapped to 0..1; sides are multiples of ``description.step``.

        Returns:
            (batch, 1, z, y, x) logits. In training with deep supervision (batch, stages, 1, z, y, x), the full
            resolution first, coarser ones after it, resampled to its size.
        """
        return self.unet(image)

    def for_cpu(self, dtype: torch.dtype) -> "SegmentationNetwork":
        """A copy for inference on a CPU, in the layout that is fast there (channels last).

        In bfloat16 it gives, bit by bit, what autocast gives, which takes more than twice as long.

        Args:
            dtype: Of the convolutions and of what goes in and comes out; normalisation keeps its float32.
        """
        network = copy.deepcopy(self).eval()
        for module in network.modules():
            if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
                module.to(dtype)
        return network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
