"""The lungs' box of a CT on the grid that a network wants, one sample per lobe, and the way back."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy import ndimage

from DRAMLesionLib.images.box import Box, bounding_box, grow, label_boxes, within
from DRAMLesionLib.images.resampling import linear_slabs, low_pass_resample, resample
from DRAMLesionLib.lesions.networks.description import ModelDescription
from DRAMLesionLib.lungs.lobes import LOBES


@dataclass(frozen=True)
class LobeSample:
    """One lobe as the network sees it.

    Attributes:
        lobe: The lobe's value, 1..5.
        image: float32 (z, y, x) on the network's grid: the HU window as 0..1, 0 outside the lobe.
        mask: bool (z, y, x): the lobe.
        box: Where the sample lies in the lung grid it was cut from.
    """

    lobe: int
    image: np.ndarray
    mask: np.ndarray
    box: Box


@dataclass(frozen=True)
class LungGrid:
    """The lungs' box of a CT, resampled to the spacing that the network wants.

    Attributes:
        image: float32 (z, y, x): the HU window as 0..1.
        labels: uint8 (z, y, x): lobes.
        box: The lungs' box (with margin) in the CT's array.
        step: Voxels of the CT per voxel of this grid, (z, y, x). Voxel centre i of this grid lies at
            ``(i + 0.5) * step - 0.5`` voxels of the box.
    """

    image: np.ndarray
    labels: np.ndarray
    box: Box
    step: tuple[float, float, float]

    @cached_property
    def nearest_inside(self) -> tuple[np.ndarray, ...]:
        """For each voxel the index (z, y, x arrays) of the nearest one inside the lobes."""
        outside = self.labels == 0
        return tuple(ndimage.distance_transform_edt(outside, return_distances=False, return_indices=True))


def lung_grid(
    hu: np.ndarray, labels: np.ndarray, spacing_mm: tuple[float, float, float], description: ModelDescription
) -> LungGrid:
    """Resample the lungs' box to the network's spacing, low-pass filtered first where that is coarser.

    Args:
        hu: (z, y, x) HU.
        labels: uint8 (z, y, x), 1..5 in the lobes; at least one voxel.
        spacing_mm: The CT's voxel size (z, y, x) in mm.
        description: What the model expects.
    """
    box = grow(bounding_box(labels > 0), description.margin_mm, spacing_mm, labels.shape)
    size = tuple(b.stop - b.start for b in box)
    grid = tuple(
        max(1, round(n * s / t)) for n, s, t in zip(size, spacing_mm, description.spacing_mm, strict=True)
    )
    step = tuple(n / g for n, g in zip(size, grid, strict=True))
    low, high = description.hu_window

    def window(part: slice) -> torch.Tensor:
        return torch.from_numpy(hu[box][part].astype(np.float32)).sub_(low).div_(high - low).clamp_(0, 1)

    return LungGrid(
        image=low_pass_resample(window, size, grid),
        labels=resample(labels[box], grid, order=0),
        box=box,
        step=(step[0], step[1], step[2]),
    )


def same_grid(one: ModelDescription, other: ModelDescription) -> bool:
    """Whether two models see the same lung grid."""
    wanted = ("spacing_mm", "hu_window", "margin_mm")
    return all(getattr(one, name) == getattr(other, name) for name in wanted)


def lobe_samples(grid: LungGrid, description: ModelDescription) -> Iterator[LobeSample]:
    """One sample per lobe that has voxels, in the order of the lobes' values."""
    boxes = label_boxes(grid.labels, len(LOBES))
    for lobe, lobe_box in zip(LOBES, boxes, strict=True):
        if lobe_box is None:
            continue
        box = grow(lobe_box, description.margin_mm, description.spacing_mm, grid.labels.shape)
        mask = grid.labels[box] == lobe.value
        yield LobeSample(lobe.value, np.where(mask, grid.image[box], np.float32(0)), mask, box)


def to_ct_grid(
    coarse: np.ndarray, grid: LungGrid, labels: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Bring a map from the lung grid to the CT's grid, inside the lobes.

    Values outside the coarse lobes are first replaced by the nearest one inside, so that the pleura does not fade.

    Args:
        coarse: float32 (z, y, x) on the lung grid.
        grid: The lung grid of ``coarse``.
        labels: uint8 lobes on the CT's grid, in ``grid.box``.
        out: float32, the shape of ``labels``, all 0: takes the result; None makes an array.

    Returns:
        float32, the shape of ``labels``, 0..1, 0 outside the lobes.
    """
    fine = np.zeros(labels.shape, np.float32) if out is None else out
    z, y, x = (slice(0, length) for length in labels.shape)
    _fill(fine, coarse, grid, labels.shape, (z, y, x), labels)
    return fine


@dataclass(frozen=True)
class MapOnCT:
    """A map on the lung grid, of which parts are made on the CT's grid when they are asked for, each time anew.

    Attributes:
        coarse: float32 (z, y, x) on the lung grid.
        grid: The lung grid; None without lobes.
        labels: uint8 (z, y, x): the CT's lobes.
    """

    coarse: np.ndarray
    grid: LungGrid | None
    labels: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """The CT's (z, y, x)."""
        return self.labels.shape

    def __getitem__(self, box: Box) -> np.ndarray:
        """float32, the shape of a box of the CT, 0..1, 0 outside the lobes: what :func:`to_ct_grid` gives there."""
        fine = np.zeros(self.labels[box].shape, np.float32)
        if self.grid is None:
            return fine
        outer = self.grid.box
        shared = [
            slice(max(one.start, other.start), min(one.stop, other.stop))
            for one, other in zip(box, outer, strict=True)
        ]
        if any(side.start >= side.stop for side in shared):
            return fine
        both: Box = (shared[0], shared[1], shared[2])
        _fill(
            fine[within(both, box)],
            self.coarse,
            self.grid,
            self.labels[outer].shape,
            within(both, outer),
            self.labels[both],
        )
        return fine


def _fill(
    fine: np.ndarray,
    coarse: np.ndarray,
    grid: LungGrid,
    size: tuple[int, ...],
    box: Box,
    labels: np.ndarray,
) -> None:
    """Put a part of a coarse map, on a grid of ``size`` over the lung grid's extent, into ``fine`` where lobes are."""
    if not grid.labels.any():
        return
    filled = torch.from_numpy(coarse[grid.nearest_inside]).clamp_(0, 1)
    for part, slab in linear_slabs(filled.__getitem__, coarse.shape, size, box):
        np.copyto(fine[part], slab.numpy(), where=labels[part] > 0)
