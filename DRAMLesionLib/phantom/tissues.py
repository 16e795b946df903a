"""Paints the phantom's tissues in HU, a slab of slices at a time: wall, bones, organs, lungs with their fissures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from DRAMLesionLib.phantom import anatomy as anatomy
from DRAMLesionLib.phantom.anatomy import Thorax
from DRAMLesionLib.phantom.fields import Grid, blend, coverage, ellipsoid, superellipse

AIR, LUNG, FAT, MUSCLE, SKIN = -1000.0, -860.0, -105.0, 48.0, 10.0
_RIB_PITCH = 27.0
_RIB_TOP = 146.0


@dataclass(frozen=True)
class Slab:
    """Some slices of the phantom without vessels, lesions and noise.

    Attributes:
        ct: HU, float32 (z, y, x).
        lobes: uint8 (z, y, x), values of ``lobes.LOBES``.
        depth: uint8 (z, y, x), how deep below the rib cage or the diaphragm a voxel of the lungs lies, in mm, 0..255.
    """

    ct: np.ndarray
    lobes: np.ndarray
    depth: np.ndarray


def paint_slab(person: Thorax, grid: Grid) -> Slab:
    """Draw the slices of ``grid``."""
    wobble = person.shape(grid)
    inner = anatomy.cavity(person, grid, 2.2 * wobble)
    skin = anatomy.body(person, grid) + 1.5 * wobble
    texture = person.coarse(grid)
    ct = np.full(grid.shape, AIR, np.float32)
    _paint_table(ct, person, grid)
    _paint_wall(ct, person, grid, skin, inner, wobble, texture)
    _paint_bones(ct, person, grid, inner)
    _paint_abdomen(ct, person, grid, inner, texture)
    _paint_mediastinum(ct, person, grid, inner, texture)
    lung = anatomy.lungs(person, grid, inner)
    lobes = _paint_lungs(ct, person, grid, lung, wobble, texture)
    shallow = np.maximum(inner, -anatomy.diaphragm(person, grid))
    depth = np.clip(-shallow, 0, 255).astype(np.uint8)
    return Slab(ct, lobes, depth)


def _paint_table(ct: np.ndarray, person: Thorax, grid: Grid) -> None:
    top = grid.y - (118 * person.scale[1] + 3 - grid.x * grid.x / 1500)
    width = np.abs(grid.x) - 215
    foam = np.maximum(np.abs(top - 9) - 9, width)
    shell = np.abs(foam + 1) - 1
    blend(ct, np.broadcast_to(coverage(foam, grid.edge), grid.shape), -930)
    thin = min(1.0, 2.0 / grid.edge)
    blend(ct, np.broadcast_to(coverage(shell, grid.edge) * thin, grid.shape), -120)


def _paint_wall(
    ct: np.ndarray,
    person: Thorax,
    grid: Grid,
    skin: np.ndarray,
    inner: np.ndarray,
    wobble: np.ndarray,
    texture: np.ndarray,
) -> None:
    """Skin, the fat under it, and muscles in layers with fat between them."""
    edge = grid.edge
    depth = -skin
    belly = np.clip((-40 - grid.z) / 60, 0, 1) * 7
    side = np.abs(grid.x) / 170
    fat = person.fat + 3.5 * wobble + belly + 5 * side * side
    muscle = coverage(fat - depth, edge)
    # The blades of the back and of the breast: bundles parted by thin sheets of fat.
    layers = np.abs(((inner + 2.5 * texture + 3 * wobble) * np.float32(1 / 13.0)) % 1 - 0.5)
    sheets = np.clip(1 - layers / 0.1, 0, 1) * (inner > 13) * np.clip(0.7 + 1.2 * wobble, 0, 1)
    flesh = MUSCLE + 6 * texture - sheets * 100
    blend(flesh, coverage(np.abs(inner - 1.5) - 1.2, edge) * 0.55, FAT)
    ct_wall = np.float32(FAT) + 7 * texture
    blend(ct_wall, muscle, flesh)
    blend(ct_wall, coverage(depth - 1.8, edge), SKIN)
    blend(ct, coverage(skin, edge), ct_wall)


def _paint_bones(ct: np.ndarray, person: Thorax, grid: Grid, inner: np.ndarray) -> None:
    _paint_ribs(ct, person, grid, inner)
    _paint_shoulder(ct, person, grid, inner)
    _paint_sternum(ct, person, grid)
    _paint_spine(ct, person, grid)


def _bone(
    ct: np.ndarray, distance: np.ndarray, edge: float, marrow: float, cortex: float, wall: float
) -> None:
    blend(ct, coverage(distance, edge), cortex)
    blend(ct, coverage(distance + wall, edge), marrow)


def _rib_angle(person: Thorax, grid: Grid) -> np.ndarray:
    """0 at the spine, 1 at the breastbone, shape (1, ny, nx) or (nz, ny, nx)."""
    middle = person.profile(anatomy.CAVITY, grid.z)[2]
    return np.arctan2(np.abs(grid.x), grid.y - middle) / np.float32(np.pi)


def _paint_ribs(ct: np.ndarray, person: Thorax, grid: Grid, inner: np.ndarray) -> None:
    """All ribs at once: bands on the rib cage that fall from the spine to the front, then cartilage that rises."""
    angle = _rib_angle(person, grid)
    # The lower a rib, the steeper it is.
    steep = np.interp(grid.z, (-60, 130), (1.0, 0.45)).astype(np.float32)
    drop = person.rib_drop * steep * np.sin(np.minimum(angle, 0.72) / 0.72 * (np.pi / 2)) ** 1.6
    rise = 60 * steep * np.clip((angle - 0.72) / 0.28, 0, 1)
    course = (_RIB_TOP + person.rib_phase * 6 - grid.z - drop + rise) / _RIB_PITCH
    number = np.floor(course)
    offset = (course - number - 0.5) * _RIB_PITCH
    # Ribs 11 and 12 float: they end at the side.
    ends = np.where(number > 9, 0.55, 0.985)
    there = (number >= 0) & (number < 12) & (angle < ends) & (angle > 0.045)
    distance = (np.sqrt(((inner - 7) / 4.2) ** 2 + (offset / 7.0) ** 2) - 1) * 4.2
    distance = np.where(there, distance, anatomy.FAR).astype(np.float32)
    near = distance < 3
    if not near.any():
        return
    values, distance, gristle = ct[near], distance[near], np.clip((angle[near] - 0.75) / 0.02, 0, 1)
    _bone(values, distance, grid.edge, 260, 620, 1.4)
    cartilage = ct[near]
    blend(cartilage, coverage(distance, grid.edge), 110)
    ct[near] = values + gristle * (cartilage - values)


def _paint_shoulder(ct: np.ndarray, person: Thorax, grid: Grid, inner: np.ndarray) -> None:
    """Shoulder blades on the rib cage's back, and collar bones."""
    _, sy, sz = person.scale
    region = grid.box((-180, 180, -20, 130, 0, 190))
    part = grid.crop(region)
    if 0 not in part.shape:
        angle = _rib_angle(person, part) * 180
        low = 52 - (part.z - 20 * sz) * 0.16
        plate = np.abs(inner[region] - 23 - 6 * np.clip((part.z - 80) / 60, 0, 1)) - 2.6
        plate = np.maximum(plate, np.maximum(angle - 68, low - angle) * 1.4)
        plate = np.maximum(plate, np.maximum(20 * sz - part.z, part.z - 128 * sz))
        _bone(ct[region], plate.astype(np.float32), grid.edge, 250, 560, 1.2)
    for side in (-1, 1):
        chain = (
            (side * 14, -56 * sy, 128 * sz, 7),
            (side * 70, -44, 150 * sz, 6),
            (side * 140, 0, 166 * sz, 6.5),
        )
        _paint_rods(ct, grid, chain, ((620, 0.0), (260, 1.8)))


def _paint_rods(
    ct: np.ndarray,
    grid: Grid,
    chain: tuple[tuple[float, ...], ...],
    layers: tuple[tuple[float, float], ...],
) -> None:
    """Paint a chain of rods; each layer is (HU, how many mm thinner)."""
    points = np.array(chain)
    reach = points[:, 3].max() + 2 * grid.edge
    low, high = points[:, :3].min(axis=0) - reach, points[:, :3].max(axis=0) + reach
    region = grid.box((low[0], high[0], low[1], high[1], low[2], high[2]))
    part = grid.crop(region)
    if 0 in part.shape:
        return
    distance = anatomy.rods(part, chain)
    for hu, thinner in layers:
        blend(ct[region], coverage(distance + thinner, grid.edge), hu)


def _paint_sternum(ct: np.ndarray, person: Thorax, grid: Grid) -> None:
    sz = person.scale[2]
    region = grid.box((-45, 45, -150, 0, -80, 140))
    part = grid.crop(region)
    if 0 in part.shape:
        return
    _, half_y, middle = person.profile(anatomy.CAVITY, np.minimum(part.z, 112 * sz))
    front = part.y - (middle - half_y - 8 + np.clip(part.z - 70, 0, 90) * 0.12 + part.x * part.x / 160)
    width = np.interp(part.z, (-70 * sz, -40, 70, 118 * sz), (7, 18, 16, 27)).astype(np.float32)
    distance = superellipse(part.x, front, width, 6.0, 3.0)
    distance = np.maximum(distance, np.maximum(part.z - 122 * sz, -72 * sz - part.z))
    _bone(ct[region], distance.astype(np.float32), grid.edge, 160, 480, 1.6)


def _paint_spine(ct: np.ndarray, person: Thorax, grid: Grid) -> None:
    sx = person.scale[0]
    region = grid.box((-62, 62, 0, 135, -1e3, 1e3))
    part = grid.crop(region)
    if 0 in part.shape:
        return
    view, edge = ct[region], grid.edge
    middle = anatomy.spine_middle(person, part.z)
    period = 24.5 * person.scale[2]
    level = ((part.z + person.rib_phase * 9) / period) % 1
    in_disc = coverage((np.abs(level - 0.5) - 0.1) * period, edge)
    waist = 1.8 * np.cos((level - 0.5) * 2 * np.pi)
    round_body = superellipse(part.x, part.y - middle, 18.0 * sx - waist, 16.0 - waist, 2.2)
    canal_y = middle + 26
    canal = superellipse(part.x, part.y - canal_y, 10.5, 8.8, 2.0)
    arch = np.abs(canal - 2.8) - 2.8
    # Between the arches of two vertebrae the canal opens to the sides.
    arch = np.maximum(arch, (np.abs((level + 0.1) % 1 - 0.12) - 0.36) * period)
    crest = np.maximum(np.abs(part.x) - 2.6, np.abs(part.y - canal_y - 18) - 10)
    crest = np.maximum(crest, (np.abs(((level + (part.y - canal_y) / 45) % 1) - 0.6) - 0.24) * period)
    wings = np.maximum(np.abs(part.y - canal_y - 1 - np.abs(part.x) * 0.22) - 4, np.abs(part.x) - 31)
    wings = np.maximum(wings, (np.abs(level - 0.05) - 0.17) * period)
    wings = np.maximum(wings, 11 - np.abs(part.x))
    rear = np.minimum(np.minimum(arch, crest), wings).astype(np.float32)
    _bone(view, rear, edge, 330, 560, 1.6)
    bone = np.float32(520) + np.zeros(part.shape, np.float32)
    blend(bone, coverage(round_body + 1.8, edge), 185 + 22 * person.middle(part))
    blend(bone, in_disc, 85)
    blend(view, coverage(round_body, edge), bone)
    blend(view, coverage(canal + 0.5, edge), -30)
    cord = superellipse(part.x, part.y - canal_y, 7.0, 6.0, 2.0)
    blend(view, np.broadcast_to(coverage(cord, edge), part.shape), 32)


def _paint_abdomen(
    ct: np.ndarray, person: Thorax, grid: Grid, inner: np.ndarray, texture: np.ndarray
) -> None:
    """Below the diaphragm: fat, liver to the right, spleen and stomach to the left, all behind a thin muscle."""
    region = grid.box((-1e3, 1e3, -1e3, 1e3, -1e3, -45))
    part = grid.crop(region)
    if 0 in part.shape:
        return
    view, edge, soft = ct[region], grid.edge, texture[region]
    below = np.maximum(anatomy.diaphragm(person, part), inner[region])
    middle = anatomy.spine_middle(person, part.z)
    spine = superellipse(part.x, part.y - middle - 8, 26.0, 27.0, 2.0)
    below = np.maximum(below, -spine)
    blend(view, coverage(below, edge), 42)
    blend(view, coverage(below + 3.2, edge), -102 + 8 * soft)
    liver = np.maximum(below + 2.5, (part.x - 42 + 0.32 * (part.y + 60) + np.maximum(-90 - part.z, 0) * 0.5))
    liver = np.maximum(liver, ((-part.z - 205) - part.x * 0.4))
    blend(view, coverage(liver.astype(np.float32), edge), 57 + 4 * soft)
    stomach = ellipsoid(part, (72, -16, person.dome_top[1] - 56), (44, 46, 46))
    stomach = np.maximum(stomach, below + 6)
    blend(view, coverage(stomach, edge), 38)
    gas = np.maximum(stomach + 4, part.y + 30)
    blend(view, coverage(gas, edge), -960)
    spleen = ellipsoid(part, (98, 44, person.dome_top[1] - 62), (40, 46, 52))
    blend(view, coverage(np.maximum(np.maximum(spleen, below + 3), 1.5 - stomach), edge), 50 + 4 * soft)
    chain = anatomy.great_vessels(person)["aorta"][7:]
    blend(view, coverage(anatomy.rods(part, chain), edge), 43)


def _paint_mediastinum(
    ct: np.ndarray, person: Thorax, grid: Grid, inner: np.ndarray, texture: np.ndarray
) -> None:
    """Fat, the heart and the large vessels; outside it the lungs come and cover what is too much."""
    region = grid.box((-115, 125, -120, 120, -150, 1e3))
    part = grid.crop(region)
    if 0 in part.shape:
        return
    view, edge, soft = ct[region], grid.edge, texture[region]
    space = np.maximum(inner[region], -anatomy.diaphragm(person, part))
    middle = anatomy.spine_middle(person, part.z)
    space = np.maximum(space, -superellipse(part.x, part.y - middle, 18.0, 18.0, 2.0))
    space = np.maximum(space, part.y - middle - 8)
    blend(view, coverage(space, edge), -96 + 12 * soft)
    blobs = np.clip(soft - 0.9, 0, 1)
    blend(view, coverage(space, edge) * blobs, 38)
    core = anatomy.heart(person, part) + 4.5 + 1.2 * soft
    within = coverage(space + 1.5, edge)
    blend(view, coverage(core, edge) * within, 40 + 3 * soft)
    blend(view, coverage(np.abs(core + 13 + 2 * soft) - 0.8, edge) * within * 0.35, -60)
    for name, chain in anatomy.great_vessels(person).items():
        if name != "gullet":
            thymus = anatomy.rods(part, chain)
            blend(view, coverage(thymus, edge), 44)
    blend(view, coverage(anatomy.rods(part, anatomy.great_vessels(person)["gullet"]), edge), 36)


def _paint_lungs(
    ct: np.ndarray,
    person: Thorax,
    grid: Grid,
    lung: np.ndarray,
    wobble: np.ndarray,
    texture: np.ndarray,
) -> np.ndarray:
    """Normal lung: denser towards the back (gravity), mottled, with the fissures as thin lines; gives the lobes."""
    oblique, horizontal = anatomy.fissures(person, grid, 3.5 * wobble)
    gravity = (grid.y - 8) * np.float32(0.42)
    hu = np.float32(LUNG - 4) + gravity + 9 * texture + 13 * person.middle(grid) + 17 * person.fine(grid)
    sheet = np.abs(oblique)
    right_front = (grid.x < 0) & (oblique < 0)
    sheet = np.where(right_front, np.minimum(sheet, np.abs(horizontal)), sheet)
    # A fissure is thinner than a voxel: it shows by its share of it.
    hu += coverage(sheet - 0.6, grid.edge) * np.float32(230 * min(1.0, 1.2 / grid.edge))
    blend(ct, coverage(lung, grid.edge), hu)
    return np.where(lung < 0, anatomy.lobe_values(grid, oblique, horizontal), np.uint8(0))
