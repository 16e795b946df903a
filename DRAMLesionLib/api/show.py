"""The picture of a result: slices with the lesion map, the lesion's outline and the lobes, and a bar for each lobe.

Slices follow the radiological convention: the patient's right is on the picture's left.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import ndimage

from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.colors import LESION_COLOR, css
from DRAMLesionLib.results.numbers import percent_text
from DRAMLesionLib.results.report.drawing import blend
from DRAMLesionLib.results.report.slices import spread_slices

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from DRAMLesionLib.lesions.findings import Findings

_SLICES = 3
_MARGIN_MM = 12.0


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
    box = _lung_box(findings)
    cut: tuple[Any, ...] = (number, *box[1:]) if axis == 0 else (box[0], number, box[2])
    # Superior is up in a coronal slice; z runs to superior.
    hu, heat, lesion, lobes = (
        array[cut] if axis == 0 else array[cut][::-1]
        for array in (findings.ct.array, findings.map, findings.lesion, findings.lobes.labels)
    )
    spacing = findings.ct.spacing_mm
    axes.imshow(blend(hu, heat), aspect=spacing[1 - axis] / spacing[2])
    for value in range(1, len(LOBES) + 1):
        _outline(axes, lobes == value, "white", 0.4)
    _outline(axes, lesion != 0, css(LESION_COLOR), 1.0)
    axes.set_title(f"{('axial', 'coronal')[axis]} {number + 1}", fontsize=8)
    axes.set_axis_off()


def _lung_box(findings: Findings) -> tuple[slice, ...]:
    """The lobes with a margin; the whole CT where there are none."""
    labels = findings.lobes.labels
    box = ndimage.find_objects((labels > 0).astype(np.uint8))
    if not box:
        return tuple(slice(0, length) for length in labels.shape)
    margins = [round(_MARGIN_MM / spacing) for spacing in findings.ct.spacing_mm]
    return tuple(
        slice(max(0, side.start - margin), side.stop + margin)
        for side, margin in zip(box[0], margins, strict=True)
    )


def _outline(axes: Axes, mask: np.ndarray, color: str, width: float) -> None:
    if mask.any() and not mask.all():
        axes.contour(mask.astype(np.float32), levels=[0.5], colors=[color], linewidths=width)


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
