"""How a case is shown: heatmap, window, outlines and layout, as the page's state says."""

from __future__ import annotations

from typing import Any

from DRAMLesionLib.view.slices import WINDOWS, Slices


class Display:
    """Lets the views follow from the page's state."""

    def __init__(self, state: Any, slices: Slices) -> None:
        """Watch the state.

        Args:
            state: trame's.
            slices: The views.
        """
        self._state, self._slices = state, slices
        for names, method in (
            (("opacity",), self._on_opacity),
            (("threshold",), self._on_threshold),
            (("window_width", "window_level"), self._on_window),
            (("lobes_seen", "lesion_seen"), self._on_seen),
            (("layout",), self._on_layout),
        ):
            state.change(*names)(method)

    def apply(self) -> None:
        """Show a case that has just come as the state says."""
        for method in (self._on_opacity, self._on_threshold, self._on_window, self._on_seen):
            method()

    def window(self, name: str) -> None:
        """Choose one of the usual windows."""
        self._state.window_width, self._state.window_level = WINDOWS[name]

    def _on_opacity(self, **_state: Any) -> None:
        self._slices.set_opacity(float(self._state.opacity))

    def _on_threshold(self, **_state: Any) -> None:
        self._slices.set_threshold(float(self._state.threshold))

    def _on_window(self, **_state: Any) -> None:
        self._slices.set_window(max(1.0, float(self._state.window_width)), float(self._state.window_level))

    def _on_seen(self, **_state: Any) -> None:
        self._slices.set_lobes_seen(bool(self._state.lobes_seen))
        self._slices.set_lesion_seen(bool(self._state.lesion_seen))

    def _on_layout(self, **_state: Any) -> None:
        self._slices.layouts.set_layout(self._state.layout)
