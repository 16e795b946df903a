"""A lobe whose voxels are ranked by how likely they are lesion, ready to be cut anew within milliseconds.

The ranking (:mod:`DRAMLesionLib.lesions.steer`) needs torch; cutting needs numpy alone, so that a window can do it while
a slider moves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from DRAMLesionLib.images.box import Box

LESION, NOT_LESION = 1, 2
"""Values of painted voxels."""
ALWAYS, NEVER = 2.0, -1.0
"""Ranks of painted voxels, beyond those of all others."""
EVERYTHING = -0.5
"""The cut that only voxels painted as not lesion lie below."""


@dataclass(frozen=True)
class Cut:
    """Where a lobe is cut, and what that gives.

    Attributes:
        lobe: The lobe's value, 1..5.
        rank: Voxels of a higher rank are lesion; None where the lobe's mask was left as it was given. At the model's
            threshold this is the model's own mask.
        voxels: How many of the lobe's voxels are lesion.
        count: How many voxels the lobe has.
    """

    lobe: int
    rank: float | None
    voxels: int
    count: int

    @property
    def percent(self) -> float | None:
        """Lesion in percent of the lobe; None where it has no voxels."""
        return 100.0 * self.voxels / self.count if self.count else None


@dataclass
class RankedLobe:
    """A lobe's ranks, ready to be cut.

    Attributes:
        box: The lobe's box in the CT.
        inside: bool (z, y, x) of the box: the lobe.
        ranks: float32 (z, y, x) of the box, 0..1; painted voxels beyond.
        values: float32, ascending: the ranks of the voxels that nobody painted.
        painted: How many voxels were painted as lesion.
        count: How many voxels the lobe has.
        start: How many of them are lesion in the model's mask, with what was painted.
    """

    box: Box
    inside: np.ndarray
    ranks: np.ndarray
    values: np.ndarray
    painted: int
    count: int
    start: int

    def rank_of(self, wanted: float) -> float:
        """The rank at which a cut gives about so many lesion voxels; all voxels of equal rank go together.

        Args:
            wanted: Lesion voxels, those that were painted as lesion among them.
        """
        values, total = self.values, len(self.values)
        take = min(max(math.floor(wanted - self.painted + 0.5), 0), total)
        if take in (0, total):
            return EVERYTHING if take else ALWAYS - 0.5
        last = values[total - take]  # the lowest rank that is to be lesion: all that have it go together
        low, high = (int(n) for n in (np.searchsorted(values, last, side) for side in ("left", "right")))
        fewer, more = total - high, total - low
        if more - take <= take - fewer:
            return float(values[low - 1]) if low else EVERYTHING
        return float(last)

    def mask(self, rank: float) -> np.ndarray:
        """bool (z, y, x) of the box: voxels of a higher rank; without meaning outside the lobe."""
        return self.ranks > np.float32(rank)

    def cut(self, lobe: int, rank: float) -> Cut:
        """What a cut at a rank gives; ``lobe`` is the lobe's value, 1..5."""
        above = len(self.values) - int(np.searchsorted(self.values, np.float32(rank), "right"))
        return Cut(lobe, min(max(rank, 0.0), 1.0), self.painted + above, self.count)

    @property
    def largest_tie(self) -> int:
        """How many voxels the largest group of equal rank has."""
        ends = np.flatnonzero(np.diff(self.values, append=np.inf))
        return int(np.diff(ends, prepend=-1).max(initial=0))
