"""What readers say of a batch's cases: a table of percentages or scores, joined to the cases by their names."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from DRAMLesionLib.batch.listing import Case, Listing
from DRAMLesionLib.images.paths import stem
from DRAMLesionLib.lesions.reading import Reading
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.training.data.case_table import Row, read_table

_SHOWN = 5


def with_readings(listing: Listing, table: str | Path, who: str = "") -> Listing:
    """The cases with what a table says of them.

    Args:
        listing: The cases of a batch.
        table: CSV with a column ``name`` or ``case`` and the columns of
            :func:`~DRAMLesionLib.training.data.case_table.read_table`. A case is named as its results' folder is, or as
            its CT's file, with or without suffix.
        who: The reader.

    Returns:
        The same cases; a note says how many have no row.

    Raises:
        InputError: The table can't be used, or names a case that the batch does not have.
    """
    rows = {row.name: row for row in read_table(table)}
    cases, used = [], set[str]()
    for case in listing.cases:
        name = next((name for name in _names(case) if name in rows), None)
        cases.append(case if name is None else replace(case, reading=_reading(rows[name], who)))
        used |= {name} if name is not None else set()
    if unknown := [name for name in rows if name not in used]:
        shown = ", ".join(unknown[:_SHOWN]) + (" and more" if len(unknown) > _SHOWN else "")
        raise InputError(f"{table}: no case is called {shown}: correct the names, or take the rows out")
    left = len(cases) - len(used)
    notes = [f"{left} of {len(cases)} cases have no row in {Path(table).name}: their masks are not steered"]
    return Listing(cases, [*listing.notes, *(notes if left else [])])


def _names(case: Case) -> Iterator[str]:
    image = Path(case.image)
    yield from (case.name, image.name, stem(image))


def _reading(row: Row, who: str) -> dict[str, object]:
    return Reading(row.percent, row.score or (None,) * len(LOBES), who).to_dict()
