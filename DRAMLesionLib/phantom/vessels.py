"""Vessels and airways of the phantom: trees that fill each lobe, thinner at every branch.

A tree is grown by halving a cloud of end points: the trunk of each half leads towards its middle. Radii follow
Murray's law (Murray 1926, PNAS 12:207): a trunk that feeds n ends is n^(1/3) times as wide as an end; a smaller root
gives the somewhat stouter trunks seen on CT.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from DRAMLesionLib.phantom import anatomy as anatomy
from DRAMLesionLib.phantom.anatomy import Thorax
from DRAMLesionLib.phantom.fields import Grid, blend, capsule, coverage

VESSEL, WALL, LUMEN = 38.0, 10.0, -985.0
Rod = tuple[np.ndarray, np.ndarray, float, float, int]
"""Start, end (x, y, z in mm), radius at both in mm, and how many ends it feeds."""
_FAINT = 0.03
"""Rods that cover less of a voxel are left out: at coarse grids most are, and none would be seen."""
_WIDE = 10_000
"""As a number of ends: an airway that is drawn everywhere."""
_MURRAY = 1 / 2.75
_END_RADIUS = 0.55
# Roots (x, y, z) in mm per lobe, for arteries and for veins, as if the chest were of average size.
_ARTERY_ROOT = {1: (46, 10, 28), 2: (48, 24, -4), 3: (-44, 12, 24), 4: (-46, 6, -8), 5: (-46, 24, -12)}
_VEIN_ROOT = {1: (40, -2, 8), 2: (34, 24, -26), 3: (-38, -2, 8), 4: (-36, 0, -14), 5: (-32, 24, -30)}
_ATRIUM = (0.0, 16.0, -20.0)
_HILUM = {1: (42, 16, 20), -1: (-42, 12, 10)}
_CARINA = (-1.0, 22.0, 42.0)
_BRONCHUS = {1: (40, 30, 14), -1: (-34, 26, 20)}
_ENDS_PER_LOBE = {1: 520, 2: 500, 3: 420, 4: 240, 5: 560}


@dataclass(frozen=True)
class Rods:
    """Many tapering rods.

    Attributes:
        start: (n, 3) in mm, (x, y, z).
        end: (n, 3) in mm, (x, y, z).
        radius: (n, 2) in mm, at the start and at the end.
        wide: bool (n,), windpipe and bronchi down to those of the lobes.
    """

    start: np.ndarray
    end: np.ndarray
    radius: np.ndarray
    wide: np.ndarray

    def chosen(self, which: np.ndarray) -> Rods:
        """The rods where ``which`` (bool, (n,)) holds."""
        return Rods(self.start[which], self.end[which], self.radius[which], self.wide[which])


@dataclass(frozen=True)
class Tubes:
    """The vessels and airways of one person: rods in mm. ``lumen`` is the air, ``wall`` its outer side."""

    vessels: Rods
    wall: Rods
    lumen: Rods


def grow(person: Thorax, rng: np.random.Generator) -> Tubes:
    """Grow all trees of ``person``."""
    scale = np.array(person.scale)
    vessels: list[Rod] = []
    airways = _main_airways(scale)
    for lobe, ends in _end_points(person, rng).items():
        side = 1 if lobe < 3 else -1
        for kind, cloud in (("artery", ends[::2]), ("vein", ends[1::2])):
            artery = kind == "artery"
            root = np.array((_ARTERY_ROOT if artery else _VEIN_ROOT)[lobe]) * scale
            source = np.array(_HILUM[side] if artery else _ATRIUM) * scale
            width = _END_RADIUS * len(cloud) ** _MURRAY
            vessels.append((source, root, max(width, 6.0), width, len(cloud)))
            tree = _branch(root, cloud, rng)
            vessels += tree
            if artery:
                bronchus = np.array(_BRONCHUS[side]) * scale
                airways += _accompany(tree, bronchus, root)
    wall = [(a, b, r + 0.5 + 0.14 * r, s + 0.5 + 0.14 * s, n) for a, b, r, s, n in airways]
    return Tubes(_rods(vessels), _rods(wall), _rods(airways))


def _main_airways(scale: np.ndarray) -> list[Rod]:
    top, neck, carina = np.array([(-3, 10, 330), (-2, 10, 120), _CARINA]) * scale
    left, right = (np.array(_BRONCHUS[side]) * scale for side in (1, -1))
    return [
        (top, neck, 8.6, 8.6, _WIDE),
        (neck, carina, 8.6, 8.2, _WIDE),
        (carina, left, 6.4, 5.8, _WIDE),
        (carina, right, 7.4, 6.8, _WIDE),
    ]


def _rods(parts: list[Rod]) -> Rods:
    start, end, first, last, ends = zip(*parts, strict=True)
    return Rods(np.array(start), np.array(end), np.array([first, last]).T, np.array(ends) == _WIDE)


def _end_points(person: Thorax, rng: np.random.Generator) -> dict[int, np.ndarray]:
    """Points in each lobe (n, 3), a little below its surface, in mm."""
    sx, sy, sz = person.scale
    low, high = np.array((-135 * sx, -92 * sy, -145 * sz)), np.array((135 * sx, 100 * sy, 150 * sz))
    cloud = rng.uniform(low, high, (18000, 3)).astype(np.float32)
    # One point per "slice", so that the shapes broadcast over them; rods look at the range of z only.
    order = np.argsort(cloud[:, 2])
    cloud = cloud[order]
    x, y, z = (cloud[:, i].reshape(-1, 1, 1) for i in range(3))
    at = _Points(x, y, z)
    depth = anatomy.lungs(person, at, anatomy.cavity(person, at))[:, 0, 0]
    oblique, horizontal = anatomy.fissures(person, at, 0.0)
    lobe = anatomy.lobe_values(at, oblique, horizontal)[:, 0, 0]
    edge = rng.uniform(3, 9, len(cloud))
    ends: dict[int, np.ndarray] = {}
    for value, count in _ENDS_PER_LOBE.items():
        inside = cloud[(lobe == value) & (depth < -edge)]
        ends[value] = rng.permutation(inside)[: 2 * count].astype(np.float64)
    return ends


class _Points(Grid):
    """Loose points as a grid of shape (n, 1, 1), for the anatomy's functions."""

    def __init__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> None:
        super().__init__(x, y, z, (1.0, 1.0, 1.0))

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.z.shape[0], 1, 1

    def box(self, box: tuple[float, ...]) -> tuple[slice, slice, slice]:
        return slice(None), slice(None), slice(None)

    def crop(self, region: tuple[slice, slice, slice]) -> Grid:
        return self


def _branch(root: np.ndarray, cloud: np.ndarray, rng: np.random.Generator) -> list[Rod]:
    """The rods of one tree from ``root`` to all points of ``cloud``."""
    rods: list[Rod] = []
    work = [(root, cloud, _END_RADIUS * len(cloud) ** _MURRAY)]
    while work:
        start, points, width = work.pop()
        if len(points) == 1:
            rods += _bent(start, points[0], width, 0.6 * _END_RADIUS, 1, rng)
            continue
        order = np.argsort(_along_longest(points))
        cut = min(max(round(rng.uniform(0.35, 0.65) * len(points)), 1), len(points) - 1)
        halves = (points[order[:cut]], points[order[cut:]])
        for half in halves:
            here = _END_RADIUS * len(half) ** _MURRAY
            part = rng.uniform(0.38, 0.55) if len(half) > 1 else 1.0
            end = half[0] if len(half) == 1 else start + part * (half.mean(axis=0) - start)
            rods += _bent(start, end, min(width, 1.25 * here), here, len(half), rng)
            if len(half) > 1:
                work.append((end, half, here))
    return rods


def _along_longest(points: np.ndarray) -> np.ndarray:
    """Where each point lies along the cloud's longest axis, in mm from its middle."""
    centred = points - points.mean(axis=0)
    return centred @ np.linalg.eigh(centred.T @ centred)[1][:, -1]


def _bent(
    start: np.ndarray, end: np.ndarray, first: float, last: float, ends: int, rng: np.random.Generator
) -> list[Rod]:
    length = float(np.linalg.norm(end - start))
    if length < 12:
        return [(start, end, first, last, ends)]
    knee = (start + end) / 2 + rng.normal(0, 0.06 * length, 3)
    middle = (first + last) / 2
    return [(start, knee, first, middle, ends), (knee, end, middle, last, ends)]


def _accompany(tree: list[Rod], bronchus: np.ndarray, root: np.ndarray) -> list[Rod]:
    """Airways beside the arteries that feed at least six ends, about as wide as they are."""
    beside = np.array((0.25, 0.75, 0.6))

    def shifted(point: np.ndarray, width: float) -> np.ndarray:
        return point + beside * (2.1 * width + 1.2)

    airways = [(shifted(a, r), shifted(b, s), 0.85 * r, 0.85 * s, n) for a, b, r, s, n in tree if n >= 6]
    width = airways[0][2] if airways else 2.5
    return [(bronchus, shifted(root, width / 0.85), 4.2, width, _WIDE), *airways]


def _stamp(grid: Grid, rods: Rods, cover: np.ndarray) -> None:
    """Draw rods into ``cover`` (uint8, 255 is full) in place, the larger value wins.

    A rod thinner than a voxel covers the share of it that its cross-section has.
    """
    edge = grid.edge
    reach = rods.radius.max(axis=1) + 1.5 * edge
    low = np.minimum(rods.start, rods.end) - reach[:, None]
    high = np.maximum(rods.start, rods.end) + reach[:, None]
    z, y, x = grid.axes
    bounds = [
        (np.searchsorted(axis, low[:, i]), np.searchsorted(axis, high[:, i], side="right"))
        for i, axis in enumerate((x, y, z))
    ]
    for i in range(len(rods.start)):
        (x0, x1), (y0, y1), (z0, z1) = ((first[i], last[i]) for first, last in bounds)
        first, last = rods.radius[i]
        share = min(1.0, ((first + last) / edge) ** 2)
        if x0 >= x1 or y0 >= y1 or z0 >= z1 or share < _FAINT:
            continue
        region = (slice(z0, z1), slice(y0, y1), slice(x0, x1))
        distance = capsule(
            grid.crop(region), rods.start[i], rods.end[i], max(first, 0.5 * edge), max(last, 0.5 * edge)
        )
        drawn = (coverage(distance, edge) * np.float32(255 * share)).astype(np.uint8)
        np.maximum(cover[region], drawn, out=cover[region])


def paint_vessels(ct: np.ndarray, lobes: np.ndarray, grid: Grid, tubes: Tubes) -> None:
    """Paint vessels where they are denser than what is there, then airways with walls, in place.

    Args:
        ct: HU, float32 (z, y, x).
        lobes: uint8 (z, y, x); thin airways are drawn in the lobes only, the wide ones everywhere.
        grid: Where the voxels are.
        tubes: What to draw.
    """
    cover = np.zeros(ct.shape, np.uint8)
    _stamp(grid, tubes.vessels, cover)
    _blend_where(ct, cover, VESSEL, brighter=True)
    for rods, hu in ((tubes.wall, WALL), (tubes.lumen, LUMEN)):
        cover[:] = 0
        _stamp(grid, rods.chosen(~rods.wide), cover)
        cover[lobes == 0] = 0
        _stamp(grid, rods.chosen(rods.wide), cover)
        _blend_where(ct, cover, hu, brighter=hu > LUMEN)


def cut_airways(lobes: np.ndarray, grid: Grid, tubes: Tubes) -> None:
    """Take windpipe, main and lobar bronchi with their walls out of ``lobes`` (uint8, in place)."""
    cover = np.zeros(grid.shape, np.uint8)
    _stamp(grid, tubes.wall.chosen(tubes.wall.wide), cover)
    lobes[cover > 127] = 0


def _blend_where(ct: np.ndarray, cover: np.ndarray, hu: float, *, brighter: bool) -> None:
    for plane, drawn in zip(ct, cover, strict=True):
        there = np.nonzero((drawn > 0) & ((plane < hu) if brighter else (plane > hu)))
        values = plane[there]
        blend(values, drawn[there].astype(np.float32) / 255, hu)
        plane[there] = values
