"""What the final network is and expects: its layers, spacing, HU window and threshold."""

from dataclasses import asdict, dataclass, field
from typing import Any

from DRAMLesionLib.lesions.networks.description import MOST_CHANNELS, ModelDescription
from DRAMLesionLib.system.errors import InputError

SMALLEST_DEPTH, DEEPEST = 3, 6
"""DynUNet has at least three resolutions; with six a patch of 64 voxels has two left an axis."""


@dataclass(frozen=True)
class SegmentationNetworkDescription:
    """What it takes to build the final network again.

    Attributes:
        filters: Channels of each resolution; each halves the grid of the one before it.
        deep_supervision: In training, coarser decoder stages give logits, too.
    """

    filters: tuple[int, ...] = (8, 16, 32, 64, 64)
    deep_supervision: bool = False

    @classmethod
    def from_dict(cls, values: Any, where: str) -> "SegmentationNetworkDescription":
        """Read and check a description.

        Args:
            values: ``{"filters": [three to six channels], "deep_supervision": false}``.
            where: What to name in an error.

        Raises:
            InputError: An entry that is unknown or not what it should be; names the key.
        """
        if not isinstance(values, dict):
            raise InputError(f"{where}: is no table of settings")
        for key in values:
            if key not in cls.__dataclass_fields__:
                raise InputError(f"{where}.{key}: unknown key: use {', '.join(cls.__dataclass_fields__)}")
        filters = values.get("filters", cls.filters)
        if not (
            isinstance(filters, list | tuple)
            and SMALLEST_DEPTH <= len(filters) <= DEEPEST
            and all(
                isinstance(f, int) and not isinstance(f, bool) and 0 < f <= MOST_CHANNELS for f in filters
            )
        ):
            raise InputError(
                f"{where}.filters: {filters!r} is not {SMALLEST_DEPTH} to {DEEPEST} positive whole numbers "
                f"of at most {MOST_CHANNELS}"
            )
        deep = values.get("deep_supervision", cls.deep_supervision)
        if not isinstance(deep, bool):
            raise InputError(f"{where}.deep_supervision: {deep!r} is neither true nor false")
        return cls(tuple(filters), deep)

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @property
    def step(self) -> int:
        """Patch sides are multiples of this."""
        return 2 ** (len(self.filters) - 1)


@dataclass(frozen=True)
class SegmentationDescription:
    """How to prepare a CT for a final network and how to read its probability.

    Attributes:
        spacing_mm: Grid of the network, (z, y, x) in mm.
        hu_window: Lower and upper HU, mapped to 0 and 1 and clipped there.
        margin_mm: Border about the lungs' box, in mm.
        lobes_only: Everything outside the lobes is air (0) in the input; else the network sees the chest about them.
        patch: Voxels (z, y, x) that the network sees at once; each side a multiple of the network's step.
        overlap: Of neighbouring patches of the sliding window, 0..1 of a side.
        threshold: Probability (0..1) above which a voxel is lesion.
        dram_share: How much the refined dRAM counts in the mask beside the network, 0..1, see :func:`with_refined_dram`.
        dram_model: Name of the dRAM model whose heatmap goes with the mask; None: the default one.
        network: The network's size.
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

    @classmethod
    def from_dict(cls, values: Any, where: str) -> "SegmentationDescription":
        """Read and check a description.

        Args:
            values: The attributes as JSON values; what is left out has its default.
            where: What to name in an error, for instance ``"metadata.json: segmentation"``.

        Raises:
            InputError: An entry that is unknown or not what it should be; names the key.
        """
        if not isinstance(values, dict):
            raise InputError(f"{where}: is missing or no table of settings: give one")
        own = ("lobes_only", "patch", "overlap", "dram_share", "dram_model", "network")
        for key in values:
            if key not in cls.__dataclass_fields__:
                raise InputError(f"{where}.{key}: unknown key: use {', '.join(cls.__dataclass_fields__)}")
        default = cls()
        shared = {key: getattr(default, key) for key in ("hu_window", "spacing_mm", "margin_mm", "threshold")}
        given = {key: value for key, value in values.items() if key not in own}
        like_dram = ModelDescription.from_dict({**shared, **given}, where)
        network = SegmentationNetworkDescription.from_dict(values.get("network", {}), f"{where}.network")
        lobes_only = values.get("lobes_only", default.lobes_only)
        if not isinstance(lobes_only, bool):
            raise InputError(f"{where}.lobes_only: {lobes_only!r} is neither true nor false")
        overlap = values.get("overlap", default.overlap)
        if isinstance(overlap, bool) or not isinstance(overlap, int | float) or not 0 <= overlap < 0.95:
            raise InputError(f"{where}.overlap: {overlap!r} is not between 0 and 0.95")
        share = values.get("dram_share", default.dram_share)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise InputError(f"{where}.dram_share: {share!r} is not between 0 and 1")
        name = values.get("dram_model")
        if name is not None and not (isinstance(name, str) and name.strip()):
            raise InputError(f"{where}.dram_model: {name!r} is no name of a model")
        return cls(
            spacing_mm=like_dram.spacing_mm,
            hu_window=like_dram.hu_window,
            margin_mm=like_dram.margin_mm,
            lobes_only=lobes_only,
            patch=_patch(values.get("patch", default.patch), network.step, f"{where}.patch"),
            overlap=float(overlap),
            threshold=like_dram.threshold,
            dram_share=float(share),
            dram_model=name,
            network=network,
        )

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "spacing_mm": list(self.spacing_mm),
            "hu_window": list(self.hu_window),
            "margin_mm": self.margin_mm,
            "lobes_only": self.lobes_only,
            "patch": list(self.patch),
            "overlap": self.overlap,
            "threshold": self.threshold,
            "dram_share": self.dram_share,
            "dram_model": self.dram_model,
            "network": self.network.to_dict(),
        }

    @property
    def preparation(self) -> ModelDescription:
        """The same preparation of the lungs as a dRAM model's description, which :func:`lung_grid` takes."""
        return ModelDescription(
            spacing_mm=self.spacing_mm, hu_window=self.hu_window, margin_mm=self.margin_mm
        )


def _patch(value: Any, step: int, where: str) -> tuple[int, int, int]:
    good = (
        isinstance(value, list | tuple)
        and len(value) == 3
        and all(isinstance(n, int) and not isinstance(n, bool) and 2 * step <= n <= 512 for n in value)
        and all(n % step == 0 for n in value)
    )
    if not good:
        raise InputError(
            f"{where}: {value!r} is not three multiples of {step} from {2 * step} to 512, as the network's filters need"
        )
    return value[0], value[1], value[2]
