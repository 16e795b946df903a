"""A bar for each region of the table: percent of the region by density, with its range; SVG to put into a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from DRAMLesionLib.results.colors import CONSOLIDATION_COLOR, GROUND_GLASS_COLOR, OTHER_COLOR

if TYPE_CHECKING:
    from DRAMLesionLib.lesions.quantify import Region

DENSITIES = (
    (GROUND_GLASS_COLOR, "ground glass"),
    (CONSOLIDATION_COLOR, "consolidation"),
    (OTHER_COLOR, "other"),
)
"""Colour and word of each density class."""

_STEPS = (1, 2, 5, 10, 20, 25, 50, 75, 100)


def bar_end(regions: Sequence[Region]) -> int:
    """The round percentage at which all bars of a table end, so that the longest one and its range fit."""
    ends = [value for one in regions for value in (one.percent, one.percent_high) if value is not None]
    return next(step for step in _STEPS if step >= min(100.0, max(ends, default=0.0)))


def density_bar(region: Region, end: int) -> str:
    """An SVG of a region's lesion by density, 0 to ``end`` percent of the region; empty for a region without voxels."""
    if region.percent is None or not region.volume_ml:
        return ""
    parts = (region.ground_glass_ml, region.consolidation_ml, region.other_ml)
    start, shapes = 0.0, ""
    for part, (color, _) in zip(parts, DENSITIES, strict=True):
        width = 100.0 * (100.0 * part / region.volume_ml) / end
        shapes += f'<rect x="{start:.2f}" y="1" width="{width:.2f}" height="8" fill="{color}"/>'
        start += width
    if region.percent_low is not None and region.percent_high is not None:
        low, high = (100.0 * value / end for value in (region.percent_low, region.percent_high))
        shapes += (
            f'<path d="M{low:.2f} 11 H{high:.2f} M{low:.2f} 9.5 V12 M{high:.2f} 9.5 V12" stroke="#1f2933"/>'
        )
    return (
        '<svg class="bar" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect x="0" y="1" width="100" height="8" fill="#eef1f4"/>{shapes}</svg>'
    )
