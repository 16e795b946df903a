"""What was opened: results of a CT, those of a batch with the flagged ones first, or a CT that is to be segmented."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from DRAMLesionLib.batch.report import read_finished
from DRAMLesionLib.batch.tables import VOLUMES_NAME
from DRAMLesionLib.batch.work import CASES
from DRAMLesionLib.images.paths import exists, is_volume_file
from DRAMLesionLib.results.folder import is_results
from DRAMLesionLib.results.numbers import percent_text
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.view.case import Places

RESULTS = "{name}_results"
"""The folder that a CT is segmented into, beside it; see :func:`_neutral_stem` for a DICOM folder."""
_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")


@dataclass(frozen=True)
class Entry:
    """A case of the list.

    Attributes:
        name: The case's name.
        places: Where it lies, or will lie when it was segmented.
        percent: Lesion in percent of the lungs, as text; empty where it is not known yet.
        flags: Sentences of what should be looked at.
    """

    name: str
    places: Places
    percent: str = ""
    flags: tuple[str, ...] = ()

    @property
    def is_segmented(self) -> bool:
        """Whether there are results to show."""
        return is_results(self.places.results)

    def row(self) -> dict[str, Any]:
        """JSON values for the page."""
        return {"name": self.name, "percent": self.percent, "flags": list(self.flags)}


def entries_of(what: Path, **more: Any) -> list[Entry]:
    """The cases of what was opened; of a batch the flagged ones first, each part in the order of its table.

    Args:
        what: Results, a batch's folder, or a CT: a file, or a folder with a DICOM series.
        **more: ``ct``, ``out``, ``training`` and ``keep_identifiers`` of
            :meth:`~DRAMLesionLib.view.case.Places.beside`; a batch takes none but the last two.

    Raises:
        InputError: There is no such file or folder, or the batch has no finished case.
    """
    if not exists(what):
        raise InputError(f"{what}: does not exist: give results, a batch's folder, or a CT")
    if is_results(what):
        return [Entry(what.resolve().name, Places.beside(what, **more))]
    if (what / VOLUMES_NAME).is_file():
        return _of_batch(what, more)
    if more.get("ct") is not None:
        raise InputError(f"{what}: is not a folder of results, so --ct has no meaning: leave it out")
    stem = _stem(what) if is_volume_file(what) or more.get("keep_identifiers") else _neutral_stem(what)
    results = what.resolve().with_name(RESULTS.format(name=stem))
    return [Entry(stem, Places.beside(results, **{**more, "ct": what}))]


def _of_batch(what: Path, more: dict[str, Any]) -> list[Entry]:
    if more.get("ct") is not None or more.get("out") is not None:
        raise InputError(
            f"{what}: holds many cases, so --ct and --out have no meaning: leave them out, or open one of "
            f"{what / CASES}"
        )
    training = more.get("training") or what.resolve().parent / "dramlesion_training"
    entries = []
    for case in read_finished(what):
        places = Places.beside(what / CASES / case.name, **{**more, "training": training})
        total = case.total.get("lesion_percent")
        entries.append(Entry(case.name, places, percent_text(total), case.flags))
    if not entries:
        raise InputError(f"{what}: has no finished case: run the batch first")
    return sorted(entries, key=lambda entry: not entry.flags)


def _neutral_stem(folder: Path) -> str:
    """A name for a DICOM folder, whose own may be a patient's: always the same for the same files."""
    files = sorted((path.name, path.stat().st_size) for path in folder.rglob("*") if path.is_file())
    return f"ct_{zlib.crc32(repr(files).encode()):08x}"


def _stem(what: Path) -> str:
    name = what.resolve().name
    if not is_volume_file(name):
        return name
    return next((name[: -len(end)] for end in _ENDINGS if name.lower().endswith(end)), what.stem)
