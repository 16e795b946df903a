"""What the final network is and expects: its layers, spacing, HU window and threshold."""

from dataclasses import dataclass, field
from typing import Any, Literal

from DRAMLesionLib.lesions.networks.description import (
    MOST_CHANNELS,
    PREPARATION_BOUNDS,
    ModelDescription,
    check_window,
)
from DRAMLesionLib.system.checked_values import ANY_NUMBER, json_values, read_settings
from DRAMLesionLib.system.errors import InputError

SMALLEST_DEPTH, DEEPEST = 3, 6
"""DynUNet has at least three resolutions; with six a patch of 64 voxels has two left an axis."""
LARGEST_PATCH = 512
Norm = Literal["instance", "batch"]
MOST_OVERLAP = 0.95
"""Largest overlap of neighbouring patches, as a share of a patch's side: more computes each voxel thousands of times."""


@dataclass(frozen=True)
class SegmentationNetworkDescription:
    """What it takes to build the final network again.

    Attributes:
        filters: Channels of each resolution; each halves the grid of the one before it.
        deep_supervision: In training, coarser decoder stages give logits, too.
        norm: ``instance`` normalises each patch by itself; ``batch`` by running statistics of the training, so that
            absolute HU survive, and a patch that is dense throughout stays dense.
    """

    filters: tuple[int, ...] = (8, 16, 32, 64, 64)
    deep_supervision: bool = False
    norm: Norm = "instance"

    @classmethod
    def from_dict(cls, values: Any, where: str) -> "SegmentationNetworkDescription":
        """Read and check a description.

        Args:
            values: ``{"filters": [three to six channels], "deep_supervision": false, "norm": "instance"}``.
            where: What to name in an error.

        Raises:
            InputError: An entry that is unknown or not what it should be; names the key.
        """
        read = read_settings(cls, values, where, {"filters": (1, MOST_CHANNELS)})
        if not SMALLEST_DEPTH <= len(read.filters) <= DEEPEST:
            raise InputError(
                f"{where}.filters: {list(read.filters)} is not {SMALLEST_DEPTH} to {DEEPEST} whole numbers"
            )
        return read

    def to_dict(self) -> dict[str, Any]:
        """The description as JSON values."""
        return json_values(self)

    @property
    def step(self) -> int:
        """Patch sides are multiples of this."""
        return 2 ** (len(self.filters) - 1)


@dataclass(frozen=True)
class DensityFloor:
    """When and how the density of a lobe overrules its map, see :func:`DRAMLesionLib.lesions.amount.lobe_amounts`.

    Where most of a lobe is sick a network's map may fade, but the lobe is dense all the same. Density says
    ``slope * (d - start)`` percent, d being the percentage of the lobe that is denser than ``dense_hu``.

    Attributes:
        dense_hu: In HU.
        start: Percent of the lobe. Less than that is dense in lobes that are healthy or mildly sick, by vessels,
            expiration, fat at the edge and the disease itself, and density says nothing.
        slope: Percentage points per percent of the lobe beyond ``start``.
        seen: The percentage that the map has to say at least: a lobe without lesion may be dense for another reason.
    """

    dense_hu: float = -550.0
    start: float = 18.0
    slope: float = 1.6
    seen: float = 5.0

    @classmethod
    def from_dict(cls, values: Any, where: str) -> "DensityFloor":
        """Read and check settings.

        Args:
            values: The attributes as JSON values; what is left out has its default.
            where: What to name in an error.

        Raises:
            InputError: An entry that is unknown or no number in its bounds; names the key.
        """
        percent = (0.0, 100.0)
        return read_settings(cls, values, where, {"dense_hu": ANY_NUMBER, "start": percent, "seen": percent})


@dataclass(frozen=True)
class AmountSettings:
    """How a lobe's percentage is estimated from its map and its HU, see :mod:`DRAMLesionLib.lesions.amount`.

    Attributes:
        offset: Percentage points that are added.
        mean: Weight of 100 times the map's mean over the lobe.
        square: Weight of the square of the map's mean, as a percentage: above 0 where a map is faint in sick lobes.
        dense: Weight of the percentage of the lobe that is denser than ``dense_hu``.
        dense_hu: In HU.
        error_points: Half width of the range of a lobe without lesion, in percentage points.
        error_share: Growth of the half width, in points per point of the percentage (or of what is left to 100 %).
        floor: When and how the lobe's density overrules the estimate; None: never.
        sure: A lobe gets at least the share of its voxels where the map is above this, 0..1: a small lesion that is plain
            to see counts, however little of the lobe it is. None: the estimate alone.
    """

    offset: float = 0.0
    mean: float = 1.0
    square: float = 0.0
    dense: float = 0.0
    dense_hu: float = -500.0
    error_points: float = 1.0
    error_share: float = 0.2
    floor: DensityFloor | None = None
    sure: float | None = None

    @classmethod
    def from_dict(cls, values: Any, where: str) -> "AmountSettings":
        """Read and check settings.

        Args:
            values: The attributes as JSON values; what is left out has its default.
            where: What to name in an error.

        Raises:
            InputError: An entry that is unknown or no number in its bounds; names the key.
        """
        free = dict.fromkeys(("offset", "mean", "square", "dense", "dense_hu"), ANY_NUMBER)
        return read_settings(cls, values, where, {**free, "sure": (0.0, 1.0)})


@dataclass(frozen=True)
class SegmentationDescription:
    """How to prepare a CT for a final network and how to read its probability.

    Attributes:
        spacing_mm: Grid of the network, (z, y, x) in mm.
        hu_window: Lower and upper HU, mapped to 0 and 1 and clipped there.
        margin_mm: Border about the lungs' box, in mm.
        lobes_only: Everything outside the lobes is air (0) in the input; else the network sees the chest about them.
        patch: Voxels (z, y, x) that the network sees at once; each side a multiple of the network's step.
        overlap: How much neighbouring patches of the sliding window overlap, 0..1 of a side.
        threshold: Probability (0..1) above which a voxel is lesion.
        dram_share: How much the refined dRAM counts in the mask beside the network, 0..1, see
            :func:`~DRAMLesionLib.lesions.mask.with_refined_dram`.
        dram_model: Name of the dRAM model whose maps go with the mask; None: the default one.
        network: The network's size.
        amount_model: Name of the network of the lobes' amounts that reads the map; None: the map's mean is read.
        window: Voxels (z, y, x) of the sliding window where it differs from ``patch``: a network that normalises by
            running statistics finds the same in any window, and larger ones overlap less. None: ``patch``.
        without_hilum: Findings that lie wholly along the mediastinum are taken off the map, see
            :func:`~DRAMLesionLib.lesions.whole_lungs.hilum.take_hilum_off`.
        amount: How each lobe's percentage is estimated, which then sets where the lobe is cut; None: the map is cut as it
            is.
    """

    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.0)
    hu_window: tuple[float, float] = (-1000.0, 100.0)
    margin_mm: float = 5.0
    lobes_only: bool = False
    patch: tuple[int, int, int] = (64, 64, 64)
    overlap: float = 0.5
    threshold: float = 0.5
    dram_share: float = 0.0
    dram_model: str | None = None
    network: SegmentationNetworkDescription = field(default_factory=SegmentationNetworkDescription)
    amount: AmountSettings | None = None
    amount_model: str | None = None
    window: tuple[int, int, int] | None = None
    without_hilum: bool = False

    @classmethod
    def from_dict(cls, values: Any, where: str) -> "SegmentationDescription":
        """Read and check a description.

        Args:
            values: The attributes as JSON values; what is left out has its default.
            where: What to name in an error, for instance ``"metadata.json: segmentation"``.

        Raises:
            InputError: An entry that is unknown or not what it should be; names the key.
        """
        sides = dict.fromkeys(("patch", "window"), (1.0, LARGEST_PATCH))
        own = {"overlap": (0.0, MOST_OVERLAP), "dram_share": (0.0, 1.0), **sides}
        read = read_settings(cls, values, where, {**PREPARATION_BOUNDS, **own})
        check_window(read.hu_window, where)
        step = read.network.step
        for key, size in (("patch", read.patch), ("window", read.seen_at_once)):
            if not any(side % step or side < 2 * step for side in size):
                continue
            raise InputError(
                f"{where}.{key}: {list(size)} is not three multiples of {step} from {2 * step} to "
                f"{LARGEST_PATCH}, as the network's filters need"
            )
        return read

    def to_dict(self) -> dict[str, Any]:
        """The description as JSON values."""
        return json_values(self)

    @property
    def seen_at_once(self) -> tuple[int, int, int]:
        """Voxels (z, y, x) of the sliding window."""
        return self.window or self.patch

    @property
    def preparation(self) -> ModelDescription:
        """How the lungs are prepared, as a dRAM model's description, which
        :func:`~DRAMLesionLib.lesions.lung_grid.lung_grid` takes."""
        return ModelDescription(
            spacing_mm=self.spacing_mm, hu_window=self.hu_window, margin_mm=self.margin_mm
        )
