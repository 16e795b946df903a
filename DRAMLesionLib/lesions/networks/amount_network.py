"""The network of the lobes' amounts: it looks at both lungs whole, and corrects the final network's map.

The final network looks closely, and its map fades where most of a lobe is sick. This one sees that map and the lungs'
densities in voxels twice as wide, all at once, and adds log odds to the map. It normalises no activation, since lungs
that are dense throughout would then look like healthy ones: its filters are standardised instead (Brock et al.,
"Characterizing signal propagation to close the performance gap in unnormalized ResNets", ICLR 2021).
"""

import math

import torch
from torch import nn
from torch.nn import functional

from DRAMLesionLib.lesions.networks.amount_description import AmountDescription
from DRAMLesionLib.lungs.lung_description import BLOCK
from DRAMLesionLib.lungs.lung_network import depth_to_space, space_to_depth

RELU_GAIN = math.sqrt(2 / (1 - 1 / math.pi))
"""Brings the standard deviation of a rectified normal variable back to 1."""
IMAGES = 3
"""Input channels: HU, the lobes, the map."""
CENTRE, WIDTH = 0.25, 0.25
"""Of the image in lungs, about: mean and spread."""
SURE = 6.0
"""Log odds of the final network's map are held between this and its negative."""


class StandardisedConv3d(nn.Conv3d):
    """A convolution of 3 x 3 x 3 voxels whose filters have mean 0, and whose output spreads as its input does."""

    def __init__(self, before: int, after: int):
        """Build it for ``before`` input and ``after`` output channels."""
        super().__init__(before, after, 3, padding=1)
        self.gain = nn.Parameter(torch.ones(after))
        nn.init.normal_(self.weight, std=0.1)  # small: each step then turns a filter further
        assert self.bias is not None
        nn.init.zeros_(self.bias)

    def filters(self) -> torch.Tensor:
        """The weights that it computes with, the shape of ``weight``."""
        flat = self.weight.flatten(1)
        flat = (flat - flat.mean(1, keepdim=True)) / (
            flat.std(1, keepdim=True) * math.sqrt(flat.shape[1]) + 1e-5
        )
        return (flat * (RELU_GAIN * self.gain)[:, None]).view_as(self.weight)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(batch, channel, z, y, x) to the same grid."""
        weight = self.filters().contiguous(memory_format=torch.channels_last_3d)
        return functional.conv3d(input, weight.to(self.weight.dtype), self.bias, padding=1)


class AmountNetwork(nn.Module):
    """A U-Net that sees HU, where the lobes are, and the final network's map, whose log odds it corrects."""

    def __init__(self, description: AmountDescription):
        """Build the network with random weights, but for the last ones: it begins with no correction."""
        super().__init__()
        self.description = description
        widths = description.features
        self.down = nn.ModuleList(
            _two_convolutions(before, after)
            for before, after in zip((IMAGES * BLOCK**3, *widths[:-1]), widths, strict=True)
        )
        self.up = nn.ModuleList(
            _two_convolutions(below + here, here)
            for here, below in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.head = nn.Conv3d(widths[0], BLOCK**3, 1)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, image: torch.Tensor, inside: torch.Tensor, lesion_map: torch.Tensor) -> torch.Tensor:
        """Corrected log odds of whole lungs.

        Args:
            image: (batch, 1, z, y, x): the HU window as 0..1, 0 outside the lobes.
            inside: The same shape: 1 in the lobes, 0 elsewhere.
            lesion_map: The same shape: the final network's probability, 0..1.

        Returns:
            (batch, 1, z, y, x) logits.
        """
        odds = torch.logit(lesion_map, 1e-4).clamp(-SURE, SURE)
        sides = image.shape[2:]
        padding = [p for n in reversed(sides) for p in (0, -n % self.description.step)]
        seen = [(image - CENTRE) / WIDTH * inside, inside, odds / 3 * inside]
        values = space_to_depth(functional.pad(torch.cat(seen, dim=1), padding)).to(self.head.weight.dtype)
        values = values.contiguous(memory_format=torch.channels_last_3d)
        skipped: list[torch.Tensor] = []
        for block in self.down:
            if skipped:
                values = functional.avg_pool3d(values, 2) * 2
            values = block(values)
            skipped.append(values)
        skipped.pop()
        for block in self.up:
            values = functional.interpolate(values, scale_factor=2, mode="nearest")
            values = block(torch.cat([values, skipped.pop()], dim=1))
        z, y, x = sides
        return odds + depth_to_space(self.head(values))[:, :, :z, :y, :x]


def _two_convolutions(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        StandardisedConv3d(before, after),
        nn.ReLU(inplace=True),
        StandardisedConv3d(after, after),
        nn.ReLU(inplace=True),
    )
