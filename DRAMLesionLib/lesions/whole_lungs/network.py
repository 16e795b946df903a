"""The network of the lobes' amounts: it looks at both lungs whole, and says how much of each coarse voxel is lesion.

The final network looks closely, and its map fades where most of a lobe is sick. This one sees that map and the lungs'
densities, pooled to voxels of about 10 mm, all at once, and corrects the map's log odds.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from DRAMLesionLib.lesions.whole_lungs.description import AmountDescription
from DRAMLesionLib.lesions.whole_lungs.pooled import CHANNELS, ODDS, ODDS_UNIT

MOMENTUM = 0.03
"""Weight of the batch at hand in the running statistics of normalisation."""
MOST = 4.0
"""The correction is held between this and its negative, in log odds."""


class AmountNetwork(nn.Module):
    """A small U-Net with batch normalisation, whose running statistics keep how dense the lungs are."""

    def __init__(self, description: AmountDescription):
        """Build the network with random weights, but for the last ones: it begins with no correction."""
        super().__init__()
        self.description = description
        widths = description.features
        self.down = nn.ModuleList(_two_convolutions(a, b) for a, b in pairwise((CHANNELS, *widths)))
        self.up = nn.ModuleList(_two_convolutions(a + b, a) for b, a in pairwise(widths[::-1]))
        self.head = nn.Conv3d(widths[0], 1, 1)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Log odds of the share of each voxel that is lesion.

        Args:
            features: (batch, channel, z, y, x), the channels of
                :class:`~DRAMLesionLib.lesions.whole_lungs.pooled.PooledLungs`; sides are multiples of
                ``description.step``.

        Returns:
            (batch, 1, z, y, x).
        """
        values, skipped = features, list[torch.Tensor]()
        for block in self.down:
            values = block(functional.avg_pool3d(values, 2) if skipped else values)
            skipped.append(values)
        skipped.pop()
        for block in self.up:
            values = functional.interpolate(values, scale_factor=2, mode="nearest")
            values = block(torch.cat([values, skipped.pop()], dim=1))
        correction = self.head(values).float()
        return features[:, ODDS : ODDS + 1] * ODDS_UNIT + MOST * torch.tanh(correction / MOST)


def _two_convolutions(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [
            nn.Conv3d(channels, after, 3, padding=1, bias=False),
            nn.BatchNorm3d(after, momentum=MOMENTUM),
            nn.LeakyReLU(0.1),
        ]
    return nn.Sequential(*layers)
