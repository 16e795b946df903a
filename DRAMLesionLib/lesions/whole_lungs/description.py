"""What the network of the lobes' amounts expects, and its size: read from its bundle or a recipe, without torch."""

from dataclasses import dataclass
from typing import Any

from DRAMLesionLib.lesions.networks.description import PREPARATION_BOUNDS, ModelDescription, check_window
from DRAMLesionLib.system.checked_values import json_values, read_settings
from DRAMLesionLib.system.errors import InputError


@dataclass(frozen=True)
class AmountDescription:
    """How to prepare a CT for the network of the lobes' amounts, and what it takes to build it again.

    Attributes:
        spacing_mm: Grid of CT and map, (z, y, x) in mm.
        hu_window: Lower and upper HU, mapped to 0 and 1 and clipped there.
        margin_mm: Border about the lungs' box, in mm.
        block: Voxels along each axis that are pooled to one of the network's.
        features: Channels of each resolution; each halves the grid of the one before it.
        offset: Percentage points that are added to what the network says of a lobe: less than 0, what it says of lobes
            without lesion.
    """

    spacing_mm: tuple[float, float, float] = (2.5, 2.5, 2.5)
    hu_window: tuple[float, float] = (-1000.0, 0.0)
    margin_mm: float = 5.0
    block: int = 4
    features: tuple[int, ...] = (16, 32, 64, 64)
    offset: float = 0.0

    @classmethod
    def from_dict(cls, values: Any, where: str) -> "AmountDescription":
        """Read and check a description.

        Args:
            values: The attributes as JSON values; what is left out has its default.
            where: What to name in an error.

        Raises:
            InputError: An entry that is unknown or not what it should be; names the key.
        """
        bounds = {
            **PREPARATION_BOUNDS,
            "block": (1.0, 16.0),
            "features": (1.0, 512.0),
            "offset": (-100.0, 100.0),
        }
        read = read_settings(cls, values, where, bounds)
        check_window(read.hu_window, where)
        if not 2 <= len(read.features) <= 6:
            raise InputError(f"{where}.features: {list(read.features)} is not 2 to 6 whole numbers")
        return read

    def to_dict(self) -> dict[str, Any]:
        """The description as JSON values."""
        return json_values(self)

    @property
    def step(self) -> int:
        """Sides of what the network computes on, in its voxels, are multiples of this."""
        return 2 ** (len(self.features) - 1)

    @property
    def preparation(self) -> ModelDescription:
        """How the lungs are prepared, as a dRAM model's description, which
        :func:`~DRAMLesionLib.lesions.lung_grid.lung_grid` takes."""
        return ModelDescription(
            spacing_mm=self.spacing_mm, hu_window=self.hu_window, margin_mm=self.margin_mm
        )
