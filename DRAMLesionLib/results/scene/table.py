"""The table of measurements as a MRML table node."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from DRAMLesionLib.results.numbers import range_text, rounded_percent

if TYPE_CHECKING:
    from DRAMLesionLib.lesions.quantify import Region

REGION_COLUMN = "Region"
PERCENT_COLUMN = "Lesion (%)"

DECIMALS = 1
"""More would not be true of any number of the table; a percentage has more where one would contradict its score."""

_COLUMNS: tuple[tuple[str, Callable[[Region], Any]], ...] = (
    ("Volume (mL)", lambda region: region.volume_ml),
    ("Lesion (mL)", lambda region: region.lesion_ml),
    (PERCENT_COLUMN, lambda region: None if region.percent is None else rounded_percent(region.percent)),
    ("Range (%)", lambda region: None if region.percent_low is None else range_text(region)),
    ("Severity score", lambda region: region.score),
    ("Ground glass (mL)", lambda region: region.ground_glass_ml),
    ("Consolidation (mL)", lambda region: region.consolidation_ml),
    ("Other density (mL)", lambda region: region.other_ml),
    ("Mean HU", lambda region: region.mean_hu),
    ("Lesion mean HU", lambda region: region.lesion_mean_hu),
)


def fill_table(node: Any, regions: tuple[Region, ...]) -> None:
    """Fill a vtkMRMLTableNode anew: a row per region, its name and then the numbers; mL, percent 0..100, HU."""
    import vtk

    node.RemoveAllColumns()
    names = vtk.vtkStringArray()
    names.SetName(REGION_COLUMN)
    for region in regions:
        names.InsertNextValue(region.name)
    node.AddColumn(names)
    for title, value_of in _COLUMNS:
        values = [value_of(region) for region in regions]
        # A column of numbers can't say "not there" (a lung has no score): then it is text. The chart needs numbers.
        numbers = title == PERCENT_COLUMN or all(isinstance(value, int | float) for value in values)
        column = vtk.vtkDoubleArray() if numbers else vtk.vtkStringArray()
        column.SetName(title)
        for value in values:
            exact = title == PERCENT_COLUMN
            column.InsertNextValue(_number(value, exact) if numbers else _text(value))
        node.AddColumn(column)
    node.SetUseFirstColumnAsRowHeader(True)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)


def _number(value: float | None, exact: bool) -> float:
    if value is None:
        return math.nan
    return value if exact else round(value, DECIMALS)


def _text(value: float | str | None) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else f"{round(value, DECIMALS):g}"
