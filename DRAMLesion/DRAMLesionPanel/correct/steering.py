"""Steering a lobe: a reader says how much of it is lesion, and the mask follows while the slider moves.

A drag of the slider is one step: it begins with the first change of a lobe, and is settled when the hand rests.
"""

from dataclasses import dataclass

import numpy as np

from DRAMLesionLib.correction.propagation import LESION, NOT_LESION
from DRAMLesionLib.images.box import Box, hull
from DRAMLesionLib.lesions.ranked_lobe import RankedLobe
from DRAMLesionLib.lesions.reading import Reading


@dataclass(frozen=True)
class Share:
    """How much of a lobe is lesion.

    Attributes:
        lobe: The lobe's value, 1..5.
        percent: Lesion in percent of the lobe.
    """

    lobe: int
    percent: float


class Drag:
    """One lobe under a moving slider."""

    def __init__(self, lobe: int, ranked: RankedLobe, label: np.ndarray, edits: np.ndarray) -> None:
        """Begin.

        Args:
            lobe: The lobe's value, 1..5.
            ranked: Its ranks.
            label: uint8 (z, y, x): the whole mask as it is seen; read, never changed.
            edits: uint8, shape of the lobe's box: 1 painted as lesion, 2 as not lesion: they hold.
        """
        self.lobe, self._ranked, self._label = lobe, ranked, label
        self._always = ranked.inside & (edits == LESION)
        self._free = ranked.inside & (edits != NOT_LESION)
        self.before = label[ranked.box].copy()
        self.changed: Box | None = None

    @property
    def box(self) -> Box:
        """The lobe's box."""
        return self._ranked.box

    def cut(self, percent: float | None, threshold: float) -> tuple[Box, np.ndarray] | None:
        """The lobe's mask at a percentage; None gives the model's own mask.

        Returns:
            The smallest box (z, y, x) that holds the change, and the mask in it; None where nothing changes.
        """
        ranked = self._ranked
        rank = threshold if percent is None else ranked.rank_of(percent * ranked.count / 100)
        chosen = ((ranked.mask(rank) & self._free) | self._always).view(np.uint8)
        now = self._label[ranked.box]
        different = (chosen != now) & ranked.inside
        sides = []
        for axis in range(3):
            hit = np.flatnonzero(different.any(axis=tuple(other for other in range(3) if other != axis)))
            if not hit.size:
                return None
            sides.append(slice(int(hit[0]), int(hit[-1]) + 1))
        part = tuple(sides)
        label = np.where(ranked.inside[part], chosen[part], now[part])
        z, y, x = (slice(a.start + b.start, a.stop + b.start) for a, b in zip(part, ranked.box, strict=True))
        self.changed = (z, y, x) if self.changed is None else hull(self.changed, (z, y, x))
        return (z, y, x), label

    def share(self) -> Share:
        """How much of the lobe is lesion now."""
        ranked = self._ranked
        voxels = int(np.count_nonzero(self._label[ranked.box][ranked.inside]))
        return Share(self.lobe, 100.0 * voxels / ranked.count)


def withNumber(said: Reading, lobe: int, percent: float | None, who: str = "") -> Reading:
    """What was said of the lobes, with another percentage for a lobe, and who said it; None: nothing is said of it."""
    percents, names = list(said.percent), list(said.who)
    percents[lobe - 1], names[lobe - 1] = percent, "" if percent is None else who
    return Reading(percent=tuple(percents), who=tuple(names))
