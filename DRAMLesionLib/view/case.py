"""One CT's results, open to be read, steered and corrected: what the page's buttons do, without the page.

The scene's nodes, the correction and the journal are the library's; nothing here knows trame or a browser. Methods that
take seconds work on copies, so that they may run in a thread while the reader goes on.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from DRAMLesionLib.correction.correct_results import folder_beside
from DRAMLesionLib.correction.segment.beginning import hu_of
from DRAMLesionLib.correction.segment.correction import Correction
from DRAMLesionLib.correction.segment.hold import Hold
from DRAMLesionLib.correction.segment.journal import Journal, replay, steered_lobes
from DRAMLesionLib.correction.segment.saved_strokes import write_reading
from DRAMLesionLib.correction.session import CorrectionSession
from DRAMLesionLib.images.volume import Volume, read_ct, without_identifiers
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quality import Flag, flags_of
from DRAMLesionLib.lesions.ranked_lobe import RankedLobe
from DRAMLesionLib.results.folder import (
    check_same_ct,
    ct_of,
    is_results,
    known_again,
    read_edits,
    read_findings,
    write_findings,
)
from DRAMLesionLib.results.lesion_list import LesionList, list_lesions
from DRAMLesionLib.results.scene.available import SCENE_NAME
from DRAMLesionLib.results.scene.nodes import FindingsNodes, add_findings
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress, silent

TRAINING_FOLDER = "dramlesion_training"
"""The folder for accepted cases beside the results, where no other is given."""


@dataclass(frozen=True)
class Places:
    """Where a case is read from and written to.

    Attributes:
        results: The folder that was opened.
        ct: The CT; None where it still lies where it was.
        out: For corrected results.
        training: For accepted cases.
        keep_identifiers: The page and what is written may show a DICOM folder's name and study.
    """

    results: Path
    ct: Path | None
    out: Path
    training: Path
    keep_identifiers: bool = False

    @classmethod
    def beside(
        cls,
        results: Path,
        ct: Path | None = None,
        out: Path | None = None,
        training: Path | None = None,
        keep_identifiers: bool = False,
    ) -> Places:
        """The places, beside the results where none are given.

        Raises:
            InputError: Corrected results would go into the folder that is opened.
        """
        if out is not None and out.resolve() == results.resolve():
            raise InputError(f"{out}: holds the results that are opened: give another folder with --out")
        beside = results.resolve().parent / TRAINING_FOLDER
        return cls(results, ct, out or folder_beside(results), training or beside, keep_identifiers)


def read_case(places: Places, progress: Progress = silent) -> tuple[Findings, np.ndarray | None]:
    """Read the results of a folder with their CT.

    Args:
        places: Where they lie.
        progress: Told the stage.

    Returns:
        The findings, and what was painted before: uint8 (z, y, x), 1 lesion, 2 not lesion; None for nothing.

    Raises:
        InputError: The folder holds no results, or their CT is not to be found or another one.
    """
    progress("Reading the CT", 0.0)
    ct: Volume = read_ct(places.ct or ct_of(places.results))
    if not places.keep_identifiers:
        ct = without_identifiers(ct)
    ct = known_again(places.results, ct)
    progress("Reading the results", 0.5)
    findings = read_findings(places.results, ct)
    check_same_ct(places.results, findings)
    if not places.keep_identifiers:
        findings.record.pop("study", None)
    return findings, read_edits(places.results, ct)


class Case:
    """An open case.

    Attributes:
        places: Where it is read from and written to.
        findings: What the folder held.
        nodes: Its nodes in the scene.
        correction: Strokes, sliders, undo.
        ranked: The lobes that sliders can cut, by their values; empty until :meth:`rank`.
        notes: What the reader must know of the journal.
    """

    def __init__(
        self, scene: Any, findings: Findings, places: Places, held: np.ndarray | None = None
    ) -> None:
        """Show a case in a scene.

        Args:
            scene: vtkMRMLScene.
            findings: What the folder holds.
            places: Where it lies.
            held: What was painted before, from :func:`read_case`.

        Raises:
            InputError: The folder's journal is damaged.
        """
        self.places, self.findings = places, findings
        self.journal = Journal(
            places.results, findings
        )  # first: where it is damaged, the scene stays as it was
        self.nodes: FindingsNodes = add_findings(scene, findings)
        if findings.reading is not None:
            write_reading(self.nodes.lesion, findings.reading)
        session = CorrectionSession(
            hu_of(findings.ct.array),
            findings.lobes,
            findings.map,
            findings.ct.spacing_mm,
            label=findings.lesion,
            threshold=findings.threshold,
            provenance=findings.record,
            ct=findings.ct,
        )
        self.correction = Correction(self.nodes.lesion, replace(findings, cuts=None), session, held)
        self.ranked: dict[int, RankedLobe] = {}
        self.notes: list[str] = []
        if self.journal.set_aside:
            self.notes.append(
                f"Strokes on earlier results of this CT were set aside as {self.journal.set_aside}."
            )
        self._steered: tuple[int, float | None, str] | None = None
        self._journal_note = ""
        self._saved = False

    @property
    def flags(self) -> tuple[Flag, ...]:
        """What should be looked at."""
        return flags_of(self.findings.record)

    def rank(self, wanted: set[int] | None = None) -> dict[int, RankedLobe]:
        """Rank lobes by how likely their voxels are lesion; takes seconds and may run in a thread.

        Args:
            wanted: The lobes' values; None: all.
        """
        from DRAMLesionLib.lesions.steer import Steering

        found = self.findings
        steering = Steering(found.map, found.threshold, found.lobes.labels, found.ct.spacing_mm)
        lobes = [lobe for lobe in steering.boxes if wanted is None or lobe in wanted]
        ranked = {lobe: steering.ranked(lobe) for lobe in lobes}
        return {lobe: one for lobe, one in ranked.items() if one is not None}

    def resume(self) -> int:
        """Do again what the journal holds; lobes that it steers must be ranked, which is done here where it was not.

        Returns:
            How many actions there were.

        Raises:
            InputError: An action does not fit.
        """
        actions = self.journal.actions
        steered = steered_lobes(actions)
        ranked = self.ranked if steered <= self.ranked.keys() else self.rank(steered)
        replay(self.correction, actions, ranked)
        return len(actions)

    def look(self, inside_lobes: bool = False, refine: bool = True) -> bool:
        """Take what was painted since the last look as a stroke, and let the lesion follow.

        Args:
            inside_lobes: Give back what was painted outside the lobes.
            refine: Refine around the stroke.

        Returns:
            Whether there was a stroke.
        """
        self.settle()
        if not self.correction.recognise(inside_lobes):
            return False
        self._write(lambda: self.journal.add_stroke(self.correction.waiting[-1]))
        if refine:
            self.refine()
        return True

    def refine(self) -> bool:
        """Let the lesion follow from the strokes that were not refined yet; returns whether there were any."""
        self.settle()
        if not self.correction.waiting:
            return False
        self._write(lambda: self.journal.add("refine"))
        return self.correction.refine()

    def steer(self, lobe: int, percent: float | None, who: str = "") -> float | None:
        """Give a lobe another percentage while a slider moves; :meth:`settle` makes it a step of undo.

        Args:
            lobe: The lobe's value, 1..5.
            percent: What the reader wants; None: the model's own mask, with what was painted.
            who: The reader's name.

        Returns:
            What the lobe has now in percent; None where it was not ranked.
        """
        if lobe not in self.ranked:
            return None
        if self._steered is not None and self._steered[0] != lobe:
            self.settle()
        if self._steered is None:
            self.look()
            self.refine()
        self._steered = (lobe, percent, who)
        return self.correction.steer(lobe, self.ranked[lobe], percent, who).percent

    def settle(self) -> bool:
        """The slider rests: what it did is a step of undo; returns whether there was any."""
        steered, self._steered = self._steered, None
        if steered is None or not self.correction.settle():
            return False
        lobe, percent, who = steered
        self._write(lambda: self.journal.add("steer", lobe=lobe, percent=percent, who=who))
        return True

    def undo(self) -> bool:
        """Take the last step back; returns whether there was any."""
        return self._step("undo", self.correction.undo)

    def redo(self) -> bool:
        """Make the step again that was taken back last; returns whether there was any."""
        return self._step("redo", self.correction.redo)

    def _step(self, op: str, do: Callable[[], bool]) -> bool:
        self.look()
        self.settle()
        if not do():
            return False
        self._write(lambda: self.journal.add(op))
        return True

    def _write(self, write: Callable[[], None]) -> None:
        """Write an action down; where that fails the work goes on, and the reader is told until it can be again."""
        if self._journal_note:
            self.notes.remove(self._journal_note)
            self._journal_note = ""
        try:
            write()
        except OSError as error:
            reason = error.strerror or str(error)
            self._journal_note = (
                f"Strokes can't be written beside the results ({reason}): save before you close."
            )
            self.notes.append(self._journal_note)

    def current(self) -> tuple[Findings, np.ndarray]:
        """The results as they are now, and what was painted: copies, for :meth:`save` and the others in a thread."""
        self.look()
        return self.correction.findings(), self.correction.edits

    def lesions(self, lesion: np.ndarray) -> LesionList:
        """The list of a lesion, uint8 (z, y, x); takes a moment and may run in a thread."""
        return list_lesions(self.findings.ct, self.findings.lobes.labels, lesion)

    def save(self, findings: Findings, edits: np.ndarray) -> Path:
        """Write results, from :meth:`current`, into the folder for corrected ones; takes seconds, may run in a thread.

        Results of an earlier session or of another command that lie there are kept, under a name with a number.

        Raises:
            InputError: The folder can't be used.
            OSError: It can't be written.
        """
        painted = edits if edits.any() else None
        with_scene = (self.places.results / SCENE_NAME).is_file()
        out = self.places.out
        theirs = not self._saved and is_results(out)
        with _earlier_kept(out) if theirs else nullcontext() as earlier:
            write_findings(findings, out, with_scene=with_scene, edits=painted)
        if earlier is not None:
            self.notes.append(f"The earlier corrected results are kept as {earlier.name}.")
        self._saved = True
        return out

    def accept(self, findings: Findings, edits: np.ndarray) -> Path:
        """Store results, from :meth:`current`, as a case to learn from; returns its folder. May run in a thread.

        Raises:
            InputError: The training folder's list can't be read.
            OSError: It can't be written.
        """
        from DRAMLesionLib.training.data.accepted_case import save_accepted_case

        return save_accepted_case(self.places.training, findings, edits)

    def report(self, findings: Findings, path: Path) -> None:
        """Write the report of results, from :meth:`current`: a web page. May run in a thread."""
        from DRAMLesionLib.results.report import write_report

        write_report(findings, path)


@contextmanager
def _earlier_kept(out: Path) -> Iterator[Path]:
    """Rename earlier results to a free name, ``OUT_earlier_1`` and so on; they come back where the block fails."""
    numbers = itertools.count(1)
    earlier = next(path for number in numbers if not (path := Path(f"{out}_earlier_{number}")).exists())
    Hold(out).release()  # refused where another server has it open
    out.rename(earlier)
    try:
        yield earlier
    except BaseException:
        if not out.exists():
            earlier.rename(out)
        raise
