"""The phantom's shapes: body, rib cage, diaphragm, mediastinum, lungs and their lobes, as distances in mm.

Every function takes a :class:`~DRAMLesionLib.phantom.fields.Grid` (or anything with its x, y and z that broadcast) and
gives about the signed distance in mm, negative inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.interpolate import PchipInterpolator

from DRAMLesionLib.phantom.fields import Grid, Noise, capsule, ellipsoid, superellipse, union

# Half width, half depth and middle (y) over z, in mm, of an adult of average size lying on the back.
CAVITY = np.array(
    [
        (-330, 138, 92, -8),
        (-160, 139, 93, -6),
        (-90, 137, 94, -4),
        (-40, 133, 92, -1),
        (0, 127, 88, 3),
        (40, 118, 80, 8),
        (80, 103, 68, 15),
        (110, 84, 53, 22),
        (128, 65, 39, 27),
        (140, 48, 26, 31),
        (149, 28, 14, 33),
        (153, 8, 6, 34),
        (330, 6, 5, 34),
    ]
)
_BODY = np.array(
    [
        (-330, 160, 112, 4),
        (-100, 167, 117, 5),
        (0, 168, 119, 6),
        (60, 172, 114, 10),
        (110, 171, 101, 17),
        (145, 165, 86, 22),
        (175, 128, 72, 24),
        (205, 66, 62, 18),
        (330, 60, 62, 12),
    ]
)
BODY_ENDS = (-320.0, 250.0)
"""Where the body stops, in mm: a field of view beyond shows air."""
FAR = 99.0
"""A distance in mm that stands for "not near"."""
_LUNG_BOX = ((8.0, 132.0), (-90.0, 92.0), (-140.0, 148.0))
# Fissures over the lung's box (u medial to lateral, v to the back, w to the head, constant), towards the lower lobe
# (oblique) and towards the upper lobe (horizontal); close to an average atlas.
_OBLIQUE = {1: (-0.0166, 0.6749, -0.7377, 0.0167), -1: (-0.0401, 0.5695, -0.8210, 0.1433)}
_HORIZONTAL = (-0.0830, -0.0808, 0.9933, -0.4747)


@dataclass(frozen=True)
class Thorax:
    """One person: the numbers and noise fields that differ by seed. Lengths in mm."""

    scale: tuple[float, float, float]
    dome_top: tuple[float, float]
    heart: tuple[float, float, float]
    heart_half: tuple[float, float, float]
    fissure_shift: tuple[float, float, float]
    rib_phase: float
    rib_drop: float
    fat: float
    shape: Noise
    coarse: Noise
    middle: Noise
    fine: Noise

    @classmethod
    def random(cls, rng: np.random.Generator) -> Thorax:
        """Draw a person."""
        vary = rng.uniform
        return cls(
            scale=(vary(0.95, 1.04), vary(0.95, 1.04), vary(0.95, 1.03)),
            dome_top=(vary(-70, -56), vary(-82, -70)),
            heart=(vary(18, 25), vary(-40, -34), vary(-50, -42)),
            heart_half=(vary(66, 74), vary(52, 58), vary(56, 62)),
            fissure_shift=(vary(-7, 7), vary(-7, 7), vary(-7, 7)),
            rib_phase=vary(0, 1),
            rib_drop=vary(98, 116),
            fat=vary(8, 13),
            shape=Noise(rng, 45.0),
            coarse=Noise(rng, 13.0),
            middle=Noise(rng, 6.5),
            fine=Noise(rng, 3.2),
        )

    def profile(self, table: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Half width, half depth and middle at the heights ``z``, scaled to this person."""
        sx, sy, sz = self.scale
        values = PchipInterpolator(table[:, 0] * sz, table[:, 1:])(np.clip(z, -310, 310)).astype(np.float32)
        return values[..., 0] * sx, values[..., 1] * sy, values[..., 2] * sy


def body(person: Thorax, grid: Grid) -> np.ndarray:
    """The skin."""
    half_x, half_y, middle = person.profile(_BODY, grid.z)
    distance = superellipse(grid.x, grid.y - middle, half_x, half_y, 2.4)
    flat = np.maximum(distance, grid.y - (118 * person.scale[1]))
    return np.maximum(flat, np.maximum(grid.z - BODY_ENDS[1], BODY_ENDS[0] - grid.z))


def cavity(person: Thorax, grid: Grid, wobble: np.ndarray | float = 0.0) -> np.ndarray:
    """The inner side of the rib cage, chest and upper abdomen together; ``wobble`` in mm roughens it."""
    half_x, half_y, middle = person.profile(CAVITY, grid.z)
    # Beside the spine the lungs reach farther back than in front of it.
    aside = np.minimum(np.abs(grid.x) / half_x, 1)
    depth = np.where(grid.y > middle, half_y * (0.86 + 0.72 * aside * (1 - aside)), half_y)
    distance = superellipse(grid.x, grid.y - middle, half_x, depth, 2.25)
    # Near the apex the wall leans, and a distance along the slice is longer than the true one.
    above = person.profile(CAVITY, grid.z + 2)[0]
    lean = 1 / np.sqrt(1 + ((half_x - above) / 2) ** 2)
    return distance * lean + wobble


def spine_middle(person: Thorax, z: np.ndarray) -> np.ndarray:
    """Where (y, mm) the vertebral bodies' middle is: the thoracic curve."""
    return (53 - ((z - 20) / 160) ** 2 * 9).astype(np.float32) * np.float32(person.scale[1])


def diaphragm(person: Thorax, grid: Grid) -> np.ndarray:
    """Below the two domes: negative in the abdomen."""
    left = grid.x > 0
    top = np.where(left, person.dome_top[1], person.dome_top[0]).astype(np.float32)
    dx = (np.abs(grid.x) - 68) / 66
    dy = (grid.y + 12) / 92
    # Medially the domes run on under the heart instead of falling into a cleft.
    side = np.where(dx < 0, 0.25, 1.0) * dx * dx
    back = np.where(grid.y > -12, 92.0, 50.0)
    height = top - 62 * side - back * dy * dy * np.float32(0.85)
    slope = 1 / np.sqrt(1 + (1.1 * dx) ** 2 + (back / 60 * dy) ** 2)
    return (grid.z - height.astype(np.float32)) * slope.astype(np.float32)


def great_vessels(person: Thorax) -> dict[str, tuple[tuple[float, ...], ...]]:
    """Rods (x, y, z, radius) that make the large vessels and the gullet, in mm."""
    back = 44 * person.scale[1]
    return {
        "aorta": (
            (8, -22, -22, 16),
            (-10, -24, 18, 16),
            (-9, -22, 46, 15.5),
            (-2, -8, 66, 14),
            (12, 16, 70, 13.5),
            (22, 34, 58, 13),
            (25, back, 36, 12.5),
            (24, back, -60, 12),
            (14, back - 8, -130, 11),
            (8, back - 16, -320, 10),
        ),
        "cava": ((-26, -10, 96, 9), (-27, -8, 60, 9.5), (-28, -6, 8, 10)),
        "pulmonary": ((14, -40, -8, 14), (14, -30, 20, 14), (8, -8, 24, 12)),
        "pulmonary_right": ((8, -8, 24, 11), (-22, 6, 14, 10), (-42, 12, 10, 8.5)),
        "pulmonary_left": ((12, -14, 26, 11), (30, 8, 26, 10), (42, 16, 20, 8.5)),
        "gullet": ((4, 34, 160, 6), (6, 34, 40, 6.5), (10, 30, -60, 7), (22, 10, -100, 8)),
        "arteries_up": ((-12, -12, 64, 8), (-24, 2, 100, 6), (-30, 10, 160, 5)),
        "arteries_left": ((10, 4, 72, 7), (18, 14, 104, 5), (26, 16, 160, 5)),
    }


def rods(grid: Grid, chain: tuple[tuple[float, ...], ...], extra: float = 0.0) -> np.ndarray:
    """The distance to a chain of rods (x, y, z, radius), thickened by ``extra`` mm; beyond about 20 mm only "far"."""
    distance = np.full(grid.shape, FAR, np.float32)
    z = grid.axes[0]
    for start, end in pairwise(chain):
        reach = max(start[3], end[3]) + extra + 20
        if z.size and min(start[2], end[2]) - reach < z[-1] and max(start[2], end[2]) + reach > z[0]:
            part = capsule(grid, np.array(start[:3]), np.array(end[:3]), start[3] + extra, end[3] + extra)
            np.minimum(distance, part, out=distance)
    return distance


def heart(person: Thorax, grid: Grid) -> np.ndarray:
    """The heart with its fat: two rounded bodies, the apex to the left and front."""
    (cx, cy, cz), (hx, hy, hz) = person.heart, person.heart_half
    main = ellipsoid(grid, (cx - 8, cy + 6, cz + 6), (hx * 0.82, hy, hz))
    apex = ellipsoid(grid, (cx + 22, cy - 4, cz - 14), (hx * 0.82, hy * 0.82, hz * 0.72))
    atrium = ellipsoid(grid, (2, 17, cz + 28), (38, 22, 27))
    return union(union(main, apex, 22.0), atrium, 14.0)


def mediastinum(person: Thorax, grid: Grid) -> np.ndarray:
    """Everything between the lungs: heart, vessels, spine and the septum that joins them."""
    sx = person.scale[0]
    front = -person.profile(CAVITY, grid.z)[1]
    # Fat behind the breastbone: the septum widens to the front.
    septum = np.abs(grid.x - 3) - 3.0 - 13 * np.clip((front + 32 - grid.y) / 30, 0, 1)
    distance = union(heart(person, grid), septum, 16.0)
    for name in ("aorta", "cava", "pulmonary", "pulmonary_right", "pulmonary_left", "gullet"):
        distance = union(distance, rods(grid, great_vessels(person)[name], 3.0), 10.0)
    middle = spine_middle(person, grid.z)
    bodies = superellipse(grid.x, grid.y - middle - 6, 23.0 * sx, 24.0, 2.0)
    distance = union(distance, bodies, 12.0)
    # The upper part, with the windpipe and the vessels to head and arms, is a block that widens to the neck.
    width = np.interp(grid.z, (20, 60, 90, 115, 150), (4, 22, 26, 31, 34)).astype(np.float32) * np.float32(sx)
    upper = superellipse(grid.x, grid.y - 12, width, 44.0, 2.0)
    return union(distance, upper, 14.0)


def lungs(person: Thorax, grid: Grid, inner: np.ndarray) -> np.ndarray:
    """Both lungs, from the distance ``inner`` to the rib cage."""
    distance = np.maximum(inner, -diaphragm(person, grid))
    middle = grid.box((-110, 120, -1e3, 1e3, -1e3, 1e3))
    distance[middle] = np.maximum(distance[middle], -mediastinum(person, grid.crop(middle)))
    return distance


def fissures(person: Thorax, grid: Grid, wobble: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """The oblique and the horizontal fissure of the side that a voxel is on, in mm.

    Returns:
        Two float32 arrays (z, y, x): positive in the lower lobe, and positive above the horizontal fissure. The second
        has a meaning on the right (x < 0) only.
    """
    sx, sy, sz = person.scale
    size = [(high - low) * s for (low, high), s in zip(_LUNG_BOX, (sx, sy, sz), strict=True)]
    u = (np.abs(grid.x) - _LUNG_BOX[0][0] * sx) / size[0]
    v = (grid.y - _LUNG_BOX[1][0] * sy) / size[1]
    w = (grid.z - _LUNG_BOX[2][0] * sz) / size[2]
    left = grid.x > 0

    def plane(c: tuple[float, float, float, float], bulge: float, shift: float) -> np.ndarray:
        steep = float(np.linalg.norm([c[i] / size[i] for i in range(3)]))
        flat = (c[0] * u + c[1] * v + c[2] * w + c[3]) / steep
        return flat + bulge * (4 * (u - 0.5) ** 2 - 0.3) + shift + wobble

    oblique = np.where(
        left,
        plane(_OBLIQUE[1], 6.0, person.fissure_shift[0]),
        plane(_OBLIQUE[-1], 6.0, person.fissure_shift[1]),
    )
    return oblique.astype(np.float32), plane(_HORIZONTAL, 5.0, person.fissure_shift[2]).astype(np.float32)


def lobe_values(grid: Grid, oblique: np.ndarray, horizontal: np.ndarray) -> np.ndarray:
    """The lobe of each voxel as if all were lung: uint8, values of ``lobes.LOBES``."""
    upper_or_middle = np.where(horizontal > 0, np.uint8(3), np.uint8(4))
    right = np.where(oblique > 0, np.uint8(5), upper_or_middle)
    left = np.where(oblique > 0, np.uint8(2), np.uint8(1))
    return np.where(grid.x > 0, left, right)
