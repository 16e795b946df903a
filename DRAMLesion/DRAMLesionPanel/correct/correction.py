"""Correcting the lesion of one CT: edits are recognised in the segment, refined by the library, and put back.

Nothing here knows the widgets. Each change that :mod:`DRAMLesionPanel.correct.recogniser` finds is an edit of its own,
and undo and redo are the correction's.
"""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from DRAMLesionLib.correction.logits import start_logits
from DRAMLesionLib.correction.propagation import LESION as PAINTED_LESION
from DRAMLesionLib.correction.session import CorrectionSession
from DRAMLesionLib.images.box import Box
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import Quantification, RunningQuantification
from DRAMLesionLib.results.segments import LESION
from DRAMLesionPanel.correct.recogniser import Edit, StrokeRecogniser
from DRAMLesionPanel.results.nodes import Results, cutMapOf, readingFindings, thresholdOf
from DRAMLesionPanel.results.saved_strokes import readStrokes, voxelsOf, writeStrokes
from DRAMLesionPanel.shared.steps import Steps, finish

VOXELS_A_STEP = 4_000_000
"""So many are prepared at once: some hundredths of a second."""


class Correction:
    """The edits of one CT's lesion and what follows from them.

    Attributes:
        results: The nodes.
        busy: True while the segment is changed from here: an observer has nothing to recognise then.
    """

    def __init__(self, results: Results, found: Findings, start: np.ndarray | None = None) -> None:
        """Begin with the nodes as they are; strokes that the scene holds are made again.

        Args:
            results: The nodes.
            found: What they hold.
            start: int8 (z, y, x): the logits of the map that is corrected, where they are known.
        """
        self.results = results
        self.busy = False
        self._found = found
        self._session = self._newSession(start)
        self._groups: list[int] = []
        self._undoneGroups: list[int] = []
        for stroke in readStrokes(results.lesionSegmentationNode):
            self._session.paint(voxelsOf(stroke), stroke.value)
            self._groups.append(1)
        self._segment = StrokeRecogniser(self._node, LESION.id, found.ct)
        # Where the segment is another than the strokes made it, it was painted while nobody looked.
        self._segment.expect(self._session.label)
        self._pending: list[Edit] = []
        self._undone: list[Edit] = []
        self._measured: RunningQuantification | None = None

    @classmethod
    def preparing(cls, results: Results, found: Findings | None = None) -> Steps["Correction"]:
        """Read the nodes, and begin.

        Args:
            results: The nodes.
            found: What they hold, where that is known.

        Raises:
            InputError: The nodes don't fit each other.
        """
        if found is None:
            found = yield from readingFindings(results)
            yield "findings"
        start = yield from _startLogits(found)
        correction = cls(results, found, start)
        yield "session"
        yield from correction._measuring()
        return correction

    def _measuring(self) -> Steps[None]:
        """Count the whole lesion once; later changes are counted in their boxes."""
        found = self._found
        measured = RunningQuantification(
            found.ct.array, found.lobes, self._segment.seen, found.ct.spacing_mm, found.dram
        )
        for _part in measured.counting():
            yield "table"
        self._measured = measured

    @property
    def table(self) -> Quantification:
        """The measurements of the lesion as it is now."""
        if self._measured is None:
            finish(self._measuring())
        assert self._measured is not None
        return self._measured.table

    @property
    def canUndo(self) -> bool:
        """Whether there is something to take back."""
        return bool(self._pending or self._groups)

    @property
    def canRedo(self) -> bool:
        """Whether there is something to make again."""
        return bool(self._undone or self._undoneGroups)

    @property
    def canRefine(self) -> bool:
        """Whether there are edits that were not refined yet."""
        return bool(self._pending)

    @property
    def hasEdits(self) -> bool:
        """Whether the user changed anything."""
        return self.canUndo

    @property
    def edits(self) -> np.ndarray:
        """uint8 (z, y, x): 1 painted as lesion, 2 as not lesion, refined or not; 0 elsewhere."""
        edits = self._session.edits
        for edit in self._pending:
            for value, mask in edit.parts():
                edits[edit.box][mask] = value
        return edits

    def recognise(self, insideLobes: bool) -> bool:
        """Take what the user changed since the last call as an edit.

        Args:
            insideLobes: Give back to the segment what was changed outside the lobes.

        Returns:
            Whether there was an edit.
        """
        with self.working():
            edit = self._segment.look(self._found.lobes.labels if insideLobes else None)
        if edit is None:
            return False
        self._count(edit.box, edit.before, edit.after)
        self._pending.append(edit)
        self._undone.clear()
        self._undoneGroups.clear()
        return True

    def refine(self) -> bool:
        """Let the lesion follow from the edits around them.

        Returns:
            Whether there was something to refine.
        """
        if not self._pending:
            return False
        for edit in self._pending:
            strokes = edit.strokes()
            for value, voxels in strokes:
                self._put(*self._session.paint(voxels, value))
            self._groups.append(len(strokes))
        self._pending.clear()
        self._undone.clear()
        self._undoneGroups.clear()
        self.saveStrokes()
        return True

    def undo(self) -> bool:
        """Take the last edit back: one that was not refined yet, else the last refined one with what it moved."""
        if self._pending:
            edit = self._pending.pop()
            self._undone.append(edit)
            self._put(edit.box, edit.before)
            return True
        if not self._groups:
            return False
        count = self._groups.pop()
        self._undoneGroups.append(count)
        self._step(self._session.undo, count)
        return True

    def redo(self) -> bool:
        """Make the edit again that was taken back last."""
        if self._undoneGroups:
            count = self._undoneGroups.pop()
            self._groups.append(count)
            self._step(self._session.redo, count)
            return True
        if not self._undone:
            return False
        edit = self._undone.pop()
        self._pending.append(edit)
        self._put(edit.box, edit.after)
        return True

    def findings(self) -> Findings:
        """The results as they are now."""
        return replace(self._found, lesion=self._segment.seen.copy(), quantification=self.table)

    def carryingOver(self, findings: Findings) -> Steps[Findings]:
        """Take the results of a new run on the same CT and apply all edits to them.

        Args:
            findings: Of the new run.

        Returns:
            The same with the corrected lesion.
        """
        old, self._found = self._found, findings
        strokes = self._session.strokes
        sameLobes = np.array_equal(findings.lobes.labels, old.lobes.labels)
        if sameLobes and thresholdOf(findings.record) == thresholdOf(old.record):
            self._session.replace_probability(cutMapOf(findings), findings.record)
        else:
            self._session = self._newSession()
            self._undoneGroups.clear()
            for stroke in strokes:
                self._session.paint(voxelsOf(stroke), stroke.value)
        self._measured = None
        yield "strokes"
        # Nothing keeps the user from painting meanwhile, in the Segment Editor module.
        late = self._segment.look()
        edits = [*self._pending, *([late] if late else [])]
        self._segment.expect(self._session.label)
        self._pending = [self._again(edit) for edit in edits]
        self._undone.clear()
        return self.findings()

    def _again(self, edit: Edit) -> Edit:
        """The same edit on another label; the label seen gets it."""
        before = self._segment.seen[edit.box].copy()
        after = before.copy()
        for value, mask in edit.parts():
            after[mask] = 1 if value == PAINTED_LESION else 0
        self._segment.take(edit.box, after)
        return Edit(edit.box, before, after)

    def _newSession(self, start: np.ndarray | None = None) -> CorrectionSession:
        found = self._found
        return CorrectionSession(
            _hu(found.ct.array),
            found.lobes,
            cutMapOf(found),
            found.ct.spacing_mm,
            label=_startLabel(found),
            start=start,
            threshold=thresholdOf(found.record),
            provenance=found.record,
            ct=found.ct,
        )

    def _step(self, move: Callable[[], Any], count: int) -> None:
        for _number in range(count):
            update = move()
            if update is not None:
                self._put(*update)
        self.saveStrokes()

    def _put(self, box: Box, label: np.ndarray) -> None:
        """Show the label in a box."""
        self._count(box, self._segment.seen[box].copy(), label)
        with self.working():
            self._segment.show(box, label)

    def _count(self, box: Box, before: np.ndarray, after: np.ndarray) -> None:
        if self._measured is not None:
            self._measured.change(box, before, after)

    def saveStrokes(self) -> None:
        with self.working():
            writeStrokes(self._node, self._session.strokes)

    @property
    def _node(self) -> Any:
        return self.results.lesionSegmentationNode

    @contextmanager
    def working(self) -> Any:
        before, self.busy = self.busy, True
        try:
            yield
        finally:
            self.busy = before


def _startLabel(found: Findings) -> np.ndarray | None:
    """The label to begin with: a scene that was not made here does not say how its lesion was cut."""
    return None if found.record else found.lesion


def _startLogits(found: Findings) -> Steps[np.ndarray]:
    """The logits of the map that is corrected, some slices with each step."""
    cut, labels, label = cutMapOf(found), found.lobes.labels, _startLabel(found)
    threshold, start = thresholdOf(found.record), np.empty(labels.shape, np.int8)
    step = max(1, VOXELS_A_STEP // max(1, labels[0].size))
    for first in range(0, len(labels), step):
        part = slice(first, first + step)
        start[part] = start_logits(cut[part], labels[part], threshold, None if label is None else label[part])
        yield "map"
    return start


def _hu(array: np.ndarray) -> np.ndarray:
    return array if array.dtype == np.int16 else array.astype(np.float32)
