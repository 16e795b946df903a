"""What a correction begins with, in steps between which a window can live; and what one undo takes back."""

from dataclasses import dataclass

import numpy as np

from DRAMLesionLib.correction.logits import start_logits
from DRAMLesionLib.correction.session import CorrectionSession
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import RunningQuantification
from DRAMLesionLib.lesions.reading import Reading
from DRAMLesionLib.results.scene.steps import Steps

VOXELS_A_STEP = 4_000_000
"""So many are prepared at once: some hundredths of a second."""


@dataclass(frozen=True)
class Group:
    """What one undo takes back.

    Attributes:
        count: Steps of the correction engine.
        before: What a reader had said of the lobes before, where a lobe was steered.
        after: What was said after that.
    """

    count: int
    before: Reading | None = None
    after: Reading | None = None


def start_label(found: Findings) -> np.ndarray | None:
    """The label to begin with: the lesion itself where it was steered, or where nothing says how it was cut."""
    return None if found.record and not found.reading else found.lesion


def logits_in_steps(found: Findings) -> Steps[np.ndarray]:
    """The logits of the map that is corrected, some slices with each step."""
    cut, labels, label = found.map, found.lobes.labels, start_label(found)
    threshold, start = found.threshold, np.empty(labels.shape, np.int8)
    step = max(1, VOXELS_A_STEP // max(1, labels[0].size))
    for first in range(0, len(labels), step):
        part = slice(first, first + step)
        start[part] = start_logits(cut[part], labels[part], threshold, None if label is None else label[part])
        yield "map"
    return start


def hu_of(array: np.ndarray) -> np.ndarray:
    """HU (z, y, x) as the correction engine takes them: int16 as they are, others as float32."""
    return array if array.dtype == np.int16 else array.astype(np.float32)


def new_session(found: Findings, start: np.ndarray | None = None) -> CorrectionSession:
    """The correction engine on findings.

    Args:
        found: The findings.
        start: int8 (z, y, x): what :func:`start_logits` gives, where that is known.
    """
    return CorrectionSession(
        hu_of(found.ct.array),
        found.lobes,
        found.map,
        found.ct.spacing_mm,
        label=start_label(found),
        start=start,
        threshold=found.threshold,
        provenance=found.record,
        ct=found.ct,
    )


def counting(found: Findings, lesion: np.ndarray) -> Steps[RunningQuantification]:
    """Count the whole lesion once, in steps; later changes are counted in their boxes.

    Args:
        found: CT, lobes and map.
        lesion: uint8 (z, y, x), 1 lesion.
    """
    measured = RunningQuantification(found.ct.array, found.lobes, lesion, found.ct.spacing_mm, found.dram)
    for _part in measured.counting():
        yield "table"
    return measured
