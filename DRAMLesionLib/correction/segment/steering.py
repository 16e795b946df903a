"""Steering a lobe: a reader says how much of it is lesion, and the mask follows while the slider moves.

A drag of the slider is one step: it begins with the first change of a lobe, and is settled when the hand rests.
"""

from dataclasses import dataclass

import numpy as np

from DRAMLesionLib.correction.propagation import LESION, NOT_LESION
from DRAMLesionLib.images.box import Box, beyond, bounding_box, hull
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
        self._voxels = int(np.count_nonzero(self.before.astype(bool) & ranked.inside))
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
        if not different.any():
            return None
        part = bounding_box(different)
        label = now[part] ^ different[part].view(np.uint8)
        self._voxels += int(np.count_nonzero(label)) - int(np.count_nonzero(now[part]))
        box = beyond(part, ranked.box)
        self.changed = box if self.changed is None else hull(self.changed, box)
        return box, label

    def share(self) -> Share:
        """How much of the lobe is lesion now."""
        return Share(self.lobe, 100.0 * self._voxels / self._ranked.count)


def with_number(said: Reading, lobe: int, percent: float | None, who: str = "") -> Reading:
    """What was said of the lobes, with another percentage for a lobe, and who said it; None: nothing is said of it."""
    percents, names = list(said.percent), list(said.who)
    percents[lobe - 1], names[lobe - 1] = percent, "" if percent is None else who
    return Reading(percent=tuple(percents), who=tuple(names))
