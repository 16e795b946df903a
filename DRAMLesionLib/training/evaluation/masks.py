"""How well lesion masks agree with reference masks: overlap, lobe percentages and severity scores.

What is measured, per scan, inside the lobes (or in the whole volume where no lobes are given):

* IoU and Dice of the voxels. Two empty masks agree: both are 1. If just one is empty both are 0.
* MAE: the mean over the lobes of the absolute difference of their lesion percentages, in points. Lobes without voxels
  do not count.
* Severity scores of the lobes (0..5) and their sum (0..25), by the masks' percentages.

Over all scans: the means of these, and Cohen's kappa with quadratic weights of the lobes' scores (all lobes of all
scans) and of the scans' sums (J. Cohen, "Weighted kappa", Psychological Bulletin 1968;70:213-220). Kappa is not defined,
None, where both sides have one and the same score throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from DRAMLesionLib.images.image_file import grid_difference, read_geometry
from DRAMLesionLib.images.paths import stem
from DRAMLesionLib.lesions.quantify import SCORE_EDGES, severity_score
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress, silent
from DRAMLesionLib.training.evaluation.pairs import Pair, find_pairs

if TYPE_CHECKING:
    from DRAMLesionLib.images.volume import Volume

HIGHEST_SCORE = len(SCORE_EDGES)
_SLAB_VOXELS = 4_000_000


@dataclass(frozen=True)
class ScanScore:
    """The agreement on one scan. What needs lobes is None without them.

    Attributes:
        name: The case.
        part: The data list's part, ``training`` or ``validation``, or empty.
        iou: Intersection over union, 0..1.
        dice: Dice coefficient, 0..1.
        mae_points: Mean absolute error of the lobe percentages, points.
        percent: Lesion percentage of each lobe by the prediction, None for a lobe without voxels.
        reference_percent: Lesion percentage of each lobe by the reference, 0..100; None for a lobe without
            voxels.
        kappa_lobes: Quadratic-weighted kappa of the scan's lobe scores; of five values, so a rough one.
        notes: What a reader should know of the masks, one sentence each.
    """

    name: str
    part: str
    iou: float
    dice: float
    mae_points: float | None
    percent: tuple[float | None, ...] | None
    reference_percent: tuple[float | None, ...] | None
    kappa_lobes: float | None
    notes: tuple[str, ...] = ()

    @property
    def scores(self) -> tuple[int | None, ...] | None:
        """Severity score of each lobe by the prediction."""
        return _scores(self.percent)

    @property
    def reference_scores(self) -> tuple[int | None, ...] | None:
        """Severity score of each lobe by the reference."""
        return _scores(self.reference_percent)

    @property
    def total_score(self) -> int | None:
        """The sum of the scores, 0..25."""
        return _total(self.scores)

    @property
    def reference_total_score(self) -> int | None:
        """The reference's sum, 0..25."""
        return _total(self.reference_scores)


@dataclass(frozen=True)
class Summary:
    """The agreement on several scans.

    Attributes:
        name: ``training``, ``validation`` or ``all``.
        scans: How many.
        iou: Mean, 0..1.
        dice: Mean, 0..1.
        mae_points: Mean of the scans' errors, points; None without lobes.
        kappa_lobes: Quadratic-weighted kappa of all lobes' scores.
        kappa_total: Quadratic-weighted kappa of the scans' sums of scores; of few scans it says little.
    """

    name: str
    scans: int
    iou: float
    dice: float
    mae_points: float | None
    kappa_lobes: float | None
    kappa_total: float | None


@dataclass(frozen=True)
class Evaluation:
    """Scores of scans, the summary of each part of a data list that has both, and that of all."""

    scans: tuple[ScanScore, ...]

    @property
    def summaries(self) -> tuple[Summary, ...]:
        """Per part where there are several, and over all scans last."""
        parts = list(dict.fromkeys(scan.part for scan in self.scans))
        several = [
            summarize([s for s in self.scans if s.part == part], part) for part in parts if len(parts) > 1
        ]
        return (*several, self.summary)

    @property
    def notes(self) -> list[str]:
        """What a reader should know of the masks, one sentence each."""
        return list(dict.fromkeys(note for scan in self.scans for note in scan.notes))

    @property
    def summary(self) -> Summary:
        """Over all scans."""
        return summarize(self.scans, "all")


def evaluate(
    prediction: str | Path,
    reference: str | Path,
    lobes: str | Path | None = None,
    *,
    progress: Progress = silent,
) -> Evaluation:
    """Compare lesion masks with reference masks.

    Args:
        prediction: A mask, a folder of masks, or a data list (JSON) whose rows have labels. A folder's masks are called
            ``NAME_lesion``, ``NAME/lesion``, ``NAME_label``, ``NAME/label``, or else just ``NAME``.
        reference: A mask, a folder of masks, or a data list whose rows have labels. The prediction has to have a
            mask for each of its cases.
        lobes: A lobe map, or a folder of ``NAME_lobes`` or ``NAME/lobes``; a reference that is a data list has its own.
        progress: Told after each scan.

    Raises:
        InputError: A mask is missing, can't be read, or lies on another grid.
    """
    pairs = find_pairs(prediction, reference, lobes)
    scores = []
    for number, pair in enumerate(pairs):
        progress("Comparing", number / len(pairs))
        scores.append(compare(pair))
    progress("Comparing", 1.0)
    return Evaluation(tuple(scores))


def compare(pair: Pair) -> ScanScore:
    """Read and compare one pair of masks.

    Raises:
        InputError: A file can't be read, or lies on another grid than the reference.
    """
    from DRAMLesionLib.lungs.read_lobes import read_lobes

    reference = _read_mask(pair.reference)
    prediction = _read_mask(pair.prediction, reference)
    labels = None
    if pair.lobes is not None:
        if pair.lobes.is_file() and not pair.lobes.name.lower().endswith(".seg.nrrd"):
            _check_grid(pair.lobes, reference, "lobe mask")
        labels = read_lobes(pair.lobes, reference, allow_missing=True).labels
    score = score_masks(prediction.array, reference.array, labels, name=pair.name, part=pair.part)
    return replace(score, notes=(*prediction.warnings, *reference.warnings))


def score_masks(
    prediction: np.ndarray,
    reference: np.ndarray,
    lobes: np.ndarray | None = None,
    *,
    name: str = "",
    part: str = "",
) -> ScanScore:
    """Compare two masks.

    Args:
        prediction: (z, y, x), any number but 0 is lesion.
        reference: The reference mask, in the prediction's shape.
        lobes: uint8, the same shape, 1..5 in the lobes; None compares the whole volume.
        name: The case.
        part: The data list's part, ``training`` or ``validation``, or empty.

    Raises:
        InputError: The shapes differ.
    """
    for what, array in (("prediction", prediction), ("lobes", lobes)):
        if array is not None and array.shape != reference.shape:
            raise InputError(
                f"{what} of shape {array.shape}, reference of shape {reference.shape}: give one grid"
            )
    counts = _counts(prediction, reference, lobes)
    inside = counts[1:].sum(axis=0) if lobes is not None else counts.sum(axis=0)
    both, either = inside[3], inside[1:].sum()
    iou = float(both / either) if either else 1.0
    if lobes is None:
        return ScanScore(name, part, iou, 2 * iou / (1 + iou), None, None, None, None)
    voxels = counts[1:].sum(axis=1)
    percent, known = (
        tuple(float(100 * n / of) if of else None for n, of in zip(lesion, voxels, strict=True))
        for lesion in (counts[1:, [2, 3]].sum(axis=1), counts[1:, [1, 3]].sum(axis=1))
    )
    errors = [abs(p - k) for p, k in zip(percent, known, strict=True) if p is not None and k is not None]
    return ScanScore(
        name,
        part,
        iou,
        2 * iou / (1 + iou),
        float(np.mean(errors)) if errors else None,
        percent,
        known,
        quadratic_kappa(_known(_scores(percent)), _known(_scores(known)), HIGHEST_SCORE + 1),
    )


def summarize(scans: Sequence[ScanScore], name: str) -> Summary:
    """Means and kappas over scans, at least one."""
    errors = [scan.mae_points for scan in scans if scan.mae_points is not None]
    with_lobes = [scan for scan in scans if scan.percent is not None]
    return Summary(
        name,
        len(scans),
        float(np.mean([scan.iou for scan in scans])),
        float(np.mean([scan.dice for scan in scans])),
        float(np.mean(errors)) if errors else None,
        quadratic_kappa(
            [score for scan in with_lobes for score in _known(scan.scores)],
            [score for scan in with_lobes for score in _known(scan.reference_scores)],
            HIGHEST_SCORE + 1,
        ),
        quadratic_kappa(
            [scan.total_score or 0 for scan in with_lobes],
            [scan.reference_total_score or 0 for scan in with_lobes],
            len(LOBES) * HIGHEST_SCORE + 1,
        ),
    )


def quadratic_kappa(one: Sequence[int], other: Sequence[int], levels: int) -> float | None:
    """Cohen's kappa with quadratic weights: 1 full agreement, 0 that of chance.

    1 - sum(w * observed) / sum(w * expected) over the table of both raters' scores, w the squared difference, expected
    from the table's margins.

    Args:
        one: Scores 0 .. levels - 1 of one rater.
        other: The other method's scores, in the same order.
        levels: How many scores there are.

    Returns:
        Kappa; None where it is not defined: no scores, or both raters give one and the same score throughout.
    """
    if len(one) == 0:
        return None
    table = np.zeros((levels, levels))
    np.add.at(table, (np.asarray(one), np.asarray(other)), 1)
    weight = np.subtract.outer(np.arange(levels), np.arange(levels)) ** 2
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    by_chance = float((weight * expected).sum())
    return 1 - float((weight * table).sum()) / by_chance if by_chance else None


def _read_mask(path: Path, reference: Volume | None = None) -> Volume:
    """A mask in canonical axes; every value but 0 is lesion, and several values are told of."""
    from DRAMLesionLib.images.volume import Volume, read_on_grid

    if reference is not None:
        _check_grid(path, reference, "prediction")
    geometry = read_geometry(path)
    x, y, z = geometry.canonical().spacing
    mask = Volume(np.empty((0, 0, 0), np.uint8), (z, y, x), geometry, stem(path), path)
    array = read_on_grid(path, mask, "mask")
    if array.dtype.kind == "f":
        whole = np.rint(array)
        if np.abs(array - whole).max() > _ROUNDED:
            raise InputError(f"{path}: has fractional values, so it is a map: give a mask (0 and 1)")
        array = whole
    classes = [f"{value:g}" for value in np.unique(array) if value != 0]
    notes: tuple[str, ...] = ()
    if len(classes) > 1:
        listed = ", ".join(classes[:8]) + (", ..." if len(classes) > 8 else "")
        notes = (f"{path}: has {len(classes)} classes ({listed}), all of which count as lesion",)
    return Volume((array != 0).astype(np.uint8), mask.spacing_mm, geometry, mask.name, path, notes)


_ROUNDED = 0.01
"""Masks that were scaled or kept as fractions are off whole numbers by less than this."""


def _check_grid(path: Path, reference: Volume, what: str) -> None:
    difference = grid_difference(path, reference.geometry, what, "reference")
    if difference:
        raise InputError(
            f"{path}: {difference}: give images on one grid, made from one CT ({reference.path})"
        )


def _counts(prediction: np.ndarray, reference: np.ndarray, lobes: np.ndarray | None) -> np.ndarray:
    """Voxels per lobe (0 is outside): of no mask, of the reference alone, of the prediction alone, of both: (6, 4)."""
    counts = np.zeros(24, np.int64)
    step = max(1, _SLAB_VOXELS // max(1, reference[0].size))
    for start in range(0, reference.shape[0], step):
        slab = slice(start, start + step)
        bins = (prediction[slab] != 0).astype(np.int8) * 2 + (reference[slab] != 0)
        if lobes is not None:
            bins = bins + lobes[slab].astype(np.int8) * 4
        counts += np.bincount(bins.ravel(), minlength=24)
    return counts.reshape(6, 4)


def _scores(percent: Sequence[float | None] | None) -> tuple[int | None, ...] | None:
    return None if percent is None else tuple(None if p is None else severity_score(p) for p in percent)


def _known(scores: Sequence[int | None] | None) -> list[int]:
    return [score for score in scores or () if score is not None]


def _total(scores: Sequence[int | None] | None) -> int | None:
    return None if scores is None else sum(_known(scores))
