"""What a person painted: strokes, the changes they made, and undo and redo that restore them exactly."""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from DRAMLesionLib.correction.propagation import FORGET, LESION, NOT_LESION
from DRAMLesionLib.images.box import Box
from DRAMLesionLib.system.errors import InputError

VALUES = {LESION: "lesion", NOT_LESION: "not lesion", FORGET: "forget"}


@dataclass(frozen=True, eq=False)
class Stroke:
    """Voxels that were painted at once.

    Attributes:
        value: 1 lesion, 2 not lesion, 0 forget what was painted here.
        box: The bounding box of the painted voxels in the volume.
        voxels: bool, the shape of ``box``: which of its voxels were painted.
    """

    value: int
    box: Box
    voxels: np.ndarray


def read_stroke(voxels: Any, value: int, shape: tuple[int, ...]) -> Stroke:
    """Check painted voxels and their value.

    Args:
        voxels: A boolean array of ``shape``; or integers of shape (n, 3), one (z, y, x) per row; or a tuple of three
            index arrays (z, y, x), as numpy.nonzero gives.
        value: 1 lesion, 2 not lesion, 0 forget.
        shape: The volume's shape, (z, y, x).

    Raises:
        InputError: Another value or kind of array, no voxel at all, or voxels outside the volume.
    """
    if isinstance(value, bool | np.bool_) or value not in VALUES:
        raise InputError(f"value: {value!r} is unknown: give 1 lesion, 2 not lesion or 0 to forget")
    if not isinstance(voxels, tuple):
        voxels = np.asarray(voxels)
        if voxels.dtype == np.bool_:
            return _from_mask(voxels, int(value), shape)
    return _from_indices(_rows(voxels), int(value), shape)


def _from_mask(mask: np.ndarray, value: int, shape: tuple[int, ...]) -> Stroke:
    if mask.shape != shape:
        raise InputError(
            f"voxels: the mask has shape {mask.shape}, the CT {shape}: give one on the CT's grid"
        )
    begin, end = _extent(np.any(mask, axis=(1, 2)))
    sides = [slice(begin, end)]
    slab = np.asarray(mask[begin:end].any(axis=0))  # the other sides from the few painted slices alone
    for axis in (1, 0):
        begin, end = _extent(np.any(slab, axis=axis))
        sides.append(slice(begin, end))
    box = (sides[0], sides[1], sides[2])
    return Stroke(value, box, mask[box].copy())


def _extent(hit: np.ndarray) -> tuple[int, int]:
    where = np.flatnonzero(hit)
    if not where.size:
        raise InputError("voxels: the stroke is empty: paint at least one voxel")
    return int(where[0]), int(where[-1]) + 1


def _rows(voxels: Any) -> np.ndarray:
    """Integers (n, 3) of any accepted kind of indices."""
    if isinstance(voxels, tuple):
        parts = [np.asarray(part) for part in voxels]
        if len(parts) != 3 or len({part.shape for part in parts}) != 1 or parts[0].ndim > 1:
            raise InputError("voxels: a tuple must hold three index arrays of one length: give (z, y, x)")
        rows = np.stack([part.reshape(-1) for part in parts], axis=1)
    else:
        rows = voxels
    if not rows.size:
        raise InputError("voxels: the stroke is empty: paint at least one voxel")
    if rows.ndim != 2 or rows.shape[1] != 3 or not np.issubdtype(rows.dtype, np.integer):
        raise InputError(
            f"voxels: {rows.dtype} of shape {rows.shape}: give a boolean array of the CT's shape or integers (n, 3)"
        )
    return rows


def _from_indices(rows: np.ndarray, value: int, shape: tuple[int, ...]) -> Stroke:
    low, high = rows.min(axis=0), rows.max(axis=0)
    if (low < 0).any() or any(int(high[axis]) >= shape[axis] for axis in range(3)):
        raise InputError(
            f"voxels: {tuple(low.tolist())} to {tuple(high.tolist())} lie outside the CT of shape {shape}: "
            "give indices (z, y, x) inside it"
        )
    box = (
        slice(int(low[0]), int(high[0]) + 1),
        slice(int(low[1]), int(high[1]) + 1),
        slice(int(low[2]), int(high[2]) + 1),
    )
    mask = np.zeros([side.stop - side.start for side in box], bool)
    mask[tuple((rows - low).T)] = True
    return Stroke(value, box, mask)


def pieces(
    edits: np.ndarray, spacing_mm: tuple[float, float, float], size_mm: float = 30.0
) -> list[tuple[np.ndarray, int]]:
    """Painted voxels (n, 3) by cubes of ``size_mm`` and value, so that each is as local as a stroke."""
    rows = np.argwhere(edits)
    if not len(rows):
        return []
    cubes = np.floor(rows * np.asarray(spacing_mm) / size_mm).astype(np.int64)
    keys = np.column_stack([cubes, edits[tuple(rows.T)]])
    unique, which = np.unique(keys, axis=0, return_inverse=True)
    which = which.reshape(-1)
    order = np.argsort(which, kind="stable")
    ends = np.cumsum(np.bincount(which))[:-1]
    return [(part, int(key[3])) for key, part in zip(unique, np.split(rows[order], ends), strict=True)]


@dataclass(frozen=True, eq=False)
class Change:
    """What one stroke did, as differences that can be added and taken away again without any rounding.

    Attributes:
        stroke: The stroke.
        box: What it may have changed; the stroke's box lies inside.
        logits: zlib of the logits' difference in ``box``, modulo 256.
        edits: zlib of the edits' difference in the stroke's box, modulo 256.
    """

    stroke: Stroke
    box: Box
    logits: bytes
    edits: bytes

    @classmethod
    def between(cls, stroke: Stroke, box: Box, logits: np.ndarray, edits: np.ndarray) -> "Change":
        """A change by its differences (new minus old, uint8, modulo 256) in ``box`` and in the stroke's box."""
        return cls(stroke, box, _pack(logits), _pack(edits))

    def apply(self, logits: np.ndarray, edits: np.ndarray) -> None:
        """Make the change in the volume's arrays: logits int8 and edits uint8, both in place."""
        logits[self.box].view(np.uint8)[...] += _unpack(self.logits, self.box)
        edits[self.stroke.box] += _unpack(self.edits, self.stroke.box)

    def revert(self, logits: np.ndarray, edits: np.ndarray) -> None:
        """Take the change away again, in the arrays of :meth:`apply`."""
        logits[self.box].view(np.uint8)[...] -= _unpack(self.logits, self.box)
        edits[self.stroke.box] -= _unpack(self.edits, self.stroke.box)

    def to_record(self) -> dict[str, Any]:
        """JSON values; voxels and differences as base64."""
        return {
            "value": self.stroke.value,
            "stroke_box": _ends(self.stroke.box),
            "voxels": _text(zlib.compress(np.packbits(self.stroke.voxels).tobytes(), 1)),
            "box": _ends(self.box),
            "belief": _text(self.logits),  # by the name that version 0.1 gave it
            "edits": _text(self.edits),
        }

    @classmethod
    def from_record(cls, record: dict[str, Any], shape: tuple[int, ...]) -> "Change":
        """Read what :meth:`to_record` gave.

        Raises:
            ValueError: The record isn't such a one, or doesn't fit a volume of ``shape``.
        """
        try:
            stroke_box, box = _box(record["stroke_box"], shape), _box(record["box"], shape)
            count = _size(stroke_box)
            bits = np.frombuffer(zlib.decompress(base64.b64decode(record["voxels"])), np.uint8)
            voxels = np.unpackbits(bits, count=count).astype(bool).reshape(_shape(stroke_box))
            change = cls(
                Stroke(int(record["value"]), stroke_box, voxels),
                box,
                base64.b64decode(record["belief"]),
                base64.b64decode(record["edits"]),
            )
            _unpack(change.logits, box)
            _unpack(change.edits, stroke_box)
        except (KeyError, TypeError, zlib.error) as error:
            raise ValueError(f"not a stroke: {error!r}") from error
        if change.stroke.value not in VALUES:
            raise ValueError(f"unknown value {change.stroke.value}")
        return change


@dataclass
class History:
    """The changes in order, and those that were undone.

    Attributes:
        done: Made and standing, oldest first.
        undone: Taken back, in the order they were taken back; the last is redone next.
    """

    done: list[Change] = field(default_factory=list)
    undone: list[Change] = field(default_factory=list)

    def push(self, change: Change) -> None:
        """Add a new change; what was undone before can't be redone any more."""
        self.done.append(change)
        self.undone.clear()

    def undo(self, logits: np.ndarray, edits: np.ndarray) -> Change:
        """Take the newest change back in both arrays; there must be one."""
        change = self.done.pop()
        change.revert(logits, edits)
        self.undone.append(change)
        return change

    def redo(self, logits: np.ndarray, edits: np.ndarray) -> Change:
        """Make the change again that was undone last; there must be one."""
        change = self.undone.pop()
        change.apply(logits, edits)
        self.done.append(change)
        return change

    def records(self) -> list[dict[str, Any]]:
        """Journal records that lead from an empty history to this one."""
        painted = [{"op": "paint", **change.to_record()} for change in (*self.done, *reversed(self.undone))]
        return [*painted, *({"op": "undo"} for _ in self.undone)]

    def replay(self, record: dict[str, Any], logits: np.ndarray, edits: np.ndarray) -> None:
        """Repeat one journal record.

        Raises:
            ValueError: The record is unknown or doesn't fit.
        """
        if record.get("op") == "paint":
            change = Change.from_record(record, logits.shape)
            change.apply(logits, edits)
            self.push(change)
            return
        if record.get("op") == "undo" and self.done:
            self.undo(logits, edits)
        elif record.get("op") == "redo" and self.undone:
            self.redo(logits, edits)
        else:
            raise ValueError(f"{record.get('op')!r} can't be repeated here")


def _pack(difference: np.ndarray) -> bytes:
    return zlib.compress(np.ascontiguousarray(difference, np.uint8).tobytes(), 1)


def _unpack(data: bytes, box: Box) -> np.ndarray:
    return np.frombuffer(zlib.decompress(data), np.uint8).reshape(_shape(box))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _shape(box: Box) -> tuple[int, int, int]:
    return (box[0].stop - box[0].start, box[1].stop - box[1].start, box[2].stop - box[2].start)


def _size(box: Box) -> int:
    depth, height, width = _shape(box)
    return depth * height * width


def _ends(box: Box) -> list[list[int]]:
    return [[side.start, side.stop] for side in box]


def _box(ends: Sequence[Sequence[int]], shape: tuple[int, ...]) -> Box:
    sides = [slice(int(begin), int(end)) for begin, end in ends]
    if len(sides) != 3 or any(
        not 0 <= s.start < s.stop <= length for s, length in zip(sides, shape, strict=True)
    ):
        raise ValueError(f"box {ends} does not fit shape {shape}")
    return sides[0], sides[1], sides[2]
