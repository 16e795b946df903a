"""The lesion mask that daily use sees: the final network's probability, or the map, cut inside the lobes."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from scipy import ndimage, special

from DRAMLesionLib.images.resampling import gaussian, slabs
from DRAMLesionLib.lesions.dram import LungGrid, lung_grid, to_ct_grid
from DRAMLesionLib.lesions.networks.description import ModelDescription
from DRAMLesionLib.lesions.networks.final_network import SegmentationNetwork, SegmentationNetworkDescription
from DRAMLesionLib.lesions.networks.windows import in_windows_that_fit, note_windows, smaller_windows
from DRAMLesionLib.system.device import has_bfloat16
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress, silent

CERTAIN = 1e-3
"""Probabilities are taken to lie so far from 0 and 1 at least, so that one map can't overrule the other for good."""
EDGE_MM = 1.2
"""Sigma of the Gaussian that smooths a mask, in mm: one to two voxels of a usual CT. This and :data:`MAJORITY` agreed
best with the experts on the training scans of the comparison in the README."""
MAJORITY = 0.45
"""Below one half, since thin lesions would fade by more than broad ones grow."""
AIR = 0.0
"""Network input where there is no CT, or no lobe."""


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


def with_refined_dram(
    probability: np.ndarray,
    threshold: float,
    refined: np.ndarray,
    refined_threshold: float,
    share: float,
) -> np.ndarray:
    """The final network's probability and the refined dRAM together: the weighted mean of their log odds.

    They err differently: the network has learned from labels that the percentages had set right, and the CRF sees edges
    of this very CT. Each is undecided at its own threshold, and so is the result at the first one.

    Args:
        probability: float32 (z, y, x), 0..1: the final network's.
        threshold: At which it is cut.
        refined: The same shape: the refined dRAM.
        refined_threshold: At which that is cut.
        share: Of the refined dRAM, 0..1.

    Returns:
        float32, the same shape, 0..1, to be cut at ``threshold``; where ``refined`` is 0 (outside the lobes) it is 0.
    """
    if not share:
        return probability
    # (1 - share) (odds - own) + share (other - others) + own, where own and others are the thresholds' log odds.
    constant = share * float(special.logit(threshold) - special.logit(refined_threshold))
    result = np.zeros(probability.shape, np.float32)
    for part in slabs(probability.shape):
        inside = refined[part] > 0
        if inside.any():
            odds, other = (torch.from_numpy(m[part].astype(np.float32)) for m in (probability, refined))
            mean = torch.lerp(odds.logit_(CERTAIN), other.logit_(CERTAIN), share).add_(constant)
            np.multiply(mean.sigmoid_().numpy(), inside, out=result[part])
    return result


def segment_lesion(lesion_map: np.ndarray, labels: np.ndarray, threshold: float) -> np.ndarray:
    """Cut a map at a threshold.

    Args:
        lesion_map: float32 (z, y, x), 0..1: the final network's probability, the dRAM or the refined dRAM.
        labels: uint8 (z, y, x): lobes.
        threshold: Of the description of the model that made the map; a voxel above it is lesion.

    Returns:
        uint8 (z, y, x): 1 lesion, 0 elsewhere and outside the lobes.
    """
    return ((lesion_map > threshold) & (labels > 0)).astype(np.uint8)


def take_speckle_off(
    lesion_map: np.ndarray, labels: np.ndarray, threshold: float, spacing_mm: tuple[float, float, float]
) -> None:
    """Change a map, in place, so that its cut has no speckle of the CT's noise.

    A voxel of the lobes becomes lesion where about half of them around it are: more than :data:`MAJORITY` after a
    Gaussian of :data:`EDGE_MM`. Where the map says otherwise its value moves to the threshold's other side, and no
    further: who cuts the map again, or goes on from it, finds the same mask.

    Args:
        lesion_map: float32 (z, y, x), 0..1.
        labels: uint8 (z, y, x): lobes; outside nothing changes.
        threshold: Where the map is cut.
        spacing_mm: (z, y, x).
    """
    inside = labels > 0
    cut = (lesion_map > threshold) & inside
    if not cut.any():
        return
    sigma = [EDGE_MM / length for length in spacing_mm]
    # Where there is no lesion within the Gaussian's reach, none appears.
    box = tuple(
        slice(max(0, ends.start - reach), ends.stop + reach)
        for ends, reach in zip(
            ndimage.find_objects(cut.view(np.uint8))[0],
            (round(6 * width) + 1 for width in sigma),
            strict=True,
        )
    )
    here, lobes, values = cut[box], inside[box], lesion_map[box]

    def above_majority(part: slice) -> torch.Tensor:
        return torch.from_numpy(here[part].astype(np.float32) - np.float32(MAJORITY) * lobes[part])

    smooth = gaussian(above_majority, here.shape, sigma) > 0
    limit = np.float32(threshold)
    values[smooth & lobes & ~here] = np.nextafter(limit, np.float32(1))
    values[~smooth & here] = np.nextafter(limit, np.float32(0))


def segmentation_grid(
    hu: np.ndarray,
    labels: np.ndarray,
    spacing_mm: tuple[float, float, float],
    description: SegmentationDescription,
) -> LungGrid:
    """The lungs' box as the final network sees it.

    Args:
        hu: (z, y, x) HU.
        labels: uint8 (z, y, x), 1..5 in the lobes; at least one voxel.
        spacing_mm: (z, y, x) of the CT.
        description: The model's.
    """
    grid = lung_grid(hu, labels, spacing_mm, description.preparation)
    if not description.lobes_only:
        return grid
    inside = np.where(grid.labels > 0, grid.image, np.float32(AIR))
    return LungGrid(inside, grid.labels, grid.box, grid.step)


@torch.inference_mode()
def predict_on_grid(
    network: torch.nn.Module,
    description: SegmentationDescription,
    image: np.ndarray,
    *,
    device: torch.device | str = "cpu",
    flips: bool = True,
    overlap: float | None = None,
    progress: Progress = silent,
) -> np.ndarray:
    """Lesion probability on the network's own grid, patch by patch, blended by a Gaussian about each patch's centre.

    Args:
        network: Gives logits (batch, 1, z, y, x) for patches of that shape; in eval mode, on ``device``.
        description: The model's.
        image: float32 (z, y, x) of :func:`segmentation_grid`.
        device: Where to compute.
        flips: Average the probability over the lungs as they are and mirrored left to right.
        overlap: Instead of the description's.
        progress: Told after each patch.

    Returns:
        float32 (z, y, x), 0..1.
    """
    from monai.inferers import SlidingWindowInferer

    tensor = torch.from_numpy(image)[None, None].to(device)
    overlap = description.overlap if overlap is None else overlap
    runs, done = _patches(image.shape, description.patch, overlap), 0
    # bfloat16 where it was measured: three times as fast, probabilities within 0.02 of float32, 0.0001 on average.
    fast = (
        isinstance(network, SegmentationNetwork)
        and tensor.device.type == "cpu"
        and has_bfloat16(tensor.device)
    )

    def probability(patches: torch.Tensor) -> torch.Tensor:
        nonlocal done
        done += len(patches)
        count = len(patches)
        if flips:  # in one batch: torch has no fast float32 convolution for a batch of one
            patches = torch.cat([patches, patches.flip(-1)])
        with torch.autocast(tensor.device.type, dtype=torch.bfloat16, enabled=fast):
            found = torch.sigmoid(network(patches).float())
        if flips:
            found = (found[:count] + found[count:].flip(-1)) / 2
        progress("Segmenting the lesions", min(1.0, done / runs))
        return found

    slide = SlidingWindowInferer(description.patch, overlap=overlap, mode="gaussian", cval=AIR)
    progress("Segmenting the lesions", 0.0)
    blended: Any = slide(tensor, probability)
    return blended[0, 0].cpu().numpy().clip(0, 1)


def predict_lesion(
    network: torch.nn.Module,
    description: SegmentationDescription,
    hu: np.ndarray,
    labels: np.ndarray,
    spacing_mm: tuple[float, float, float],
    *,
    device: torch.device | str = "cpu",
    flips: bool = True,
    progress: Progress = silent,
    notes: list[str] | None = None,
) -> np.ndarray:
    """The final network's lesion probability of a CT, on the CT's grid.

    Args:
        network: See :func:`predict_on_grid`.
        description: What the network expects.
        hu: (z, y, x) HU.
        labels: uint8 (z, y, x), 1..5 in the lobes.
        spacing_mm: (z, y, x) of the CT.
        device: Where to compute.
        flips: Average with the mirrored lungs.
        progress: Told after each patch.
        notes: Where memory does not suffice for the description's patches, smaller ones are taken, and a sentence on
            it is added here.

    Returns:
        float32 (z, y, x), 0..1, 0 outside the lobes.
    """
    result = np.zeros(hu.shape, np.float32)
    if not labels.any():
        return result
    grid = segmentation_grid(hu, labels, spacing_mm, description)

    def predict(like: SegmentationDescription) -> np.ndarray:
        return predict_on_grid(network, like, grid.image, device=device, flips=flips, progress=progress)

    found = in_windows_that_fit(
        lambda: predict(description),
        lambda window: predict(replace(description, patch=window)),
        smaller_windows(description.patch, description.network.step),
        lambda window: note_windows(window, notes),
    )
    to_ct_grid(found, grid, labels[grid.box], out=result[grid.box])
    return result


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


def _patches(shape: tuple[int, ...], patch: tuple[int, ...], overlap: float) -> int:
    """How many patches MONAI's sliding window takes."""
    count = 1
    for n, p in zip(shape, patch, strict=True):
        count *= 1 + max(0, -(-(n - p) // max(1, int(p * (1 - overlap)))))
    return count
