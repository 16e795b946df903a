"""Fissures: surfaces near average planes, pulled to the thin bright sheets that a CT shows there.

A fissure is a sheet of two pleurae, thinner than a voxel: its smoothed density has a ridge across it, and its
neighbourhood holds few vessels. In the frame of an average plane (two axes along it, one across) the ridge is a
second derivative along one axis, and the fissure a height over the other two. First the plane is tilted and shifted
as a whole to where the ridges are; then heights vary smoothly about it, by belief propagation on the grid of heights
(min-sum, Felzenszwalb and Huttenlocher, Efficient Belief Propagation for Early Vision, IJCV 2006).

Arrays have shape (z, y, x) in canonical axes: z inferior to superior, y anterior to posterior, x right to left.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import ndimage

from DRAMLesionLib.images.box import Box, label_boxes
from DRAMLesionLib.lungs.at_once import at_once
from DRAMLesionLib.lungs.lung_mask import LEFT, RIGHT

PLANES = {
    "left oblique": (-0.0166, 0.6749, -0.7377, 0.0167),
    "right oblique": (-0.0401, 0.5695, -0.8210, 0.1433),
    "right horizontal": (-0.0830, -0.0808, 0.9933, -0.4747),
}
"""Average fissures as planes a u + b v + c w + d = 0 in a lung's own box, fitted to a public lobe atlas; positive in
the lower lobe, or above the horizontal fissure.

u runs medial to lateral, v anterior to posterior, w inferior to superior, each 0..1 over the box.
"""

ALONG_MM, ACROSS_MM = 5.0, 1.25
"""Steps of the frame along the plane and across it."""

REACH_MM = 25.0
"""So far from the average plane a fissure is looked for."""

BEND_MM = 12.5
"""So far it bends away from the tilted plane."""

SEEN_HU = 12.0
"""A ridge above this, of density smoothed along the sheet, is a fissure that can be seen."""

VESSEL_HU = -650.0
"""Denser is vessel or disease: it is cut off here, so that a fissure counts as much as they."""

LEAST_SEEN = 0.3
"""Where less of a fissure is seen than this, its average plane stays."""


@dataclass(frozen=True)
class Frame:
    """A plane's own coordinates: mm along two axes in it and along its normal, all (z, y, x) vectors.

    Attributes:
        origin: mm of heights' first element.
        along: Two unit vectors, (2, 3).
        normal: Unit vector, (3,).
        count: Elements along both axes.
    """

    origin: np.ndarray
    along: np.ndarray
    normal: np.ndarray
    count: tuple[int, int]

    def above(self, heights: np.ndarray, points: Sequence[np.ndarray]) -> np.ndarray:
        """How far above the surface of ``heights`` points lie, in mm along the normal.

        Args:
            heights: (p, q).
            points: z, y and x in mm, arrays that broadcast.
        """
        z, y, x = (
            np.asarray(p, np.float32) - np.float32(o) for p, o in zip(points, self.origin, strict=True)
        )

        def component(axis: np.ndarray) -> np.ndarray:
            a, b, c = axis.astype(np.float32)
            return np.asarray(z * a + y * b + x * c)

        p, q, across = component(self.along[0]), component(self.along[1]), component(self.normal)
        surface = ndimage.map_coordinates(
            heights, [p / ALONG_MM, q / ALONG_MM], order=1, mode="nearest", output=np.float32
        )
        return across - surface


@dataclass(frozen=True)
class Fissure:
    """One fissure of a CT.

    Attributes:
        name: A key of :data:`PLANES`.
        seen: Share 0..1 of its area in the lung where the CT shows it.
        heights_mm: float32 (p, q): its height over the average plane; all 0 where it stays that plane.
        frame: The plane's frame, in which heights are.
    """

    name: str
    seen: float
    heights_mm: np.ndarray
    frame: Frame

    def above(self, points: Sequence[np.ndarray]) -> np.ndarray:
        """How far points (z, y, x arrays in mm that broadcast) lie on its positive side, in mm: float32."""
        return self.frame.above(self.heights_mm, points)


def split_lobes(
    lungs: np.ndarray, spacing_mm: Sequence[float] = (1.0, 1.0, 1.0), hu: np.ndarray | None = None
) -> tuple[np.ndarray, tuple[Fissure, ...]]:
    """Cut each lung into lobes.

    Args:
        lungs: uint8, shape (z, y, x), canonical axes: 1 left lung, 2 right lung.
        spacing_mm: Voxel size (z, y, x) in mm; without ``hu`` it plays no part.
        hu: int16 or float32, same shape: the CT whose fissures are followed. None: average planes cut.

    Returns:
        uint8, same shape, 1 LUL, 2 LLL, 3 RUL, 4 RML, 5 RLL; and the fissures of the lungs that are there.
    """
    lobes = np.zeros(lungs.shape, np.uint8)
    spacing = np.asarray(spacing_mm, float)

    def split(side: int, box: Box) -> list[Fissure]:
        inside = lungs[box] == side
        ct = None if hu is None else hu[box]
        cut = _split_left if side == LEFT else _split_right
        values, fissures = cut(ct, inside, spacing)
        np.copyto(lobes[box], values, where=inside)
        return fissures

    boxes = label_boxes(lungs, 2)
    works = [
        partial(split, side, box) for side, box in zip((LEFT, RIGHT), boxes, strict=True) if box is not None
    ]
    return lobes, tuple(itertools.chain.from_iterable(at_once(*works)))


def _split_left(
    ct: np.ndarray | None, inside: np.ndarray, spacing: np.ndarray
) -> tuple[np.ndarray, list[Fissure]]:
    """The values of the left lung's lobes in its box, and its fissure."""
    oblique = _find_fissure(ct, inside, spacing, "left oblique")
    return np.where(_positive(oblique, inside.shape, spacing), np.uint8(2), np.uint8(1)), [oblique]


def _split_right(
    ct: np.ndarray | None, inside: np.ndarray, spacing: np.ndarray
) -> tuple[np.ndarray, list[Fissure]]:
    """The values of the right lung's lobes in its box, and its two fissures."""
    oblique = _find_fissure(ct, inside, spacing, "right oblique")
    horizontal = _find_fissure(ct, inside, spacing, "right horizontal", below=oblique)
    values = np.where(_positive(horizontal, inside.shape, spacing), np.uint8(3), np.uint8(4))
    values[_positive(oblique, inside.shape, spacing)] = 5
    return values, [oblique, horizontal]


def _find_fissure(
    hu: np.ndarray | None, lung: np.ndarray, spacing: np.ndarray, name: str, below: Fissure | None = None
) -> Fissure:
    """Look for a fissure near its average plane in a lung's own box.

    Args:
        hu: The CT (z, y, x) in the box; None: the average plane it is.
        lung: bool, same shape.
        spacing: Voxel size (z, y, x) in mm.
        name: A key of :data:`PLANES`.
        below: Another fissure on whose negative side this one is.
    """
    frame = _frame(lung.shape, spacing, name)
    plane = Fissure(name, 0.0, np.zeros(frame.count, np.float32), frame)
    if hu is None:
        return plane
    density, weight, offsets = _stack(hu, lung, spacing, frame, below)
    inside = weight[:, :, len(offsets) // 2 - 4 : len(offsets) // 2 + 5].max(axis=2) > 0.5
    if inside.sum() < 20:
        return plane
    ridges = _ridges(density, weight)
    heights = _bent(ridges, inside, offsets, _tilted(ridges, inside, offsets))
    seen = _seen(ridges, weight, offsets, heights)
    return Fissure(name, seen, heights.astype(np.float32), frame) if seen >= LEAST_SEEN else plane


def _positive(fissure: Fissure, shape: Sequence[int], spacing: np.ndarray) -> np.ndarray:
    """bool, ``shape``: the voxels on the positive side; the surface is drawn between points about 2.5 mm apart."""
    import torch

    from DRAMLesionLib.images.resampling import linear_slabs

    size = [max(2, round(n * s / 2.5)) for n, s in zip(shape, spacing, strict=True)]
    axes = [((np.arange(m) + 0.5) * (n / m) - 0.5) * s for n, m, s in zip(shape, size, spacing, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    field = torch.from_numpy(np.ascontiguousarray(fissure.above((z, y, x)), dtype=np.float32))
    positive = np.empty(tuple(shape), bool)
    for part, slab in linear_slabs(field.__getitem__, size, shape):
        positive[part] = slab.numpy() > 0
    return positive


def _average_plane(shape: Sequence[int], spacing: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Normal (z, y, x), in 1/mm, and a point in mm of an average plane in a lung's box."""
    a, b, c, d = PLANES[name]
    size = np.maximum((np.array(shape) - 1) * spacing, 1e-3)
    # u runs medial to lateral: with x on the left, against it on the right.
    if name.startswith("right"):
        a, d = -a, d + a
    normal = np.array([c, b, a]) / size
    middle = size / 2
    value = 0.5 * (a + b + c) + d
    return normal, middle - normal * value / (normal @ normal)


def _frame(shape: Sequence[int], spacing: np.ndarray, name: str) -> Frame:
    """The frame of an average plane over a lung's box."""
    steep, point = _average_plane(shape, spacing, name)
    normal = steep / np.linalg.norm(steep)
    first = np.cross(normal, [0.0, 1.0, 0.0])
    first /= np.linalg.norm(first)
    along = np.stack([first, np.cross(normal, first)])
    corners = np.array(np.meshgrid(*[[0, n - 1] for n in shape], indexing="ij")).reshape(3, -1).T * spacing
    reach = (corners - point) @ along.T
    low, high = reach.min(axis=0), reach.max(axis=0)
    count = np.maximum(2, np.ceil((high - low) / ALONG_MM).astype(int) + 1)
    return Frame(point + low @ along, along, normal, (int(count[0]), int(count[1])))


def _stack(
    hu: np.ndarray, lung: np.ndarray, spacing: np.ndarray, frame: Frame, below: Fissure | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Density and lung share (p, q, t) in the frame, smoothed along the plane; and the offsets across it in mm."""
    offsets = np.arange(-round(REACH_MM / ACROSS_MM), round(REACH_MM / ACROSS_MM) + 1) * ACROSS_MM
    fine = 2
    p, q = (np.arange(n * fine) * ALONG_MM / fine for n in frame.count)
    points = (
        frame.origin[:, None, None, None]
        + frame.along[0][:, None, None, None] * p[:, None, None]
        + frame.along[1][:, None, None, None] * q[:, None]
        + frame.normal[:, None, None, None] * offsets
    )
    places = (points / spacing[:, None, None, None]).astype(np.float32)
    inside = ndimage.map_coordinates(lung.view(np.uint8), places, np.float32, order=1, mode="constant")
    if below is not None:
        inside *= below.above(points) < 0
    values = ndimage.map_coordinates(hu, places, np.float32, order=1, mode="nearest")
    values = np.minimum(values, VESSEL_HU)
    sigma = (fine, fine, 0.0)
    weight = ndimage.gaussian_filter(inside, sigma)
    smooth = ndimage.gaussian_filter(values * inside, sigma) / np.maximum(weight, 1e-3)
    return smooth[::fine, ::fine], weight[::fine, ::fine], offsets


def _ridges(density: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """How much denser (HU) each place is than what lies 2.5 to 5 mm before and behind it across the plane."""
    narrow = ndimage.gaussian_filter1d(density, 0.8, axis=2, mode="nearest")
    beside = [np.roll(narrow, s, axis=2) for s in (-3, 3)]
    ridge = narrow - np.maximum(*beside)
    steps = 3
    ridge[:, :, :steps] = ridge[:, :, -steps:] = 0
    full = ndimage.minimum_filter1d(weight, 2 * steps + 1, axis=2)
    return np.where(full > 0.6, np.clip(ridge, 0.0, 60.0), 0.0)


def _tilted(ridges: np.ndarray, inside: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Heights (p, q) of the plane that, tilted and shifted, has most ridges."""
    p, q = np.nonzero(inside)
    middle = p.mean(), q.mean()
    response = np.minimum(ndimage.maximum_filter1d(ridges, 3, axis=2)[p, q], 30.0)
    rows = np.arange(len(p))
    best, chosen = -1.0, (0.0, 0.0, 0.0)
    slopes = np.tan(np.radians(np.arange(-12, 13, 4)))
    for first in slopes:
        for second in slopes:
            lean = (first * (p - middle[0]) + second * (q - middle[1])) * ALONG_MM
            for shift in offsets[2:-2:2]:
                place = np.rint((lean + shift - offsets[0]) / ACROSS_MM).astype(int)
                valid = (place >= 0) & (place < len(offsets))
                score = response[rows[valid], place[valid]].sum() / len(p)
                # Far from the average only where the CT clearly says so.
                score -= 0.1 * float(np.abs(lean + shift).mean())
                if score > best:
                    best, chosen = score, (first, second, shift)
    first, second, shift = chosen
    pp, qq = np.mgrid[: inside.shape[0], : inside.shape[1]]
    return (first * (pp - middle[0]) + second * (qq - middle[1])) * ALONG_MM + shift


def _bent(ridges: np.ndarray, inside: np.ndarray, offsets: np.ndarray, tilt: np.ndarray) -> np.ndarray:
    """Heights (p, q) that vary smoothly about the tilted plane and follow the ridges."""
    bends = np.arange(-round(BEND_MM / ACROSS_MM), round(BEND_MM / ACROSS_MM) + 1) * ACROSS_MM
    place = (tilt[..., None] + bends - offsets[0]) / ACROSS_MM
    p, q = np.mgrid[: tilt.shape[0], : tilt.shape[1]]
    found = ndimage.map_coordinates(
        ridges,
        [np.broadcast_to(p[..., None], place.shape), np.broadcast_to(q[..., None], place.shape), place],
        order=1,
    )
    cost = -np.minimum(found, 30.0) / 10.0 * inside[..., None] + 0.002 * bends**2
    step = (bends[:, None] - bends) / ALONG_MM
    change = np.minimum(3.0 * step**2, 6.0).astype(np.float32)
    belief = _belief(cost.astype(np.float32), change)
    shares = np.exp(-2.0 * (belief - belief.min(axis=2, keepdims=True)))
    heights = (shares * bends).sum(axis=2) / shares.sum(axis=2)
    return tilt + ndimage.gaussian_filter(heights, 0.7)


def _belief(cost: np.ndarray, change: np.ndarray, rounds: int = 16) -> np.ndarray:
    """Min-sum belief propagation over the four neighbours of each element."""
    messages = {side: np.zeros_like(cost) for side in ("up", "down", "left", "right")}
    opposite = {"up": "down", "down": "up", "left": "right", "right": "left"}
    for _ in range(rounds):
        total = cost + sum(messages.values())
        sent = {}
        for side in messages:
            # What an element tells its neighbour is all it knows but what that neighbour told it.
            told = total - messages[opposite[side]]
            told = _least(told, change)
            told -= told.mean(axis=2, keepdims=True)
            moved = np.zeros_like(told)
            if side == "down":
                moved[1:] = told[:-1]
            elif side == "up":
                moved[:-1] = told[1:]
            elif side == "right":
                moved[:, 1:] = told[:, :-1]
            else:
                moved[:, :-1] = told[:, 1:]
            sent[side] = 0.5 * moved + 0.5 * messages[side]
        messages = sent
    return cost + sum(messages.values())


def _least(told: np.ndarray, change: np.ndarray) -> np.ndarray:
    """The least of ``told + change`` over the sender's labels, for each label of the receiver."""
    labels = np.ascontiguousarray(np.moveaxis(told, -1, 0))  # long rows, which numpy is fast with
    # From some distance on a change costs the same, whichever it is.
    least = np.repeat(labels.min(axis=0)[None] + change.max(), len(labels), axis=0)
    for apart in range(-len(labels) + 1, len(labels)):
        cost = change[max(0, apart), max(0, -apart)]
        if cost < change.max():
            receivers = slice(max(0, apart), len(labels) + min(0, apart))
            senders = slice(max(0, -apart), len(labels) + min(0, -apart))
            np.minimum(least[receivers], labels[senders] + cost, out=least[receivers])
    return np.ascontiguousarray(np.moveaxis(least, 0, -1))


def _seen(ridges: np.ndarray, weight: np.ndarray, offsets: np.ndarray, heights: np.ndarray) -> float:
    """The share of the fissure's area where a ridge lies within a step of it."""
    thick = ndimage.maximum_filter1d(ridges, 3, axis=2)
    p, q = np.mgrid[: heights.shape[0], : heights.shape[1]]
    places = [p, q, (heights - offsets[0]) / ACROSS_MM]
    inside = ndimage.map_coordinates(weight, places, order=1) > 0.6
    at = ndimage.map_coordinates(thick, places, order=1)
    return float(np.mean(at[inside] > SEEN_HU)) if inside.any() else 0.0
