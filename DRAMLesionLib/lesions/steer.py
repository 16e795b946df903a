"""A reader's numbers steer the mask: per lobe the cut of the map whose mask has the percentage that was said.

The map is ranked first: smoothed by the Gaussian that smooths every mask of ours, so that a mask cut from it anywhere is
smooth and without speckle, and parted at the model's own mask, so that the model's percentage gives back the model's
mask. Voxels are taken in the order of their rank, voxel by voxel: nothing is smoothed after the cut, and the percentage
that was wanted is met within one voxel (or within one group of voxels of equal rank, which go together).

What was painted always holds: voxels painted as lesion are lesion at every percentage, those painted as not lesion
at none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from DRAMLesionLib.images.box import Box, label_boxes
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import quantify, severity_score
from DRAMLesionLib.lesions.rank import rank_lesion
from DRAMLesionLib.lesions.ranked_lobe import ALWAYS, LESION, NEVER, NOT_LESION, Cut, RankedLobe
from DRAMLesionLib.lesions.reading import LARGEST, Reading, score_range
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.errors import InputError

TOLERATED = 0.0005
"""A larger part of a lobe, 0..1, that ranks alike is told apart by its wider surroundings."""
NOTABLE = 0.1
"""A percentage that lies further from the wanted one, in points, is told to the reader."""


class Steering:
    """The mask of a CT under a reader's hand: lobes are cut anew one by one, each within milliseconds.

    A lobe is prepared (ranked and sorted) when it is first touched, or by :meth:`prepare`.

    Attributes:
        lesion: uint8 (z, y, x), 1 lesion: the mask as it is now. It is changed in place.
        boxes: For each lobe's value the box outside of which its changes never reach; lobes without voxels have none.
    """

    def __init__(
        self,
        lesion_map: np.ndarray,
        threshold: float,
        labels: np.ndarray,
        spacing_mm: tuple[float, float, float],
        *,
        lesion: np.ndarray | None = None,
        painted: np.ndarray | None = None,
    ):
        """Begin with the mask as it is.

        Args:
            lesion_map: float32 (z, y, x), 0..1: what the model's mask is cut from.
            threshold: A voxel above it is lesion in the model's mask.
            labels: uint8 (z, y, x), 1..5 in the lobes.
            spacing_mm: Voxel size (z, y, x) in mm.
            lesion: (z, y, x), not 0 in the mask to begin with; None is the model's mask. Lobes that are never touched
                stay as they are in it.
            painted: (z, y, x): 1 painted as lesion, 2 as not lesion, 0 not painted; None where nothing was painted.

        Raises:
            InputError: The shapes differ.
        """
        for name, array in (("lobes", labels), ("lesion", lesion), ("painted voxels", painted)):
            if array is not None and array.shape != lesion_map.shape:
                raise InputError(
                    f"{name}: shape {array.shape}, the map has {lesion_map.shape}: give both on one grid"
                )
        self._map, self._threshold = lesion_map, np.float32(threshold)
        self._labels, self._painted, self._spacing_mm = labels, painted, spacing_mm
        model = (lesion_map > self._threshold) & (labels > 0)
        self.lesion = (model if lesion is None else lesion != 0).astype(np.uint8)
        boxes = label_boxes(labels, len(LOBES))
        self.boxes: dict[int, Box] = {lobe: box for lobe, box in enumerate(boxes, 1) if box is not None}
        self._lobes: dict[int, RankedLobe] = {}

    def prepare(self, lobe: int) -> None:
        """Rank and sort a lobe's voxels, so that its first change is as fast as the later ones.

        Args:
            lobe: The lobe's value, 1..5; it need not have voxels.
        """
        self._prepared(lobe)

    def set_percent(self, lobe: int, percent: float) -> Cut:
        """Cut a lobe so that it has a percentage of lesion; 0 empties it and 100 fills it, but for what was painted.

        Args:
            lobe: The lobe's value, 1..5.
            percent: Lesion in percent of the lobe, 0..100.

        Raises:
            InputError: The lobe has no voxels, and the percentage is not 0.
            ValueError: The percentage is not from 0 to 100.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"percent must be from 0 to 100; got {percent}")
        ready = self._prepared(lobe)
        if ready is None:
            return _nothing_to_cut(lobe, percent)
        return self._apply(lobe, ready, ready.rank_of(percent * ready.count / 100))

    def set_score(self, lobe: int, score: int) -> Cut:
        """Cut a lobe at the percentage nearest to the model's that has a severity score.

        Args:
            lobe: The lobe's value, 1..5.
            score: Severity score, 0..5.

        Raises:
            InputError: The lobe has no voxels, and the score is not 0.
            ValueError: There is no such score.
        """
        if score not in range(LARGEST["score"] + 1):
            raise ValueError(f"score must be a whole number from 0 to {LARGEST['score']}; got {score!r}")
        ready = self._prepared(lobe)
        if ready is None:
            return _nothing_to_cut(lobe, score)
        return self._apply(lobe, ready, ready.rank_of(nearest_count(ready.count, ready.start, score)))

    def set_number(self, lobe: int, kind: str, number: float) -> Cut:
        """Cut a lobe by either kind of number: see :meth:`set_percent` and :meth:`set_score`.

        Args:
            lobe: The lobe's value, 1..5.
            kind: ``percent`` or ``score``.
            number: The percentage or the score.
        """
        return self.set_score(lobe, int(number)) if kind == "score" else self.set_percent(lobe, number)

    def reset(self, lobe: int) -> Cut:
        """Give a lobe the model's own mask again, with what was painted.

        Args:
            lobe: The lobe's value, 1..5; it need not have voxels.
        """
        ready = self._prepared(lobe)
        return _nothing_to_cut(lobe, 0) if ready is None else self._apply(lobe, ready, float(self._threshold))

    def current(self, lobe: int) -> Cut:
        """What a lobe has now.

        Args:
            lobe: The lobe's value, 1..5.
        """
        if lobe not in self.boxes:
            return _nothing_to_cut(lobe, 0)
        inside = self._labels[self.boxes[lobe]] == lobe
        voxels, count = int(self.lesion[self.boxes[lobe]][inside].sum()), int(inside.sum())
        return Cut(lobe, None, voxels, count)

    def ranked(self, lobe: int) -> RankedLobe | None:
        """A lobe's ranks, which can be cut elsewhere; None for a lobe without voxels."""
        return self._prepared(lobe)

    def _apply(self, lobe: int, ready: RankedLobe, rank: float) -> Cut:
        np.copyto(self.lesion[ready.box], ready.mask(rank).view(np.uint8), where=ready.inside)
        return ready.cut(lobe, rank)

    def _prepared(self, lobe: int) -> RankedLobe | None:
        if lobe not in self._lobes and lobe in self.boxes:
            self._lobes[lobe] = self._ranked(lobe, self.boxes[lobe])
        return self._lobes.get(lobe)

    def _ranked(self, lobe: int, box: Box) -> RankedLobe:
        ready = self._sorted(lobe, box, wide=False)
        # A map that is flat over much of a lobe would leave the reader steps instead of percentages.
        return self._sorted(lobe, box, wide=True) if ready.largest_tie > TOLERATED * ready.count else ready

    def _sorted(self, lobe: int, box: Box, wide: bool) -> RankedLobe:
        inside = self._labels[box] == lobe
        ranks = rank_lesion(self._map, float(self._threshold), self._labels, self._spacing_mm, box, wide=wide)
        ranks[~inside] = NEVER
        free, painted, model = inside, 0, ranks > self._threshold
        if self._painted is not None:
            marks = self._painted[box]
            for value, rank in ((LESION, ALWAYS), (NOT_LESION, NEVER)):
                ranks[inside & (marks == value)] = rank
            free = inside & (marks != LESION) & (marks != NOT_LESION)
            painted = int((inside & (marks == LESION)).sum())
        start = painted + int((model & free).sum())
        return RankedLobe(box, inside, ranks, np.sort(ranks[free]), painted, int(inside.sum()), start)


def nearest_count(count: int, start: int, score: int) -> int:
    """The number of lesion voxels nearest to ``start`` whose percentage of ``count`` voxels has a severity score.

    Where no number has it (a lobe of few voxels), the one whose percentage is nearest to the score's range.

    Args:
        count: How many voxels the lobe has.
        start: How many of them are lesion in the model's mask.
        score: Severity score, 0..5.
    """
    low, high = score_range(score)
    least, most = math.ceil(low * count / 100), min(math.ceil(high * count / 100), count)
    fitting = [n for n in (least, least + 1) if n <= count and severity_score(100.0 * n / count) == score]
    if not fitting:
        return min((max(least - 1, 0), most), key=lambda n: _distance(100.0 * n / count, low, high))
    least = fitting[0]
    while severity_score(100.0 * most / count) != score:
        most -= 1
    return min(max(start, least), most)


def steer(
    findings: Findings,
    *,
    percent: Sequence[float | None] | None = None,
    score: Sequence[int | None] | None = None,
    who: str = "",
    painted: np.ndarray | None = None,
) -> Findings:
    """Cut the mask anew, lobe by lobe, as a reader's numbers say.

    Args:
        findings: The results of one CT, with their maps.
        percent: Lesion in percent of each lobe (LUL, LLL, RUL, RML, RLL), 0..100; None for a lobe to leave.
        score: Severity score of each lobe, 0..5: the percentage nearest to the model's inside the score's range is
            taken. Where a lobe has both numbers, the percentage counts.
        who: The reader, for the record.
        painted: (z, y, x): 1 painted as lesion, 2 as not lesion: what always holds. None where nothing was painted.

    Returns:
        The findings with the new mask, its table, and the reading; lobes without a number stay as they are.

    Raises:
        InputError: Numbers are out of range, or a lobe with a number other than 0 has no voxels.
    """
    nothing = (None,) * len(LOBES)
    reading = Reading(tuple(percent or nothing), tuple(score or nothing), who)
    return steer_to(findings, reading, painted)


def steer_to(findings: Findings, reading: Reading, painted: np.ndarray | None = None) -> Findings:
    """Cut the mask anew, lobe by lobe, as a reading says; arguments and errors: see :func:`steer`."""
    ct, labels = findings.ct, findings.lobes.labels
    steering = Steering(
        findings.map, findings.threshold, labels, ct.spacing_mm, lesion=findings.lesion, painted=painted
    )
    cuts = list(findings.cuts or (None,) * len(LOBES))
    missed = []
    for lobe in LOBES:
        wanted = reading.of(lobe.value)
        if wanted is not None:
            cut = steering.set_number(lobe.value, *wanted)
            cuts[lobe.value - 1] = cut.rank
            missed += _missed(cut, *wanted)
    record = findings.record
    if missed:
        record = {**record, "warnings": [*record.get("warnings", ()), *missed]}
    table = quantify(ct.array, findings.lobes, steering.lesion, ct.spacing_mm, findings.dram)
    table = table.with_ranges(_ranges_left(findings, reading))
    return replace(
        findings,
        lesion=steering.lesion,
        quantification=table,
        record=record,
        reading=reading.over(findings.reading),
        cuts=tuple(cuts),
    )


def _ranges_left(findings: Findings, reading: Reading) -> dict[int, tuple[float, float]]:
    """The ranges of the model's percentages, by the lobe's value, for lobes that still have those."""
    return {
        lobe.value: (region.percent_low, region.percent_high)
        for lobe, region in zip(LOBES, findings.quantification.lobes, strict=True)
        if region.percent_low is not None
        and region.percent_high is not None
        and reading.of(lobe.value) is None
    }


def _missed(cut: Cut, kind: str, number: float) -> list[str]:
    """A sentence where a lobe could not get the number that was wanted."""
    if cut.percent is None:
        return []
    if kind == "score":
        wanted, met = f"score {number:g}", severity_score(cut.percent) == number
    else:
        wanted, met = f"{number:.4g} %", abs(cut.percent - number) <= max(NOTABLE, 100 / cut.count)
    reason = "painted voxels hold, or the map does not tell more voxels apart"
    return (
        []
        if met
        else [f"{LOBES[cut.lobe - 1].name}: {wanted} was wanted, {cut.percent:.1f} % found: {reason}"]
    )


def _nothing_to_cut(lobe: int, wanted: float) -> Cut:
    """What becomes of a lobe without voxels, of which a reader can say nothing but 0."""
    if wanted:
        name = LOBES[lobe - 1].name
        raise InputError(f"{name}: has no voxels, so nothing of it can be lesion: leave it out (-)")
    return Cut(lobe, None, 0, 0)


def _distance(percent: float, low: float, high: float) -> float:
    return max(low - percent, percent - high, 0.0)
