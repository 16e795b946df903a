"""Pictures for reports: montages of the CT with heatmap and lesion outline, and a chart per lobe.

Everything is drawn with matplotlib's objects (Figure, FigureCanvasAgg), never pyplot: no window, no global
state. Slices follow the radiological convention: the patient's right is on the picture's left, anterior or
superior is up, and pixels have their size in mm.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from DRAMLesionLib.lesions.quantify import SCORE_EDGES
from DRAMLesionLib.results.colors import (
    CONSOLIDATION_COLOR,
    GROUND_GLASS_COLOR,
    LESION_COLOR,
    OTHER_COLOR,
    css,
    map_colors,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from DRAMLesionLib.images.volume import Volume
    from DRAMLesionLib.lesions.findings import Findings
    from DRAMLesionLib.lesions.quantify import Quantification

LUNG_WINDOW_HU = (-1350.0, 150.0)
"""The grey scale of CT slices: level -600, width 1500 HU."""

DRAM_COLOR = "#e69f00"
OUTLINE_COLOR = css(LESION_COLOR)
TEXT_COLOR = "#1f2933"
MUTED_COLOR = "#616e7c"

_HEAT_OPACITY = 0.65
DPI = 150
_PANEL_INCHES = 2.3
_GAP_INCHES = 0.035
_LEGEND_INCHES = 0.42
_MARGIN_MM = 12.0


@dataclass(frozen=True)
class _Slice:
    """One slice, its rows from the top of the picture to its bottom, cut to the lungs.

    Attributes:
        hu: HU, shape (rows, columns).
        heat: dRAM 0..1, the same shape.
        lesion: Boolean, the same shape.
        lobes: Labels, the same shape.
        size_mm: Height and width in mm.
        label: For people: ``axial 46/120, S 12 mm``: its number from inferior, anterior or right, and where it lies.
    """

    hu: np.ndarray
    heat: np.ndarray
    lesion: np.ndarray
    lobes: np.ndarray
    size_mm: tuple[float, float]
    label: str


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


def spread_slices(lesion: np.ndarray, lobes: np.ndarray, axis: int, count: int) -> list[int]:
    """Slice numbers along ``axis`` that show the lesion over all of its extent, in rising order.

    The extent is cut into ``count`` equal bands; each gives the slice with most lesion of its middle half, so that
    neighbours don't show the same. Without a lesion the slices are spread over the lobes, without lobes over the
    whole CT.

    Args:
        lesion: uint8 or boolean, shape (z, y, x).
        lobes: Labels, the same shape.
        axis: 0 for axial, 1 for coronal slices.
        count: How many at most; fewer where the extent has fewer slices.
    """
    others = tuple(i for i in range(3) if i != axis)
    area = np.count_nonzero(lesion, axis=others)
    if not area.any():
        # No area counts more than another: take the middle of each band.
        inside = np.count_nonzero(lobes, axis=others) > 0
        where = np.flatnonzero(inside) if inside.any() else np.arange(lesion.shape[axis])
        bands = np.array_split(np.arange(where[0], where[-1] + 1), count)
        return [int(band[len(band) // 2]) for band in bands if len(band)]
    with_lesion = np.flatnonzero(area)
    chosen = []
    for band in np.array_split(np.arange(with_lesion[0], with_lesion[-1] + 1), count):
        quarter = len(band) // 4
        middle = band[quarter : len(band) - quarter]
        candidates = middle if area[middle].any() else band
        if area[candidates].any():
            chosen.append(int(candidates[np.argmax(area[candidates])]))
    return chosen


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


def _montage(findings: Findings, axis: int, count: int) -> bytes:
    slices = _slices(findings, axis, count)
    columns = min(3, len(slices))
    rows = -(-len(slices) // columns)
    height_mm, width_mm = slices[0].size_mm
    panel = _PANEL_INCHES * height_mm / width_mm
    pair = 2 * panel + _GAP_INCHES
    width = columns * _PANEL_INCHES + (columns - 1) * _GAP_INCHES
    height = rows * pair + (rows - 1) * 3 * _GAP_INCHES + _LEGEND_INCHES
    figure = new_figure(width, height)
    for number, one in enumerate(slices):
        left = (number % columns) * (_PANEL_INCHES + _GAP_INCHES)
        top = height - (number // columns) * (pair + 3 * _GAP_INCHES)
        for below, overlay in enumerate((False, True)):
            bottom = top - (below + 1) * panel - below * _GAP_INCHES
            box = (left / width, bottom / height, _PANEL_INCHES / width, panel / height)
            _draw_slice(figure.add_axes(box), one, overlay, marks=number == 0)
    _draw_legend(figure, width, height, scale=_PANEL_INCHES / width_mm)
    return _few_colors(_pixels(figure))


def _slices(findings: Findings, axis: int, count: int) -> list[_Slice]:
    box = _lung_box(findings.lobes.labels, findings.ct.spacing_mm)
    numbers = spread_slices(findings.lesion, findings.lobes.labels, axis, count)
    # z runs from inferior to superior: axial slices are shown from the top down.
    return [
        _slice_of(findings, axis, number, box) for number in (reversed(numbers) if axis == 0 else numbers)
    ]


def _slice_of(findings: Findings, axis: int, number: int, box: tuple[slice, ...]) -> _Slice:
    """One slice as it is shown: rows that run toward superior are turned upside down."""
    ct, spacing = findings.ct, findings.ct.spacing_mm
    cut: tuple[Any, ...] = (*box[:axis], number, *box[axis + 1 :])
    arrays = (ct.array, findings.map, findings.lesion, findings.lobes.labels)
    hu, heat, lesion, lobes = (array[cut] if axis == 0 else array[cut][::-1] for array in arrays)
    rows, columns = spacing[1 if axis == 0 else 0], spacing[1 if axis == 2 else 2]
    size = (hu.shape[0] * rows, hu.shape[1] * columns)
    name = ("axial", "coronal", "sagittal")[axis]
    label = f"{name} {number + 1}/{ct.array.shape[axis]}, {_position(ct, axis, number)}"
    return _Slice(hu, heat, lesion != 0, lobes, size, label)


def _position(ct: Volume, axis: int, number: int) -> str:
    """Where the middle of a slice lies in patient coordinates, as Slicer shows it: ``S 12 mm``, ``P 30 mm``."""
    index = (np.asarray(ct.array.shape) - 1) / 2.0
    index[axis] = number
    point = ct.geometry.canonical().matrix @ np.append(index[::-1], 1.0)
    # LPS: the first coordinate grows to the left, the second to posterior, the third to superior.
    value = float(point[2 - axis])
    toward = (("S", "I"), ("P", "A"), ("L", "R"))[axis]
    return f"{toward[value < 0]} {abs(value):.0f} mm"


def _lung_box(lobes: np.ndarray, spacing_mm: Sequence[float]) -> tuple[slice, ...]:
    if not lobes.any():
        return tuple(slice(0, n) for n in lobes.shape)
    box = []
    for axis in range(3):
        inside = np.flatnonzero(lobes.any(axis=tuple(i for i in range(3) if i != axis)))
        margin = round(_MARGIN_MM / spacing_mm[axis])
        box.append(slice(max(0, inside[0] - margin), int(min(lobes.shape[axis], inside[-1] + 1 + margin))))
    return tuple(box)


def _draw_slice(axes: Axes, one: _Slice, overlay: bool, marks: bool) -> None:
    height, width = one.size_mm
    picture = blend(one.hu, one.heat if overlay else None)
    axes.imshow(picture, extent=(0.0, width, height, 0.0), interpolation="antialiased", aspect="auto")
    axes.set_axis_off()
    if overlay:
        _outline(axes, one)
        return
    _write(axes, 0.02, 0.03, one.label, ha="left", va="bottom", size=7.5)
    if marks:
        _write(axes, 0.02, 0.5, "R", ha="left", va="center", size=9)
        _write(axes, 0.98, 0.5, "L", ha="right", va="center", size=9)


def _outline(axes: Axes, one: _Slice) -> None:
    if not one.lesion.any():
        return
    rows, columns = one.lesion.shape
    height, width = one.size_mm
    # A border of zeros closes outlines that touch the picture's edge.
    mask = np.pad(one.lesion.astype(np.float32), 1)
    x = (np.arange(-1, columns + 1) + 0.5) * width / columns
    y = (np.arange(-1, rows + 1) + 0.5) * height / rows
    axes.contour(x, y, mask, levels=[0.5], colors=[OUTLINE_COLOR], linewidths=0.8)
    axes.set_xlim(0.0, width)
    axes.set_ylim(height, 0.0)


def _write(axes: Axes, x: float, y: float, text: str, ha: str, va: str, size: float) -> None:
    stroke = [withStroke(linewidth=1.6, foreground="black")]
    anchor: dict[str, Any] = {"ha": ha, "va": va, "transform": axes.transAxes}
    axes.text(x, y, text, color="white", fontsize=size, path_effects=stroke, **anchor)


def _draw_legend(figure: Figure, width: float, height: float, scale: float) -> None:
    """The strip under a montage: the heatmap's colours as they look on lung, the outline, and 5 cm."""
    axes = figure.add_axes((0.0, 0.0, 1.0, _LEGEND_INCHES / height))
    axes.set_xlim(0.0, width)
    axes.set_ylim(0.0, _LEGEND_INCHES)
    axes.set_axis_off()
    ramp = np.linspace(0.0, 1.0, 128, dtype=np.float32)[None]
    bar = blend(np.full(ramp.shape, -700.0), ramp)
    axes.imshow(bar, extent=(0.62, 1.72, 0.11, 0.25), aspect="auto", interpolation="nearest")
    axes.set_xlim(0.0, width)
    axes.set_ylim(0.0, _LEGEND_INCHES)
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


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def png_of(figure: Figure) -> bytes:
    """A figure as PNG without software or date entries: the same findings give the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def _pixels(figure: Figure) -> np.ndarray:
    """What a figure looks like: uint8 RGB, shape (rows, columns, 3)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def _few_colors(pixels: np.ndarray) -> bytes:
    """A PNG of RGB pixels, uint8 (rows, columns, 3), with 96 greys and 160 colours of its overlay: under half the size.

    CT noise hardly compresses. A palette over all pixels would serve the many grey ones and band the heatmap, so
    each kind gets its share.
    """
    from PIL import Image
    from scipy.spatial import cKDTree

    greys = np.repeat(np.linspace(0, 255, 96).round(), 3).reshape(-1, 3)
    index = np.rint(pixels.mean(axis=-1) * (95 / 255)).astype(np.uint8)
    colored = np.ptp(pixels, axis=-1) > 6
    palette = greys
    if colored.any():
        # Each colour once, or a large lesion's would take most entries.
        kinds = np.unique(pixels[colored] // 4 @ np.array([4096, 64, 1]))
        kinds = np.stack([kinds // 4096, kinds // 64 % 64, kinds % 64], axis=-1) * 4 + 2
        strip = Image.fromarray(kinds[None].astype(np.uint8)).quantize(
            160, Image.Quantize.MEDIANCUT, kmeans=1
        )
        colors = np.asarray(strip.getpalette(), dtype=int).reshape(-1, 3)[:160]
        index[colored] = 96 + cKDTree(colors).query(pixels[colored])[1]
        palette = np.concatenate([greys, colors])
    picture = Image.fromarray(index, mode="P")
    picture.putpalette(palette.astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
