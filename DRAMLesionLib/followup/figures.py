"""Pictures of a comparison: matched slices with what differs in colour, and the course of each lobe."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from DRAMLesionLib.followup.changes import total_range
from DRAMLesionLib.followup.levels import BOTH, NEW, RESOLVED, Level
from DRAMLesionLib.lesions.quantify import SCORE_EDGES
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.colors import css
from DRAMLesionLib.results.report.canvas import DPI, MUTED_COLOR, TEXT_COLOR, new_figure, png_of
from DRAMLesionLib.results.report.drawing import blend, draw_outline, write_on

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from DRAMLesionLib.followup.exam import Exam

DIFFERENCE_COLORS: dict[int, tuple[int, int, int]] = {
    BOTH: (240, 228, 66),
    NEW: (213, 94, 0),
    RESOLVED: (86, 180, 233),
}
"""Red, green, blue of what is lesion at both dates, at the later one alone, at the earlier one alone: yellow, vermilion
and sky blue of M. Okabe and K. Ito's palette for colour-blind eyes; yellow is the lightest, vermilion the darkest."""
DIFFERENCE_NAMES = {
    NEW: "lesion at the later date only",
    RESOLVED: "at the earlier date only",
    BOTH: "at both",
}
_OPACITY = 0.55
_PANEL_INCHES = 2.4
_GAP = 0.035
_HEAD = 0.24
_MARKERS = ("o", "s", "^", "D", "v")


def levels_picture(levels: Sequence[Level], names: tuple[str, str]) -> bytes:
    """A JPEG of matched slices, a row for each level: the earlier exam, the later one, and the difference.

    Args:
        levels: The matched slices; at least one.
        names: What the two exams are called over their columns.
    """
    heights = [_PANEL_INCHES * max(_ratio(one.before_size_mm), _ratio(one.after_size_mm)) for one in levels]
    width, height = 3 * _PANEL_INCHES + 2 * _GAP, sum(heights) + _GAP * len(heights) + _HEAD
    figure = new_figure(width, height)
    top = height - _HEAD
    for column, name in enumerate((*names, "difference, on the earlier slice")):
        x = (column * (_PANEL_INCHES + _GAP) + _PANEL_INCHES / 2) / width
        figure.text(x, (top + 0.07) / height, name, ha="center", fontsize=8, color=TEXT_COLOR)
    for number, (one, tall) in enumerate(zip(levels, heights, strict=True)):
        top -= tall
        for column in range(3):
            left = column * (_PANEL_INCHES + _GAP)
            axes = figure.add_axes((left / width, top / height, _PANEL_INCHES / width, tall / height))
            axes.set_facecolor("black")
            _draw(axes, one, column, marks=number == 0, size=(tall, _PANEL_INCHES))
        top -= _GAP
    return _jpeg(figure)


def _ratio(size_mm: tuple[float, float]) -> float:
    return size_mm[0] / size_mm[1]


def _draw(axes: Axes, one: Level, column: int, marks: bool, size: tuple[float, float]) -> None:
    later = column == 1
    hu, lesion = (one.after_hu, one.after_lesion) if later else (one.before_hu, one.before_lesion)
    height, width = one.after_size_mm if later else one.before_size_mm
    picture = blend(hu) if column < 2 else colored(blend(hu), one.difference)
    axes.imshow(picture, extent=(0.0, width, height, 0.0), interpolation="antialiased", aspect="auto")
    if column < 2:
        draw_outline(axes, lesion, (height, width))
    # One scale in mm for all panels of a row, the picture in the middle.
    shown = max(width, height * size[1] / size[0])
    tall = shown * size[0] / size[1]
    axes.set_xlim((width - shown) / 2, (width + shown) / 2)
    axes.set_ylim((height + tall) / 2, (height - tall) / 2)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
    if column < 2:
        label = one.after_label if later else one.before_label
        write_on(axes, 0.02, 0.02, label, ha="left", va="bottom", size=7.5)
    if marks:
        write_on(axes, 0.02, 0.5, "R", ha="left", va="center", size=7.5)
        write_on(axes, 0.98, 0.5, "L", ha="right", va="center", size=7.5)


def colored(picture: np.ndarray, difference: np.ndarray) -> np.ndarray:
    """A picture (rows, columns, 3), 0..1, with the colours of :data:`DIFFERENCE_COLORS` over it."""
    result = picture.copy()
    for value, color in DIFFERENCE_COLORS.items():
        there = difference == value
        result[there] = (1 - _OPACITY) * result[there] + _OPACITY * np.array(color) / 255
    return result


def course_chart(exams: Sequence[Exam]) -> bytes:
    """A PNG of the course: percent of each lobe and of both lungs at each date, with the range of the latter in grey.

    Two dates are joined by lines as more are; the horizontal axis is in days where they are known.
    """
    days = [exam.days for exam in exams]
    known = all(day is not None for day in days)
    places = [float(day or 0) for day in days] if known else list(range(1, len(exams) + 1))
    figure = new_figure(7.0, 2.7)
    axes = figure.add_axes((0.085, 0.17, 0.64, 0.78))
    lines = [(lobe.abbreviation, lobe.color, _MARKERS[number], 1.4) for number, lobe in enumerate(LOBES)]
    for key, color, marker, thick in (*lines, ("total", (31, 41, 51), "", 3.0)):
        values = [exam.quantification[key].percent for exam in exams]
        percent = np.array([np.nan if value is None else value for value in values])
        line = "both lungs" if key == "total" else key
        look: dict[str, Any] = {"markeredgecolor": "#55606d", "markeredgewidth": 0.5, "markersize": 6}
        axes.plot(places, percent, color=css(color), marker=marker, linewidth=thick, label=line, **look)
    ends = [total_range(exam.quantification) for exam in exams]
    if None not in ends:
        low, high = np.array(ends, dtype=float).T
        axes.fill_between(places, low, high, color="#1f2933", alpha=0.12, linewidth=0, zorder=0.6)
    top = max(2.0, *(region.percent or 0.0 for exam in exams for region in exam.quantification.regions))
    axes.set_ylim(0.0, min(104.0, 1.1 * top))
    for edge in SCORE_EDGES:
        if 0.04 * top < edge < 1.08 * top:
            axes.axhline(edge, color="#cbd2d9", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0.5)
    axes.set_xticks(places, [f"{place:g}" if known else f"exam {place:g}" for place in places])
    axes.set_xlabel("days since the first exam" if known else "", fontsize=8, color=MUTED_COLOR)
    axes.set_ylabel("% that is lesion", fontsize=8, color=TEXT_COLOR)
    axes.tick_params(labelsize=7.5, labelcolor=MUTED_COLOR, color="#cbd2d9", length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    legend = figure.legend(loc="center left", bbox_to_anchor=(0.76, 0.56), frameon=False, fontsize=8)
    for text in legend.get_texts():
        text.set_color(TEXT_COLOR)
    return png_of(figure)


def _jpeg(figure: Figure) -> bytes:
    """A CT's noise does not compress without loss: as PNG the slices would be six times as large."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpeg", dpi=DPI, pil_kwargs={"quality": 90, "subsampling": 0})
    return buffer.getvalue()
