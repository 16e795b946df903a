"""Findings at the hilum that are no lesions: bronchi, arteries and veins where they enter the lung.

The final network learned from percentages and pasted disease, neither of which told it where vessels and airways lie
densest. What it marks there has a place of its own: it lies along the mediastinum and comes near neither chest wall nor
diaphragm, while lesions of COVID-19 are mostly peripheral (Salehi et al., AJR 215, 2020).
"""

import numpy as np
from scipy import ndimage

from DRAMLesionLib.lungs.lobes import LOBES

NEAR_MM = 15.0
"""What is nearer to the mediastinum is along it. This and the next three agreed best with the experts on the training
scans of the comparison in the README, by two networks that had learned from these alone."""
NEAR_PART = 0.95
"""At least this part of a finding has to be along the mediastinum."""
WALL_MM = 10.0
"""A finding that comes nearer to chest wall or diaphragm may be a lesion."""
LARGEST_ML = 10.0
"""More is no bundle of vessels and airways."""
MEDIASTINAL_MM = 8.0
"""What lies outside the lungs and within this of the mediastinum is no chest wall: recesses, and gaps between rows."""
HALO_VOXELS = 2
"""The map fades about a finding: so far its surroundings go with it, unless another finding is beside them."""
FAINT = 0.02
"""What is left of the map there, about as much as healthy lung has."""
NOTED_ML = 1.0
"""A reader is told of so much."""
CUBE = np.ones((3, 3, 3), bool)


def take_hilum_off(
    lesion_map: np.ndarray, labels: np.ndarray, spacing_mm: tuple[float, float, float], threshold: float
) -> float:
    """Change a map, in place, where a finding of it lies wholly at the hilum: there it becomes faint.

    A finding is what hangs together (by faces, edges or corners) above the threshold.

    Args:
        lesion_map: float32 (z, y, x), 0..1, on a grid of two to three millimetres.
        labels: uint8, the same shape: lobes 1..5. Without voxels of both lungs nothing changes.
        spacing_mm: (z, y, x).
        threshold: A voxel above it is lesion, 0..1.

    Returns:
        How much lay above the threshold and no longer does, in mL.
    """
    parts, count = ndimage.label((lesion_map > threshold) & (labels > 0), CUBE)
    between = _between_the_lungs(labels)
    if not count or not between.any():
        return 0.0
    numbers = np.arange(1, count + 1)
    ml = np.bincount(parts.ravel(), minlength=count + 1)[1:] * float(np.prod(spacing_mm)) / 1000
    near, from_wall = _near_mediastinum(labels > 0, between, spacing_mm)
    hilar = (
        (ml <= LARGEST_ML)
        & (ndimage.mean(near, parts, numbers) >= NEAR_PART)
        & (ndimage.minimum(from_wall, parts, numbers) >= WALL_MM)
    )
    if not hilar.any():
        return 0.0
    gone = np.concatenate([[False], hilar])[parts]
    others = (parts > 0) & ~gone
    halo = ndimage.binary_dilation(gone, CUBE, HALO_VOXELS) & ~ndimage.binary_dilation(others, CUBE)
    faded = gone | halo
    lesion_map[faded] = np.minimum(lesion_map[faded], np.float32(FAINT))
    return float(ml[hilar].sum())


def note_hilum(ml: float, notes: list[str] | None) -> None:
    """Add a sentence to what a reader of the results is told, if enough was taken off.

    Args:
        ml: Of :func:`take_hilum_off`.
        notes: The sentences; None: nobody reads them.
    """
    if notes is not None and ml >= NOTED_ML:
        notes.append(
            f"{ml:.1f} mL that the network marked at the hilum were taken for vessels and airways, not for lesion"
        )


def _between_the_lungs(labels: np.ndarray) -> np.ndarray:
    """bool (z, y, x): what lies between the right and the left lung, row by row: the mediastinum and the spine."""
    across = np.arange(labels.shape[2])
    right, left = (_lung(labels, side) for side in ("right", "left"))
    last_right = np.where(right, across, -1).max(2)
    first_left = np.where(left, across, across.size).min(2)
    both = (last_right >= 0) & (first_left < across.size)
    return both[..., None] & (across > last_right[..., None]) & (across < first_left[..., None])


def _lung(labels: np.ndarray, side: str) -> np.ndarray:
    return np.isin(labels, [lobe.value for lobe in LOBES if lobe.side == side])


def _near_mediastinum(
    lungs: np.ndarray, between: np.ndarray, spacing_mm: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Which voxels are near the mediastinum, bool; and the distance to chest wall and diaphragm, mm. Both (z, y, x)."""
    room = 1  # beyond the array there is wall, too
    around = np.pad(lungs, room)
    to_middle = ndimage.distance_transform_edt(~np.pad(between, room), sampling=spacing_mm)
    wall = ~around & (to_middle >= MEDIASTINAL_MM)
    inner = (slice(room, -room),) * 3
    from_wall = ndimage.distance_transform_edt(~wall, sampling=spacing_mm)
    return to_middle[inner] < NEAR_MM, from_wall[inner]
