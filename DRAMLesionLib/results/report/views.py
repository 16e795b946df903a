"""The report's pictures of slices: three directions with lobes and lesion, and axial slices with the heatmap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from DRAMLesionLib.images.box import bounding_box
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.report.canvas import few_colors, new_figure, pixels_of
from DRAMLesionLib.results.report.drawing import LEGEND_INCHES, blend, draw_legend, draw_outline, write_on
from DRAMLesionLib.results.report.slices import Slice, lung_box, slice_of, slices_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from DRAMLesionLib.lesions.findings import Findings

LOBE_LINE_COLOR = "#ffffff"

_INCHES_PER_MM = 3.0 / 300.0
_SIDES = (("R", "L"), ("R", "L"), ("A", "P"))
_LEAST_SHOWN = 0.01
"""Part of a picture's lung area below which a lobe gets no name in it."""
_COLUMNS = 3
_WIDTH_INCHES = 2.3
_GAP_INCHES = 0.035


@dataclass(frozen=True)
class View:
    """One picture.

    Attributes:
        png: The picture.
        label: What it shows: ``sagittal 120/512, L 40 mm``.
        width_mm: How wide the shown part is in mm, so that pictures side by side get the same scale.
        height_mm: How high it is in mm.
    """

    png: bytes
    label: str
    width_mm: float
    height_mm: float


def three_views(findings: Findings) -> tuple[View, View, View]:
    """An axial, a coronal and a sagittal picture with lobe lines and the lesion's outline.

    Each is the slice with most lesion, or with most lung where there is none. The patient's right is on the left of
    the first two, the front on the left of the third; superior or anterior is up. The scale is the same in all.
    """
    box = lung_box(findings.lobes.labels, findings.ct.spacing_mm)
    return _view(findings, 0, box), _view(findings, 1, box), _view(findings, 2, box)


def axial_strip(findings: Findings, count: int = 6) -> bytes:
    """A PNG of axial slices from superior to inferior with heatmap and outline, three in a row.

    Args:
        findings: The results of one CT.
        count: Slices at most; a CT with fewer slices shows them all.
    """
    slices = slices_of(findings, 0, count)
    columns = min(_COLUMNS, len(slices))
    height_mm, width_mm = slices[0].size_mm
    panel = _WIDTH_INCHES * height_mm / width_mm
    rows = -(-len(slices) // columns)
    width = columns * _WIDTH_INCHES + (columns - 1) * _GAP_INCHES
    height = rows * panel + (rows - 1) * _GAP_INCHES + LEGEND_INCHES
    figure = new_figure(width, height)
    for number, one in enumerate(slices):
        row, column = divmod(number, columns)
        left = column * (_WIDTH_INCHES + _GAP_INCHES)
        bottom = height - (row + 1) * panel - row * _GAP_INCHES
        size = (_WIDTH_INCHES / width, panel / height)
        axes = figure.add_axes((left / width, bottom / height, *size))
        _show(axes, one, heat=True)
        write_on(axes, 0.02, 0.03, one.label, ha="left", va="bottom", size=7.5)
        if number == 0:
            _write_sides(axes, _SIDES[0])
    draw_legend(figure, width, height, scale=_WIDTH_INCHES / width_mm)
    return few_colors(pixels_of(figure))


def most_lesion(lesion: np.ndarray, lobes: np.ndarray, axis: int) -> int:
    """The slice number along ``axis`` with most lesion, else with most lung, else the middle of the CT.

    Args:
        lesion: uint8 or boolean, shape (z, y, x).
        lobes: Labels, the same shape.
        axis: 0 axial, 1 coronal, 2 sagittal.
    """
    others = tuple(one for one in range(3) if one != axis)
    shown = lesion if lesion.any() else lobes
    if not shown.any():
        return shown.shape[axis] // 2
    box = bounding_box(shown)
    area = np.count_nonzero(shown[box], axis=others)
    largest = np.flatnonzero(area == area.max())
    return int(box[axis].start + largest[len(largest) // 2])


def _view(findings: Findings, axis: int, box: tuple[slice, ...]) -> View:
    number = most_lesion(findings.lesion, findings.lobes.labels, axis)
    one = slice_of(findings, axis, number, box)
    height_mm, width_mm = one.size_mm
    figure = new_figure(width_mm * _INCHES_PER_MM, height_mm * _INCHES_PER_MM)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    _show(axes, one, heat=False)
    _draw_lobes(axes, one)
    _write_sides(axes, _SIDES[axis])
    return View(few_colors(pixels_of(figure)), one.label, width_mm, height_mm)


def _show(axes: Axes, one: Slice, heat: bool) -> None:
    height, width = one.size_mm
    picture = blend(one.hu, one.heat if heat else None)
    axes.imshow(picture, extent=(0.0, width, height, 0.0), interpolation="antialiased", aspect="auto")
    axes.set_axis_off()
    draw_outline(axes, one.lesion, one.size_mm)


def _draw_lobes(axes: Axes, one: Slice) -> None:
    """Lines around the lobes of a slice, each with its abbreviation."""
    rows, columns = one.lobes.shape
    least = _LEAST_SHOWN * max(1, int(np.count_nonzero(one.lobes)))
    for lobe in LOBES:
        inside = one.lobes == lobe.value
        if np.count_nonzero(inside) < least:
            continue
        draw_outline(axes, inside, one.size_mm, LOBE_LINE_COLOR, 0.5, alpha=0.85, zorder=1.5)
        row, column = (float(np.median(where)) for where in np.nonzero(inside))
        place = (column + 0.5) / columns, 1.0 - (row + 0.5) / rows
        write_on(axes, *place, lobe.abbreviation, ha="center", va="center", size=6.5)


def _write_sides(axes: Axes, sides: tuple[str, str]) -> None:
    write_on(axes, 0.02, 0.96, sides[0], ha="left", va="top", size=9)
    write_on(axes, 0.98, 0.96, sides[1], ha="right", va="top", size=9)
