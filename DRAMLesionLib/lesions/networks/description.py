"""What a model expects and how its map is read: never constants in code, always the model's own description."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from DRAMLesionLib.system.checked_values import ANY_NUMBER, json_values, read_settings
from DRAMLesionLib.system.errors import InputError

MOST_CRF = 1000.0
"""Largest value of any setting of the CRF: a kernel wider than a chest, or iterations that never end, are slips."""
MOST_CHANNELS = 2048
"""Largest number of channels of a network's layer; more is a slip that no memory holds."""
MOST_GRID_FACTOR = 16
RESOLUTIONS = 5
"""Resolutions of MONAI's BasicUNet."""
ALMOST_0, ALMOST_1 = 1e-6, 1 - 1e-6
"""Bounds of a threshold, which divides values below it from values above it, and of a kernel's width."""

PREPARATION_BOUNDS = {
    "spacing_mm": (0.3, 10.0),
    "hu_window": ANY_NUMBER,
    "margin_mm": (0.0, 200.0),
    "candidate_hu": ANY_NUMBER,
    "threshold": (ALMOST_0, ALMOST_1),
}
"""Bounds of the numbers that say how a CT is prepared for a network and how the network's map is cut."""


@dataclass(frozen=True)
class CRFSettings:
    """How the dense CRF refines a model's map: the parameters of :func:`DRAMLesionLib.lesions.crf.crf.refine`.

    Attributes:
        iterations: Iterations of mean field.
        gaussian_mm: Width (sigma) of the position kernel, mm.
        bilateral_mm: Width in space of the position and HU kernel, mm.
        bilateral_hu: Width in HU of the position and HU kernel.
        gaussian_weight: Weight of the position kernel.
        bilateral_weight: Weight of the position and HU kernel.
    """

    iterations: int = 5
    gaussian_mm: float = 3.0
    bilateral_mm: float = 9.0
    bilateral_hu: float = 80.0
    gaussian_weight: float = 1.5
    bilateral_weight: float = 6.0

    @classmethod
    def from_dict(cls, values: Any, where: str) -> "CRFSettings":
        """Read and check settings.

        Raises:
            InputError: An entry that is unknown or not what it should be; names the key.
        """
        bounds = dict.fromkeys(("gaussian_mm", "bilateral_mm", "bilateral_hu"), (ALMOST_0, MOST_CRF))
        bounds |= dict.fromkeys(("gaussian_weight", "bilateral_weight"), (0.0, MOST_CRF))
        return read_settings(cls, values, where, {**bounds, "iterations": (1, MOST_CRF)})


Grid = float | tuple[int, int, int] | None


@dataclass(frozen=True)
class AttentionSettings:
    """How the neighbour attention works.

    Attributes:
        channels: Channels of each projected feature, and of the vectors that are compared.
        iterations: How often the mean over neighbours is taken, with the same weights.
        grid: Where it works. A number: voxels of the network's grid (an axis) per voxel of the attention's, 2 halves it;
            three whole numbers: the size of its grid (z, y, x), but never finer than the network's; None: the network's.
    """

    channels: int = 8
    iterations: int = 1
    grid: Grid = 2.0

    @classmethod
    def from_dict(cls, values: Any, where: str) -> "AttentionSettings":
        """Read and check settings.

        Args:
            values: ``{"channels": 8, "iterations": 1, "grid": 2 or [z, y, x] or null}``, each optional.
            where: What to name in an error, for instance ``"metadata.json: dram.attention"``.

        Raises:
            InputError: An entry that is unknown or not what it should be; names the key.
        """
        bounds = dict.fromkeys(("channels", "iterations"), (1.0, MOST_CHANNELS))
        return read_settings(cls, values, where, bounds, readers={"grid": _read_grid})

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return json_values(self)

    def grid_size(self, size: Sequence[int]) -> tuple[int, int, int]:
        """Voxels (z, y, x) of the attention's grid where the network's has ``size``."""
        if self.grid is None:
            wanted = tuple(size)
        elif isinstance(self.grid, tuple):
            wanted = tuple(min(n, g) for n, g in zip(size, self.grid, strict=True))
        else:
            wanted = tuple(max(1, round(n / self.grid)) for n in size)
        return wanted[0], wanted[1], wanted[2]


def _read_grid(value: Any, where: str) -> Grid:
    if value is None:
        return None
    if isinstance(value, list | tuple) and len(value) == 3 and all(_is_count(v) for v in value):
        return value[0], value[1], value[2]
    if isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value <= MOST_GRID_FACTOR:
        return float(value)
    raise InputError(
        f"{where}: {value!r} is neither a factor of 1 to {MOST_GRID_FACTOR}, nor a size [z, y, x], nor null"
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_CHANNELS


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
    def from_dict(cls, values: Any, where: str) -> "NetworkDescription":
        """Read the description from a model's or a recipe's ``network`` entry.

        Args:
            values: ``{"features": [six channels], "in_channels": 1}``.
            where: What to name in an error, for instance the file and key.

        Raises:
            InputError: An unknown key, or features that are not six positive whole numbers.
        """
        read = read_settings(cls, values, where, {"features": (1, MOST_CHANNELS)})
        if len(read.features) != RESOLUTIONS + 1:
            raise InputError(f"{where}.features: {list(read.features)} is not {RESOLUTIONS + 1} numbers")
        if read.in_channels != 1:
            raise InputError(f"{where}.in_channels: {read.in_channels}: a CT has 1 channel: set it to 1")
        return read

    def to_dict(self) -> dict[str, Any]:
        """The description as JSON values."""
        return json_values(self)


@dataclass(frozen=True)
class ModelDescription:
    """How to prepare a CT for a dRAM network and how to read its map.

    Attributes:
        spacing_mm: Grid of the network, (z, y, x) in mm.
        hu_window: Lower and upper HU, mapped to 0 and 1 and clipped there. Outside the lobe the input is 0.
        margin_mm: Border about the lobe's box, in mm.
        candidate_hu: Voxels darker than this are no candidates for lesion (softly, see
            :func:`~DRAMLesionLib.lesions.networks.candidates.dram_logits`); None where all are.
        threshold: dRAM value (0..1) above which a voxel counts as lesion.
        crf: How the CRF refines the map.
        network: The network's size.
        attention: The module that refines the network's map; None where it has none.
    """

    spacing_mm: tuple[float, float, float] = (2.5, 2.5, 2.5)
    hu_window: tuple[float, float] = (-1000.0, 0.0)
    margin_mm: float = 5.0
    candidate_hu: float | None = None
    threshold: float = 0.5
    crf: CRFSettings = field(default_factory=CRFSettings)
    network: NetworkDescription = field(default_factory=NetworkDescription)
    attention: AttentionSettings | None = None

    @classmethod
    def from_dict(cls, values: Any, where: str) -> "ModelDescription":
        """Read and check a description.

        Args:
            values: ``{"spacing_mm": [z, y, x], "hu_window": [low, high], "margin_mm", "candidate_hu",
                "threshold", "crf", "network", "attention"}``; what is left out has its default.
            where: What to name in an error, for instance ``"metadata.json: dram"``.

        Raises:
            InputError: An entry that is unknown, or not what it should be; names the key.
        """
        read = read_settings(cls, values, where, PREPARATION_BOUNDS)
        check_window(read.hu_window, where)
        return read

    def to_dict(self) -> dict[str, Any]:
        """The description as JSON values."""
        return json_values(self)


def check_window(hu_window: tuple[float, float], where: str) -> None:
    """Refuse a HU window whose ends are not in order.

    Args:
        hu_window: Lower and upper HU.
        where: What to name in an error before the key ``hu_window``.

    Raises:
        InputError: The first HU is not the lower one.
    """
    if not hu_window[0] < hu_window[1]:
        raise InputError(f"{where}.hu_window: {list(hu_window)}: the first HU must be the lower one")
