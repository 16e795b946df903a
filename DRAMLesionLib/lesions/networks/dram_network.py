"""The dense network: a 3D U-Net with one logit per voxel, and the neighbour attention that refines its map."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from DRAMLesionLib.lesions.networks.attention import NeighbourAttention, without_autocast
from DRAMLesionLib.lesions.networks.basic_unet import BasicUNet
from DRAMLesionLib.lesions.networks.description import AttentionSettings, NetworkDescription

if TYPE_CHECKING:
    from DRAMLesionLib.lesions.networks.description import ModelDescription

HALVINGS = 4
"""BasicUNet halves the grid four times."""
SMALLEST_GRID = 32
"""At least two voxels an axis remain at the coarsest level, so that instance normalisation has something to normalise."""


class DenseNetwork(nn.Module):
    """A 3D U-Net whose 1x1x1 head on full-resolution features gives one logit per voxel; its sigmoid is the dRAM.

    Any grid size goes in: the grid is padded with the input's air value to what four halvings need, and cropped back.
    """

    def __init__(
        self,
        description: NetworkDescription,
        head_bias: float = -3.0,
        attention: AttentionSettings | None = None,
    ):
        """Build the network with random weights.

        Args:
            description: The network's size.
            head_bias: First value of the head's bias. Lesions are rare, so the dRAM starts near sigmoid(-3) = 5 %.
            attention: Settings of the module that refines the map; None is a network without one.
        """
        super().__init__()
        self.description = description
        self.unet = BasicUNet(description.in_channels, 1, description.features)
        assert self.unet.final_conv.bias is not None
        nn.init.constant_(self.unet.final_conv.bias, head_bias)
        # Built last, so that a seed gives the U-Net the same weights with and without it.
        self.attention = NeighbourAttention(attention, description.features[:2]) if attention else None

    @property
    def compiled_parts(self) -> list[nn.Module]:
        """What ``torch.compile`` takes: the U-Net's stages, which are called one by one."""
        unet = self.unet
        return [unet.conv_0, unet.down_1, unet.down_2, unet.down_3, unet.down_4,
                unet.upcat_4, unet.upcat_3, unet.upcat_2, unet.upcat_1]  # fmt: skip

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits for ``image``.

        Args:
            image: (batch, channel, z, y, x), the HU window mapped to 0..1, 0 (air) outside the lobe.

        Returns:
            (batch, 1, z, y, x) logits, the same grid.
        """
        padding = Padding.of(image)
        return padding.crop(self._logits_and_features(padding.pad(image))[0])

    def forward_with_refined(
        self, image: torch.Tensor, mask: torch.Tensor, offset: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and the refined dRAM, by one pass through the U-Net.

        The refined map's gradients reach the U-Net through the map alone: the attention sees features detached.

        Args:
            image: (batch, 1, z, y, x), the HU window as 0..1, 0 outside the lobe.
            mask: (batch, 1, z, y, x), bool or 0..1: the lobe.
            offset: (batch, 1, z, y, x), added to the logits first; the candidate prior
                (:func:`DRAMLesionLib.lesions.networks.candidates.candidate_offset`), for instance.

        Returns:
            Float32 logits (offset added) and float32 refined dRAM (0..1, 0 outside the mask), both
            (batch, 1, z, y, x). Without attention in the network, the refined dRAM is their sigmoid inside the mask.
        """
        padding = Padding.of(image)
        padded = padding.pad(image)
        logits, features = self._logits_and_features(padded)
        if offset is not None:
            logits = logits + padding.pad(offset)
        dram, inside = torch.sigmoid(logits), padding.pad(mask)
        # On the padded grid, whose size the features' grids divide, so that coarse voxels coincide.
        refined = dram * inside if self.attention is None else self.attention(dram, padded, features, inside)
        return padding.crop(logits), padding.crop(refined)

    def _logits_and_features(self, image: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """BasicUNet's own pass, with the outputs of its first two encoder stages.

        Under autocast the head stays in float32 and, when it is not training, the first stage: the rounding of the image
        and of its edges is what shows most in the map (with bfloat16, up to 0.015 without and 0.006 with this).
        """
        unet = self.unet
        with nullcontext() if self.training else without_autocast(image.device):
            first = unet.conv_0(image)
        last, second = unet.from_first(first)
        with without_autocast(image.device):
            logits = _head(unet.final_conv, last.to(unet.final_conv.weight.dtype))
        return logits, [first, second]


def _head(convolution: nn.Conv3d, values: torch.Tensor) -> torch.Tensor:
    """A convolution of one voxel; without gradients as a product of matrices, in a fifth of the time on a CPU."""
    if torch.is_grad_enabled() or not values.is_contiguous(memory_format=torch.channels_last_3d):
        return convolution(values)
    weight, bias = convolution.weight.flatten(1), convolution.bias
    return nn.functional.linear(values.movedim(1, -1), weight, bias).movedim(-1, 1)


@dataclass(frozen=True)
class Padding:
    """Zeros about a grid, up to the size that the network takes.

    Attributes:
        size: The grid's own (z, y, x).
        before: Voxels added in front of each axis.
        after: Voxels added behind each axis.
    """

    size: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @classmethod
    def of(cls, image: torch.Tensor) -> "Padding":
        """What (batch, channel, z, y, x) ``image`` needs."""
        step = 2**HALVINGS
        size = tuple(image.shape[2:])
        margins = [max(SMALLEST_GRID, -(-n // step) * step) - n for n in size]
        before = tuple(m // 2 for m in margins)
        return cls(size, before, tuple(m - b for m, b in zip(margins, before, strict=True)))

    def pad(self, values: torch.Tensor) -> torch.Tensor:
        """(batch, channel, z, y, x) with the zeros."""
        pairs = zip(reversed(self.before), reversed(self.after), strict=True)
        return nn.functional.pad(values, [margin for pair in pairs for margin in pair])

    def crop(self, values: torch.Tensor) -> torch.Tensor:
        """(batch, channel, z, y, x) without them again."""
        z, y, x = (slice(b, b + n) for b, n in zip(self.before, self.size, strict=True))
        return values[:, :, z, y, x]


def build_network(description: "ModelDescription") -> DenseNetwork:
    """The network, with random weights, that a model's description asks for."""
    return DenseNetwork(description.network, attention=description.attention)
