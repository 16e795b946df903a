"""The CT series of a DICOM tree with many patients, from the headers alone."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from DRAMLesionLib.system.progress import Progress, silent

MIN_SLICES = 10
"""Series with fewer slices are scouts or snapshots, not scans to segment."""
_SUFFIXES = (".dcm", ".dicom", ".ima")


@dataclass(frozen=True)
class FoundSeries:
    """One CT series.

    Attributes:
        folder: All its files lie in it or below.
        uid: The SeriesInstanceUID.
        description: The SeriesDescription.
        alone: No other series lies in the folder or below it, so that the folder alone names the series.
    """

    folder: str
    uid: str
    description: str
    alone: bool


@dataclass
class _Growing:
    folders: set[str]
    modality: str
    description: str
    slices: int = 0


def could_be_dicom(path: Path) -> bool:
    """Whether a file's name is one that DICOM files have: a usual suffix, none, or the end of a UID."""
    suffix = path.suffix.lower()
    return path.name.upper() != "DICOMDIR" and (suffix in _SUFFIXES or not suffix or suffix[1:].isdigit())


def dicom_files(folder: Path, below: bool) -> list[Path]:
    """Files in a folder (``below``: and in all below it) that may be DICOM, sorted."""
    every = folder.rglob("*") if below else folder.iterdir()
    return sorted(
        path for path in every if not path.name.startswith(".") and could_be_dicom(path) and path.is_file()
    )


def find_series(folders: Sequence[Path], progress: Progress = silent) -> tuple[list[FoundSeries], int]:
    """The CT series in folders, sorted by folder and UID, and how many other series there are.

    Args:
        folders: Each is searched for itself, without what lies below it. A series may be spread over several.
        progress: Told how many of them are done.
    """
    from DRAMLesionLib.images.dicom.slices import read_slices

    growing: dict[str, _Growing] = {}
    above = {str(parent) for folder in folders for parent in folder.parents}
    several: set[str] = set()
    for done, folder in enumerate(folders):
        progress("Listing the DICOM series", done / len(folders))
        slices = read_slices(dicom_files(folder, below=False))[0]
        if len({one.uid for one in slices}) > 1:
            several.add(str(folder))
        for slice_ in slices:
            series = growing.setdefault(slice_.uid, _Growing(set(), slice_.modality, slice_.description))
            series.folders.add(str(folder))
            series.slices += 1
    progress("Listing the DICOM series", 1.0)
    scans = {uid: s for uid, s in growing.items() if s.modality in ("CT", "") and s.slices >= MIN_SLICES}
    others = len(growing) - len(scans)
    listed = []
    for uid, one in scans.items():
        common = os.path.commonpath(sorted(one.folders))
        alone = len(one.folders) == 1 and common not in above and common not in several
        listed.append(FoundSeries(common, uid, one.description, alone))
    return sorted(listed, key=lambda series: (series.folder, series.uid)), others
