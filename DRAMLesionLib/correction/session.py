"""Correcting a lesion map by painting: a few painted voxels become a corrected label, while the person paints.

The session holds the map as *logits*: the logit of each voxel's probability relative to the threshold, clipped and kept
in steps of an int8, whose sign is the label. A stroke changes the logits around it
(:mod:`DRAMLesionLib.correction.propagation`) and nothing further away. Painted voxels are hard constraints: they
always win, outside the lobes too, since the person sees what an approximate lobe mask may miss; nothing spreads there.
"""

from __future__ import annotations

import datetime
import json
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import DRAMLesionLib
from DRAMLesionLib.correction.logits import (
    check_inputs,
    check_probability,
    sided,
    start_logits,
    to_probability,
)
from DRAMLesionLib.correction.propagation import FORGET, Propagation
from DRAMLesionLib.correction.state import State, repaint, write_labels
from DRAMLesionLib.correction.store import Store, read_header, read_session
from DRAMLesionLib.correction.strokes import Change, History, Stroke, read_stroke
from DRAMLesionLib.images.box import Box
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress, silent

if TYPE_CHECKING:
    from DRAMLesionLib.images.volume import Volume

Update = tuple[Box, np.ndarray]
"""What a viewer must redraw: the box that changed, and a copy of the label in it."""


class CorrectionSession:
    """One CT, its lobes and map, the label, and the edits that a person makes.

    Example:
        >>> session = CorrectionSession(ct.array, lobes, dram, ct.spacing_mm, directory="case1_correction")
        >>> box, label = session.paint(np.nonzero(brush), 1)
        >>> session.undo()

    Args:
        hu: int16 or float32 HU, shape (z, y, x).
        lobes: uint8 (z, y, x), 0..5, or a :class:`~DRAMLesionLib.lungs.lobes.LobeMap`.
        probability: float (z, y, x), 0..1: the map to correct. It counts inside the lobes alone.
        spacing_mm: (z, y, x) in mm.
        label: (z, y, x), 1 lesion: where the label begins if not with the map cut at ``threshold``.
        threshold: The map's; a voxel above it is lesion.
        provenance: JSON values on where the map came from: model, checksum, settings. Saved with the session.
        directory: A new or empty folder. Each change is saved there before the call that made it returns.
        crf: Sharpen the map by the dense CRF first.
        ct: The CT's volume, so that label and edits are saved in its geometry.
        propagation: How strokes spread.
        start: int8 (z, y, x): what :func:`~DRAMLesionLib.correction.logits.start_logits` gives for map and label, where
            the caller has it already; map and label are not looked at then.

    Raises:
        InputError: Shapes that differ, values out of range, NaN, or a directory that already holds a session.
    """

    def __init__(
        self,
        hu: np.ndarray,
        lobes: np.ndarray | LobeMap,
        probability: np.ndarray,
        spacing_mm: tuple[float, float, float],
        *,
        label: np.ndarray | None = None,
        threshold: float = 0.5,
        provenance: dict[str, Any] | None = None,
        directory: str | Path | None = None,
        crf: bool = False,
        ct: Volume | None = None,
        propagation: Propagation | None = None,
        start: np.ndarray | None = None,
    ) -> None:
        labels = lobes.labels if isinstance(lobes, LobeMap) else np.asarray(lobes)
        hu = np.asarray(hu)
        check_inputs(hu, labels, spacing_mm, threshold, ct)
        if directory is not None and read_header(directory) is not None:
            raise InputError(
                f"{directory}: already holds a correction session: open it with CorrectionSession.load, or "
                "choose another folder"
            )
        z, y, x = (float(length) for length in spacing_mm)
        settings = propagation or Propagation()
        self._header: dict[str, Any] = {
            "session": uuid.uuid4().hex,
            "created": _now(),
            "software": f"DRAMLesion {DRAMLesionLib.__version__}",
            "shape": list(hu.shape),
            "spacing_mm": [z, y, x],
            "settings": {"threshold": float(threshold), "crf": bool(crf)},
            "propagation": asdict(settings),
            "provenance": [_provenance(provenance)],
            "geometry": asdict(ct.geometry) if ct is not None else None,
            "name": ct.name if ct is not None else None,
        }
        if crf:
            probability = sharpened(probability, hu, labels, spacing_mm)
        if start is None:
            start = start_logits(probability, labels, threshold, label)
        self._state = State.begin(hu, labels.astype(np.uint8, copy=False), (z, y, x), settings, start)
        self._history = History()
        self._store: Store | None = None
        if directory is not None:
            store = Store(directory)
            self._write(store, self._header, self._state, self._history)
            self._store = store

    @property
    def label(self) -> np.ndarray:
        """A copy of the label: uint8 (z, y, x), 1 lesion."""
        return self._state.label.copy()

    @property
    def edits(self) -> np.ndarray:
        """A copy of the edits: uint8 (z, y, x), 1 painted as lesion, 2 as not lesion, 0 not painted."""
        return self._state.edits.copy()

    @property
    def probability(self) -> np.ndarray:
        """The corrected map for display: float32 (z, y, x), 0..1, above the threshold where the label is 1.

        Unlike the map that was given it is clipped and kept in 255 steps (:mod:`DRAMLesionLib.correction.logits`).
        """
        threshold = self._header["settings"]["threshold"]
        state = self._state
        return to_probability(state.logits, state.edits, state.lobes, threshold)

    @property
    def changed(self) -> np.ndarray:
        """bool (z, y, x): where edits or what they spread to moved the map."""
        return (self._state.logits != self._state.start) | (self._state.edits != FORGET)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """(z, y, x) in mm."""
        return self._state.spacing_mm

    @property
    def strokes(self) -> tuple[Stroke, ...]:
        """The strokes that stand, oldest first."""
        return tuple(change.stroke for change in self._history.done if change.stroke.voxels.any())

    @property
    def can_undo(self) -> bool:
        """Whether there is a stroke to take back."""
        return bool(self._history.done)

    @property
    def can_redo(self) -> bool:
        """Whether there is a stroke to make again."""
        return bool(self._history.undone)

    @property
    def provenance(self) -> dict[str, Any]:
        """The provenance of the map that is corrected now."""
        return dict(self._header["provenance"][-1])

    def paint(self, voxels: Any, value: int) -> Update:
        """Paint voxels, and let the rest re-solve around them.

        Args:
            voxels: A boolean array of the CT's shape; or integers (n, 3), one (z, y, x) per row; or a tuple of
                three index arrays (z, y, x).
            value: 1 lesion, 2 not lesion, 0 to forget what was painted there, with what it spread to.

        Returns:
            The three slices of the box that changed (the painted voxels lie inside), and a copy of the label there.

        Raises:
            InputError: An empty stroke, voxels outside the CT, or another value; nothing has changed.
            OSError: It can't be saved; nothing has changed.
        """
        state = self._state
        change = state.solve(read_stroke(voxels, value, state.hu.shape))
        # The journal first: when it can't be written, nothing has changed.
        self._save_step({"op": "paint", **change.to_record(), "time": _now()})
        change.apply(state.logits, state.edits)
        self._history.push(change)
        return self._updated(change)

    def relabel(self, box: Box, label: np.ndarray) -> Update:
        """Take another label in a box, as if the map had said so, as weakly as can be: a step that can be undone.

        Painted voxels stay as they were painted, and later strokes spread over the new label.

        Args:
            box: Where, (z, y, x).
            label: Shape of the box, not 0 is lesion.

        Returns:
            The box, and a copy of the label there.

        Raises:
            OSError: It can't be saved; nothing has changed.
        """
        state = self._state
        old = state.logits[box]
        new = sided(old, np.asarray(label) != 0)
        nothing = np.zeros(old.shape, np.uint8)
        difference = new.view(np.uint8) - np.ascontiguousarray(old).view(np.uint8)
        change = Change.between(Stroke(FORGET, box, nothing.astype(bool)), box, difference, nothing)
        self._save_step({"op": "paint", **change.to_record(), "time": _now()})
        change.apply(state.logits, state.edits)
        self._history.push(change)
        return self._updated(change)

    def edits_in(self, box: Box) -> np.ndarray:
        """A copy of the edits in a box: 1 painted as lesion, 2 as not lesion, 0 not painted."""
        return self._state.edits[box].copy()

    def undo(self) -> Update | None:
        """Take the last stroke back, exactly.

        Returns:
            As :meth:`paint`; None where there is nothing to undo.
        """
        if not self._history.done:
            return None
        self._save_step({"op": "undo", "time": _now()})
        change = self._history.undo(self._state.logits, self._state.edits)
        return self._updated(change)

    def redo(self) -> Update | None:
        """Make the stroke again that was undone last, exactly.

        Returns:
            As :meth:`paint`; None where there is nothing to redo.
        """
        if not self._history.undone:
            return None
        self._save_step({"op": "redo", "time": _now()})
        change = self._history.redo(self._state.logits, self._state.edits)
        return self._updated(change)

    def replace_probability(
        self,
        probability: np.ndarray,
        provenance: dict[str, Any] | None = None,
        *,
        label: np.ndarray | None = None,
        progress: Progress = silent,
    ) -> None:
        """Take a new map of the same CT, keep all edits and apply them again in their order.

        Undo and redo then step through the same strokes on the new map.

        Args:
            probability: The new map, float (z, y, x), 0..1.
            provenance: What the new map was made by and from, JSON values.
            label: (z, y, x), 1 lesion, where the new label differs from the map's cut; None where it does not.
            progress: Told how many strokes were applied.

        Raises:
            InputError: The map doesn't fit; nothing has changed.
            OSError: It can't be saved; nothing has changed.
        """
        old, settings = self._state, self._header["settings"]
        if settings["crf"]:
            probability = sharpened(probability, old.hu, old.lobes, old.spacing_mm)
        state = old.with_start(start_logits(probability, old.lobes, settings["threshold"], label))
        header = {**self._header, "provenance": [*self._header["provenance"], _provenance(provenance)]}
        history = repaint(state, self._history.done, self._history.undone, progress)
        if self._store is not None:
            self._write(self._store, header, state, history)
        self._header, self._state, self._history = header, state, history

    def save(self, directory: str | Path) -> None:
        """Write the whole session, and label and edits for others to read, into a folder.

        A session that was given this folder at its start saves each step there anyway; ``save`` then brings
        ``label.nii.gz`` and ``edits.nii.gz`` up to date. Another folder gets a copy as of now.

        Raises:
            InputError: The folder holds another session.
            OSError: It can't be written.
        """
        header = read_header(directory)
        if header is not None and header.get("session") != self._header["session"]:
            raise InputError(f"{directory}: holds another correction session: choose another folder")
        if self._store is not None and self._store.directory.resolve() == Path(directory).resolve():
            write_labels(self._store.directory, self._header, self._state)
        else:
            store = Store(directory, header["generation"] if header else 0)
            self._write(store, self._header, self._state, self._history)

    @classmethod
    def load(cls, directory: str | Path) -> CorrectionSession:
        """Open a saved session, with its undo history; changes go on being saved there.

        Raises:
            InputError: The folder holds no session, or a damaged one.
        """
        saved = read_session(directory)
        session = cls.__new__(cls)
        own = ("format", "generation", "volumes", "journal")
        header = {name: value for name, value in saved.header.items() if name not in own}
        history = History()
        try:
            z, y, x = header["spacing_mm"]
            settings = Propagation(**header["propagation"])
            hu, lobes, start = (saved.volumes[name] for name in ("hu", "lobes", "start"))
            state = State.begin(hu, lobes, (z, y, x), settings, start)
            for record in saved.records:
                history.replay(record, state.logits, state.edits)
        except (KeyError, TypeError, ValueError, OverflowError, IndexError) as error:
            raise InputError(
                f"{directory}: its files don't fit each other: restore the folder from a backup"
            ) from error
        state.refresh_all()
        session._header, session._state, session._history = header, state, history
        session._store = saved.store
        return session

    def _updated(self, change: Change) -> Update:
        self._state.refresh(change.box)
        return change.box, self._state.label[change.box].copy()

    def _save_step(self, record: dict[str, Any]) -> None:
        if self._store is not None:
            self._store.append(record)

    @staticmethod
    def _write(store: Store, header: dict[str, Any], state: State, history: History) -> None:
        """Everything; ``store`` then stands at the new generation."""
        store.directory.mkdir(parents=True, exist_ok=True)
        write_labels(store.directory, header, state)
        volumes = {"hu": state.hu, "lobes": state.lobes, "start": state.start}
        store.write_all(header, volumes, history.records())


def sharpened(
    probability: np.ndarray, hu: np.ndarray, lobes: np.ndarray, spacing_mm: tuple[float, float, float]
) -> np.ndarray:
    """A map after the dense CRF inside the lobes, arrays (z, y, x).

    Raises:
        InputError: The map is no probability inside the lobes.
    """
    from DRAMLesionLib.lesions.crf.crf import refine

    probability = np.asarray(probability, np.float32)
    check_probability(probability, lobes)
    return np.asarray(refine(probability, hu, spacing_mm, lobes > 0))


def _provenance(given: dict[str, Any] | None) -> dict[str, Any]:
    try:
        return {"time": _now(), **json.loads(json.dumps(given or {}))}
    except (TypeError, ValueError) as error:
        raise InputError(f"provenance: {error}: give text, numbers, lists and dictionaries alone") from error


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
