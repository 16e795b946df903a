"""Pairs of dates of which the change is known: phantoms with lesions of known fate, and real scans bent twice.

A CT that was interpolated is smoother than one that was not, and vessels that are smeared look like ground glass to a
network (half a voxel of linear interpolation doubled the mask of a phantom). So both dates are made in the same way:
phantoms are drawn with half the voxel size, the later one is bent there, and both are binned; real scans are bent to
either side.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from DRAMLesionLib.followup.matching import Lesion, kind_of
from DRAMLesionLib.images.volume import Volume, read_ct, read_on_grid
from DRAMLesionLib.lungs.read_lobes import read_lobes
from DRAMLesionLib.phantom import make_phantom

FATES = (
    *("new", "new", "new", "resolved", "resolved", "resolved"),
    *("grown", "grown", "shrunk", "shrunk", "stable", "stable", "merged", "split"),
)
APART_MM, BREATH_MM, MOVE_MM, SMOOTH_MM, NOISE_HU = 42.0, 20.0, 8.0, 30.0, 20.0
SIZE, SPACING_MM = (96, 160, 160), (3.0, 2.2, 2.2)
TISSUE_HU = -300.0
"""What is denser is no lung tissue and keeps its density in another breath."""


@dataclass
class Pair:
    """Two dates of one body. Arrays are (z, y, x).

    Attributes:
        name: For people.
        cts: The two CTs.
        lobes: uint8, the true lobes of each date.
        fates: int32 of each date: 1 and up for the lesions in order, 0 elsewhere.
        planned: What becomes of each lesion, in that order.
        came_mm: float32 (3, z, y, x): where the later date's voxels were at the earlier one, as a shift in mm; None
            where that is not known on one grid.
    """

    name: str
    cts: tuple[Volume, Volume]
    lobes: tuple[np.ndarray, np.ndarray]
    fates: tuple[np.ndarray, np.ndarray]
    planned: tuple[str, ...]
    came_mm: np.ndarray | None = None

    @property
    def voxel_ml(self) -> float:
        """The volume of a voxel in mL."""
        return float(np.prod(self.cts[0].spacing_mm)) / 1000

    def true_ml(self) -> list[list[float]]:
        """Lesion of each lobe in mL, for each date."""
        return [
            [float(np.sum((fates > 0) & (lobes == lobe))) * self.voxel_ml for lobe in range(1, 6)]
            for fates, lobes in zip(self.fates, self.lobes, strict=True)
        ]

    def true_fate(self, number: int) -> str:
        """What became of a lesion: another breath has changed volumes, too, so what should stay may have grown."""
        planned = self.planned[number - 1]
        if planned not in ("grown", "shrunk", "stable"):
            return planned
        before, after = (float(np.sum(fates == number)) * self.voxel_ml for fates in self.fates)
        return kind_of((Lesion(1, before, 1),), (Lesion(1, after, 1),))

    def true_error_mm(self, forward) -> np.ndarray:
        """How far a registration misses, at points of the later date's lungs."""
        spacing = self.cts[0].spacing_mm
        there = np.argwhere(self.lobes[1] > 0)[::499]
        shift = [self.came_mm[i][tuple(there.T)] / spacing[i] for i in range(3)]
        matrix = self.cts[0].geometry.canonical().matrix
        here, before = (
            index[:, ::-1] @ matrix[:3, :3].T + matrix[:3, 3]
            for index in (there, there + np.stack(shift, axis=1))
        )
        found = np.array([forward.TransformPoint(point) for point in before.tolist()])
        return np.linalg.norm(found - here, axis=1)


def phantom_pair(seed: int) -> Pair:
    """A phantom with a lesion of each fate, and a second date 20 mm of the diaphragm and a smooth move away."""
    chance = np.random.default_rng(seed + 1000)
    spacing, fine = np.array(SPACING_MM), np.array(SPACING_MM) / 2
    size = tuple(2 * n for n in SIZE[::-1])
    drawn = make_phantom(size, tuple(fine[::-1]), seed=seed, severity=0.0, noise_hu=0.0)
    plain = make_phantom(SIZE[::-1], SPACING_MM[::-1], seed=seed, severity=0.0, noise_hu=0.0)
    lobes = plain.lobes.labels
    first, second = _lesions(lobes, spacing, chance)
    moved_mm = _smooth_move(SIZE, spacing, chance)
    moved_mm[0] += BREATH_MM * np.clip(1 - np.arange(SIZE[0]) * spacing[0] / 200, 0, 1)[:, None, None]
    hu = drawn.ct.array.astype(np.float32)
    bent = np.stack([ndimage.zoom(one, 2, order=1) for one in moved_mm])
    arrays = [_painted(hu, _doubled(first), fine), bend(_painted(hu, _doubled(second), fine), bent, fine, 3)]
    cts = [replace(plain.ct, array=_noisy(_halved(array), chance)) for array in arrays]
    later = [bend(one, moved_mm, spacing, 0) for one in (lobes, second)]
    return Pair(
        f"phantom {seed}",
        (cts[0], cts[1]),
        (lobes, later[0].astype(np.uint8)),
        (first, later[1].astype(np.int32)),
        FATES,
        moved_mm,
    )


def bent_pair(folder: Path, case: str, seed: int = 0, noise_hu: float = 10.0) -> Pair:
    """A real scan bent to either side: nothing came or went, the lung is fuller once, and its density less.

    Args:
        folder: Holds ``caseNN_ct.nii.gz``, ``caseNN_lobes.nii.gz`` and ``caseNN_lesion.nii.gz``.
        case: ``caseNN``.
        seed: Of the move and of the noise.
        noise_hu: Standard deviation of the noise that each date gets.
    """
    ct = read_ct(folder / f"{case}_ct.nii.gz")
    lobes = read_lobes(folder / f"{case}_lobes.nii.gz", ct, True).labels
    lesion = read_on_grid(folder / f"{case}_lesion.nii.gz", ct, "lesion mask") > 0
    chance = np.random.default_rng(seed + 2000)
    spacing = np.array(ct.spacing_mm)
    move = _smooth_move(lobes.shape, spacing, chance)
    move[0] += BREATH_MM / 2 * np.clip(1 - np.arange(len(lobes)) * spacing[0] / 200, 0, 1)[:, None, None]
    pieces = ndimage.label(lesion & (lobes > 0), structure=np.ones((3, 3, 3)))[0]
    dates = []
    for half in (-0.5 * move, 0.5 * move):
        hu = _at_other_volume(bend(ct.array, half, spacing, 3), volume_change(half, spacing))
        there = bend(lobes, half, spacing, 0).astype(np.uint8)
        dates.append(
            (
                replace(ct, array=_noisy(hu, chance, noise_hu)),
                there,
                bend(pieces, half, spacing, 0).astype(np.int32),
            )
        )
    cts, labels, fates = zip(*dates, strict=True)
    return Pair(f"{case} bent", cts, labels, fates, ("stable",) * int(pieces.max()))


def bend(array: np.ndarray, came_mm: np.ndarray, spacing: np.ndarray, order: int) -> np.ndarray:
    """float32 (z, y, x): an array at the places that ``came_mm`` (3, z, y, x) names, as shifts in mm."""
    index = np.indices(array.shape, dtype=np.float32)
    places = [index[i] + came_mm[i] / spacing[i] for i in range(3)]
    return ndimage.map_coordinates(array.astype(np.float32), places, order=order, mode="nearest")


def volume_change(came_mm: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """(z, y, x): how much larger a voxel's tissue is than where it came from: one over the Jacobian of the way back."""
    rows = [np.gradient(came_mm[i], *spacing) for i in range(3)]
    matrix = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2) + np.eye(3)
    return 1 / np.clip(np.linalg.det(matrix), 0.3, 3.0)


def _at_other_volume(hu: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """The same mass in ``ratio`` of the volume; what is denser than lung tissue stays."""
    spread = (hu + 1000) / ratio - 1000
    soft = np.clip((TISSUE_HU - hu) / 200, 0, 1)
    return hu + soft * (spread - hu)


def _noisy(hu: np.ndarray, chance: np.random.Generator, noise_hu: float = NOISE_HU) -> np.ndarray:
    return np.rint(hu + noise_hu * chance.standard_normal(hu.shape)).astype(np.int16)


def _doubled(array: np.ndarray) -> np.ndarray:
    return array.repeat(2, 0).repeat(2, 1).repeat(2, 2)


def _halved(array: np.ndarray) -> np.ndarray:
    z, y, x = (n // 2 for n in array.shape)
    return array.reshape(z, 2, y, 2, x, 2).mean(axis=(1, 3, 5))


def _smooth_move(shape: tuple[int, ...], spacing: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """float32 (3, z, y, x): a smooth random move of up to 8 mm, in mm."""
    noise = [chance.standard_normal(shape).astype(np.float32) for _ in range(3)]
    field = np.stack([ndimage.gaussian_filter(one, SMOOTH_MM / spacing) for one in noise])
    return field * (MOVE_MM / np.abs(field).max())


def _lesions(
    lobes: np.ndarray, spacing: np.ndarray, chance: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """int32 (z, y, x) for each date: 1 and up for the fates in order, 0 elsewhere."""
    depth = ndimage.distance_transform_edt(lobes > 0, sampling=spacing)
    sides = np.where(np.isin(lobes, (1, 2)), 1, 2) * (lobes > 0)
    inside = np.argwhere(depth > 8)
    centres: list[np.ndarray] = []
    maps = np.zeros((2, *lobes.shape), np.int32)
    axes = (np.arange(n) * s for n, s in zip(lobes.shape, spacing, strict=True))
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    for number, fate in enumerate(FATES, start=1):
        centre = _free(inside, centres, spacing, chance)
        centres.append(centre)
        own = sides == sides[tuple(np.rint(centre / spacing).astype(int))]
        for date, balls in enumerate(balls_of(fate, chance.uniform(6.0, 11.0))):
            for shift, size in balls:
                middle = (centre + np.array((0, shift, 0)))[:, None, None, None]
                maps[date][(np.linalg.norm(grid - middle, axis=0) < size) & own] = number
    return maps[0], maps[1]


def _free(
    inside: np.ndarray, centres: list[np.ndarray], spacing: np.ndarray, chance: np.random.Generator
) -> np.ndarray:
    for _ in range(5000):
        centre = inside[chance.integers(len(inside))] * spacing
        if all(np.linalg.norm(centre - other) > APART_MM for other in centres):
            return centre
    raise SystemExit("no room for so many lesions: another seed")


def _painted(hu: np.ndarray, fates: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    soft = ndimage.gaussian_filter((fates > 0).astype(np.float32), 1.5 / spacing)
    texture = np.random.default_rng(1).standard_normal(fates.shape).astype(np.float32)
    texture = ndimage.gaussian_filter(texture, 4 / spacing)
    target = -480 + 60 * texture / texture.std()
    return hu + soft * np.maximum(target - hu, 0)


def balls_of(fate: str, radius: float) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """(shift along y in mm, radius) of the balls of a fate at the two dates."""
    one, larger = [(0.0, radius)], [(0.0, 1.35 * radius)]
    two, bar = [(-11.0, 7.0), (11.0, 7.0)], [(shift, 7.5) for shift in (-10.0, 0.0, 10.0)]
    return {
        "new": ([], one),
        "resolved": (one, []),
        "grown": (one, larger),
        "shrunk": (larger, one),
        "stable": (one, one),
        "merged": (two, bar),
        "split": (bar, two),
    }[fate]
