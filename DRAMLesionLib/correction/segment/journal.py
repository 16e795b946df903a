"""What a person did to the lesion of a results folder, action by action: a process that is killed loses no stroke.

``correction.jsonl`` has one action in a line, in the form of :mod:`DRAMLesionLib.correction.store`: the CRC-32, a blank,
JSON. Each is on the disk before its refinement is seen. The first line says which lesion the actions belong to.
"""

from __future__ import annotations

import datetime
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from DRAMLesionLib.correction.propagation import LESION
from DRAMLesionLib.correction.segment.correction import Correction
from DRAMLesionLib.correction.segment.recogniser import Edit
from DRAMLesionLib.correction.segment.saved_strokes import row_of, stroke_of
from DRAMLesionLib.correction.store import append_record, read_journal
from DRAMLesionLib.correction.strokes import Stroke
from DRAMLesionLib.images.box import hull, within
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.ranked_lobe import RankedLobe
from DRAMLesionLib.system.errors import InputError

NAME = "correction.jsonl"
"""The journal's name in the folder of results."""
ASIDE = "correction_of_earlier_results.jsonl"
"""What a journal becomes whose lesion is no longer there: the CT was segmented anew."""
FORMAT = 1


class Journal:
    """The journal of one results folder, open for writing.

    Attributes:
        path: The file; it comes with the first action.
        actions: What was done before, oldest first.
        set_aside: Whether a journal of earlier results lay here, which is called :data:`ASIDE` now.
    """

    def __init__(self, folder: Path, findings: Findings) -> None:
        """Open the journal of a folder.

        Args:
            folder: Results.
            findings: What they hold.

        Raises:
            InputError: A line of the journal is damaged.
        """
        self.path = folder / NAME
        self._begin = {"op": "begin", "format": FORMAT, "lesion": _checksum(findings)}
        self.actions: list[dict[str, Any]] = []
        self.set_aside = False
        if self.path.is_file():
            first, *actions = [*read_journal(self.path)] or [{}]
            if {**first, "time": 0} == {**self._begin, "time": 0}:
                self.actions = actions
            else:
                self.path.replace(folder / ASIDE)
                self.set_aside = True

    def add(self, op: str, **values: Any) -> None:
        """Write an action down.

        Args:
            op: ``stroke``, ``refine``, ``steer``, ``undo`` or ``redo``.
            values: JSON values.

        Raises:
            OSError: It can't be written.
        """
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        if not self.path.exists():
            self.path.touch()
            append_record(self.path, {**self._begin, "time": now})
        append_record(self.path, {"op": op, **values, "time": now})

    def add_stroke(self, edit: Edit) -> None:
        """Write a stroke down: an edit that :class:`~DRAMLesionLib.correction.segment.correction.Correction` took.

        Raises:
            OSError: It can't be written.
        """
        self.add("stroke", parts=[row_of(Stroke(value, edit.box, mask)) for value, mask in edit.parts()])


def replay(correction: Correction, actions: list[dict[str, Any]], ranked: Mapping[int, RankedLobe]) -> None:
    """Do again what a journal holds.

    Args:
        correction: At its beginning.
        actions: Oldest first.
        ranked: The lobes by their values; those that were steered are needed.

    Raises:
        InputError: An action is unknown, or does not fit the CT.
    """
    for number, action in enumerate(actions, start=2):
        try:
            _do(correction, action, ranked)
        except (KeyError, ValueError, TypeError, IndexError, zlib.error) as error:
            raise InputError(
                f"{NAME}: line {number} can't be done again ({error}): restore it from a backup, or take it away"
            ) from error


def _do(correction: Correction, action: dict[str, Any], ranked: Mapping[int, RankedLobe]) -> None:
    match action["op"]:
        case "stroke":
            correction.make(_edit_of([stroke_of(row) for row in action["parts"]], correction.lesion))
        case "refine":
            correction.refine()
        case "steer":
            lobe = int(action["lobe"])
            correction.steer(lobe, ranked[lobe], action["percent"], str(action["who"]))
            correction.settle()
        case "undo":
            correction.undo()
        case "redo":
            correction.redo()
        case other:
            raise ValueError(f"unknown action {other}")


def _edit_of(strokes: list[Stroke], lesion: np.ndarray) -> Edit:
    """The change that painting the strokes over a lesion makes."""
    box = hull(strokes[0].box, *(stroke.box for stroke in strokes[1:]))
    before = lesion[box].copy()
    after = before.copy()
    for stroke in strokes:
        after[within(stroke.box, box)][stroke.voxels] = 1 if stroke.value == LESION else 0
    return Edit(box, before, after)


def steered_lobes(actions: list[dict[str, Any]]) -> set[int]:
    """The values of the lobes that a journal's actions steer."""
    return {int(action["lobe"]) for action in actions if action.get("op") == "steer" and "lobe" in action}


def _checksum(findings: Findings) -> str:
    """Of lesion and lobes: actions on others would be meant for something else."""
    value = zlib.crc32(np.packbits(findings.lesion != 0).tobytes())
    return f"{zlib.crc32(np.ascontiguousarray(findings.lobes.labels).tobytes(), value):08x}"
