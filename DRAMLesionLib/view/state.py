"""The page's state at its beginning: what the browser and the server share."""

from __future__ import annotations

from typing import Any

from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.scene.nodes import HEATMAP_OPACITY, HEATMAP_THRESHOLD
from DRAMLesionLib.view.slices import WINDOWS
from DRAMLesionLib.view.strokes import BRUSH_MM


def beginning() -> dict[str, Any]:
    """Names and values; JSON values alone."""
    width, level = WINDOWS["Lung"]
    told = {"message": "", "message_kind": "success", "message_seen": False, "busy": "Starting"}
    case = {"title": "", "headline": "", "flags": [], "notes": [], "approximate": False, "ready": False}
    lesions = {"lesions": [], "lesions_note": "", "lesion_chosen": 0}
    table = {"lobes": [], "lungs": [], "ranked": [], "reader": ""}
    strokes = {"tool": "", "brush_mm": BRUSH_MM, "sphere": False, "inside_lobes": True, "auto_refine": True}
    steps = {"can_undo": False, "can_redo": False, "can_refine": False}
    seen = {"opacity": HEATMAP_OPACITY, "threshold": HEATMAP_THRESHOLD, "lobes_seen": False}
    views = {"lesion_seen": True, "window_width": width, "window_level": level, "layout": "large"}
    places = {"out": "", "training": "", "tabs": 1, "cases": [], "case_name": "", "running": -1}
    sliders = {f"percent_{lobe.value}": 0.0 for lobe in LOBES}
    return {**told, **case, **lesions, **table, **strokes, **steps, **seen, **views, **places, **sliders}
