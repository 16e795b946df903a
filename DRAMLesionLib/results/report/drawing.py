"""A slice drawn into axes: the CT in grey with heatmap, outline, words, and the legend under several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from DRAMLesionLib.results.colors import LESION_COLOR, css, map_colors
from DRAMLesionLib.results.report.canvas import TEXT_COLOR

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LUNG_WINDOW_HU = (-1350.0, 150.0)
"""The grey scale of CT slices: level -600, width 1500 HU."""
LEGEND_INCHES = 0.42
"""Height of the strip that :func:`draw_legend` draws."""
OUTLINE_COLOR = css(LESION_COLOR)
_HEAT_OPACITY = 0.65


def blend(hu: np.ndarray, heat: np.ndarray | None = None) -> np.ndarray:
    """The CT in grey (lung window) with the heatmap over it.

    The colour is that of :mod:`DRAMLesionLib.results.colors`; its opacity rises in proportion to the value, so that 0
    leaves the CT as it is.

    Args:
        hu: HU, any shape.
        heat: 0..1, the same shape, or None for the CT alone.

    Returns:
        float32 RGB 0..1, shape (..., 3).
    """
    low, high = LUNG_WINDOW_HU
    grey = np.clip((hu.astype(np.float32) - low) / (high - low), 0.0, 1.0)[..., None]
    if heat is None:
        return np.repeat(grey, 3, axis=-1)
    value = np.clip(np.nan_to_num(heat), 0.0, 1.0).astype(np.float32)
    color = map_colors(value)
    opacity = _HEAT_OPACITY * value[..., None]
    return grey * (1.0 - opacity) + color * opacity


def draw_outline(
    axes: Axes,
    mask: np.ndarray,
    size_mm: tuple[float, float],
    color: str = OUTLINE_COLOR,
    linewidth: float = 0.8,
    **look: Any,
) -> None:
    """Draw the outline of a mask into axes in mm, whose ends it sets; nothing where the mask is empty.

    Args:
        axes: Where the slice is shown.
        mask: Boolean (rows, columns), the first row on top.
        size_mm: Height and width of the slice in mm, as :class:`~DRAMLesionLib.results.report.slices.Slice` has it.
        color: Of the line.
        linewidth: In points.
        **look: What else matplotlib's ``contour`` takes, for instance ``alpha``.
    """
    if not mask.any():
        return
    rows, columns = mask.shape
    height, width = size_mm
    # A border of zeros closes outlines that touch the picture's edge.
    closed = np.pad(mask.astype(np.float32), 1)
    x = (np.arange(-1, columns + 1) + 0.5) * width / columns
    y = (np.arange(-1, rows + 1) + 0.5) * height / rows
    axes.contour(x, y, closed, levels=[0.5], colors=[color], linewidths=linewidth, **look)
    axes.set_xlim(0.0, width)
    axes.set_ylim(height, 0.0)


def write_on(axes: Axes, x: float, y: float, text: str, ha: str, va: str, size: float) -> None:
    """Write white words with a black edge at a place of the axes, 0..1 from left and bottom; ``size`` in points."""
    stroke = [withStroke(linewidth=1.6, foreground="black")]
    anchor: dict[str, Any] = {"ha": ha, "va": va, "transform": axes.transAxes}
    axes.text(x, y, text, color="white", fontsize=size, path_effects=stroke, **anchor)


def draw_legend(figure: Figure, width: float, height: float, scale: float) -> None:
    """Draw the strip under slices: the heatmap's colours as they look on lung, the outline, and 5 cm.

    Args:
        figure: Whose lowest part it takes.
        width: The figure's width in inches.
        height: Its height in inches.
        scale: Inches of the picture for 1 mm of the patient.
    """
    axes = figure.add_axes((0.0, 0.0, 1.0, LEGEND_INCHES / height))
    axes.set_xlim(0.0, width)
    axes.set_ylim(0.0, LEGEND_INCHES)
    axes.set_axis_off()
    ramp = np.linspace(0.0, 1.0, 128, dtype=np.float32)[None]
    bar = blend(np.full(ramp.shape, -700.0), ramp)
    axes.imshow(bar, extent=(0.62, 1.72, 0.11, 0.25), aspect="auto", interpolation="nearest")
    axes.set_xlim(0.0, width)
    axes.set_ylim(0.0, LEGEND_INCHES)
    middle = 0.18
    text: dict[str, Any] = {"va": "center", "fontsize": 7.5, "color": TEXT_COLOR}
    axes.text(0.54, middle, "map 0", ha="right", **text)
    axes.text(1.78, middle, "1", ha="left", **text)
    if width > 2.3:
        axes.plot([2.1, 2.4], [middle, middle], color="black", linewidth=3.2)
        axes.plot([2.1, 2.4], [middle, middle], color=OUTLINE_COLOR, linewidth=1.4)
        axes.text(2.47, middle, "lesion outline", ha="left", **text)
    if width > 4.5:
        end = width - 0.05
        axes.plot([end - 50.0 * scale, end], [middle, middle], color=TEXT_COLOR, linewidth=1.6)
        axes.text(end - 50.0 * scale - 0.06, middle, "5 cm", ha="right", **text)
