"""Strokes are recognised in a segment by what changed in it, whatever tool changed it.

Voxels that came in are a stroke of lesion, voxels that went out one of not lesion. What becomes of a stroke differs: in
the panel and in the browser, which have the correction's undo, each change is an edit
(:mod:`~DRAMLesionLib.correction.segment.correction`); in the Segment Editor, which undoes without telling, a change may
be an undo, which its effect "DRAM refine" has to tell.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from DRAMLesionLib.correction.propagation import LESION, NOT_LESION
from DRAMLesionLib.images.box import Box, beyond, bounding_box
from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.results.scene.segment_view import SegmentView

Voxels = tuple[np.ndarray, ...]
"""Index arrays (z, y, x) of the whole volume."""


@dataclass(frozen=True, eq=False)
class Edit:
    """A change of a segment.

    Attributes:
        box: The smallest box that holds all changed voxels.
        before: uint8, shape of the box.
        after: uint8, shape of the box.
    """

    box: Box
    before: np.ndarray
    after: np.ndarray

    def parts(self) -> list[tuple[int, np.ndarray]]:
        """What was painted: the value and the mask in the box, without empty ones."""
        masks = ((LESION, self.after > self.before), (NOT_LESION, self.after < self.before))
        return [(value, mask) for value, mask in masks if mask.any()]

    def strokes(self) -> list[tuple[int, Voxels]]:
        """What was painted, as the correction engine takes it: the value and the voxels."""
        return [
            (value, tuple(i + side.start for i, side in zip(np.nonzero(mask), self.box, strict=True)))
            for value, mask in self.parts()
        ]

    def reversed(self) -> "Edit":
        """The change that takes this one back."""
        return Edit(self.box, self.after, self.before)

    def equals(self, other: "Edit | None") -> bool:
        """Whether the other change is the same, from the same state."""
        return (
            other is not None
            and self.box == other.box
            and np.array_equal(self.before, other.before)
            and np.array_equal(self.after, other.after)
        )


def edit_between(box: Box, before: np.ndarray, after: np.ndarray) -> Edit | None:
    """The change from one state of a box to another; None where they are the same.

    Args:
        box: Where, (z, y, x).
        before: uint8, shape of the box.
        after: uint8, shape of the box.
    """
    changed = before != after
    if not changed.any():
        return None
    tight = bounding_box(changed)
    return Edit(beyond(tight, box), before[tight].copy(), after[tight].copy())


class StrokeRecogniser:
    """A segment as it was last seen, and the changes since."""

    def __init__(self, node: Any, segment_id: str, ct: Volume, seen: np.ndarray | None = None) -> None:
        """Take the segment as it is, or as it was.

        Args:
            node: vtkMRMLSegmentationNode.
            segment_id: Of a segment that is there.
            ct: The CT on whose grid strokes are wanted.
            seen: uint8 (z, y, x): what to compare with; None: the segment as it is now. The array is kept.

        Raises:
            InputError: The segmentation has no such segment.
        """
        self._view = SegmentView(node, segment_id, ct, seen)

    @property
    def seen(self) -> np.ndarray:
        """uint8 (z, y, x): the segment as it was last seen; the array itself, not a copy."""
        return self._view.seen

    def expect(self, label: np.ndarray) -> None:
        """Compare with another state from now on.

        Args:
            label: uint8 (z, y, x), 1 in the segment; the array is kept.
        """
        self._view.expect(label)

    def look(self, allowed: np.ndarray | None = None) -> Edit | None:
        """Take what changed since the last look.

        Args:
            allowed: (z, y, x): changes where this is 0 are taken back in the segment; None allows all.

        Returns:
            The change; None where there was none that is allowed.
        """
        box = self._view.look()
        if box is None:
            return None
        before, after = self.seen[box].copy(), self._view.now(box)
        if allowed is not None:
            refused = (after != before) & (allowed[box] == 0)
            if refused.any():
                after[refused] = before[refused]
                self._view.write(box, after)
        self._view.take(box, after)
        return edit_between(box, before, after)

    def take(self, box: Box, label: np.ndarray) -> None:
        """Compare a box with another state from now on; the segment stays as it is."""
        self._view.take(box, label)

    def show(self, box: Box, label: np.ndarray) -> None:
        """Change the segment from here: what is shown is seen, and no stroke."""
        self._view.write(box, label)
