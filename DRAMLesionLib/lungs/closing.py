"""What dense lesions and vessels take from the lungs, given back: closing that knows the ribs from the heart.

All on the coarse grid of :mod:`DRAMLesionLib.lungs.lung_mask`: shape (z, y, x), canonical axes, ``spacing`` (z, y, x)
in mm.
"""

import numpy as np
from scipy import ndimage

from DRAMLesionLib.images.box import label_boxes
from DRAMLesionLib.lungs.at_once import at_once
from DRAMLesionLib.lungs.morphology import filled, spread

LEFT, RIGHT = 1, 2
"""Values of the lung labels."""

BONE_HU = 200.0

VESSEL_MM = 6.0
"""Radius of the ball that closes vessels and small lesions everywhere."""

REACH_MM = 20.0
"""So deep goes ground glass from what is surely lung."""

POCKET_MM = 20.0
"""Radius of the disk that closes the outline at the ribs, in axial slices."""

BITE_MM = 50.0
"""The widest bite of a dense lesion at the ribs that is given back to the lung."""

LEAST_BITE_MM = 4.0
"""Shallower ones are the ribs' own relief."""


def close_lungs(
    lungs: np.ndarray,
    allowed: np.ndarray,
    likely: np.ndarray,
    coarse: np.ndarray,
    hazy_hu: float,
    spacing: np.ndarray,
) -> np.ndarray:
    """Take vessels and dense lesions into each lung; label 1 left, 2 right.

    Args:
        lungs: uint8: 1 left, 2 right.
        allowed: bool: the body without air that is no lung.
        likely: bool: what may be lung; elsewhere only what lung encloses is taken in.
        coarse: HU, float32.
        hazy_hu: Below this, beside a lung and on the side of the ribs, is ground glass of that lung.
        spacing: Voxel size in mm.
    """
    closed = np.zeros_like(lungs)
    margin = [int(np.ceil(25.0 / s)) for s in spacing]
    middle = middle_of(allowed[(lungs > 0).any(axis=(1, 2))])
    for side, box in zip((LEFT, RIGHT), label_boxes(lungs, 2), strict=True):
        if box is None:
            continue
        wide = tuple(
            slice(max(0, b.start - m), min(n, b.stop + m))
            for b, m, n in zip(box, margin, lungs.shape, strict=True)
        )
        lung = lungs[wide] == side
        free = (lungs[wide] == 0) & (closed[wide] == 0) & allowed[wide]
        chosen = free & likely[wide]
        lung |= _reach(lung, (coarse[wide] < hazy_hu) & chosen, side, spacing)
        vessels, pockets, bites = at_once(
            lambda: _closing(lung, VESSEL_MM, spacing),  # noqa: B023 - called here
            lambda: _closing(lung, POCKET_MM, np.array([1e6, *spacing[1:]])),  # noqa: B023
            lambda: _bites(lung, middle - wide[2].start, spacing),  # noqa: B023
        )
        pockets = (pockets | bites) & _faces_ribs(lung, side) & (coarse[wide] < BONE_HU)
        whole = lung | ((vessels | pockets) & chosen)
        closed[wide][fill_holes(whole, spacing) & (free | lung)] = side
    return closed


def _reach(lung: np.ndarray, through: np.ndarray, side: int, spacing: np.ndarray) -> np.ndarray:
    """What is reached from the lung through a mask, up to a depth: ground glass, but no mediastinal fat."""
    steps = round(REACH_MM / float(spacing[1:].mean()))
    reached = spread(lung, through | lung, steps)
    return reached & _beyond(lung, side)[0]


def _bites(lung: np.ndarray, middle: float, spacing: np.ndarray) -> np.ndarray:
    """What dense lesions bite out of the lung's outline at the ribs.

    Seen from the middle of the chest the outline is a distance over angle and slice, nearly flat where the ribs are
    smooth: its grey closing bridges bites up to ``BITE_MM`` wide, and keeps the curve of the chest.
    """
    y = (np.arange(lung.shape[1]) - np.average(np.arange(lung.shape[1]), weights=lung.sum((0, 2)))) * spacing[
        1
    ]
    x = (np.arange(lung.shape[2]) - middle) * spacing[2]
    distance = np.hypot(y[:, None], x[None])
    count = 120
    angle = ((np.arctan2(y[:, None], x[None]) / (2 * np.pi) + 0.5) * count).astype(int) % count
    z, row, column = np.nonzero(lung)
    outline = np.zeros((len(lung), count), np.float32)
    np.maximum.at(outline, (z, angle[row, column]), distance[row, column])
    seen = outline.max(axis=0)
    if not seen.any():
        return np.zeros_like(lung)
    window = (
        round(BITE_MM / spacing[0]),
        round(BITE_MM / (2 * np.pi * float(seen[seen > 0].mean()) / count)),
    )
    # Beyond the first and last slice the outline goes on as it went, so that a tapering lung does not seem bitten.
    beyond = min(window[0], len(outline) - 1)
    padded = np.pad(outline, ((beyond, beyond), (0, 0)), mode="reflect", reflect_type="odd")
    smooth = ndimage.grey_closing(padded, size=window, mode=("nearest", "wrap"))[
        beyond : beyond + len(outline)
    ]
    limit = np.where(smooth - outline > LEAST_BITE_MM, smooth, 0.0)[:, angle]
    return (distance[None] <= limit) & (distance[None] > outline[:, angle] - 2.0)


def _closing(mask: np.ndarray, radius_mm: float, spacing: np.ndarray) -> np.ndarray:
    """Closing by a ball; lungs that the scan cuts off go on beyond its first and last slice."""
    beyond = int(np.ceil(radius_mm / spacing[0]))
    padded = np.pad(mask, ((beyond, beyond), (0, 0), (0, 0)), mode="edge")
    closed = ~within_reach(~within_reach(padded, radius_mm, spacing), radius_mm, spacing)
    return closed[beyond : len(closed) - beyond]


def within_reach(mask: np.ndarray, radius_mm: float, spacing: np.ndarray) -> np.ndarray:
    """Voxels no farther from a mask than a radius: what a Euclidean distance transform says, in much less time.

    A ball of a few voxels is a few rows along x; a row is the mask, moved by its z and y, widened by its half length.

    Args:
        mask: bool (z, y, x).
        radius_mm: Of some voxels.
        spacing: Voxel size (z, y, x) in mm.

    Returns:
        bool, the same shape.
    """
    reach = [int(radius_mm / length + 1e-6) for length in spacing]
    z, y, x = np.ogrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1, 0 : reach[2] + 1]
    ball = np.sqrt((z * spacing[0]) ** 2 + (y * spacing[1]) ** 2 + (x * spacing[2]) ** 2) <= radius_mm
    half_lengths = ball.sum(axis=2) - 1
    found, wide = np.zeros_like(mask), mask.copy()
    for half_length in range(reach[2] + 1):
        if half_length:
            narrow = wide.copy()
            wide[..., 1:] |= narrow[..., :-1]
            wide[..., :-1] |= narrow[..., 1:]
        for row, column in np.argwhere(half_lengths == half_length):
            to_z, from_z = _moved(int(row) - reach[0])
            to_y, from_y = _moved(int(column) - reach[1])
            found[to_z, to_y] |= wide[from_z, from_y]
    return found


def _moved(by: int) -> tuple[slice, slice]:
    """Where the elements of an axis come when they are moved, and which of them stay on it."""
    if by == 0:
        return slice(None), slice(None)
    return (slice(by, None), slice(None, -by)) if by > 0 else (slice(None, by), slice(-by, None))


def _faces_ribs(lung: np.ndarray, side: int) -> np.ndarray:
    """Voxels with lung on their medial side, and none of it beyond them laterally, in front or behind.

    These are pockets at the chest wall. Those that open to the mediastinum (heart, hilum, spine) have lung on their
    other sides.
    """
    medial, lateral, front, back = _beyond(lung, side)
    return medial & ~(lateral & front & back)


def _beyond(lung: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Whether a voxel has lung on its medial side, laterally, in front, behind, in its own row or column."""

    def seen(axis: int, from_end: bool) -> np.ndarray:
        view = np.flip(lung, axis) if from_end else lung
        found = np.logical_or.accumulate(view, axis=axis)
        return np.flip(found, axis) if from_end else found

    return seen(2, side == RIGHT), seen(2, side == LEFT), seen(1, False), seen(1, True)


def fill_holes(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Fill what is enclosed in 3-D, and what is enclosed in an axial slice if small: not the top of the diaphragm."""
    mask = filled(mask)
    labels, count = label_slices(~mask)
    area = np.bincount(labels.ravel(), minlength=count + 1) * spacing[1] * spacing[2]
    fill = area < 1500.0
    for face in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        fill[face.ravel()] = False
    fill[0] = True
    return fill[labels]


def middle_of(body: np.ndarray) -> float:
    """The body's middle along x, as an index."""
    return float(np.average(np.arange(body.shape[2]), weights=body.any(axis=1).sum(axis=0) + 1e-9))


def label_slices(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Connected components of each axial slice on its own."""
    structure = np.zeros((3, 3, 3), bool)
    structure[1] = ndimage.generate_binary_structure(2, 1)
    return ndimage.label(mask, structure)
