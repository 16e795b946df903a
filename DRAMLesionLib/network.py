"""The dense network: a 3D U-Net with one logit per voxel."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from monai.networks.nets import BasicUNet
from torch import nn

from DRAMLesionLib.errors import InputError

HALVINGS = 4
"""BasicUNet halves the grid four times."""
SMALLEST_GRID = 32
"""At least two voxels an axis remain at the coarsest level, so that instance normalisation has something to normalise."""


@dataclass(frozen=True)
class NetworkDescription:
    """What it takes to build the network again.

    Attributes:
        features: Channels of the five resolutions and of the last decoder stage, as MONAI's BasicUNet takes them.
        in_channels: Channels of the input; 1 for CT.
    """

    features: tuple[int, ...] = (8, 16, 32, 64, 64, 8)
    in_channels: int = 1

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str) -> "NetworkDescription":
        """Read the description from a model's or a recipe's ``network`` entry.

        Args:
            values: ``{"features": [six channels], "in_channels": 1}``.
            where: What to name in an error, for instance the file and key.

        Raises:
            InputError: An unknown key, or features that are not six positive whole numbers.
        """
        unknown = set(values) - {"features", "in_channels"}
        if unknown:
            raise InputError(f"{where}: unknown key {sorted(unknown)[0]!r}: use features and in_channels")
        features = values.get("features", cls.features)
        if not (
            isinstance(features, list | tuple)
            and len(features) == 6
            and all(isinstance(f, int) and f > 0 for f in features)
        ):
            raise InputError(f"{where}.features: {features!r} is not six positive whole numbers")
        channels = values.get("in_channels", 1)
        if channels != 1:
            raise InputError(f"{where}.in_channels: {channels!r}: a CT has 1 channel")
        return cls(tuple(features), channels)

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}


class DenseNetwork(nn.Module):
    """A 3D U-Net whose 1x1x1 head on full-resolution features gives one logit per voxel; its sigmoid is the dRAM.

    Any grid size goes in: the grid is padded with the input's air value to what four halvings need, and cropped back.
    """

    def __init__(self, description: NetworkDescription, head_bias: float = -3.0):
        """Build the network with random weights.

        Args:
            description: Its size.
            head_bias: First value of the head's bias. Lesions are rare, so the dRAM starts near sigmoid(-3) = 5 %.
        """
        super().__init__()
        self.description = description
        self.unet = BasicUNet(
            spatial_dims=3,
            in_channels=description.in_channels,
            out_channels=1,
            features=description.features,
            upsample="nontrainable",
        )
        head = self.unet.final_conv
        assert isinstance(head, nn.Conv3d) and head.bias is not None
        nn.init.constant_(head.bias, head_bias)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits for ``image``.

        Args:
            image: (batch, channel, z, y, x), the HU window mapped to 0..1, 0 (air) outside the lobe.

        Returns:
            (batch, 1, z, y, x) logits, the same grid.
        """
        step = 2**HALVINGS
        size = image.shape[2:]
        padded = [max(SMALLEST_GRID, -(-n // step) * step) for n in size]
        margins = [p - n for p, n in zip(padded, size, strict=True)]
        before = [m // 2 for m in margins]
        pads = [v for b, m in zip(reversed(before), reversed(margins), strict=True) for v in (b, m - b)]
        logits = self.unet(nn.functional.pad(image, pads))
        z, y, x = (slice(b, b + n) for b, n in zip(before, size, strict=True))
        return logits[:, :, z, y, x]
