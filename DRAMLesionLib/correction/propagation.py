"""How one brush stroke spreads to the voxels that look like it: a local Gaussian process on the lesion map.

The map is held as *logits*, clipped, whose sign is the label. A stroke states what the logits should be at the
painted voxels. The correction of the logits is modelled as a Gaussian process (Rasmussen and Williams, Gaussian
Processes for Machine Learning, 2006, equations 2.22 to 2.25) whose kernel is high between voxels that are close *and*
look alike (HU at two scales, and the logits that the map began with):

* the stroke's voxels ask for the correction that brings them to their side with a margin,
* earlier edits nearby that already stand right ask for none, so a new stroke doesn't undo what was taught before,
* everything else follows by similarity, and nothing beyond the reach changes at all.

A few hundred equations and one matrix product: no iterations over the volume, no compiled code.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

LESION, NOT_LESION, FORGET = 1, 2, 0
"""Values of edits: painted as lesion, painted as not lesion, no opinion."""

SLAB = 40_000
"""Kernel values that are worked on at once; OpenBLAS starts its threads at about this many."""

TRUNCATE = 2.5
"""Gaussian smoothing, and the kernel over distance, look this many sigmas far."""


@dataclass(frozen=True)
class Propagation:
    """Settings of :func:`propagate`; the defaults were tuned on the training cases alone.

    Attributes:
        reach_mm: Nothing further than this from the stroke changes.
        distance_mm: Sigma of the kernel over distance where nothing was painted before: one stroke goes far.
        crowded_mm: Sigma of that kernel where much was painted: later strokes are about details.
        crowd_ml: How much painted volume within the reach counts as much.
        fine_mm: Sigma of the smoothing behind the fine HU feature.
        fine_hu: Sigma of the kernel over the fine HU feature.
        coarse_mm: Sigma of the smoothing behind the coarse HU feature.
        coarse_hu: Sigma of the kernel over the coarse HU feature.
        start_scale: Sigma of the kernel over the logits that the map began with (logit units).
        margin: The logits that painted voxels should reach (logit units).
        noise: Variance of what a painted voxel says, relative to the kernel's: how smooth the correction is.
        stroke_points: Painted voxels of the new stroke that enter the equations, at most.
        context_points: Voxels of earlier edits that enter them, at most.
        work: Kernel values per stroke, at most (bounds the time on fine grids by taking fewer points).
    """

    reach_mm: float = 30.0
    distance_mm: float = 13.0
    crowded_mm: float = 5.0
    crowd_ml: float = 12.0
    fine_mm: float = 1.0
    fine_hu: float = 130.0
    coarse_mm: float = 3.0
    coarse_hu: float = 110.0
    start_scale: float = 4.0
    margin: float = 2.0
    noise: float = 1.0
    stroke_points: int = 64
    context_points: int = 300
    work: int = 24_000_000

    @property
    def halo_mm(self) -> float:
        """How far around a stroke the solver must see: the reach, and what smoothing there looks at."""
        return self.reach_mm + TRUNCATE * max(self.fine_mm, self.coarse_mm)


@dataclass(frozen=True)
class Patch:
    """What the solver sees of the volume; all arrays have the same shape (z, y, x).

    Attributes:
        hu: HU.
        lung: uint8, 0 outside the lobes, 1 left, 2 right lung. Corrections stay in the lungs that the stroke touches.
        start: float32, the logits that the map began with.
        logits: float32, the logits now.
        edits: uint8, all edits, the new stroke among them.
        stroke: bool, the voxels of the new stroke.
        value: What was painted: 1 lesion, 2 not lesion, 0 where edits were forgotten.
        spacing_mm: (z, y, x).
    """

    hu: np.ndarray
    lung: np.ndarray
    start: np.ndarray
    logits: np.ndarray
    edits: np.ndarray
    stroke: np.ndarray
    value: int
    spacing_mm: tuple[float, float, float]


def propagate(patch: Patch, settings: Propagation) -> np.ndarray:
    """Correct the logits around a new stroke.

    Args:
        patch: The stroke's neighbourhood, at least ``reach_mm`` around it where the volume goes on.
        settings: Kernel widths and bounds.

    Returns:
        float32 (z, y, x): the new logits. It equals ``patch.logits`` outside the lobes, beyond the reach, and in a
        lung that the stroke doesn't touch.
    """
    touched = np.zeros(256, bool)
    touched[patch.lung[patch.stroke]] = True
    touched[0] = False
    distance = _distance(patch.stroke, touched[patch.lung], patch.spacing_mm, settings.reach_mm)
    near = distance <= settings.reach_mm
    targets = np.flatnonzero(near)
    new = patch.logits.copy().reshape(-1)
    if patch.value == FORGET:
        # Back to the map it began with: wholly within half the reach, then less and less.
        share = np.clip(2 - 2 * distance.reshape(-1)[targets] / settings.reach_mm, 0, 1).astype(np.float32)
        new[targets] += share * (patch.start.reshape(-1)[targets] - new[targets])
    settings = replace(settings, distance_mm=_width_mm(patch, targets, settings))
    # Where the kernel is narrow there is little to say further out; leaving it saves most of the work.
    near &= distance <= TRUNCATE * settings.distance_mm
    targets = np.flatnonzero(near)
    points = _points(patch, near, settings, targets.size)
    if points.size:
        features = _features(patch, settings, targets)
        at_points = features[np.searchsorted(targets, points)]
        wanted = np.where(patch.edits.reshape(-1)[points] == LESION, 1.0, -1.0).astype(np.float32)
        residual = wanted * np.maximum(settings.margin - wanted * new[points], 0.0)
        weights = _solve(at_points, residual, settings.noise)
        new[targets] += _apply(features, at_points, weights)
    return new.reshape(patch.logits.shape)


def _width_mm(patch: Patch, targets: np.ndarray, settings: Propagation) -> float:
    """Sigma over distance for this stroke, by how much was painted within its reach."""
    painted_ml = np.count_nonzero(patch.edits.reshape(-1)[targets]) * float(np.prod(patch.spacing_mm)) / 1000
    share = min(1.0, painted_ml / settings.crowd_ml)
    return settings.distance_mm + share * (settings.crowded_mm - settings.distance_mm)


def _solve(points: np.ndarray, residual: np.ndarray, noise: float, tolerance: float = 1e-5) -> np.ndarray:
    """Solve (K + noise I) weights = residual by conjugate gradients: a few dozen steps, since the noise is not small.

    einsum and not BLAS, whose threads wait for each other for seconds when a viewer keeps the cores busy.
    """
    gram = np.concatenate([_kernel(points[rows], points) for rows in _slabs(len(points), len(points))])
    gram = gram.astype(np.float64)
    gram[np.diag_indices_from(gram)] += noise
    weights = np.zeros(len(points))
    rest = residual.astype(np.float64)
    direction, size = rest.copy(), float(np.einsum("i,i", rest, rest))
    limit = size * tolerance**2
    for _ in range(2 * len(points)):
        if size <= limit:
            break
        image = np.einsum("ij,j->i", gram, direction)
        step = size / float(np.einsum("i,i", direction, image))
        weights += step * direction
        rest -= step * image
        previous, size = size, float(np.einsum("i,i", rest, rest))
        direction = rest + (size / previous) * direction
    return weights.astype(np.float32)


def _points(patch: Patch, near: np.ndarray, settings: Propagation, targets: int) -> np.ndarray:
    """Flat indices of the painted voxels that enter the equations: evenly taken from the stroke and from the rest."""
    budget = max(24, settings.work // max(1, targets))
    stroke = np.flatnonzero(patch.stroke & near & (patch.edits != FORGET))
    context = np.flatnonzero((patch.edits != FORGET) & near & ~patch.stroke)
    stroke = _evenly(stroke, min(settings.stroke_points, budget))
    context = _evenly(context, min(settings.context_points, max(0, budget - stroke.size)))
    return np.concatenate([stroke, context])


def _evenly(indices: np.ndarray, count: int) -> np.ndarray:
    if indices.size <= count:
        return indices
    return indices[np.linspace(0, indices.size - 1, count).astype(np.intp)] if count else indices[:0]


def _distance(
    stroke: np.ndarray, wanted: np.ndarray, spacing_mm: tuple[float, float, float], reach_mm: float
) -> np.ndarray:
    """Distance to the stroke in mm where it is wanted; infinite elsewhere, and outside the box that the reach makes."""
    distance = np.full(stroke.shape, np.inf, np.float32)
    box = []
    for axis in range(3):
        hit = np.flatnonzero(stroke.any(axis=tuple(other for other in range(3) if other != axis)))
        pad = int(np.ceil(reach_mm / spacing_mm[axis]))
        box.append(slice(max(0, int(hit[0]) - pad), int(hit[-1]) + 1 + pad))
    near = (box[0], box[1], box[2])
    inside = wanted[near]
    nearest = ndimage.distance_transform_edt(
        ~stroke[near], sampling=spacing_mm, return_distances=False, return_indices=True
    )
    # The distances of all voxels would take as long again as the nearest ones.
    places = np.flatnonzero(inside)
    squares = np.zeros(places.size)
    for voxel, other, length in zip(np.unravel_index(places, inside.shape), nearest, spacing_mm, strict=True):
        squares += ((other.reshape(-1)[places] - voxel) * length) ** 2
    distance[near][inside] = np.sqrt(squares)
    return distance


def _features(patch: Patch, settings: Propagation, voxels: np.ndarray) -> np.ndarray:
    """float32 (voxels, 6): position, HU at two scales and first logits, each in units of its kernel's sigma."""
    shape, spacing = patch.logits.shape, np.asarray(patch.spacing_mm, np.float32)
    rows, places = np.empty((voxels.size, 6), np.float32), np.unravel_index(voxels, shape)
    for axis, index in enumerate(places):
        rows[:, axis] = (index - shape[axis] / 2) * (spacing[axis] / settings.distance_mm)
    scales = ((settings.fine_mm, settings.fine_hu), (settings.coarse_mm, settings.coarse_hu))
    with ThreadPoolExecutor(len(scales)) as pool:  # scipy's filters let other threads run
        smoothed = pool.map(lambda scale: _smoothed_hu(patch, scale[0], places), scales)
        for column, (values, (_sigma_mm, width)) in enumerate(zip(smoothed, scales, strict=True), start=3):
            rows[:, column] = values / width
    rows[:, 5] = patch.start.reshape(-1)[voxels] / settings.start_scale
    return rows


def _smoothed_hu(patch: Patch, sigma_mm: float, places: tuple[np.ndarray, ...]) -> np.ndarray:
    """float32 (voxels,): HU smoothed inside the lungs, at indices (z, y, x); nothing further away is looked at.

    Voxels that are much smaller than sigma are taken together in blocks of at most half of it: what is left of the
    smoothing does the rest.
    """
    pads = [int(TRUNCATE * sigma_mm / length + 0.5) for length in patch.spacing_mm]
    z, y, x = (
        slice(max(0, int(index.min()) - pad), min(length, int(index.max()) + pad + 1))
        for index, pad, length in zip(places, pads, patch.hu.shape, strict=True)
    )
    inside = (patch.lung[z, y, x] > 0).astype(np.float32)
    # What lies outside the lungs counts nothing, so that the chest wall doesn't leak in.
    hu = np.clip(patch.hu[z, y, x], -1000, 200).astype(np.float32) * inside
    blocks = [max(1, int(sigma_mm / (2 * length))) for length in patch.spacing_mm]
    sigmas = [
        math.sqrt(max(0.0, (sigma_mm / length) ** 2 - (block**2 - 1) / 12)) / block
        for length, block in zip(patch.spacing_mm, blocks, strict=True)
    ]
    own = [index - side.start for index, side in zip(places, (z, y, x), strict=True)]
    blurred, weight = (
        _at(ndimage.gaussian_filter(part, sigmas, truncate=TRUNCATE, mode="nearest"), own, blocks)
        for part in (_block_means(hu, blocks), _block_means(inside, blocks))
    )
    return blurred / np.maximum(weight, 1e-3)


def _block_means(values: np.ndarray, blocks: list[int]) -> np.ndarray:
    """Means of blocks of voxels (z, y, x); the last ones repeat the edge where they are not whole."""
    for axis, block in enumerate(blocks):
        if block > 1:
            rest = -values.shape[axis] % block
            values = np.pad(values, [(0, rest if other == axis else 0) for other in range(3)], mode="edge")
            parts = np.moveaxis(values, axis, 0)
            summed = sum((parts[start::block] for start in range(1, block)), parts[::block].copy())
            values = np.moveaxis(summed / np.float32(block), 0, axis)
    return values


def _at(blocked: np.ndarray, places: list[np.ndarray], blocks: list[int]) -> np.ndarray:
    """Values of an array of blocks at voxels, linear between the blocks' middles."""
    if blocks == [1, 1, 1]:
        return blocked[tuple(places)]
    middles = [(index - (block - 1) / 2) / block for index, block in zip(places, blocks, strict=True)]
    return ndimage.map_coordinates(blocked, middles, order=1, mode="nearest", prefilter=False)


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """exp(-|a - b|^2 / 2) for rows of a and b."""
    exponent = a @ b.T
    exponent -= 0.5 * np.einsum("ij,ij->i", a, a)[:, None]
    exponent -= 0.5 * np.einsum("ij,ij->i", b, b)[None]
    return np.exp(exponent, out=exponent)


def _apply(features: np.ndarray, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The correction at each row of features."""
    out = np.empty(len(features), np.float32)
    for rows in _slabs(len(features), len(points)):
        out[rows] = np.einsum("ij,j->i", _kernel(features[rows], points), weights)
    return out


def _slabs(rows: int, columns: int) -> Iterator[slice]:
    """Slabs of rows so small that they stay in the processor's cache and BLAS works on them without threads."""
    step = max(1, SLAB // max(1, columns))
    for begin in range(0, rows, step):
        yield slice(begin, begin + step)
