"""The table of a result: plain rows, readable as text, in a notebook, and as a pandas data frame."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from DRAMLesionLib.results.numbers import ABSENT, ml_text, percent_text
from DRAMLesionLib.results.table import COLUMNS, READER_COLUMNS, wanted_of
from DRAMLesionLib.system.errors import InputError

if TYPE_CHECKING:
    from DRAMLesionLib.lesions.findings import Findings

_SHOWN = {
    "region": "region",
    "mL": "volume_ml",
    "lesion mL": "lesion_ml",
    "lesion %": "lesion_percent",
    "range %": "lesion_percent_low",
    "score": "severity_score",
    "ground glass mL": "ground_glass_ml",
    "consolidation mL": "consolidation_ml",
}
"""Headings of the columns that are shown, and the column of the rows behind each."""


class Table(Sequence[dict[str, Any]]):
    """One row for each lobe, each lung and the total: dicts of numbers, None where there is no value.

    Rows are found by their place or by their region: ``table[1]``, ``table["LLL"]``, ``table["total"]``. Columns are
    those of ``lobes.csv``: volumes in mL, percentages 0..100, densities in HU.
    """

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        """Keep the rows.

        Args:
            rows: Each has at least the columns that are shown.
        """
        self._rows = tuple(rows)

    @overload
    def __getitem__(self, key: int | str) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, key: slice) -> Table: ...
    def __getitem__(self, key: int | str | slice) -> dict[str, Any] | Table:
        """A row by its place or region, or some rows.

        Raises:
            KeyError, IndexError: There is no such row.
        """
        if isinstance(key, slice):
            return Table(self._rows[key])
        if isinstance(key, int):
            return self._rows[key]
        for row in self._rows:
            if row["region"] == key:
                return row
        raise KeyError(key)

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows."""
        return iter(self._rows)

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame``, one row for each region, indexed by it.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise InputError("to_pandas needs pandas: pip install pandas") from error
        return pandas.DataFrame(list(self._rows)).set_index("region")

    def cells(self) -> list[list[str]]:
        """The table as it is shown: a row of headings, then one for each region."""
        return [list(_SHOWN), *([_cell(row, name) for name in _SHOWN.values()] for row in self._rows)]

    def __repr__(self) -> str:
        """The table as text."""
        rows = self.cells()
        widths = [max(len(row[column]) for row in rows) for column in range(len(_SHOWN))]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if number == 0 else cell.rjust(width)
                for number, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )

    def _repr_html_(self) -> str:
        style = ' style="text-align: right"'
        head, *rows = (
            "".join(f"<{tag}{style}>{html.escape(cell)}</{tag}>" for cell in row)
            for tag, row in zip(["th", *["td"] * len(self._rows)], self.cells(), strict=True)
        )
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def table_of(findings: Findings) -> Table:
    """The table of findings, with what a reader wanted of each lobe."""
    return Table(
        [
            {column: getattr(region, name) for column, name in COLUMNS.items()}
            | dict(zip(READER_COLUMNS, wanted_of(findings, region.key), strict=True))
            for region in findings.quantification.regions
        ]
    )


def _cell(row: dict[str, Any], column: str) -> str:
    value = row[column]
    if value is None:
        return ABSENT
    if column == "lesion_percent":
        return percent_text(value)
    if column == "lesion_percent_low":
        return f"{value:.0f}–{row['lesion_percent_high']:.0f}"
    return ml_text(value) if isinstance(value, float) else str(value)
