"""The arrays of a correction session, and what one stroke does to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from DRAMLesionLib.correction.logits import LUNG, STEP, to_label, update_steps
from DRAMLesionLib.correction.propagation import Patch, Propagation, propagate
from DRAMLesionLib.correction.strokes import Change, History, Stroke
from DRAMLesionLib.images import box
from DRAMLesionLib.images.box import Box
from DRAMLesionLib.system.files import atomic_file
from DRAMLesionLib.system.progress import Progress, silent


@dataclass(eq=False)
class State:
    """What is being corrected; all arrays have shape (z, y, x).

    Attributes:
        hu: int16 or float32 HU.
        lobes: uint8, 0..5.
        spacing_mm: (z, y, x).
        settings: How strokes spread.
        start: int8, the logits that the map began with.
        logits: int8, the logits now.
        edits: uint8, 0, 1 lesion, 2 not lesion.
        label: uint8, 1 lesion; it follows from logits and edits.
    """

    hu: np.ndarray
    lobes: np.ndarray
    spacing_mm: tuple[float, float, float]
    settings: Propagation
    start: np.ndarray
    logits: np.ndarray
    edits: np.ndarray
    label: np.ndarray

    @classmethod
    def begin(
        cls,
        hu: np.ndarray,
        lobes: np.ndarray,
        spacing_mm: tuple[float, float, float],
        settings: Propagation,
        start: np.ndarray,
    ) -> State:
        """Before the first stroke."""
        edits = np.zeros(hu.shape, np.uint8)
        label = (start > 0).view(np.uint8)
        return cls(hu, lobes, spacing_mm, settings, start, start.copy(), edits, label)

    def with_start(self, start: np.ndarray) -> State:
        """The state of this CT before the first stroke, on another map."""
        return State.begin(self.hu, self.lobes, self.spacing_mm, self.settings, start)

    def solve(self, stroke: Stroke) -> Change:
        """What the stroke changes. Nothing is changed yet; the work grows with its neighbourhood, not the volume."""
        around = box.grow(stroke.box, self.settings.halo_mm, self.spacing_mm, self.hu.shape)
        inner = box.within(stroke.box, around)
        edits = self.edits[around].copy()
        edits[inner][stroke.voxels] = stroke.value
        painted = np.zeros(edits.shape, bool)
        painted[inner] = stroke.voxels
        old = self.logits[around]
        unit = np.float32(STEP)
        patch = Patch(
            hu=self.hu[around],
            lung=LUNG[self.lobes[around]],
            start=self.start[around] * unit,
            logits=old * unit,
            edits=edits,
            stroke=painted,
            value=stroke.value,
            spacing_mm=self.spacing_mm,
        )
        corrected = propagate(patch, self.settings)
        new, moved = old.copy(), corrected != patch.logits
        new[moved] = update_steps(old[moved], corrected[moved])
        difference = new.view(np.uint8) - np.ascontiguousarray(old).view(np.uint8)
        tight = box.bounding_box((difference != 0) | painted)
        edited = edits[inner] - self.edits[stroke.box]
        return Change.between(stroke, box.beyond(tight, around), difference[tight], edited)

    def refresh(self, box: Box) -> None:
        """Let the label follow from logits and edits in ``box``."""
        self.label[box] = to_label(self.logits[box], self.edits[box])

    def refresh_all(self) -> None:
        """Let the label follow from logits and edits in the whole volume."""
        self.label = to_label(self.logits, self.edits)


def repaint(
    state: State, done: Sequence[Change], undone: Sequence[Change], progress: Progress = silent
) -> History:
    """Make the strokes of another map's history again on a fresh ``state``, in their order.

    Args:
        state: Before the first stroke; it is changed.
        done: Changes that stand, oldest first.
        undone: Changes that were taken back, as in :class:`~DRAMLesionLib.correction.strokes.History`.
        progress: Told how many strokes were made.

    Returns:
        The history on the new map, with the same strokes done and undone.
    """
    history = History()
    # A label that was taken over from elsewhere is the old map's: nothing of it is painted.
    done, undone = ([old for old in part if old.stroke.voxels.any()] for part in (done, undone))
    total = len(done) + len(undone)
    for count, old in enumerate((*done, *reversed(undone))):
        progress("Applying the edits", count / total)
        change = state.solve(old.stroke)
        change.apply(state.logits, state.edits)
        history.push(change)
    for _ in undone:
        history.undo(state.logits, state.edits)
    state.refresh_all()
    return history


def write_labels(directory: Path, header: dict[str, Any], state: State) -> None:
    """Label and edits for others to read: NIfTI where the CT's geometry is known."""
    if header["geometry"] is None:
        with atomic_file(directory / "label.npz") as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, label=state.label, edits=state.edits)
        return
    from DRAMLesionLib.images.volume import Geometry, Volume, write_volume

    geometry = {name: tuple(value) for name, value in header["geometry"].items()}
    like = Volume(state.label, state.spacing_mm, Geometry(**geometry), header["name"])
    write_volume(state.label, like, directory / "label.nii.gz")
    write_volume(state.edits, like, directory / "edits.nii.gz")
