"""Which lesions of two dates are the same, and what became of each: new, grown, shrunk, stable, resolved, merged, split.

A lesion is a piece of the mask inside one lung whose voxels touch by faces, edges or corners.
The rules and their numbers:

* **Linked** are two lesions when at least :data:`LEAST_SHARE` of the smaller one lies in the other or within
  :data:`TOLERANCE_MM` of it, after registration. All that is linked, directly or through others, is one group.
* **new**: nothing of the earlier date is linked to it; **resolved**: nothing of the later date.
* **merged**: the group has fewer lesions than before, **split**: more. Only lesions of at least :data:`LEAST_PART` of the
  group's volume at their date are counted: a crumb beside a large lesion is no part.
* Else **grown** or **shrunk** when the volume changes by more than :data:`LEAST_CHANGE` and :data:`LEAST_ML`; else
  **stable**.
* **uncertain**: found at one date only, and in more than half of it the density is as it was at the other one. The masks
  differ, the lung does not: see :mod:`DRAMLesionLib.followup.density`.
* **not covered**: alone in its group, and less than half of it lies inside the other CT's field of view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from DRAMLesionLib.followup.exam import Images
from DRAMLesionLib.results import lesion_list

TOLERANCE_MM = 4.0
"""What lies so near counts as overlap: a voxel of the registration (3 mm) and a little more than its usual error."""
LEAST_SHARE = 0.25
"""Of the smaller lesion: neighbours that touch by the tolerance at one side stay apart, and a lesion that has lost three
quarters is still followed."""
LEAST_PART = 0.10
"""Of the group's volume at a date."""
LEAST_CHANGE = 0.25
"""British Thoracic Society guidelines for pulmonary nodules (M. E. Callister et al., Thorax 2015;70 Suppl 2): a change of
a quarter of the volume is beyond the scatter of measuring twice."""
LEAST_ML = lesion_list.LEAST_ML
"""Smaller lesions (a ball of 5.8 mm) are counted in the volumes, not followed one by one: two voxels of the registration
across, they come and go with noise and slice thickness."""

KINDS = ("new", "grown", "merged", "split", "stable", "shrunk", "resolved", "uncertain", "not covered")
"""What can become of a lesion."""


@dataclass(frozen=True)
class Lesion:
    """One lesion of one date.

    Attributes:
        number: 1 for the largest of its date.
        ml: Its volume in mL.
        lobe: The value of the lobe that holds most of it.
        slice_number: The axial slice that shows most of it; 1 is the lowest.
        ras_mm: The patient coordinates of a voxel in that slice in mm, toward right, anterior and superior.
    """

    number: int
    ml: float
    lobe: int
    slice_number: int = 0
    ras_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class LesionChange:
    """Lesions of the two dates that are one group, and what became of them.

    Attributes:
        kind: One of :data:`KINDS`.
        before: The earlier date's lesions, largest first; none where new.
        after: The later date's; none where resolved.
    """

    kind: str
    before: tuple[Lesion, ...]
    after: tuple[Lesion, ...]

    @property
    def before_ml(self) -> float:
        """Volume at the earlier date in mL."""
        return sum(lesion.ml for lesion in self.before)

    @property
    def after_ml(self) -> float:
        """Volume at the later date in mL."""
        return sum(lesion.ml for lesion in self.after)

    @property
    def change_ml(self) -> float:
        """Later minus earlier volume in mL."""
        return self.after_ml - self.before_ml

    @property
    def lobe(self) -> int:
        """The lobe (value) of the largest lesion, of the later date where there is one."""
        return max(self.after or self.before, key=lambda lesion: lesion.ml).lobe


def find_lesions(images: Images) -> tuple[np.ndarray, tuple[Lesion, ...], tuple[int, float]]:
    """The lesions of one exam, one by one.

    Returns:
        int32 (z, y, x), each lesion's number at its voxels, 0 elsewhere; the lesions, largest first, with the numbers
        that :mod:`DRAMLesionLib.results.lesion_list` gives them; and how many smaller than :data:`LEAST_ML` were left
        out, with their volume in mL.
    """
    pieces, count = _pieces(images)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    kept = np.flatnonzero(sizes * images.voxel_ml >= LEAST_ML)
    boxes = ndimage.find_objects(pieces)
    voxels = {piece: _voxel(pieces[boxes[piece]] == piece + 1, boxes[piece], images) for piece in kept}
    order = sorted(kept, key=lambda piece: (-sizes[piece], voxels[piece]))
    number_of = np.zeros(count + 1, np.int32)
    lesions = []
    for number, piece in enumerate(order, start=1):
        number_of[piece + 1] = number
        inside = pieces[boxes[piece]] == piece + 1
        lobe = int(np.bincount(images.lobes[boxes[piece]][inside], minlength=6)[1:].argmax()) + 1
        z, y, x = voxels[piece]
        left, posterior, superior = (images.matrix @ (x, y, z, 1.0))[:3].tolist()
        ml = float(sizes[piece]) * images.voxel_ml
        place = (-left, -posterior, superior)
        lesions.append(Lesion(number, ml, lobe, images.first_slice + z + 1, place))
    small = np.delete(sizes, kept)
    return number_of[pieces], tuple(lesions), (len(small), float(small.sum()) * images.voxel_ml)


def _voxel(part: np.ndarray, box: tuple[slice, ...], images: Images) -> tuple[int, ...]:
    """The voxel (z, y, x) of a lesion that its exam's ``lesions.csv`` names, too."""
    middle = lesion_list.middle_voxel(part, images.spacing_mm)
    return tuple(side.start + index for side, index in zip(box, middle, strict=True))


def _pieces(images: Images) -> tuple[np.ndarray, int]:
    """Connected components of the lesion in each lung: int32 (z, y, x), and how many."""
    pieces, count = np.zeros(images.lesion.shape, np.int32), 0
    for _side, box, own, found in lesion_list.lung_pieces(images.lobes, images.lesion):
        pieces[box] += np.where(own > 0, own + count, 0)
        count += found
    return pieces, count


def match_lesions(
    before: np.ndarray,
    after: np.ndarray,
    spacing_mm: Sequence[float],
    lesions: tuple[Sequence[Lesion], Sequence[Lesion]],
    covered: tuple[np.ndarray, np.ndarray] | None = None,
    changed: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[LesionChange, ...]:
    """Group the lesions of two dates, and say what became of each group.

    Args:
        before: Integer (z, y, x): numbers of the earlier date's lesions on a grid that both dates share, 0 elsewhere.
        after: The later date's, on the same grid.
        spacing_mm: Voxel size (z, y, x) of that grid.
        lesions: The lesions of the earlier and of the later date, in the order of their numbers.
        covered: bool (z, y, x): inside the field of view of the earlier and of the later CT; None: everywhere.
        changed: bool (z, y, x): where the lung became denser, and where less dense; None: not measured.

    Returns:
        The groups, in the order of :data:`KINDS`, the largest of a kind first.
    """
    first, second = (list(some) for some in lesions)
    links = linked_pairs(before, after, spacing_mm, (len(first), len(second)))
    size = len(first) + len(second)
    rows, columns = links[:, 0] - 1, links[:, 1] - 1 + len(first)
    graph = coo_array((np.ones(len(links)), (rows, columns)), shape=(size, size))
    count, group_of = connected_components(graph, directed=False) if size else (0, np.zeros(0, int))
    seen, sure = (
        [np.ones(len(first) + 1), np.ones(len(second) + 1)]
        if there is None
        else [_share(before, there[1], len(first)), _share(after, there[0], len(second))]
        for there in (covered, changed)
    )
    changes = []
    for group in range(count):
        mine = tuple(one for one, where in zip(first, group_of, strict=False) if where == group)
        its = tuple(one for one, where in zip(second, group_of[len(first) :], strict=True) if where == group)
        kind = kind_of(mine, its)
        if not mine or not its:  # one lesion, since lesions of one date are never linked
            date, number = (0, mine[0].number) if mine else (1, its[0].number)
            if seen[date][number] < 0.5:
                kind = "not covered"
            elif sure[date][number] < 0.5:
                kind = "uncertain"
        changes.append(LesionChange(kind, mine, its))
    return tuple(sorted(changes, key=lambda one: (KINDS.index(one.kind), -max(one.before_ml, one.after_ml))))


def kind_of(before: Sequence[Lesion], after: Sequence[Lesion]) -> str:
    """What became of a group of linked lesions: one of :data:`KINDS`, by the rules of this file."""
    if not before:
        return "new"
    if not after:
        return "resolved"
    parts = [_parts(some) for some in (before, after)]
    if parts[0] != parts[1]:
        return "merged" if parts[1] < parts[0] else "split"
    earlier, later = (sum(lesion.ml for lesion in some) for some in (before, after))
    change = later - earlier
    if abs(change) <= LEAST_CHANGE * earlier or abs(change) <= LEAST_ML:
        return "stable"
    return "grown" if change > 0 else "shrunk"


def _parts(lesions: Sequence[Lesion]) -> int:
    whole = sum(lesion.ml for lesion in lesions)
    return sum(lesion.ml >= LEAST_PART * whole for lesion in lesions)


def linked_pairs(
    before: np.ndarray, after: np.ndarray, spacing_mm: Sequence[float], counts: tuple[int, int]
) -> np.ndarray:
    """Numbers (earlier, later) of lesions that are linked: int (links, 2). Arguments: see :func:`match_lesions`."""
    shares = (_shares(before, after, spacing_mm, counts), _shares(after, before, spacing_mm, counts[::-1]).T)
    sizes = [
        np.bincount(one.ravel(), minlength=n + 1) for one, n in zip((before, after), counts, strict=True)
    ]
    share = np.where(sizes[0][:, None] <= sizes[1][None, :], *shares)
    share[0, :] = share[:, 0] = 0.0
    return np.argwhere(share >= LEAST_SHARE)


def _shares(
    one: np.ndarray, other: np.ndarray, spacing_mm: Sequence[float], counts: tuple[int, int]
) -> np.ndarray:
    """The part of each lesion of ``one`` that lies in or near each of ``other``: shape (lesions + 1, lesions + 1)."""
    near = _spread(other, spacing_mm)
    both = one.astype(np.int64) * (counts[1] + 1) + near
    table = np.bincount(both.ravel(), minlength=(counts[0] + 1) * (counts[1] + 1))
    table = table.reshape(counts[0] + 1, counts[1] + 1).astype(np.float64)
    return table / np.maximum(table.sum(axis=1, keepdims=True), 1)


def _spread(labels: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Each voxel within :data:`TOLERANCE_MM` of a lesion gets the number of the nearest one."""
    if not labels.any():
        return labels
    distance, nearest = ndimage.distance_transform_edt(labels == 0, sampling=spacing_mm, return_indices=True)
    return np.where(distance <= TOLERANCE_MM, labels[tuple(nearest)], 0)


def _share(labels: np.ndarray, where: np.ndarray, count: int) -> np.ndarray:
    """Per number the part of a lesion that lies there, 0..1; 0 for one that has no voxel on the grid."""
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    inside = np.bincount(labels[where], minlength=count + 1)
    return inside / np.maximum(sizes, 1)
