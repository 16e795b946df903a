"""The refined dRAM: the map, pulled by the dense CRF to the edges that the HU shows."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial

import numpy as np
import torch
from scipy import special

from DRAMLesionLib.images.box import Box, hull, label_boxes, zeros_on_demand
from DRAMLesionLib.images.resampling import linear_slabs, resample
from DRAMLesionLib.lesions.crf.crf import refine
from DRAMLesionLib.lesions.crf.threads import one_thread_each
from DRAMLesionLib.lesions.lung_grid import MapOnCT
from DRAMLesionLib.lesions.networks.description import ModelDescription
from DRAMLesionLib.lungs.lobes import LOBES

Source = Callable[[slice], torch.Tensor]

FINEST_MM = 1.0
"""Finer axes are halved (or more) for the CRF: its kernels are several mm wide, and the dRAM came from a coarser grid."""
LEAST = 1e-6
"""Probabilities are kept this far from 0 and 1, so that they have a logit."""


def refine_dram(
    dram: np.ndarray | MapOnCT,
    hu: np.ndarray,
    spacing_mm: tuple[float, float, float],
    labels: np.ndarray,
    description: ModelDescription,
) -> np.ndarray:
    """Refine a dRAM inside the lobes.

    The CRF lets the likelier label of a neighbourhood win, and takes 0.5 as undecided. A map trained on percentages
    is undecided at the model's threshold, so its logit is shifted by the threshold's before the CRF, and back after it:
    the refined map is cut at the same threshold as the map. Each lung is refined by itself: what lies in the other one
    says nothing of it; two threads take one each.

    Args:
        dram: float32 (z, y, x), 0..1; or what gives a box of it, so that it need not be held as a whole.
        hu: (z, y, x) HU.
        spacing_mm: (z, y, x).
        labels: uint8 (z, y, x): lobes.
        description: The model's description: its threshold and CRF settings count.

    Returns:
        float32 (z, y, x), 0..1, 0 outside the lobes.
    """
    result = zeros_on_demand(dram.shape, np.float32)
    boxes = label_boxes(labels, len(LOBES))

    def refine_side(values: list[int], box: Box) -> None:
        here = labels[box]
        inside = np.logical_or.reduce([here == value for value in values])
        # The lungs' boxes overlap, and inside them each lung's voxels are its own.
        _refine_lung(lambda: dram[box], hu[box], spacing_mm, inside, description, result[box])

    works = []
    for side in ("right", "left"):
        values = [lobe.value for lobe in LOBES if lobe.side == side]
        own = [box for value in values if (box := boxes[value - 1]) is not None]
        if own:
            works.append(partial(refine_side, values, hull(*own)))
    one_thread_each(works, torch.device("cpu"))
    return result


def _refine_lung(
    dram: Callable[[], np.ndarray],
    hu: np.ndarray,
    spacing_mm: tuple[float, float, float],
    inside: np.ndarray,
    description: ModelDescription,
    out: np.ndarray,
) -> None:
    """Refine the map of one lung, in the lung's box, into ``out``; outside the lung nothing changes there.

    ``dram`` gives the map: it is held no longer than until it is on the CRF's grid.
    """
    shape = inside.shape
    shift = float(special.logit(description.threshold))
    factors = [max(1, int(np.ceil(FINEST_MM / s - 1e-6))) for s in spacing_mm]
    size = tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))
    mask = resample(inside, size, order=0)
    if not mask.any():  # less than a voxel of the CRF's grid
        out[inside] = dram()[inside]
        return

    def shifted_on_grid() -> np.ndarray:
        given = dram()

        def shifted(part: slice) -> torch.Tensor:
            # A copy in any case: the map itself stays as it is.
            return _shift(torch.from_numpy(given[part].astype(np.float32)), -shift)

        return _on_grid(shifted, shape, size)

    def image(part: slice) -> torch.Tensor:
        return torch.from_numpy(hu[part].astype(np.float32))

    refined = refine(
        shifted_on_grid(),
        _on_grid(image, shape, size),
        tuple(s * n / m for s, n, m in zip(spacing_mm, shape, size, strict=True)),
        mask,
        **asdict(description.crf),
    )
    for part, slab in linear_slabs(torch.from_numpy(refined).__getitem__, size, shape):
        np.copyto(out[part], _shift(slab, shift).numpy(), where=inside[part])


def _on_grid(source: Source, shape: tuple[int, ...], size: tuple[int, ...]) -> np.ndarray:
    """A volume given by slabs of ``shape`` on a grid of ``size`` over the same extent, float32."""
    grid = np.empty(size, np.float32)
    for part, slab in linear_slabs(source, shape, size):
        grid[part] = slab.numpy()
    return grid


def _shift(probability: torch.Tensor, by: float) -> torch.Tensor:
    """Add ``by`` to the logit of each probability, in place."""
    return torch.logit(probability, LEAST, out=probability).add_(by).sigmoid_()
