"""The picture of a result: slices with the lesion map, the lesion's outline and the lobes, and a bar for each lobe.

Slices follow the radiological convention: the patient's right is on the picture's left.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.colors import css
from DRAMLesionLib.results.numbers import percent_text
from DRAMLesionLib.results.report.drawing import blend, draw_outline
from DRAMLesionLib.results.report.slices import lung_box, slice_of, spread_slices

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from DRAMLesionLib.lesions.findings import Findings

_SLICES = 3


class Picture(Figure):
    """A matplotlib figure that a notebook shows where it is the value of a cell, whatever backend is chosen."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def draw_result(findings: Findings, dpi: float = 100) -> Picture:
    """Draw three axial slices, a coronal one, and the percentages of the lobes.

    Args:
        findings: The results of one CT.
        dpi: Dots per inch; the figure is 11 inches wide.

    Returns:
        A figure of no window: save it by ``figure.savefig("result.png")``.
    """
    figure = Picture(figsize=(11, 3.3), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, _SLICES + 2, width_ratios=[1] * (_SLICES + 1) + [1.1])
    labels, lesion = findings.lobes.labels, findings.lesion
    numbers = spread_slices(lesion, labels, 0, _SLICES)[::-1]
    for place, number in zip(axes, numbers, strict=False):
        _draw_slice(place, findings, 0, number)
    for place in axes[len(numbers) : _SLICES]:
        place.set_axis_off()
    _draw_slice(axes[_SLICES], findings, 1, spread_slices(lesion, labels, 1, 1)[0])
    _draw_bars(axes[-1], findings)
    return figure


def _draw_slice(axes: Axes, findings: Findings, axis: int, number: int) -> None:
    one = slice_of(findings, axis, number, lung_box(findings.lobes.labels, findings.ct.spacing_mm))
    height, width = one.size_mm
    axes.imshow(blend(one.hu, one.heat), extent=(0.0, width, height, 0.0))
    for lobe in LOBES:
        draw_outline(axes, one.lobes == lobe.value, one.size_mm, "white", 0.4)
    draw_outline(axes, one.lesion, one.size_mm, linewidth=1.0)
    axes.set_title(f"{('axial', 'coronal')[axis]} {number + 1}", fontsize=8)
    axes.set_axis_off()


def _draw_bars(axes: Axes, findings: Findings) -> None:
    regions = findings.quantification.lobes
    percents = [region.percent or 0.0 for region in regions]
    colors = [css(lobe.color) for lobe in LOBES]
    bars = axes.barh([region.key for region in regions], percents, color=colors)
    texts = [
        f" {percent_text(percent)} %, score {region.score or 0}"
        for percent, region in zip(percents, regions, strict=True)
    ]
    axes.bar_label(bars, texts, fontsize=7)
    axes.set_xlim(0, max(10.0, 1.9 * max(percents)))
    axes.invert_yaxis()
    axes.tick_params(labelsize=8)
    axes.set_xlabel("% of the lobe" + (" (approximate)" if findings.lobes.approximate else ""), fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
