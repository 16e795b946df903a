"""What the lung network expects, and its size: read from its bundle or a recipe, without torch."""

from dataclasses import asdict, dataclass
from typing import Any

from DRAMLesionLib.system.errors import InputError

BLOCK = 2
"""Voxels along each axis that share a place in the network."""

SHALLOWEST, DEEPEST, MOST_CHANNELS = 2, 6, 512


@dataclass(frozen=True)
class LungDescription:
    """How to prepare a CT for the lung network, and what it takes to build it again.

    Attributes:
        spacing_mm: Voxel side of the network's grid.
        features: Channels of each resolution; the first one's voxels are ``BLOCK`` times as wide as the grid's, and each
            resolution halves the one before it.
    """

    spacing_mm: float = 2.5
    features: tuple[int, ...] = (20, 32, 48, 64, 64)

    @classmethod
    def from_dict(cls, values: Any, where: str) -> "LungDescription":
        """Read and check a description.

        Args:
            values: ``{"spacing_mm": 2.5, "features": [two to six channels]}``.
            where: What to name in an error.

        Raises:
            InputError: An entry that is unknown or not what it should be; names the key.
        """
        if not isinstance(values, dict):
            raise InputError(f"{where}: is no table of settings")
        for key in values:
            if key not in cls.__dataclass_fields__:
                raise InputError(f"{where}.{key}: unknown key: use {', '.join(cls.__dataclass_fields__)}")
        spacing = values.get("spacing_mm", cls.spacing_mm)
        if not isinstance(spacing, int | float) or isinstance(spacing, bool) or not 1 <= spacing <= 10:
            raise InputError(f"{where}.spacing_mm: {spacing!r} is not a number from 1 to 10 mm")
        features = values.get("features", cls.features)
        if not (
            isinstance(features, list | tuple)
            and SHALLOWEST <= len(features) <= DEEPEST
            and all(
                isinstance(f, int) and not isinstance(f, bool) and 0 < f <= MOST_CHANNELS for f in features
            )
        ):
            raise InputError(
                f"{where}.features: {features!r} is not {SHALLOWEST} to {DEEPEST} positive whole numbers of at most "
                f"{MOST_CHANNELS}"
            )
        return cls(float(spacing), tuple(features))

    def to_dict(self) -> dict[str, Any]:
        """The description as JSON values."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @property
    def step(self) -> int:
        """Sides of the network's input, in voxels, are multiples of this."""
        return BLOCK * 2 ** (len(self.features) - 1)
