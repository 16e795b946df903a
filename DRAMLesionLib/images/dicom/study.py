"""When a DICOM series was taken and how thick its slices are: for reports, where identifiers may be shown."""

import re
from pathlib import Path
from typing import Any

from DRAMLesionLib.images.dicom.header import SERIES_UID, THICKNESS, number, read_dataset, text_of
from DRAMLesionLib.images.dicom.tree import dicom_files
from DRAMLesionLib.images.paths import is_volume_file
from DRAMLesionLib.system.errors import InputError

STUDY_DATE = 0x00080020


def study_of(source: str | Path, series: str | None = None) -> dict[str, Any]:
    """Study date and slice thickness of a DICOM folder or file, from the first slice of the series.

    Args:
        source: A DICOM folder, searched with all below it, or one DICOM file; any other file has neither.
        series: The UID of the series, or the beginning or end of it; None: the folder has one.

    Returns:
        ``date`` as ``2020-03-12`` and ``slice_thickness_mm``, each where the header has it; JSON values.
    """
    source = Path(source)
    if source.is_file() and is_volume_file(source):
        return {}
    for path in sorted(dicom_files(source, below=True)) if source.is_dir() else [source]:
        try:
            data = read_dataset(path, (SERIES_UID, STUDY_DATE, THICKNESS))
        except InputError:
            continue
        uid = text_of(data, SERIES_UID)
        if uid and (series is None or uid.startswith(series) or uid.endswith(series)):
            return _facts(text_of(data, STUDY_DATE), number(text_of(data, THICKNESS)))
    return {}


def _facts(date: str, thickness: float | None) -> dict[str, Any]:
    parts = re.fullmatch(r"(\d{4})(\d\d)(\d\d)", date)
    facts: dict[str, Any] = {"date": "-".join(parts.groups())} if parts else {}
    if thickness is not None and thickness > 0:
        facts["slice_thickness_mm"] = thickness
    return facts
