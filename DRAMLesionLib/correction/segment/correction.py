"""Correcting the lesion of one CT: edits are recognised in the segment, refined, and put back.

Slicer's panel and the browser's page correct through it; nothing here knows their widgets. Each change that
:mod:`~DRAMLesionLib.correction.segment.recogniser` finds is an edit of its own, and undo and redo are the correction's.
"""

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from DRAMLesionLib.correction.propagation import LESION as PAINTED_LESION
from DRAMLesionLib.correction.segment.beginning import Group, counting, logits_in_steps, new_session
from DRAMLesionLib.correction.segment.recogniser import Edit, StrokeRecogniser
from DRAMLesionLib.correction.segment.saved_strokes import (
    read_reading,
    read_strokes,
    record_with,
    strokes_of,
    voxels_of,
    write_reading,
    write_strokes,
)
from DRAMLesionLib.correction.segment.steering import Drag, Share, with_number
from DRAMLesionLib.correction.session import CorrectionSession
from DRAMLesionLib.correction.strokes import Stroke
from DRAMLesionLib.images.box import Box, within
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import Quantification, RunningQuantification
from DRAMLesionLib.lesions.ranked_lobe import RankedLobe
from DRAMLesionLib.lesions.reading import Reading
from DRAMLesionLib.results.scene.steps import Steps, finish
from DRAMLesionLib.results.segments import LESION


class Correction:
    """The edits of one CT's lesion and what follows from them.

    Attributes:
        node: vtkMRMLSegmentationNode of the lesion.
        busy: True while the segment is changed from here: an observer has nothing to recognise then.
        said: A reader's percentages of the lobes that were steered, and who said them.
    """

    def __init__(
        self,
        node: Any,
        found: Findings,
        session: CorrectionSession | None = None,
        held: np.ndarray | None = None,
    ) -> None:
        """Begin with the node as it is; strokes that it holds are made again.

        Args:
            node: vtkMRMLSegmentationNode of the lesion.
            found: What it and the other results of the CT hold.
            session: The correction engine on the findings' map, where it is ready.
            held: uint8 (z, y, x): what was painted before and can't be undone: 1 lesion, 2 not lesion, 0 not painted.
        """
        self.node = node
        self.busy = False
        self._found = found
        self._session = session or new_session(found)
        self._groups: list[Group] = []
        self._undone_groups: list[Group] = []
        self._drag: Drag | None = None
        self.said = read_reading(self.node) or Reading()
        self._painted = np.zeros(found.ct.array.shape, np.uint8) if self.said and held is None else held
        for stroke in read_strokes(self.node):
            if self._painted is not None:
                # The label was steered after these strokes: it is the scene's, and they are part of it.
                self._painted[voxels_of(stroke)] = stroke.value
                continue
            self._session.paint(voxels_of(stroke), stroke.value)
            self._groups.append(Group(1))
        # Where the segment is another than the strokes made it, it was painted while nobody looked.
        self._segment = StrokeRecogniser(self.node, LESION.id, found.ct, self._session.label)
        self._pending: list[Edit] = []
        self._undone: list[Edit] = []
        self._measured: RunningQuantification | None = None

    @classmethod
    def preparing(cls, node: Any, found: Findings) -> Steps["Correction"]:
        """Begin, in steps.

        Args:
            node: vtkMRMLSegmentationNode of the lesion.
            found: What it and the other results of the CT hold.
        """
        found = replace(found, reading=read_reading(node))
        start = yield from logits_in_steps(found)
        session = new_session(found, start)
        yield "session"
        correction = cls(node, found, session)
        yield "segment"
        correction._measured = yield from counting(found, correction.lesion)
        return correction

    @property
    def table(self) -> Quantification:
        """The measurements of the lesion as it is now."""
        if self._measured is None:
            self._measured = finish(counting(self._found, self.lesion))
        return self._measured.table

    @property
    def can_undo(self) -> bool:
        """Whether there is something to take back."""
        return bool(self._pending or self._groups)

    @property
    def can_redo(self) -> bool:
        """Whether there is something to make again."""
        return bool(self._undone or self._undone_groups)

    @property
    def has_edits(self) -> bool:
        """Whether the user changed anything, now or before the scene was saved."""
        return bool(self.can_undo or self.said or (self._painted is not None and self._painted.any()))

    @property
    def edits(self) -> np.ndarray:
        """uint8 (z, y, x): 1 painted as lesion, 2 as not lesion, refined or not; 0 elsewhere."""
        edits = self._session.edits
        if self._painted is not None:
            edits = np.where(edits == 0, self._painted, edits)
        for edit in self._pending:
            for value, mask in edit.parts():
                edits[edit.box][mask] = value
        return edits

    def recognise(self, inside_lobes: bool) -> bool:
        """Take what the user changed since the last call as an edit.

        Args:
            inside_lobes: Give back to the segment what was changed outside the lobes.

        Returns:
            Whether there was an edit.
        """
        self.settle()  # what a slider did before the stroke is a step of its own
        with self.working():
            edit = self._segment.look(self._found.lobes.labels if inside_lobes else None)
        if edit is None:
            return False
        self._take(edit)
        return True

    def make(self, edit: Edit) -> None:
        """Paint an edit from here, as one that a journal holds."""
        self.settle()
        with self.working():
            self._segment.show(edit.box, edit.after)
        self._take(edit)

    def _take(self, edit: Edit) -> None:
        self._count(edit.box, edit.before, edit.after)
        self._pending.append(edit)
        self._undone.clear()
        self._undone_groups.clear()

    @property
    def waiting(self) -> tuple[Edit, ...]:
        """The edits that were not refined yet, oldest first."""
        return tuple(self._pending)

    @property
    def lesion(self) -> np.ndarray:
        """uint8 (z, y, x), 1 lesion: what is seen now; the array itself, not a copy."""
        return self._segment.seen

    def refine(self) -> bool:
        """Let the lesion follow from the edits around them.

        Returns:
            Whether there was something to refine.
        """
        if not self._pending:
            return False
        self.settle()
        for edit in self._pending:
            strokes = edit.strokes()
            for value, voxels in strokes:
                self._put(*self._session.paint(voxels, value))
            self._groups.append(Group(len(strokes)))
        self._pending.clear()
        self._undone.clear()
        self._undone_groups.clear()
        self.save_strokes()
        return True

    def undo(self) -> bool:
        """Take the last edit back: one that was not refined yet, else the last refined one with what it moved."""
        self.settle()
        if self._pending:
            edit = self._pending.pop()
            self._undone.append(edit)
            self._put(edit.box, edit.before)
            return True
        if not self._groups:
            return False
        group = self._groups.pop()
        self._undone_groups.append(group)
        self.said = self.said if group.before is None else group.before
        self._step(self._session.undo, group.count)
        return True

    def redo(self) -> bool:
        """Make the edit again that was taken back last."""
        self.settle()
        if self._undone_groups:
            group = self._undone_groups.pop()
            self._groups.append(group)
            self.said = self.said if group.after is None else group.after
            self._step(self._session.redo, group.count)
            return True
        if not self._undone:
            return False
        edit = self._undone.pop()
        self._pending.append(edit)
        self._put(edit.box, edit.after)
        return True

    def findings(self) -> Findings:
        """The results as they are now."""
        self.settle()
        return replace(
            self._found,
            lesion=self._segment.seen.copy(),
            quantification=self.table,
            reading=self.said or None,
            record=record_with(self._found.record, self._all_strokes, self._pending),
        )

    @property
    def given(self) -> Findings:
        """What the run, or the scene, gave before any edit."""
        return self._found

    @property
    def dragging(self) -> bool:
        """Whether a slider moves."""
        return self._drag is not None

    def steer(self, lobe: int, ranked: RankedLobe, percent: float | None, who: str = "") -> Share:
        """Give a lobe another share of lesion; strokes that were not refined yet are refined first.

        Args:
            lobe: The lobe's value, 1..5.
            ranked: Its ranks.
            percent: What the reader wants; None: the model's own mask.
            who: The reader's name.

        Returns:
            What the lobe has now. :meth:`settle` makes the change a step of undo.
        """
        if self._drag is None or self._drag.lobe != lobe:
            self.settle()
            self.refine()
            self._drag = self._drag_of(lobe, ranked)
            self._drag_from = self.said
        update = self._drag.cut(percent, self._found.threshold)
        if update is not None:
            with self.working():
                self._segment.show(*update)
        self.said = with_number(self.said, lobe, percent, who)
        return self._drag.share()

    def _drag_of(self, lobe: int, ranked: RankedLobe) -> Drag:
        edits = self._session.edits_in(ranked.box)
        if self._painted is not None:
            edits = np.where(edits == 0, self._painted[ranked.box], edits)
        return Drag(lobe, ranked, self._segment.seen, edits)

    def settle(self) -> bool:
        """Make what a slider changed since the last rest a step that can be undone; returns whether there was any."""
        drag, self._drag = self._drag, None
        if drag is None:
            return False
        box = drag.changed
        if box is not None:
            before = drag.before[within(box, drag.box)]
            now = self._segment.seen[box]
            self._count(box, before, now)
            box, label = self._session.relabel(box, now)
            if not np.array_equal(label, now):
                self._put(box, label)
        elif self.said == self._drag_from:
            return False
        self._groups.append(Group(int(box is not None), self._drag_from, self.said))
        self._undone.clear()
        self._undone_groups.clear()
        self.save_strokes()
        return True

    def carrying_over(self, findings: Findings, ranked: Mapping[int, RankedLobe]) -> Steps[Findings]:
        """Take the results of a new run on the same CT and apply all edits to them, and the reader's numbers.

        Args:
            findings: Of the new run.
            ranked: The lobes of the new map that a reader gave a number, by their values; a number of another lobe is
                forgotten.

        Returns:
            The same with the corrected lesion.
        """
        self.settle()
        old, self._found = self._found, findings
        said, self.said = self.said, Reading()
        # What was steered was the earlier run's map: its steps go, and the numbers are applied anew.
        self._groups = [group for group in self._groups if group.before is None]
        self._undone_groups = [group for group in self._undone_groups if group.before is None]
        earlier, strokes = self._earlier_strokes(), self._session.strokes
        same_lobes = np.array_equal(findings.lobes.labels, old.lobes.labels)
        same_cut = findings.threshold == old.threshold
        if same_lobes and same_cut and self._painted is None:
            self._session.replace_probability(findings.map, findings.record)
        else:
            self._session, self._painted = new_session(findings), None
            self._undone_groups.clear()
            self._groups[:0] = [Group(1) for _stroke in earlier]
            for stroke in (*earlier, *strokes):
                self._session.paint(voxels_of(stroke), stroke.value)
        self._measured = None
        yield "strokes"
        # Nothing keeps the user from painting meanwhile, in the Segment Editor module.
        late = self._segment.look()
        edits = [*self._pending, *([late] if late else [])]
        self._segment.expect(self._session.label)
        self._say_again(said, ranked)
        self._pending = [self._again(edit) for edit in edits]
        self._undone.clear()
        return self.findings()

    def _say_again(self, said: Reading, ranked: Mapping[int, RankedLobe]) -> None:
        """Cut the lobes of a new map at a reader's numbers, each of them a step of undo; what was painted holds."""
        for lobe, lobe_ranked in ranked.items():
            percent, before = said.percent[lobe - 1], self.said
            update = self._drag_of(lobe, lobe_ranked).cut(percent, self._found.threshold)
            if update is not None:
                self._segment.take(*self._session.relabel(*update))
            self.said = with_number(before, lobe, percent, said.who[lobe - 1])
            self._groups.append(Group(int(update is not None), before, self.said))
            self._undone_groups.clear()

    def _again(self, edit: Edit) -> Edit:
        """The same edit on another label; the label seen gets it."""
        before = self._segment.seen[edit.box].copy()
        after = before.copy()
        for value, mask in edit.parts():
            after[mask] = 1 if value == PAINTED_LESION else 0
        self._segment.take(edit.box, after)
        return Edit(edit.box, before, after)

    def _step(self, move: Callable[[], Any], count: int) -> None:
        for _number in range(count):
            update = move()
            if update is not None:
                self._put(*update)
        self.save_strokes()

    def _put(self, box: Box, label: np.ndarray) -> None:
        """Show the label in a box."""
        self._count(box, self._segment.seen[box].copy(), label)
        with self.working():
            self._segment.show(box, label)

    def _count(self, box: Box, before: np.ndarray, after: np.ndarray) -> None:
        if self._measured is not None:
            self._measured.change(box, before, after)

    def save_strokes(self) -> None:
        """Keep what was painted and said on the lesion's node."""
        with self.working():
            write_strokes(self.node, self._all_strokes)
            write_reading(self.node, self.said)

    @property
    def _all_strokes(self) -> list[Stroke]:
        return [*self._earlier_strokes(), *self._session.strokes]

    def _earlier_strokes(self) -> list[Stroke]:
        """What was painted before the scene was saved, where it can no longer be undone."""
        return [] if self._painted is None else strokes_of(self._painted)

    @contextmanager
    def working(self) -> Any:
        """While the block runs the segment is changed from here."""
        before, self.busy = self.busy, True
        try:
            yield
        finally:
            self.busy = before
