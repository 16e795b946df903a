"""The pictures of a batch's report: how involvement and severity are spread over the cases, and over the lobes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.colors import CONSOLIDATION_COLOR, DRAM_COLOR, GROUND_GLASS_COLOR
from DRAMLesionLib.results.report.canvas import MUTED_COLOR, TEXT_COLOR, new_figure, png_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH = 3.4
_HEIGHT = 2.5
_MOST_POINTS = 400
"""Single cases are shown as points up to this many; more would hide each other."""


def involvement_chart(percent: np.ndarray) -> bytes:
    """A PNG: how many cases have how much of both lungs involved.

    Args:
        percent: Lesion in percent of both lungs, 0..100, one per case.
    """
    figure = new_figure(_WIDTH, _HEIGHT)
    axes = _axes(figure, "lesion, % of both lungs", "cases")
    top = max(5.0, float(np.ceil(percent.max(initial=0.0) / 5.0) * 5.0))
    width = 1.0 if top <= 20 else 2.5 if top <= 50 else 5.0
    axes.hist(
        percent, bins=[*np.arange(0.0, top + width, width)], color=CONSOLIDATION_COLOR, edgecolor="white"
    )
    if percent.size:
        _mark(axes, float(np.median(percent)), "median {:.1f} %")
    axes.set_xlim(0.0, top)
    _whole_counts(axes)
    return png_of(figure)


def score_chart(scores: np.ndarray) -> bytes:
    """A PNG: how many cases have which total severity score.

    Args:
        scores: 0..25, one per case.
    """
    figure = new_figure(_WIDTH, _HEIGHT)
    most = 5 * len(LOBES)
    axes = _axes(figure, f"total severity score (of {most})", "cases")
    axes.bar(np.arange(most + 1), np.bincount(scores, minlength=most + 1), width=0.86, color=DRAM_COLOR)
    if scores.size:
        _mark(axes, float(np.median(scores)), "median {:g}")
    axes.set_xlim(-0.7, most + 0.7)
    _whole_counts(axes)
    return png_of(figure)


def lobes_chart(percent: Mapping[str, np.ndarray]) -> bytes:
    """A PNG: for each lobe how much of it is involved: quartiles as a box, up to some hundred cases as points.

    Args:
        percent: Lesion in percent of the lobe, by the lobe's abbreviation; cases without that lobe left out.
    """
    figure = new_figure(_WIDTH, _HEIGHT)
    axes = _axes(figure, "", "% of the lobe")
    shift = np.random.default_rng(0)
    for column, lobe in enumerate(LOBES):
        values = percent[lobe.abbreviation]
        if not values.size:
            continue
        color = "#{:02x}{:02x}{:02x}".format(*lobe.color)
        box: dict[str, Any] = {"facecolor": color, "alpha": 0.55, "edgecolor": TEXT_COLOR, "linewidth": 0.8}
        line = {"color": TEXT_COLOR, "linewidth": 0.8}
        axes.boxplot(
            [values],
            positions=[column],
            widths=0.6,
            showfliers=len(values) > _MOST_POINTS,
            patch_artist=True,
            boxprops=box,
            medianprops={"color": TEXT_COLOR, "linewidth": 1.6},
            whiskerprops=line,
            capprops=line,
            flierprops={"marker": ".", "markersize": 2, "markeredgecolor": MUTED_COLOR},
        )
        if len(values) <= _MOST_POINTS:
            x = column + shift.uniform(-0.2, 0.2, len(values))
            axes.plot(x, values, ".", color=TEXT_COLOR, markersize=3, alpha=0.6)
    axes.set_xticks(range(len(LOBES)), [lobe.abbreviation for lobe in LOBES])
    axes.set_xlim(-0.6, len(LOBES) - 0.4)
    axes.set_ylim(bottom=0.0)
    return png_of(figure)


def density_chart(ground_glass_ml: Sequence[float], consolidation_ml: Sequence[float]) -> bytes:
    """A PNG: ground glass against consolidation, a point for each case.

    Args:
        ground_glass_ml: In mL, one per case.
        consolidation_ml: In mL, in the same order.
    """
    figure = new_figure(_WIDTH, _HEIGHT)
    axes = _axes(figure, "ground glass, mL", "consolidation, mL")
    size = 9 if len(ground_glass_ml) <= _MOST_POINTS else 2
    axes.scatter(
        ground_glass_ml, consolidation_ml, s=size, color=GROUND_GLASS_COLOR, edgecolors=CONSOLIDATION_COLOR
    )
    axes.set_xlim(left=0.0)
    axes.set_ylim(bottom=0.0)
    return png_of(figure)


def _axes(figure: Any, x: str, y: str) -> Axes:
    axes = figure.add_axes((0.15, 0.19 if x else 0.11, 0.82, 0.72 if x else 0.8))
    axes.set_xlabel(x, fontsize=8, color=TEXT_COLOR)
    axes.set_ylabel(y, fontsize=8, color=TEXT_COLOR)
    axes.tick_params(labelsize=7.5, labelcolor=MUTED_COLOR, color="#cbd2d9", length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color("#9aa5b1")
    axes.set_axisbelow(True)
    axes.grid(axis="y", color="#e4e8ec", linewidth=0.7)
    return axes


def _mark(axes: Axes, value: float, text: str) -> None:
    axes.axvline(value, color=TEXT_COLOR, linewidth=1.0, linestyle=(0, (4, 3)))
    low, high = axes.get_xlim()
    on_left = value > (low + high) / 2
    axes.annotate(
        text.format(value),
        (value, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(-3 if on_left else 3, 1),
        textcoords="offset points",
        ha="right" if on_left else "left",
        va="bottom",
        fontsize=7.5,
        color=TEXT_COLOR,
    )


def _whole_counts(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
