"""Weak labels: what is known of a lobe without a single voxel being drawn.

Either a percentage of the lobe that is lesion, or a reader's severity score 0..5, which stands for a range of
percentages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from DRAMLesionLib.lesions.quantify import SCORE_EDGES, severity_score
from DRAMLesionLib.training.data.pseudo_label import otsu_threshold

if TYPE_CHECKING:
    from DRAMLesionLib.lesions.lung_grid import LobeSample

SCORE_RANGES = tuple(
    (low / 100, high / 100) for low, high in zip((0.0, *SCORE_EDGES), (*SCORE_EDGES, 100.0), strict=True)
)
"""Lesion fraction (0..1) from and to, of each severity score 0..5."""

OTSU_SHARE = 0.75
"""Candidates are brighter than this part of Otsu's threshold, as in the published method."""

CANDIDATE_BAND = 0.01
"""How far the lesion fraction may lie from the fraction of candidates, as in the published method."""


@dataclass(frozen=True)
class WeakLabel:
    """What is known of one lobe.

    Attributes:
        fraction: Lesion fraction, 0..1; None where only the score is known.
        low: Least fraction that agrees with the score.
        high: Largest fraction that agrees with the score.
        score: Severity score, 0..5.
    """

    fraction: float | None
    low: float
    high: float
    score: int

    @classmethod
    def from_percent(cls, percent: float) -> WeakLabel:
        """The label of a lobe with a known percentage, 0..100; its range is that of the score it gives.

        Raises:
            ValueError: It is not a number from 0 to 100.
        """
        score = severity_score(percent)
        return cls(percent / 100, *SCORE_RANGES[score], score)

    @classmethod
    def from_score(cls, score: int) -> WeakLabel:
        """The label of a lobe with a severity score, 0..5.

        Raises:
            ValueError: There is no such score.
        """
        if score not in range(len(SCORE_RANGES)):
            raise ValueError(f"score must be a whole number from 0 to 5; got {score!r}")
        return cls(None, *SCORE_RANGES[score], int(score))

    @property
    def is_healthy(self) -> bool:
        """Whether nothing of the lobe is to be marked: a percentage of 0, or without one a score of 0."""
        return self.fraction == 0 if self.fraction is not None else self.score == 0

    @property
    def known_range(self) -> tuple[float, float]:
        """The least and the largest lesion fraction (0..1) that agree with what is known; the known fraction twice where
        the percentage is known."""
        return (self.low, self.high) if self.fraction is None else (self.fraction, self.fraction)

    def distance(self, fraction: float) -> float:
        """How far a lesion fraction (0..1) lies outside of :attr:`known_range`, 0..1; 0 inside it."""
        low, high = self.known_range
        return max(low - fraction, fraction - high, 0.0)

    def narrowed(self, candidate_fraction: float, *, band: float = CANDIDATE_BAND) -> WeakLabel:
        """This label with its range cut off above the candidates' share: what is too dark can't be lesion.

        A range that lies wholly above the candidates contradicts them; it stays as the reader gave it.

        Args:
            candidate_fraction: The candidates' share of the lobe, 0..1, see :func:`candidate_fraction`.
            band: How far above it the lesion fraction may lie.
        """
        high = min(self.high, candidate_fraction + band)
        return self if high <= self.low else replace(self, high=high)

    def centred(self, candidate_fraction: float, *, band: float = CANDIDATE_BAND) -> WeakLabel:
        """This label with its range narrowed to the neighbourhood of the candidates' share, as published.

        The published training takes the range within ``band`` of the candidates' share. Where the two do not meet, it
        keeps the score's range if the candidates are more, and the candidates' if they are fewer. So the
        candidates become the label wherever the score allows it: right only where nearly all that is bright is lesion.

        Args:
            candidate_fraction: The candidates' share of the lobe, 0..1, see :func:`candidate_fraction`.
            band: How far from it the lesion fraction may lie.
        """
        low, high = max(0.0, candidate_fraction - band), min(1.0, candidate_fraction + band)
        if low >= self.high:
            return self
        if high > self.low:
            low, high = max(low, self.low), min(high, self.high)
        return replace(self, low=low, high=high)


def candidates(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Voxels that may be lesion: brighter than :data:`OTSU_SHARE` of Otsu's threshold of the lobe.

    Args:
        image: float32 (z, y, x): the HU window as 0..1; the share counts from the window's lower end.
        mask: bool (z, y, x): the lobe.

    Returns:
        bool (z, y, x), False outside the lobe.
    """
    if not mask.any():
        return np.zeros(mask.shape, bool)
    return mask & (image > OTSU_SHARE * otsu_threshold(image[mask]))


def candidate_fraction(sample: LobeSample) -> float:
    """The candidates' share of a lobe sample, 0..1."""
    return float(candidates(sample.image, sample.mask).sum() / max(1, sample.mask.sum()))
