"""What the network of the lobes' amounts expects, and its size: read from its bundle or a recipe, without torch."""

from dataclasses import dataclass
from typing import Any

from DRAMLesionLib.lesions.networks.description import PREPARATION_BOUNDS, ModelDescription, check_window
from DRAMLesionLib.lungs.lung_description import BLOCK, LungDescription
from DRAMLesionLib.system.checked_values import json_values, read_settings


@dataclass(frozen=True)
class AmountDescription:
    """How to prepare a CT for the network of the lobes' amounts, and what it takes to build it again.

    Attributes:
        spacing_mm: Grid of its input and of its map, (z, y, x) in mm.
        hu_window: Lower and upper HU, mapped to 0 and 1 and clipped there.
        margin_mm: Border about the lungs' box, in mm.
        features: Channels of each resolution; the first one's voxels are twice as wide as the grid's.
    """

    spacing_mm: tuple[float, float, float] = (2.5, 2.5, 2.5)
    hu_window: tuple[float, float] = (-1000.0, 0.0)
    margin_mm: float = 5.0
    features: tuple[int, ...] = (16, 32, 64, 64, 64)

    @classmethod
    def from_dict(cls, values: Any, where: str) -> "AmountDescription":
        """Read and check a description.

        Args:
            values: The attributes as JSON values; what is left out has its default.
            where: What to name in an error.

        Raises:
            InputError: An entry that is unknown or not what it should be; names the key.
        """
        read = read_settings(cls, values, where, {**PREPARATION_BOUNDS})
        check_window(read.hu_window, where)
        LungDescription.from_dict({"features": list(read.features)}, where)
        return read

    def to_dict(self) -> dict[str, Any]:
        """The description as JSON values."""
        return json_values(self)

    @property
    def step(self) -> int:
        """Sides of what the network computes on, in voxels, are multiples of this."""
        return BLOCK * 2 ** (len(self.features) - 1)

    @property
    def preparation(self) -> ModelDescription:
        """How the lungs are prepared, as a dRAM model's description, which
        :func:`~DRAMLesionLib.lesions.lung_grid.lung_grid` takes."""
        return ModelDescription(
            spacing_mm=self.spacing_mm, hu_window=self.hu_window, margin_mm=self.margin_mm
        )
