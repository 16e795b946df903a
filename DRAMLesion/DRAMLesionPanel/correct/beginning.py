"""What a correction begins with, in steps between which a window can live; and what one undo takes back."""

from dataclasses import dataclass

import numpy as np

from DRAMLesionLib.correction.logits import start_logits
from DRAMLesionLib.correction.session import CorrectionSession
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.reading import Reading
from DRAMLesionPanel.results.nodes import cutMapOf, thresholdOf
from DRAMLesionPanel.shared.steps import Steps

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


def startLabel(found: Findings) -> np.ndarray | None:
    """The label to begin with: the lesion itself where it was steered, or where nothing says how it was cut."""
    return None if found.record and not found.reading else found.lesion


def startLogits(found: Findings) -> Steps[np.ndarray]:
    """The logits of the map that is corrected, some slices with each step."""
    cut, labels, label = cutMapOf(found), found.lobes.labels, startLabel(found)
    threshold, start = thresholdOf(found.record), np.empty(labels.shape, np.int8)
    step = max(1, VOXELS_A_STEP // max(1, labels[0].size))
    for first in range(0, len(labels), step):
        part = slice(first, first + step)
        start[part] = start_logits(cut[part], labels[part], threshold, None if label is None else label[part])
        yield "map"
    return start


def huOf(array: np.ndarray) -> np.ndarray:
    return array if array.dtype == np.int16 else array.astype(np.float32)


def newSession(found: Findings, start: np.ndarray | None = None) -> CorrectionSession:
    """The correction engine on findings.

    Args:
        found: The findings.
        start: int8 (z, y, x): what :func:`startLogits` gives, where that is known.
    """
    return CorrectionSession(
        huOf(found.ct.array),
        found.lobes,
        cutMapOf(found),
        found.ct.spacing_mm,
        label=startLabel(found),
        start=start,
        threshold=thresholdOf(found.record),
        provenance=found.record,
        ct=found.ct,
    )
