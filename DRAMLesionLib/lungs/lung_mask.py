"""Lungs of a CT: a network finds them at 2.5 mm, the CT's own densities draw their outline.

Arrays have shape (z, y, x) in canonical axes: z inferior to superior, y anterior to posterior, x right to left of the
patient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from DRAMLesionLib.images.box import Box, bounding_box, grow
from DRAMLesionLib.lungs.at_once import at_once
from DRAMLesionLib.lungs.body import body_of, doubted_air, walled_air
from DRAMLesionLib.lungs.closing import LEFT, RIGHT, close_lungs, within_reach
from DRAMLesionLib.lungs.doubtful import HAZE_HU, LEAST_LIKELY, dense_slivers, doubtful_haze
from DRAMLesionLib.lungs.morphology import eroded, spread

if TYPE_CHECKING:
    import torch

    from DRAMLesionLib.lungs.lung_network import LungNetwork

EDGE_HU = -400.0
"""Half-way between aerated lung (about -860 HU) and soft tissue (about 40 HU): where a healthy lung ends."""

CLEAR_HU, HAZY_LUNG_HU, HAZY_EDGE_HU = -700.0, -500.0, -230.0
"""Lung that is aerated, if dense behind; ground glass; and half-way from it to soft tissue, where ground glass ends."""

TISSUE_HU = -300.0
"""Above this is body or table."""

LEAST_ML, LEAST_PART = 15.0, 0.05
"""A piece apart from a lung's largest one counts from this volume and this part of the largest one's."""

LEAST_CUT_MM2 = 1500.0
"""Aerated lung in a scan's first or last slice: more, and the scan cuts the lungs off there."""

WHOLE_CHEST, CONTINUED = 80, (8, 32)
"""Slices of the network's grid that a scan is made up to where it cuts the lungs off; the least and the most of them."""

AERATED_HU = -500.0
"""Below this is air, or lung with air in it."""

ADDED_MM = 12.5
"""So far from what the network found aerated lung is added to it."""

HAZY_HU = -250.0
"""Below this, beside a lung and on the side of the ribs, is ground glass of that lung."""

SURE = 0.9
"""Probability of lung from which densities take nothing away."""

BAND_MM = 5.0
"""So far from the network's outline the densities may move it."""

SIDE_MM = 10.0
"""So far from the lungs it is told which one is nearest: their outline, and what it is interpolated from, lie nearer."""


def segment_lungs(hu: np.ndarray, spacing_mm: Sequence[float], model: str | Path | None = None) -> np.ndarray:
    """Segment both lungs: vessels, lesions and consolidations belong to them, trachea, main bronchi and effusions don't.

    Args:
        hu: int16 or float32, shape (z, y, x), canonical axes, HU.
        spacing_mm: Voxel size (z, y, x) in mm.
        model: A lung network's bundle; None is the one that ships.

    Returns:
        uint8, the shape of ``hu``: 1 left lung, 2 right lung of the patient, 0 elsewhere (everywhere, if none is
        found).

    Raises:
        InputError: The bundle is missing or damaged.
    """
    from DRAMLesionLib.lungs.lung_bundle import load_lung_network

    network = load_lung_network(model)
    grid_mm = network.description.spacing_mm
    coarse = _on_network_grid(hu, spacing_mm, grid_mm)
    box = _body_box(coarse)
    part, spacing = coarse[box], np.full(3, grid_mm)
    body = body_of(part, spacing)
    shares = _shares(network, part, _cut_faces(part, body, grid_mm))
    sides = _pieces(np.where(body, shares, 0), grid_mm)
    if not sides.any():
        return np.zeros(hu.shape, np.uint8)
    total = shares.sum(axis=0)
    sides, never = _judged_by_piece(sides, total, part, body, spacing)
    likely = (total > LEAST_LIKELY) | (part > HAZE_HU[1])
    closed = close_lungs(sides, body & ~never, likely, part, HAZY_HU, spacing)
    level, side = at_once(
        lambda: _levels(sides, closed, shares, part, grid_mm),
        lambda: _nearest_side(closed, None, SIDE_MM, spacing),
    )
    level[never] = -1.0
    off = doubtful_haze(level > 0, total, part, spacing)
    level[off] = -0.3
    level[dense_slivers(level > 0, part)] = -0.3
    return _on_ct_grid(level, side, box, coarse.shape, hu.shape)


def write_lungs(source: str | Path, out: str | Path, model: str | Path | None = None) -> None:
    """Segment the lungs of a CT file and write them as a label map: 1 left, 2 right.

    Args:
        source: What :func:`~DRAMLesionLib.images.volume.read_ct` reads.
        out: The label map, such as ``lungs.nii.gz``; its folder is made.
        model: A lung network's bundle; None is the one that ships.

    Raises:
        InputError: The CT or the bundle can't be used.
    """
    from DRAMLesionLib.images.volume import read_ct, write_volume

    ct = read_ct(source)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    write_volume(segment_lungs(ct.array, ct.spacing_mm, model), ct, out)


def _on_network_grid(hu: np.ndarray, spacing_mm: Sequence[float], grid_mm: float) -> np.ndarray:
    """HU at about ``grid_mm``, float32, over the same extent."""
    import torch

    from DRAMLesionLib.images.resampling import low_pass_resample
    from DRAMLesionLib.lungs.lung_network import AIR_HU

    size = [max(1, round(n * s / grid_mm)) for n, s in zip(hu.shape, spacing_mm, strict=True)]

    def slab(part: slice) -> torch.Tensor:
        return torch.from_numpy(hu[part].astype(np.float32)).clamp_(min=AIR_HU)

    return low_pass_resample(slab, hu.shape, size)


def _body_box(coarse: np.ndarray) -> tuple[slice, slice, slice]:
    """The box about what is no air, in each slice's plane; table edges and cloth hardly count."""
    tissue = coarse > TISSUE_HU
    slices = [slice(0, coarse.shape[0])]
    for axis in (1, 2):
        share = tissue.mean(axis=tuple(a for a in range(3) if a != axis))
        rows = np.flatnonzero(share > 0.01)
        slices.append(slice(max(0, rows[0] - 4), rows[-1] + 5) if rows.size else slice(0, coarse.shape[axis]))
    return slices[0], slices[1], slices[2]


def _cut_faces(coarse: np.ndarray, body: np.ndarray, grid_mm: float) -> tuple[bool, bool]:
    """Whether the scan's first and last slice cut through aerated lung; gas in the bowel is thinner."""

    def cut(plane: np.ndarray, inside: np.ndarray) -> bool:
        aerated = ndimage.binary_erosion(inside & (plane > -950) & (plane < -600))
        return float(aerated.sum()) * grid_mm**2 > LEAST_CUT_MM2

    return cut(coarse[0], body[0]), cut(coarse[-1], body[-1])


def _shares(network: LungNetwork, coarse: np.ndarray, cut: tuple[bool, bool]) -> np.ndarray:
    """Probabilities of left and right lung: float32 (2, z, y, x).

    Where the scan cuts the lungs off, its end goes on as it is: the network knows no chests of a few slices.
    """
    import torch

    from DRAMLesionLib.lungs.lung_network import AIR_HU, network_input

    more = int(np.clip((WHOLE_CHEST - len(coarse)) // 2, *CONTINUED))
    below, above = (more if one else 0 for one in cut)
    continued = np.pad(coarse, ((below, above), (0, 0), (0, 0)), mode="edge")
    step = network.description.step
    padded = np.pad(continued, [(0, -n % step) for n in continued.shape], constant_values=AIR_HU)
    with torch.inference_mode():
        logits = network(network_input(torch.from_numpy(padded)[None, None]))[0]
        shares = logits.float().softmax(dim=0)[1:]
    z, y, x = coarse.shape
    return shares[:, below : below + z, :y, :x].numpy()


def _pieces(shares: np.ndarray, grid_mm: float) -> np.ndarray:
    """Label 1 left, 2 right: each lung's largest piece, and others that are large enough."""
    total = shares.sum(axis=0)
    sides = np.where(
        total > 0.5, np.where(shares[0] > shares[1], np.uint8(LEFT), np.uint8(RIGHT)), np.uint8(0)
    )
    voxel_ml = grid_mm**3 / 1000
    for side in (LEFT, RIGHT):
        pieces, count = ndimage.label(sides == side)
        if count < 2:
            continue
        sizes = np.bincount(pieces.ravel()) * voxel_ml
        sizes[0] = 0
        keep = (sizes >= max(LEAST_ML, LEAST_PART * sizes.max())) | (sizes == sizes.max())
        keep[0] = True
        sides[~keep[pieces]] = 0
    return sides


def _judged_by_piece(
    sides: np.ndarray, total: np.ndarray, coarse: np.ndarray, body: np.ndarray, spacing: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Air is lung or none by the piece: what the network has half of is lung, what it has less of is gas.

    Returns:
        The sides, and where no lung is whatever the densities say.
    """
    walled, doubted = at_once(
        lambda: walled_air(coarse, sides > 0, spacing), lambda: doubted_air(coarse, total, spacing)
    )
    walled |= body & doubted
    air = body & (coarse < AERATED_HU) & ~walled
    pieces, count = ndimage.label(eroded(air))
    if count == 0:
        return sides, walled
    votes = np.bincount(pieces[sides > 0], minlength=count + 1) / np.bincount(
        pieces.ravel(), minlength=count + 1
    )
    lung = votes >= 0.5
    lung[0] = False
    chosen = spread(lung[pieces], air, 2)
    other = spread((pieces > 0) & ~lung[pieces], air, 2) & ~chosen
    result = sides.copy()
    near = within_reach(sides > 0, ADDED_MM, spacing)
    added = chosen & near & (sides == 0) & (total > LEAST_LIKELY)
    if added.any():
        left = _nearest_side(sides, added, ADDED_MM, spacing) > 0
        np.copyto(result, np.where(left, np.uint8(LEFT), np.uint8(RIGHT)), where=added)
    result[other | walled] = 0
    return result, other | walled


def _levels(
    sides: np.ndarray, closed: np.ndarray, shares: np.ndarray, coarse: np.ndarray, grid_mm: float
) -> np.ndarray:
    """A float32 map: above 0 inside the lungs.

    Beside aerated lung the densities say where it ends. Beside dense lung they can't, and the network does; what it is
    sure of stays lung, and so does what was closed.
    """
    inside, total = sides > 0, shares.sum(axis=0)
    level = np.where(inside, 1.0, -1.0).astype(np.float32) * np.maximum(np.abs(2 * total - 1), 0.05)
    reach = max(1, round(BAND_MM / grid_mm))
    core = ~spread(~inside, None, reach)
    band = spread(inside, None, reach) & ~core
    width = 2 * reach + 3
    near = ndimage.uniform_filter(core.astype(np.float32), width)
    airy = core & (coarse < EDGE_HU)
    aerated = ndimage.uniform_filter(airy.astype(np.float32), width)
    density = np.clip((_edge_hu(coarse, airy, aerated, width) - coarse) / 400.0, -1.0, 1.0)
    trust = np.clip((aerated / np.maximum(near, 1e-3) - 0.5) / 0.4, 0.0, 1.0)
    trust[near < 1e-3] = 0.0
    trust[density < 0] *= np.clip((SURE - total[density < 0]) / (SURE - 0.5), 0.0, 1.0)
    trust[(density > 0) & (total < LEAST_LIKELY) & ~inside] = 0.0  # windpipe and bowel behind a thin wall
    level[core] = 1.0
    level[~(core | band)] = -1.0
    level[band] += trust[band] * (density[band] - level[band])
    added = (closed > 0) & ~inside
    level[added] = np.maximum(level[added], 0.3)
    return level


def _edge_hu(coarse: np.ndarray, airy: np.ndarray, share: np.ndarray, width: int) -> np.ndarray:
    """Where lung ends, float32 HU: half-way to soft tissue from healthy lung, or from ground glass where that is nearby.

    Args:
        coarse: HU, float32.
        airy: bool, aerated lung.
        share: The part of it in a cube of ``width`` voxels about each voxel, float32.
        width: Side of the cube.
    """
    mean = ndimage.uniform_filter(np.where(airy, coarse, np.float32(0)), width) / np.maximum(share, 1e-3)
    haziness = np.clip((mean - CLEAR_HU) / (HAZY_LUNG_HU - CLEAR_HU), 0.0, 1.0)
    return np.where(share > 1e-3, EDGE_HU + haziness * (HAZY_EDGE_HU - EDGE_HU), EDGE_HU)


def _nearest_side(
    sides: np.ndarray, wanted: np.ndarray | None, reach_mm: float, spacing: np.ndarray
) -> np.ndarray:
    """+1 where the left lung is nearest, -1 where the right one is, 0 where both are farther than a reach; float32.

    Args:
        sides: uint8: 1 left, 2 right lung.
        wanted: bool, where the answer counts; None for everywhere.
        reach_mm: Of some voxels.
        spacing: Voxel size in mm.
    """
    left, right = at_once(
        *(partial(within_reach, sides == side, reach_mm, spacing) for side in (LEFT, RIGHT))
    )
    signed = left.astype(np.float32) - right
    between = left & right if wanted is None else left & right & wanted
    if between.any():
        z, y, x = spacing
        box = grow(bounding_box(between), reach_mm, (z, y, x), between.shape)  # holds what is nearest to them
        nearest = ndimage.distance_transform_edt(sides[box] == 0, return_distances=False, return_indices=True)
        own = np.array([0.0, 1.0, -1.0], np.float32)[sides[box]][tuple(nearest)]
        np.copyto(signed[box], own, where=between[box])
    return signed


def _on_ct_grid(
    level: np.ndarray,
    side: np.ndarray,
    box: tuple[slice, slice, slice],
    grid: Sequence[int],
    shape: Sequence[int],
) -> np.ndarray:
    """The outline between the coarse voxels, by interpolation."""
    import torch

    from DRAMLesionLib.images.resampling import linear_slabs

    lungs = np.zeros(tuple(shape), np.uint8)
    if not (level > 0).any():
        return lungs
    levels = np.full(tuple(grid), -1.0, np.float32)
    nearest = np.ones(tuple(grid), np.float32)
    levels[box], nearest[box] = level, side
    around = _fine_box(bounding_box(levels > 0), grid, shape)
    insides, lefts = (
        linear_slabs(torch.from_numpy(values).__getitem__, values.shape, shape, around)
        for values in (levels, nearest)
    )
    out = lungs[around]
    for (part, inside), (_, left) in zip(insides, lefts, strict=True):
        label = np.where(left.numpy() > 0, np.uint8(LEFT), np.uint8(RIGHT))
        np.multiply(label, inside.numpy() > 0, out=out[part])
    return lungs


def _fine_box(box: Box, grid: Sequence[int], shape: Sequence[int]) -> Box:
    """The voxels of a grid of ``shape`` that a box of the coarse grid reaches by interpolation."""
    sides = []
    for side, coarse, fine in zip(box, grid, shape, strict=True):
        step = fine / coarse
        low, high = math.floor((side.start - 1) * step) - 1, math.ceil((side.stop + 1) * step) + 1
        sides.append(slice(max(0, low), min(fine, high)))
    return sides[0], sides[1], sides[2]
