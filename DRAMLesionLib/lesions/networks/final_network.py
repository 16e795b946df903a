"""The final network: MONAI's DynUNet with one lesion logit per voxel, as nnU-Net builds it but smaller."""

import torch
from monai.networks.nets import DynUNet
from torch import nn

from DRAMLesionLib.lesions.networks.final_description import (
    SMALLEST_DEPTH,
    Norm,
    SegmentationNetworkDescription,
)


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
        return nn.functional.instance_norm(values, weight=self.weight, bias=self.bias)


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
        depth = len(description.filters)
        self.unet = DynUNet(
            spatial_dims=3,
            in_channels=1,
            out_channels=1,
            kernel_size=[3] * depth,
            strides=[1, *[2] * (depth - 1)],
            upsample_kernel_size=[2] * (depth - 1),
            filters=description.filters,
            deep_supervision=description.deep_supervision,
            deep_supr_num=1 if depth == SMALLEST_DEPTH else 2,
        )
        for block in list(self.unet.modules()):
            for name, child in block.named_children():
                if isinstance(child, nn.InstanceNorm3d):
                    setattr(block, name, _norm(description.norm, child.num_features))
        # DynUNet registers its blocks a second time inside `skip_layers`, which alone runs: stored weights would
        # be twice as large, and safetensors refuses tensors that share memory.
        for name in ("input_block", "downsamples", "bottleneck", "upsamples", "deep_supervision_heads"):
            if name in self.unet._modules:
                del self.unet._modules[name]
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
