"""A reader that corrects a label stroke by stroke, always at the largest error that is left.

Stands for a careful person: a brush of 6 mm drawn for 2 cm along the middle of the error, painting only voxels that
are truly of the class.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

BRUSH_MM, PATH_MM, DEPTH_MM = 6.0, 20.0, 2.0
LESION, NOT_LESION = 1, 2


@dataclass
class _Errors:
    """One kind of error, its connected parts and their sizes."""

    parts: np.ndarray
    sizes: np.ndarray


class Reader:
    """Follows the errors of one label.

    Args:
        truth: bool (z, y, x): the expert's mask inside the lobes.
        inside: bool (z, y, x): the lobes; errors elsewhere are not looked for.
        spacing_mm: (z, y, x).
        relabel: Strokes between two searches for connected parts. 1 for a method that spreads; plain painting only
            shrinks the parts, so its parts may be kept for longer (one that fell into two then counts as one).
    """

    def __init__(
        self, truth: np.ndarray, inside: np.ndarray, spacing_mm: tuple[float, float, float], relabel: int = 1
    ) -> None:
        self.truth, self.inside, self.relabel = truth & inside, inside, relabel
        self.spacing = np.asarray(spacing_mm)
        self._age = 0
        self._errors: dict[int, _Errors] = {}

    def iou(self, label: np.ndarray) -> float:
        """Intersection over union inside the lobes."""
        label = (label > 0) & self.inside
        return float((label & self.truth).sum() / max(1, (label | self.truth).sum()))

    def stroke(self, label: np.ndarray) -> tuple[np.ndarray, int] | None:
        """The next stroke: voxels (n, 3) and value; None when nothing is wrong any more."""
        label = label > 0
        self._find(label)
        value = max(self._errors, key=lambda kind: self._errors[kind].sizes.max())
        errors = self._errors[value]
        if errors.sizes.max() == 0:
            return None
        number = int(errors.sizes.argmax())
        box = ndimage.find_objects((errors.parts == number).astype(np.uint8))[0]
        part = errors.parts[box] == number
        path = self._path(part) + [side.start for side in box]
        return self._brush(path, value), value

    def _find(self, label: np.ndarray) -> None:
        wrong = {LESION: self.truth & ~label, NOT_LESION: ~self.truth & label & self.inside}
        for value, mask in wrong.items():
            if self._age % self.relabel == 0:
                parts, _ = ndimage.label(mask)
            else:
                parts = self._errors[value].parts * mask
            sizes = np.bincount(parts.ravel(), minlength=2)
            sizes[0] = 0
            self._errors[value] = _Errors(parts, sizes)
        self._age += 1

    def _path(self, part: np.ndarray) -> np.ndarray:
        """Voxels (n, 3) of ``part`` along its middle: the deepest one, and 1 cm to both sides of it."""
        depth = ndimage.gaussian_filter(
            part.astype(np.float32), DEPTH_MM / self.spacing, mode="constant", truncate=3
        )
        depth *= part
        centre = np.array(np.unravel_index(depth.argmax(), part.shape))
        reach = np.ceil(PATH_MM / 2 / self.spacing).astype(int)
        low, high = np.maximum(centre - reach, 0), centre + reach + 1
        near = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        voxels = np.argwhere(part[near]) + low
        away = (voxels - centre) * self.spacing
        keep = (away**2).sum(axis=1) <= (PATH_MM / 2) ** 2
        voxels, away = voxels[keep], away[keep]
        weight = depth[tuple(voxels.T)]
        direction = np.linalg.eigh((away * weight[:, None] ** 2).T @ away)[1][:, -1]
        along = away @ direction
        path = []
        for position in np.arange(-PATH_MM / 2, PATH_MM / 2 + 0.1, 1.0):
            at = np.flatnonzero(np.abs(along - position) < 0.8)
            if at.size:
                path.append(voxels[at[weight[at].argmax()]])
        return np.array(path)

    def _brush(self, path: np.ndarray, value: int) -> np.ndarray:
        """Voxels (n, 3) within the brush around the path that are truly of the class."""
        radius = np.ceil(BRUSH_MM / 2 / self.spacing).astype(int)
        low = np.maximum(path.min(axis=0) - radius, 0)
        high = np.minimum(path.max(axis=0) + radius + 1, self.truth.shape)
        grid = np.stack(
            np.meshgrid(*[np.arange(a, b) for a, b in zip(low, high, strict=True)], indexing="ij"), axis=-1
        )
        grid = grid.reshape(-1, 3)
        away = ((grid[:, None] - path[None]) * self.spacing) ** 2
        grid = grid[away.sum(axis=2).min(axis=1) <= (BRUSH_MM / 2) ** 2]
        at = tuple(grid.T)
        return grid[self.inside[at] & (self.truth[at] == (value == LESION))]
