"""The dense regression activation map (dRAM): lobe samples, lobe-wise pooling, and maps on the CT's own grid.

Method: Xie, Jacobs, Charbonnier, van Ginneken, "Dense Regression Activation Maps for Lesion Segmentation in CT scans of
COVID-19 patients", arXiv 2105.11748.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from DRAMLesionLib.images.resampling import linear_slabs, low_pass_resample, resample
from DRAMLesionLib.lesions.networks.description import ModelDescription
from DRAMLesionLib.lesions.networks.dram_network import HALVINGS, DenseNetwork
from DRAMLesionLib.lesions.networks.windows import Window, in_windows_that_fit, note_windows, smaller_windows
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.device import has_bfloat16
from DRAMLesionLib.system.progress import Progress, silent

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class LobeSample:
    """One lobe as the network sees it.

    Attributes:
        lobe: Its value, 1..5.
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


def lobe_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Lobe-wise pooling: the mean over the lobe's voxels.

    Args:
        values: (batch, 1, z, y, x), for instance the dRAM.
        mask: The same shape, bool or 0..1: the lobe.

    Returns:
        (batch,): of the dRAM, the predicted lesion fraction 0..1 of the lobe. 0 where the mask is empty.
    """
    weight = mask.to(values.dtype)
    return (values * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp_min(1.0)


CANDIDATE_EDGE_HU = 25.0
"""Width of the soft edge of the candidate prior."""


def dram_logits(network: torch.nn.Module, image: torch.Tensor, description: ModelDescription) -> torch.Tensor:
    """Logits of the dRAM: the network's, held down on voxels that are too dark to be lesion.

    Without such a candidate prior the percentages alone are met best by a flat map, and training never leaves it. The
    published method bounds the *amount* by brighter voxels (candidates); here the same knowledge bounds the *place*.

    Args:
        network: Gives logits of the image's shape.
        image: (batch, 1, z, y, x), the HU window as 0..1.
        description: The model's; ``candidate_hu`` is the HU at which the prior is half open.

    Returns:
        (batch, 1, z, y, x) float32 logits.
    """
    logits = network(image).float()
    offset = candidate_offset(image, description)
    return logits if offset is None else logits + offset


def dram_and_refined(
    network: DenseNetwork, image: torch.Tensor, mask: torch.Tensor, description: ModelDescription
) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits of :func:`dram_logits` and the attention's refined map, by one pass through the network.

    Args:
        network: Without attention, the refined map is the dRAM inside the mask.
        image: (batch, 1, z, y, x), the HU window as 0..1.
        mask: The same shape, bool or 0..1: the lobe.
        description: The model's.

    Returns:
        Both float32 (batch, 1, z, y, x): logits; refined dRAM, 0..1, 0 outside the mask.
    """
    return network.forward_with_refined(image, mask, candidate_offset(image, description))


def candidate_offset(image: torch.Tensor, description: ModelDescription) -> torch.Tensor | None:
    """What the candidate prior adds to the logits: 0 on bright voxels, -10 on dark ones, -5 at ``candidate_hu``.

    Args:
        image: (batch, 1, z, y, x), the HU window as 0..1.
        description: The model's.

    Returns:
        float32, the image's shape; None where the model has no such prior.
    """
    if description.candidate_hu is None:
        return None
    low, high = description.hu_window
    hu = low + image.float() * (high - low)
    return -10.0 * torch.sigmoid((description.candidate_hu - hu) / CANDIDATE_EDGE_HU)


def lung_grid(
    hu: np.ndarray, labels: np.ndarray, spacing_mm: tuple[float, float, float], description: ModelDescription
) -> LungGrid:
    """Resample the lungs' box to the network's spacing, low-pass filtered first where that is coarser.

    Args:
        hu: (z, y, x) HU.
        labels: uint8 (z, y, x), 1..5 in the lobes; at least one voxel.
        spacing_mm: (z, y, x) of the CT.
        description: The model's.
    """
    margin = [int(np.ceil(description.margin_mm / s)) for s in spacing_mm]
    box = _grown(ndimage.find_objects((labels > 0).astype(np.uint8))[0], margin, labels.shape)
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


def lobe_samples(grid: LungGrid, description: ModelDescription) -> Iterator[LobeSample]:
    """One sample per lobe that has voxels, in the order of the lobes' values."""
    margin = [int(np.ceil(description.margin_mm / s)) for s in description.spacing_mm]
    boxes = ndimage.find_objects(grid.labels, max_label=len(LOBES))
    for lobe, found in zip(LOBES, boxes, strict=True):
        if found is None:
            continue
        box = _grown(found, margin, grid.labels.shape)
        mask = grid.labels[box] == lobe.value
        yield LobeSample(lobe.value, np.where(mask, grid.image[box], np.float32(0)), mask, box)


@dataclass(frozen=True)
class DramMaps:
    """Maps of a CT, on its grid.

    Attributes:
        dram: float32 (z, y, x), 0..1, 0 outside the lobes: the network's own map.
        attended: The same after the attention; None where the model has none.
    """

    dram: np.ndarray
    attended: np.ndarray | None

    @property
    def best(self) -> np.ndarray:
        """The map that all later steps use: the attended one where there is one."""
        return self.dram if self.attended is None else self.attended


def predict_dram(
    network: torch.nn.Module,
    description: ModelDescription,
    hu: np.ndarray,
    labels: np.ndarray,
    spacing_mm: tuple[float, float, float],
    *,
    device: torch.device | str = "cpu",
    flips: bool = True,
    progress: Progress = silent,
) -> np.ndarray:
    """The dRAM of a CT, on the CT's grid: refined by the attention where the model has one.

    Args:
        network: Gives logits (1, 1, z, y, x) for a lobe's image (1, 1, z, y, x); in eval mode, on ``device``. With
            attention in ``description``, a :class:`~DRAMLesionLib.lesions.networks.dram_network.DenseNetwork` that has it.
        description: What the network expects.
        hu: (z, y, x) HU.
        labels: uint8 (z, y, x), 1..5 in the lobes.
        spacing_mm: (z, y, x) of the CT.
        device: Where to compute.
        flips: Average the map over the lobe as it is and mirrored left to right.
        progress: Told after each lobe.

    Returns:
        float32 (z, y, x), 0..1, 0 outside the lobes.
    """
    return predict_maps(
        network, description, hu, labels, spacing_mm, device=device, flips=flips, progress=progress
    ).best


@torch.inference_mode()
def predict_maps(
    network: torch.nn.Module,
    description: ModelDescription,
    hu: np.ndarray,
    labels: np.ndarray,
    spacing_mm: tuple[float, float, float],
    *,
    device: torch.device | str = "cpu",
    flips: bool = True,
    progress: Progress = silent,
    notes: list[str] | None = None,
) -> DramMaps:
    """The network's map and, where the model has attention, the attended one. Arguments of :func:`predict_dram`.

    Where memory does not suffice for a lobe, it is computed in windows; a sentence on it is added to ``notes``.
    """
    count = 1 if description.attention is None else 2
    maps = [np.zeros(hu.shape, np.float32) for _ in range(count)]
    if labels.any():
        grid = lung_grid(hu, labels, spacing_mm, description)
        coarse = [np.zeros(grid.labels.shape, np.float32) for _ in range(count)]
        for sample in lobe_samples(grid, description):
            progress("Computing the dRAM", (sample.lobe - 1) / len(LOBES))
            found = _lobe_maps_that_fit(network, description, sample, device, flips, notes)
            for target, values in zip(coarse, found, strict=True):
                target[sample.box][sample.mask] = values[sample.mask]
        for fine, values in zip(maps, coarse, strict=True):
            to_ct_grid(values, grid, labels[grid.box], out=fine[grid.box])
        progress("Computing the dRAM", 1.0)
    return DramMaps(maps[0], maps[1] if count == 2 else None)


def _lobe_maps_that_fit(
    network: torch.nn.Module,
    description: ModelDescription,
    sample: LobeSample,
    device: torch.device | str,
    flips: bool,
    notes: list[str] | None,
) -> list[np.ndarray]:
    """As :func:`_lobe_maps`, in windows where memory does not suffice for the whole lobe."""
    from monai.inferers import SlidingWindowInferer

    def maps_of(patches: torch.Tensor) -> torch.Tensor:
        image, mask = patches[0].numpy()
        part = LobeSample(sample.lobe, np.ascontiguousarray(image), mask > 0, sample.box)
        return torch.from_numpy(np.stack(_lobe_maps(network, description, part, device, flips))[None])

    def windowed(window: Window) -> list[np.ndarray]:
        both = torch.from_numpy(np.stack([sample.image, sample.mask.astype(np.float32)])[None])
        blended: Any = SlidingWindowInferer(window, overlap=0.25, mode="gaussian")(both, maps_of)
        return list(blended[0].numpy())

    return in_windows_that_fit(
        lambda: _lobe_maps(network, description, sample, device, flips),
        windowed,
        smaller_windows(sample.image.shape, 2**HALVINGS),
        lambda window: note_windows(window, notes),
    )


def _lobe_maps(
    network: torch.nn.Module,
    description: ModelDescription,
    sample: LobeSample,
    device: torch.device | str,
    flips: bool,
) -> list[np.ndarray]:
    """The dRAM of one lobe and, where the model has attention, the attended one; float32 (z, y, x) each."""
    image, mask = (torch.from_numpy(a)[None, None].to(device) for a in (sample.image, sample.mask))
    if flips:  # as one batch: torch has no fast float32 convolution for a batch of one
        image, mask = (torch.cat([values, values.flip(-1)]) for values in (image, mask))
    # bfloat16 where it was measured: about twice as fast, and within 0.01 of float32 because of what DenseNetwork keeps.
    fast = isinstance(network, DenseNetwork) and image.device.type == "cpu" and has_bfloat16(image.device)
    with torch.autocast(image.device.type, dtype=torch.bfloat16, enabled=fast):
        if description.attention is None:
            found = [torch.sigmoid(dram_logits(network, image, description))]
        else:
            assert isinstance(network, DenseNetwork)
            logits, refined = dram_and_refined(network, image, mask, description)
            found = [torch.sigmoid(logits), refined]
    if flips:
        found = [(values[:1] + values[1:].flip(-1)) / 2 for values in found]
    return [values[0, 0].cpu().numpy() for values in found]


def to_ct_grid(
    coarse: np.ndarray, grid: LungGrid, labels: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Bring a map from the lung grid to the CT's grid, inside the lobes.

    Values outside the coarse lobes are first replaced by the nearest one inside, so that the pleura does not fade.

    Args:
        coarse: float32 (z, y, x) on the lung grid.
        grid: That grid.
        labels: uint8 lobes on the CT's grid, in ``grid.box``.
        out: Where to put the result, so many voxels of float32; None makes an array.

    Returns:
        float32, the shape of ``labels``, 0..1, 0 outside the lobes.
    """
    fine = np.empty(labels.shape, np.float32) if out is None else out
    if not grid.labels.any():
        fine[...] = 0
        return fine
    filled = torch.from_numpy(coarse[grid.nearest_inside])
    for part, slab in linear_slabs(filled.__getitem__, coarse.shape, labels.shape):
        np.multiply(slab.clamp_(0, 1).numpy(), labels[part] > 0, out=fine[part])
    return fine


def _grown(box: Box, margin: list[int], shape: tuple[int, ...]) -> Box:
    z, y, x = (
        slice(max(0, b.start - m), min(n, b.stop + m)) for b, m, n in zip(box, margin, shape, strict=True)
    )
    return z, y, x
