"""Pictures of one CT: montages with heatmap and lesion outline, and a chart per lobe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from DRAMLesionLib.lesions.quantify import SCORE_EDGES
from DRAMLesionLib.results.colors import CONSOLIDATION_COLOR, DRAM_COLOR, GROUND_GLASS_COLOR, OTHER_COLOR
from DRAMLesionLib.results.report.canvas import (
    MUTED_COLOR,
    TEXT_COLOR,
    few_colors,
    new_figure,
    pixels_of,
    png_of,
)
from DRAMLesionLib.results.report.drawing import LEGEND_INCHES, blend, draw_legend, draw_outline, write_on
from DRAMLesionLib.results.report.slices import Slice, slices_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from DRAMLesionLib.lesions.findings import Findings
    from DRAMLesionLib.lesions.quantify import Quantification

_PANEL_INCHES = 2.3
_GAP_INCHES = 0.035


def axial_montage(findings: Findings, count: int = 6) -> bytes:
    """A PNG of axial slices from superior to inferior: each as plain CT, and below it with the overlay.

    Args:
        findings: The results of one CT.
        count: Slices at most; a CT with fewer slices shows them all.
    """
    return _montage(findings, axis=0, count=count)


def coronal_montage(findings: Findings, count: int = 3) -> bytes:
    """A PNG of coronal slices from anterior to posterior: each as plain CT, and below it with the overlay.

    Args:
        findings: The results of one CT.
        count: Slices at most.
    """
    return _montage(findings, axis=1, count=count)


def _montage(findings: Findings, axis: int, count: int) -> bytes:
    slices = slices_of(findings, axis, count)
    columns = min(3, len(slices))
    rows = -(-len(slices) // columns)
    height_mm, width_mm = slices[0].size_mm
    panel = _PANEL_INCHES * height_mm / width_mm
    pair = 2 * panel + _GAP_INCHES
    width = columns * _PANEL_INCHES + (columns - 1) * _GAP_INCHES
    height = rows * pair + (rows - 1) * 3 * _GAP_INCHES + LEGEND_INCHES
    figure = new_figure(width, height)
    for number, one in enumerate(slices):
        left = (number % columns) * (_PANEL_INCHES + _GAP_INCHES)
        top = height - (number // columns) * (pair + 3 * _GAP_INCHES)
        for below, overlay in enumerate((False, True)):
            bottom = top - (below + 1) * panel - below * _GAP_INCHES
            box = (left / width, bottom / height, _PANEL_INCHES / width, panel / height)
            _draw_slice(figure.add_axes(box), one, overlay, marks=number == 0)
    draw_legend(figure, width, height, scale=_PANEL_INCHES / width_mm)
    return few_colors(pixels_of(figure))


def _draw_slice(axes: Axes, one: Slice, overlay: bool, marks: bool) -> None:
    height, width = one.size_mm
    picture = blend(one.hu, one.heat if overlay else None)
    axes.imshow(picture, extent=(0.0, width, height, 0.0), interpolation="antialiased", aspect="auto")
    axes.set_axis_off()
    if overlay:
        draw_outline(axes, one)
        return
    write_on(axes, 0.02, 0.03, one.label, ha="left", va="bottom", size=7.5)
    if marks:
        write_on(axes, 0.02, 0.5, "R", ha="left", va="center", size=9)
        write_on(axes, 0.98, 0.5, "L", ha="right", va="center", size=9)


def lobe_chart(quantification: Quantification, approximate: bool) -> bytes:
    """A PNG per lobe with its percent by the segmentation, split by density, and the range of that or the pooled dRAM.

    Args:
        quantification: The measurements.
        approximate: The lobes are approximate; the axis says so.
    """
    figure = new_figure(7.0, 2.6)
    axes = figure.add_axes((0.075, 0.19, 0.865, 0.66))
    top = 0.0
    for x, region in enumerate(quantification.lobes):
        if region.percent is None:
            axes.text(x, 0.0, "no voxels", ha="center", va="bottom", fontsize=7.5, color=MUTED_COLOR)
            continue
        parts = (region.ground_glass_ml, region.consolidation_ml, region.other_ml)
        base = 0.0
        for part, color in zip(parts, (GROUND_GLASS_COLOR, CONSOLIDATION_COLOR, OTHER_COLOR), strict=True):
            share = 100.0 * part / region.volume_ml
            axes.bar(x - 0.19, share, 0.34, bottom=base, color=color, linewidth=0)
            base += share
        _value(axes, x - 0.19, region.percent)
        if region.percent_low is not None and region.percent_high is not None:
            axes.vlines(x + 0.19, region.percent_low, region.percent_high, color=TEXT_COLOR, linewidth=1.2)
            top = max(top, region.percent_high)
        elif region.dram_percent is not None:
            axes.bar(x + 0.19, region.dram_percent, 0.34, color=DRAM_COLOR, linewidth=0)
            _value(axes, x + 0.19, region.dram_percent)
            top = max(top, region.dram_percent)
        top = max(top, region.percent)
    names = [f"{region.key}\n{region.name}" for region in quantification.lobes]
    _chart_axes(axes, names, min(108.0, max(2.0, 1.18 * top)))
    axes.set_ylabel("% of the lobe" + (" (approximate)" if approximate else ""), fontsize=8, color=TEXT_COLOR)
    ranged = any(region.percent_low is not None for region in quantification.lobes)
    pooled = quantification.total.dram_percent is not None
    _chart_legend(figure, "range" if ranged else "mean dRAM" if pooled else None)
    return png_of(figure)


def _chart_axes(axes: Axes, names: list[str], top: float) -> None:
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(0.0, top)
    axes.set_xticks(range(len(names)), names, fontsize=8, color=TEXT_COLOR)
    axes.tick_params(axis="y", labelsize=7.5, labelcolor=MUTED_COLOR, color="#cbd2d9", length=3)
    axes.tick_params(axis="x", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#9aa5b1")
    axes.set_axisbelow(True)
    for score, edge in enumerate(SCORE_EDGES, start=1):
        # The lowest edges lie on each other in a tall chart: leave out what would not be legible.
        if edge < 0.97 * top and edge > 0.04 * top:
            axes.axhline(edge, color="#cbd2d9", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0.5)
            beside = (len(names) - 0.48, edge)
            axes.annotate(
                f"score {score}", beside, va="center", fontsize=7, color=MUTED_COLOR, annotation_clip=False
            )


def _value(axes: Axes, x: float, percent: float) -> None:
    axes.text(x, percent, f"{percent:.1f}", ha="center", va="bottom", fontsize=7.5, color=TEXT_COLOR)


def _chart_legend(figure: Figure, beside: str | None) -> None:
    from matplotlib.patches import Patch

    entries = [
        Patch(color=GROUND_GLASS_COLOR, label="segmentation: ground glass"),
        Patch(color=CONSOLIDATION_COLOR, label="consolidation"),
        Patch(color=OTHER_COLOR, label="other density"),
    ]
    if beside is not None:
        entries.append(Patch(color=TEXT_COLOR if beside == "range" else DRAM_COLOR, label=beside))
    look: dict[str, Any] = {"frameon": False, "fontsize": 8, "handlelength": 1.0, "handleheight": 0.9}
    legend = figure.legend(handles=entries, loc="upper left", bbox_to_anchor=(0.065, 1.0), ncols=4, **look)
    for text in legend.get_texts():
        text.set_color(TEXT_COLOR)
