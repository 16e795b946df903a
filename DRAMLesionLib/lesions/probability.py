"""The lesion mask that daily use sees: the final network's probability, or the map, cut inside the lobes."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from DRAMLesionLib.images.box import zeros_on_demand
from DRAMLesionLib.lesions.crf.threads import one_thread_each
from DRAMLesionLib.lesions.lung_grid import LungGrid, lung_grid, to_ct_grid
from DRAMLesionLib.lesions.networks.final_description import SegmentationDescription
from DRAMLesionLib.lesions.networks.final_network import SegmentationNetwork
from DRAMLesionLib.lesions.networks.sliding_window import in_windows, window_starts
from DRAMLesionLib.lesions.networks.windows import in_windows_that_fit, note_windows, smaller_windows
from DRAMLesionLib.lesions.whole_lungs.hilum import note_hilum, take_hilum_off
from DRAMLesionLib.system.device import has_bfloat16
from DRAMLesionLib.system.progress import Progress, silent

AIR = 0.0
"""Network input where there is no CT, or no lobe."""


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
        spacing_mm: The CT's voxel size (z, y, x) in mm.
        description: What the model expects.
    """
    grid = lung_grid(hu, labels, spacing_mm, description.preparation)
    return LungGrid(_seen(grid, description), grid.labels, grid.box, grid.step)


def _seen(grid: LungGrid, description: SegmentationDescription) -> np.ndarray:
    """What the network sees of a lung grid: float32, its shape."""
    return np.where(grid.labels > 0, grid.image, np.float32(AIR)) if description.lobes_only else grid.image


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
        description: What the model expects.
        image: float32 (z, y, x) of :func:`segmentation_grid`.
        device: The device to compute on.
        flips: Average the probability over the lungs as they are and mirrored left to right.
        overlap: The patches' overlap, 0..1; None takes the description's.
        progress: Told the stage and how much of it is done, after each patch.

    Returns:
        float32 (z, y, x), 0..1.
    """
    tensor = torch.from_numpy(image)[None, None].to(device)
    overlap = description.overlap if overlap is None else overlap
    window = _window(image.shape, description)
    padded = [max(n, side) for n, side in zip(image.shape, window, strict=True)]
    runs, done = len(window_starts(padded, window, overlap)), 0
    # bfloat16 where it was measured: three times as fast, probabilities within 0.02 of float32, 0.0001 on average.
    dtype = torch.float32
    if isinstance(network, SegmentationNetwork) and tensor.device.type == "cpu":
        dtype = torch.bfloat16 if has_bfloat16(tensor.device) else dtype
        network = network.for_cpu(dtype)

    def likelihood(patches: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(network(patches.to(dtype)).float())

    def probability(patches: torch.Tensor) -> torch.Tensor:
        nonlocal done
        done += len(patches)
        count = len(patches)
        if (
            flips and dtype == torch.bfloat16
        ):  # not in one batch: two threads take one each, others half the memory
            plain, mirrored = one_thread_each(
                [lambda: likelihood(patches), lambda: likelihood(patches.flip(-1)).flip(-1)], patches.device
            )
            likely = (plain + mirrored) / 2
        elif flips:  # in one batch: torch has no fast float32 convolution for a batch of one
            both = likelihood(torch.cat([patches, patches.flip(-1)]))
            likely = (both[:count] + both[count:].flip(-1)) / 2
        else:
            likely = likelihood(patches)
        progress("Segmenting the lesions", min(1.0, done / runs))
        return likely

    progress("Segmenting the lesions", 0.0)
    blended = in_windows(tensor, window, overlap, probability)
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
    grid: LungGrid | None = None,
    seen: Callable[[LungGrid, np.ndarray], None] | None = None,
) -> np.ndarray:
    """The final network's lesion probability of a CT, on the CT's grid.

    Args:
        network: The final network: see :func:`predict_on_grid`.
        description: What the network expects.
        hu: (z, y, x) HU.
        labels: uint8 (z, y, x), 1..5 in the lobes.
        spacing_mm: The CT's voxel size (z, y, x) in mm.
        device: The device to compute on.
        flips: Average with the mirrored lungs.
        progress: Told the stage and how much of it is done, after each patch.
        notes: Where memory does not suffice for the description's patches, smaller ones are taken, and a sentence on
            it is added here.
        grid: The lung grid of CT and description, where the caller has it.
        seen: Given the lung grid and the probability on it, float32 of its shape.

    Returns:
        float32 (z, y, x), 0..1, 0 outside the lobes.
    """
    result = zeros_on_demand(hu.shape, np.float32)
    if not labels.any():
        return result
    grid = grid or lung_grid(hu, labels, spacing_mm, description.preparation)
    image = _seen(grid, description)

    def predict(like: SegmentationDescription) -> np.ndarray:
        return predict_on_grid(network, like, image, device=device, flips=flips, progress=progress)

    coarse = in_windows_that_fit(
        lambda: predict(description),
        lambda window: predict(replace(description, patch=window, window=None)),
        smaller_windows(description.seen_at_once, description.network.step),
        lambda window: note_windows(window, notes),
    )
    if description.without_hilum:
        note_hilum(take_hilum_off(coarse, grid.labels, description.spacing_mm, description.threshold), notes)
    if seen is not None:
        seen(grid, coarse)
    to_ct_grid(coarse, grid, labels[grid.box], out=result[grid.box])
    return result


def _window(shape: tuple[int, ...], description: SegmentationDescription) -> tuple[int, ...]:
    """Sides of the sliding window: no longer than the lungs need where any window gives the same."""
    if description.window is None:
        return description.patch
    step = description.network.step
    return tuple(
        min(side, max(2 * step, -(-n // step) * step))
        for side, n in zip(description.window, shape, strict=True)
    )
