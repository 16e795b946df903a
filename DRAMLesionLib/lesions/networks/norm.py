"""Instance normalisation in the layout that convolutions on a CPU are fast in."""

import torch
from torch import nn
from torch.nn import functional


def instance_norm(values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Normalise each channel of each sample over its voxels; statistics in float32, output in the input's dtype.

    Args:
        values: (batch, channel, z, y, x).
        weight: (channel,), the scale.
        bias: (channel,), the shift.

    Returns:
        The shape, dtype and memory layout of ``values``.
    """
    if torch.is_grad_enabled() or not values.is_contiguous(memory_format=torch.channels_last_3d):
        return functional.instance_norm(values, weight=weight, bias=bias)
    # torch's own instance normalisation would copy to another layout, and the next convolution back.
    return functional.group_norm(values, values.shape[1], weight.float(), bias.float())


class InstanceNorm3d(nn.InstanceNorm3d):
    """torch's instance normalisation with scale and shift; without gradients it keeps the layout of its input."""

    def __init__(self, channels: int):
        """Begin with scale 1 and shift 0."""
        super().__init__(channels, affine=True)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalise (batch, channel, z, y, x) over each channel's voxels."""
        if torch.is_grad_enabled():
            return super().forward(input)
        assert self.weight is not None and self.bias is not None
        return instance_norm(input, self.weight, self.bias)
