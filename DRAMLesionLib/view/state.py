"""The page's state, which the browser and the server share: how it begins, and what the page says by it."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.scene.nodes import HEATMAP_OPACITY, HEATMAP_THRESHOLD
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.view.slices import WINDOWS
from DRAMLesionLib.view.strokes import BRUSH_MM


def beginning() -> dict[str, Any]:
    """Names and values; JSON values alone."""
    width, level = WINDOWS["Lung"]
    told = {"message": "", "message_kind": "success", "message_seen": False, "busy": "Starting"}
    strokes = {"brush_mm": BRUSH_MM, "sphere": False, "inside_lobes": True, "auto_refine": True, "reader": ""}
    seen = {"opacity": HEATMAP_OPACITY, "threshold": HEATMAP_THRESHOLD, "lobes_seen": False}
    views = {"lesion_seen": True, "window_width": width, "window_level": level, "layout": "large"}
    server = {"tabs": 1, "cases": [], "case_name": "", "running": -1}
    sliders = {f"percent_{lobe.value}": 0.0 for lobe in LOBES}
    return {**told, **of_case(), **strokes, **seen, **views, **server, **sliders}


def of_case() -> dict[str, Any]:
    """What belongs to the open case, as it is while none is open: no number of one patient is seen beside another."""
    case = {"title": "", "headline": "", "flags": [], "notes": [], "approximate": False, "ready": False}
    lesions = {"lesions": [], "lesions_note": "", "lesion_chosen": 0}
    table: dict[str, Any] = {"lobes": [], "lungs": [], "ranked": []}
    steps = {"tool": "", "can_undo": False, "can_redo": False, "can_refine": False}
    return {**case, **lesions, **table, **steps, "out": "", "training": ""}


class Telling:
    """Tells people, by the page's state."""

    def __init__(self, state: Any) -> None:
        """Say nothing yet.

        Args:
            state: trame's.
        """
        self._state = state

    def say(self, text: str, kind: str = "success") -> None:
        """Show a line at the lower edge; ``kind`` is ``success`` or ``error``."""
        with self._state:
            self._state.update({"message": text, "message_kind": kind, "message_seen": bool(text)})

    def busy(self, text: str) -> None:
        """Show what is being done; "" for nothing."""
        with self._state:
            self._state.busy = text

    @contextmanager
    def errors(self) -> Iterator[None]:
        """What goes wrong in the block is said on the page."""
        try:
            yield
        except (InputError, OSError) as error:
            self.busy("")
            self.say(str(error), "error")
        except Exception as error:  # the server lives on, and what was done is in the journal
            traceback.print_exception(error)
            self.busy("")
            self.say(f"fault of the program: {type(error).__name__}: {error}", "error")
