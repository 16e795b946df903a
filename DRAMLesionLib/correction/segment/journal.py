"""What a person did to the lesion of a results folder, action by action: a process that is killed loses no stroke.

``correction.jsonl`` has one action in a line, in the form of :mod:`DRAMLesionLib.correction.store`: the CRC-32, a blank,
JSON. Each is on the disk before its refinement is seen. The first line says which lesion the actions belong to.
"""

from __future__ import annotations

import datetime
import errno
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
"""What a journal becomes whose lesion is no longer there: the CT was segmented anew. Where there is such a file already,
the name gets a number."""
FORMAT = 1


class Journal:
    """The journal of one results folder, open for writing by one process.

    Attributes:
        path: The file; it comes with the first action.
        actions: What was done before, oldest first.
        set_aside: What a journal of earlier results is called now that lay here; empty where there was none.
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
        begin = {"op": "begin", "format": FORMAT, "lesion": _checksum(findings)}
        self.actions: list[dict[str, Any]] = []
        self.set_aside = ""
        records = [*read_journal(self.path)] if self.path.is_file() else []
        if records and {**records[0], "time": 0} == {**begin, "time": 0}:
            self.actions = records[1:]
        elif records:
            self.set_aside = _free_name(folder)
            self.path.replace(folder / self.set_aside)
        self._size = _size(self.path)
        self._unwritten = [] if self._size else [{**begin, "time": _now()}]

    def add(self, op: str, **values: Any) -> None:
        """Write an action down, after those that could not be written before: without them it would mean another thing.

        Args:
            op: ``stroke``, ``refine``, ``steer``, ``undo`` or ``redo``.
            values: JSON values.

        Raises:
            OSError: It can't be written, or another process has written here meanwhile; the action waits.
        """
        self._unwritten.append({"op": op, **values, "time": _now()})
        if _size(self.path) != self._size:
            raise OSError(errno.EBUSY, "another server writes there, too", str(self.path))
        self.path.touch()
        while self._unwritten:
            append_record(self.path, self._unwritten[0])
            del self._unwritten[0]
            self._size = _size(self.path)

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


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _size(path: Path) -> int:
    """Bytes; 0 where there is no file."""
    return path.stat().st_size if path.is_file() else 0


def _free_name(folder: Path) -> str:
    name, number = ASIDE, 1
    while (folder / name).exists():
        number += 1
        name = f"{Path(ASIDE).stem}_{number}{Path(ASIDE).suffix}"
    return name


def _checksum(findings: Findings) -> str:
    """Of lesion and lobes: actions on others would be meant for something else."""
    value = zlib.crc32(np.packbits(findings.lesion != 0).tobytes())
    return f"{zlib.crc32(np.ascontiguousarray(findings.lobes.labels).tobytes(), value):08x}"
