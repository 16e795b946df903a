"""The strokes of a correction, and a reader's numbers, as text on the lesion's node: a saved scene holds them."""

import base64
import json
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from DRAMLesionLib.correction.strokes import VALUES, Stroke, read_stroke
from DRAMLesionLib.lesions.reading import Reading
from DRAMLesionLib.system.errors import InputError

READING_ATTRIBUTE = "DRAMLesion.Reading"
"""JSON: a reader's percentages of the lobes, as :class:`~DRAMLesionLib.lesions.reading.Reading` has them."""

STROKES_ATTRIBUTE = "DRAMLesion.Strokes"
"""JSON: a list of ``[value, [[start, stop] of z, y, x], voxels]``, oldest first."""


def write_strokes(node: Any, strokes: Iterable[Stroke]) -> None:
    """Put strokes on a node, in their order."""
    rows = [row_of(stroke) for stroke in strokes]
    node.SetAttribute(STROKES_ATTRIBUTE, json.dumps(rows) if rows else None)


def read_strokes(node: Any) -> list[Stroke]:
    """The strokes on a node, oldest first."""
    return [stroke_of(row) for row in json.loads(node.GetAttribute(STROKES_ATTRIBUTE) or "[]")]


def row_of(stroke: Stroke) -> list[Any]:
    """A stroke as JSON values: its value, the ends of its box, and its voxels packed, as base64."""
    packed = zlib.compress(np.packbits(stroke.voxels).tobytes())
    ends = [[side.start, side.stop] for side in stroke.box]
    return [stroke.value, ends, base64.b64encode(packed).decode("ascii")]


def stroke_of(row: list[Any]) -> Stroke:
    """The stroke of a row that :func:`row_of` gave."""
    value, ends, text = row
    shape = tuple(stop - start for start, stop in ends)
    bits = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    voxels = np.unpackbits(bits, count=int(np.prod(shape))).astype(bool).reshape(shape)
    z, y, x = (slice(start, stop) for start, stop in ends)
    return Stroke(value, (z, y, x), voxels)


def write_reading(node: Any, reading: Reading) -> None:
    """Put a reader's numbers on a node."""
    node.SetAttribute(READING_ATTRIBUTE, json.dumps(reading.to_dict()) if reading else None)


def read_reading(node: Any) -> Reading | None:
    """The reader's numbers on a node; None where nobody read, or they can't be read."""
    try:
        values = json.loads(node.GetAttribute(READING_ATTRIBUTE) or "null")
        return Reading(**values) if values else None
    except (ValueError, TypeError, InputError):
        return None


def record_with(record: dict[str, Any], strokes: list[Stroke], waiting: Iterable[Any] = ()) -> dict[str, Any]:
    """A run's record, with how much was painted since: reports say what a person did.

    Args:
        record: The run's record.
        strokes: What was painted and refined.
        waiting: Edits that wait for their refinement.
    """
    sizes = [int(np.count_nonzero(stroke.voxels)) for stroke in strokes]
    sizes += [len(voxels[0]) for edit in waiting for _value, voxels in edit.strokes()]
    if not sizes:  # a scene may hold what was taken back since
        return {key: value for key, value in record.items() if key != "correction"}
    return {**record, "correction": {"strokes": len(sizes), "painted_voxels": sum(sizes)}}


def strokes_of(edits: np.ndarray) -> list[Stroke]:
    """Painted voxels, uint8 (z, y, x) as 1 lesion and 2 not lesion, as one stroke of each."""
    values = [value for value in VALUES if value and (edits == value).any()]
    return [read_stroke(edits == value, value, edits.shape) for value in values]


def voxels_of(stroke: Stroke) -> tuple[np.ndarray, ...]:
    """The painted voxels as index arrays (z, y, x) of the whole volume."""
    where = np.nonzero(stroke.voxels)
    return tuple(index + side.start for index, side in zip(where, stroke.box, strict=True))
