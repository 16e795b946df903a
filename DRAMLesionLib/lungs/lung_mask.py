"""Lungs by intensity and shape, lobes by planes: what serves when nobody supplies lobes. Needs no weights.

Everything is decided on a coarse grid of about 2.5 mm (block means, so noise matters little); the outline is then
found between its voxels by interpolation. Arrays have shape (z, y, x) in canonical axes: z inferior to superior,
y anterior to posterior, x right to left of the patient.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from DRAMLesionLib.lungs.closing import LEFT, RIGHT, close_lungs, label_slices, middle_of

COARSE_MM = 2.25
"""The coarse grid's spacing is the multiple of the CT's that lies nearest to this."""

EDGE_HU = -400.0
"""Half-way between aerated lung (about -860 HU) and soft tissue (about 40 HU): where the outline lies."""

AERATED_HU = (-500.0, -320.0)
"""Below this, inside the body, is lung or gas: the limits between which the patient's fat chooses."""

HAZE_HU = 150.0
"""So far above the aerated limit, beside a lung and on the side of the ribs, is ground glass of that lung."""

TISSUE_HU = -600.0
"""Above this is body, table or cloth: low, so that subcutaneous fat closes the outline of a thin patient."""

AIR_HU = -1000.0

PLANES = {
    "left lower": (-0.0166, 0.6749, -0.7377, 0.0167),
    "right lower": (-0.0401, 0.5695, -0.8210, 0.1433),
    "right upper": (-0.0830, -0.0808, 0.9933, -0.4747),
}
"""Fissures as planes a u + b v + c w + d > 0 in a lung's own box, fitted to a public lobe atlas.

u runs medial to lateral, v anterior to posterior, w inferior to superior, each 0..1 over the box.
"""


def segment_lungs(hu: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Segment both lungs, dense lesions and vessels included, trachea and main bronchi left out.

    Args:
        hu: int16 or float32, shape (z, y, x), canonical axes, HU.
        spacing_mm: Voxel size (z, y, x) in mm.

    Returns:
        uint8, the shape of ``hu``: 1 left lung, 2 right lung of the patient, 0 elsewhere (everywhere, if none is
        found).
    """
    factors = [max(1, round(COARSE_MM / float(s))) for s in spacing_mm]
    coarse = _block_mean(hu, factors)
    spacing = np.array([f * float(s) for f, s in zip(factors, spacing_mm, strict=True)])

    body = _body(coarse, spacing)
    limit = _aerated_limit(coarse, body, spacing)
    candidates = body & (coarse < limit)
    airways = _airways(coarse, candidates, middle_of(body), spacing)
    aerated = _lung_components(candidates & ~airways, coarse, spacing)
    if not aerated.any():
        return np.zeros(hu.shape, np.uint8)
    lungs = _left_and_right(aerated, coarse, body, spacing)
    closed = close_lungs(lungs, body & ~airways, coarse, min(limit + HAZE_HU, -250.0), spacing)
    return _refine(closed, lungs > 0, coarse, factors, hu.shape)


def split_lobes(lungs: np.ndarray) -> np.ndarray:
    """Cut each lung into lobes by planes in its own bounding box: approximate, no fissure is looked for.

    Args:
        lungs: uint8, shape (z, y, x), canonical axes: 1 left lung, 2 right lung.

    Returns:
        uint8, same shape: 1 LUL, 2 LLL, 3 RUL, 4 RML, 5 RLL.
    """
    lobes = np.zeros(lungs.shape, np.uint8)
    boxes = ndimage.find_objects(lungs, max_label=2)
    for side, box in zip((LEFT, RIGHT), boxes, strict=True):
        if box is None:
            continue
        inside = lungs[box] == side
        w, v, u = np.ogrid[tuple(slice(0, 1, complex(0, n)) for n in inside.shape)]
        if side == RIGHT:
            u = 1 - u
        if side == LEFT:
            values = np.where(_above("left lower", u, v, w), 2, 1)
        else:
            upper = np.where(_above("right upper", u, v, w), 3, 4)
            values = np.where(_above("right lower", u, v, w), 5, upper)
        lobes[box][inside] = values[inside]
    return lobes


def _above(plane: str, u: np.ndarray, v: np.ndarray, w: np.ndarray) -> np.ndarray:
    a, b, c, d = PLANES[plane]
    return a * u + b * v + c * w + d > 0


def _block_mean(hu: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """Mean HU over blocks of ``factors`` voxels, float32; blocks at the end are filled with the last voxel."""
    coarse = hu
    for axis, factor in enumerate(factors):
        if factor == 1:
            continue
        missing = -coarse.shape[axis] % factor
        if missing:
            pad = [(0, 0)] * 3
            pad[axis] = (0, missing)
            coarse = np.pad(coarse, pad, mode="edge")
        shape = list(coarse.shape)
        shape[axis : axis + 1] = [shape[axis] // factor, factor]
        coarse = coarse.reshape(shape).mean(axis=axis + 1, dtype=np.float32)
    return np.maximum(coarse.astype(np.float32), -1100.0)


def _in_plane(radius_mm: float, spacing: np.ndarray) -> np.ndarray:
    """A flat structuring element (1, y, x): a disk of at least the four neighbours."""
    ry, rx = (max(1, round(radius_mm / s)) for s in spacing[1:])
    y, x = np.ogrid[-ry : ry + 1, -rx : rx + 1]
    return ((y / (ry + 0.01)) ** 2 + (x / (rx + 0.01)) ** 2 <= 1)[None]


def _largest(mask: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == sizes.argmax()


def _body(coarse: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """The patient with all air inside, without the table and the air around, slice by slice.

    Air that touches the side of the image is outside, unless it is lung by its density: a field of view that cuts
    the chest. Slice by slice, since air runs in from outside through the mouth and the open ends of the scan.
    """
    tissue = coarse > TISSUE_HU
    opened = ndimage.binary_opening(tissue, _in_plane(5.0, spacing))
    core = _largest(opened)
    tissue = ndimage.binary_dilation(core, _in_plane(5.0, spacing)) & tissue
    labels, count = label_slices(~tissue)
    if count == 0:
        return tissue
    touching, corners = np.zeros(count + 1, bool), np.zeros(count + 1, bool)
    for face in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        touching[face.ravel()] = True
    corners[labels[:, [0, 0, -1, -1], [0, -1, 0, -1]].ravel()] = True
    air = np.bincount(labels[coarse < TISSUE_HU], minlength=count + 1)
    pure = np.bincount(labels[coarse < AIR_HU + 70], minlength=count + 1)
    outside = corners | (touching & (pure >= 0.5 * air))
    outside[0] = False
    return ~outside[labels]


def _aerated_limit(coarse: np.ndarray, body: np.ndarray, spacing: np.ndarray) -> float:
    """The HU that parts lung from fat: well below the fat under the skin, which lies at -500 where HU are rough."""
    depth = ndimage.distance_transform_edt(body, np.array([1e6, *spacing[1:]]))
    fat = coarse[(depth > 6.0) & (depth < 15.0)]
    low, high = AERATED_HU
    return float(np.clip(np.percentile(fat, 5) - 80.0, low, high)) if fat.size else high


def _airways(coarse: np.ndarray, candidates: np.ndarray, middle: float, spacing: np.ndarray) -> np.ndarray:
    """Trachea and main bronchi: pure air that tissue surrounds in axial slices, near the middle, for more than 10 mm.

    Lobar bronchi are wrapped in lung and stay with it, as does emphysema.
    """
    none = np.zeros_like(candidates)
    if not candidates.any():
        return none
    lung_hu = float(np.median(coarse[candidates]))
    pure_air = candidates & (coarse < np.clip((AIR_HU + lung_hu) / 2, -960.0, -920.0))
    labels, count = label_slices(pure_air)
    near = ndimage.grey_dilation(labels, footprint=_in_plane(3.0, spacing))
    far = ndimage.grey_dilation(labels, footprint=_in_plane(7.0, spacing))
    dense = _share(coarse > -500.0, np.where(near == 0, far, 0), count)
    aerated = _share(coarse < -800.0, np.where(labels == 0, near, 0), count)
    area = np.bincount(labels.ravel(), minlength=count + 1) * spacing[1] * spacing[2]
    possible = (dense > 0.6) & (aerated < 0.35) & (area > 15) & (area < 1000)
    possible[0] = False
    tubes, count = ndimage.label(possible[labels], np.ones((3, 3, 3)))
    if count == 0:
        return none
    numbers = np.arange(1, count + 1)
    walled = np.asarray(ndimage.mean(dense[labels] > 0.8, tubes, numbers)) > 0.5
    apart = np.asarray(ndimage.mean(aerated[labels], tubes, numbers)) < 0.26
    lengths = np.array([(t[0].stop - t[0].start) * spacing[0] for t in ndimage.find_objects(tubes)])
    x = np.asarray(ndimage.mean(np.broadcast_to(np.arange(coarse.shape[2]), coarse.shape), tubes, numbers))
    central = np.abs(x - middle) * spacing[2] < 45.0
    chosen = np.concatenate([[False], walled & apart & central & (lengths > 10.0)])
    return ndimage.binary_dilation(chosen[tubes], _in_plane(4.0, spacing)) & candidates


def _share(mask: np.ndarray, rings: np.ndarray, count: int) -> np.ndarray:
    """For each label of ``rings`` 0..count the part of its voxels that are in ``mask``."""
    voxels = np.bincount(rings.ravel(), minlength=count + 1)
    return np.bincount(rings[mask], minlength=count + 1) / np.maximum(voxels, 1)


def _lung_components(mask: np.ndarray, coarse: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Keep what is large and has the density of lung: no gas in the bowel, no air in folds of the skin.

    Pieces that hang on a lung by a thin neck are judged by themselves, so fat or gas behind a neck is left out.
    """
    least = max(20.0, 0.03 * mask.sum() * _ml(spacing))
    cores = _pieces(ndimage.binary_erosion(mask), coarse, least, (AIR_HU + 30, EDGE_HU + 80), spacing)
    lungs = ndimage.binary_dilation(cores, iterations=2, mask=mask)
    hanging = _pieces(mask & ~lungs, coarse, 0.2, (AIR_HU + 30, -700.0), spacing)
    labels, _ = ndimage.label(lungs | hanging)
    attached = np.unique(labels[lungs])
    return np.isin(labels, attached[attached > 0])


def _pieces(
    mask: np.ndarray, coarse: np.ndarray, least_ml: float, limits: tuple[float, float], spacing: np.ndarray
) -> np.ndarray:
    """The components of ``mask`` of at least that volume whose median HU is within ``limits``."""
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * _ml(spacing)
    sizes[0] = 0
    large = np.flatnonzero(sizes >= least_ml)
    keep = np.zeros(count + 1, bool)
    if large.size:
        medians = np.asarray(ndimage.median(coarse[mask], labels[mask], large))
        keep[large] = (medians > limits[0]) & (medians < limits[1])
    return keep[labels]


def _ml(spacing: np.ndarray) -> float:
    """The volume of a voxel in millilitres."""
    return float(spacing.prod()) / 1000.0


def _left_and_right(
    mask: np.ndarray, coarse: np.ndarray, body: np.ndarray, spacing: np.ndarray
) -> np.ndarray:
    """Label lung 1 left, 2 right by position; a component on both sides is cut along the densest surface."""
    on_left = np.arange(mask.shape[2])[None, None] > middle_of(body[mask.any(axis=(1, 2))])
    labels, count = ndimage.label(mask)
    fraction = ndimage.mean(np.broadcast_to(on_left, mask.shape), labels, np.arange(1, count + 1))
    lungs = np.zeros(mask.shape, np.uint8)
    for label, left in enumerate(np.atleast_1d(fraction), start=1):
        component = labels == label
        if 0.12 < left < 0.88:
            lungs[component] = _cut(component, coarse, on_left, spacing)[component]
        else:
            lungs[component] = LEFT if left > 0.5 else RIGHT
    return lungs


def _cut(component: np.ndarray, coarse: np.ndarray, on_left: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Cut lungs that touch: erode until no large piece lies on both sides, then flood back by HU.

    The thin sheet of tissue between touching lungs is a ridge of HU, where the two floods meet.
    """
    import SimpleITK as sitk

    depth = ndimage.distance_transform_edt(component, spacing)
    sides = np.where(np.broadcast_to(on_left, component.shape), LEFT, RIGHT).astype(np.uint8)
    for radius in np.arange(1, 13) * float(spacing[1:].mean()):
        pieces, count = ndimage.label(depth > radius)
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
        left = ndimage.sum(np.broadcast_to(on_left, component.shape), pieces, np.arange(1, count + 1))
        large = sizes > 0.02 * component.sum()
        share = np.asarray(left) / np.maximum(sizes, 1)
        mixed = large & (share > 0.15) & (share < 0.85)
        if mixed.any():
            continue
        side = np.where(share > 0.5, LEFT, RIGHT) * large
        if not (side == LEFT).any() or not (side == RIGHT).any():
            break
        markers = np.concatenate([[0], side]).astype(np.uint8)[pieces]
        box = ndimage.find_objects(component.astype(np.uint8))[0]
        ridge = np.where(component[box], coarse[box], 1000.0).astype(np.float32)
        flooded = sitk.MorphologicalWatershedFromMarkers(
            sitk.GetImageFromArray(ridge), sitk.GetImageFromArray(markers[box]), markWatershedLine=False
        )
        sides[box] = sitk.GetArrayFromImage(flooded).astype(np.uint8)
        return sides
    return sides


def _refine(
    closed: np.ndarray,
    aerated: np.ndarray,
    coarse: np.ndarray,
    factors: Sequence[int],
    shape: tuple[int, ...],
) -> np.ndarray:
    """Outline on the CT's own grid: where the interpolated HU crosses the edge, or the filled part ends."""
    import torch

    from DRAMLesionLib.images.resampling import linear_slabs

    fine = np.zeros(shape, np.uint8)
    near = ndimage.binary_dilation(closed > 0)
    found = ndimage.find_objects(near.astype(np.uint8))
    if not found:
        return fine
    # Beyond this box all is outside, also between the voxels.
    box = tuple(slice(max(0, b.start - 1), b.stop + 1) for b in found[0])
    level, sides = _levels(closed[box], aerated[box], coarse[box], near[box])
    target = fine[tuple(slice(b.start * f, b.stop * f) for b, f in zip(box, factors, strict=True))]
    _, height, width = target.shape
    size = tuple(n * f for n, f in zip(level.shape, factors, strict=True))
    insides, lefts = (
        linear_slabs(torch.from_numpy(values).__getitem__, values.shape, size) for values in (level, sides)
    )
    for (part, inside), (_, left) in zip(insides, lefts, strict=True):
        side = np.where(left.numpy() > 0, np.uint8(LEFT), np.uint8(RIGHT))
        rows = target[part]  # fewer than the slab's, where the last block reaches beyond the CT
        np.multiply(
            side[: len(rows), :height, :width], inside.numpy()[: len(rows), :height, :width] > 0, out=rows
        )
    return fine


def _levels(
    closed: np.ndarray, aerated: np.ndarray, coarse: np.ndarray, near: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Two float32 maps on the coarse grid: above 0 inside the lungs; above 0 where the left lung is nearest."""
    lungs = closed > 0
    level = np.clip((EDGE_HU - coarse) / 400.0, -1.0, 1.0).astype(np.float32)
    level[~near] = -1.0
    level[near & ~lungs] = np.minimum(level[near & ~lungs], 0.0)
    filled = lungs & ~aerated
    level[filled] = np.maximum(level[filled], 0.5)
    return level, _nearest_side(closed)


def _nearest_side(closed: np.ndarray) -> np.ndarray:
    """+1 where the left lung is nearest, -1 where the right one is, float32."""
    signed = np.array([0.0, 1.0, -1.0], np.float32)[closed]
    if not (closed == 0).any():
        return signed
    nearest = ndimage.distance_transform_edt(closed == 0, return_distances=False, return_indices=True)
    return signed[tuple(nearest)]
