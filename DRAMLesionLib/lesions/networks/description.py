"""What a model expects and how its map is read: never constants in code, always the model's own description."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from DRAMLesionLib.system.errors import InputError

MOST_CRF = 1000.0
"""Of any setting of the CRF: a kernel wider than a chest, or iterations that never end, are slips."""
MOST_MARGIN_MM = 200.0


@dataclass(frozen=True)
class CRFSettings:
    """How the dense CRF refines a model's map: the parameters of :func:`DRAMLesionLib.lesions.crf.crf.refine`.

    Attributes:
        iterations: Of mean field.
        gaussian_mm: Width (sigma) of the position kernel, mm.
        bilateral_mm: Width in space of the position and HU kernel, mm.
        bilateral_hu: Its width in HU.
        gaussian_weight: Of the position kernel.
        bilateral_weight: Of the position and HU kernel.
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
            InputError: An entry that is unknown or not a positive number; names the key.
        """
        if not isinstance(values, dict):
            raise InputError(f"{where}: is no table of settings")
        for key, value in values.items():
            if key not in cls.__dataclass_fields__:
                raise InputError(f"{where}.{key}: unknown key: use {', '.join(cls.__dataclass_fields__)}")
            number = _numbers([value], 1, f"{where}.{key}")[0]
            if number > MOST_CRF:
                raise InputError(f"{where}.{key}: {value!r} is not between 0 and {MOST_CRF:g}")
            if number <= 0 and not (key.endswith("weight") and number == 0):
                raise InputError(f"{where}.{key}: {value!r} is not positive")
            if key == "iterations" and value != int(value):
                raise InputError(f"{where}.{key}: {value!r} is no whole number")
        return cls(**values)


MOST_CHANNELS = 2048
"""Of any layer of a network; more is a slip that no memory holds."""


Grid = float | tuple[int, int, int] | None


@dataclass(frozen=True)
class AttentionSettings:
    """How the neighbour attention works.

    Attributes:
        channels: Of each projected feature, and of the vectors that are compared.
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
        if not isinstance(values, dict):
            raise InputError(f"{where}: is no table of settings: use {', '.join(cls.__dataclass_fields__)}")
        for key in values:
            if key not in cls.__dataclass_fields__:
                raise InputError(f"{where}.{key}: unknown key: use {', '.join(cls.__dataclass_fields__)}")
        for key in ("channels", "iterations"):
            if not _is_count(values.get(key, 1)):
                raise InputError(
                    f"{where}.{key}: {values[key]!r} is no positive whole number of at most {MOST_CHANNELS}"
                )
        return cls(
            values.get("channels", cls.channels),
            values.get("iterations", cls.iterations),
            _read_grid(values.get("grid", cls.grid), f"{where}.grid"),
        )

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    def grid_size(self, size: Sequence[int]) -> tuple[int, int, int]:
        """Voxels (z, y, x) of the attention's grid where the network's has ``size``."""
        if self.grid is None:
            wanted = tuple(size)
        elif isinstance(self.grid, tuple):
            wanted = tuple(min(n, g) for n, g in zip(size, self.grid, strict=True))
        else:
            wanted = tuple(max(1, round(n / self.grid)) for n in size)
        return wanted[0], wanted[1], wanted[2]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_CHANNELS


def _read_grid(value: Any, where: str) -> Grid:
    if value is None:
        return None
    if isinstance(value, list | tuple) and len(value) == 3 and all(_is_count(v) for v in value):
        return value[0], value[1], value[2]
    if isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value <= 16:
        return float(value)
    raise InputError(f"{where}: {value!r} is neither a factor of 1 to 16, nor a size [z, y, x], nor null")


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
        if not isinstance(values, dict):
            raise InputError(f"{where}: is no table of settings: use features and in_channels")
        unknown = {str(key) for key in values} - {"features", "in_channels"}
        if unknown:
            raise InputError(f"{where}: unknown key {sorted(unknown)[0]!r}: use features and in_channels")
        features = values.get("features", cls.features)
        if not (
            isinstance(features, list | tuple)
            and len(features) == 6
            and all(
                isinstance(f, int) and not isinstance(f, bool) and 0 < f <= MOST_CHANNELS for f in features
            )
        ):
            raise InputError(
                f"{where}.features: {features!r} is not six positive whole numbers of at most {MOST_CHANNELS}"
            )
        channels = values.get("in_channels", 1)
        if channels != 1:
            raise InputError(f"{where}.in_channels: {channels!r}: a CT has 1 channel")
        return cls(tuple(features), channels)

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}


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
                "threshold", "crf", "network", "attention"}``.
            where: What to name in an error, for instance ``"metadata.json: dram"``.

        Raises:
            InputError: An entry that is missing, unknown, or not what it should be; names the key.
        """
        if not isinstance(values, dict):
            raise InputError(f"{where}: is missing or no table of settings: give one")
        known = set(cls.__dataclass_fields__)
        for key in values:
            if key not in known:
                raise InputError(f"{where}.{key}: unknown key: use {', '.join(sorted(known))}")
        default = cls()
        spacing = _numbers(values.get("spacing_mm", default.spacing_mm), 3, f"{where}.spacing_mm")
        if not all(0.3 <= s <= 10 for s in spacing):
            raise InputError(f"{where}.spacing_mm: {list(spacing)} mm is not between 0.3 and 10")
        window = _numbers(values.get("hu_window", default.hu_window), 2, f"{where}.hu_window")
        if not window[0] < window[1]:
            raise InputError(f"{where}.hu_window: {list(window)}: the first HU must be the lower one")
        margin = _numbers([values.get("margin_mm", default.margin_mm)], 1, f"{where}.margin_mm")[0]
        threshold = _numbers([values.get("threshold", default.threshold)], 1, f"{where}.threshold")[0]
        if not 0 <= margin <= MOST_MARGIN_MM:
            raise InputError(f"{where}.margin_mm: {margin} is not between 0 and {MOST_MARGIN_MM:g}")
        if not 0 < threshold < 1:
            raise InputError(f"{where}.threshold: {threshold} is not between 0 and 1")
        candidate = values.get("candidate_hu")
        if candidate is not None:
            candidate = _numbers([candidate], 1, f"{where}.candidate_hu")[0]
        network = NetworkDescription.from_dict(values.get("network", {}), f"{where}.network")
        attention = values.get("attention")
        if attention is not None:
            attention = AttentionSettings.from_dict(attention, f"{where}.attention")
        return cls(
            spacing_mm=(spacing[0], spacing[1], spacing[2]),
            hu_window=(window[0], window[1]),
            margin_mm=margin,
            candidate_hu=candidate,
            threshold=threshold,
            crf=CRFSettings.from_dict(values.get("crf", {}), f"{where}.crf"),
            network=network,
            attention=attention,
        )

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "spacing_mm": list(self.spacing_mm),
            "hu_window": list(self.hu_window),
            "margin_mm": self.margin_mm,
            "candidate_hu": self.candidate_hu,
            "threshold": self.threshold,
            "crf": asdict(self.crf),
            "network": self.network.to_dict(),
            "attention": None if self.attention is None else self.attention.to_dict(),
        }


def _numbers(values: Any, count: int, where: str) -> tuple[float, ...]:
    good = (
        isinstance(values, list | tuple)
        and len(values) == count
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    )
    # Beyond this float32 has no finite numbers left to calculate with.
    if not good or not all(abs(v) < 1e12 for v in values):
        raise InputError(f"{where}: {values!r} is not {count} number{'s' if count > 1 else ''}")
    return tuple(float(v) for v in values)
