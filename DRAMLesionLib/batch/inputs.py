"""A case's files under names that say nothing of the patient.

Reports, summaries and errors show the name of the file or folder that was read. So a worker reads links that are named
after the case.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from DRAMLesionLib.batch.listing import Case
from DRAMLesionLib.images.dicom.tree import dicom_files
from DRAMLesionLib.images.paths import is_volume_file, stem
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import suffixes


@dataclass(frozen=True)
class Inputs:
    """What to segment: the image, the lobes, and the series where the folder holds several."""

    image: Path
    lobes: Path | None
    series: str | None


def own_inputs(case: Case) -> Inputs:
    """The case's files as they are."""
    return Inputs(Path(case.image), Path(case.lobes) if case.lobes else None, case.series)


def neutral_inputs(case: Case, folder: Path) -> Inputs:
    """Links to the case's files in ``folder``, an empty one: nothing in their names is from the inputs.

    Raises:
        InputError: The image or the lobes are not there.
    """
    image = Path(case.image)
    if not image.exists():
        raise InputError("its image is not there: check the path in the list of cases")
    if is_volume_file(image):
        linked, series = folder / f"{case.name}{suffixes(image)}", case.series
        _link(image, linked)
        if image.suffix.lower() in (".mhd", ".nhdr"):
            _link_data(image, folder)
    else:
        linked, series = folder / case.name, None
        linked.mkdir()
        for number, file in enumerate(_series_files(image, case.series)):
            _link(file, linked / f"{number:06d}.dcm")
    return Inputs(linked, _linked_lobes(case, folder), series)


def fingerprint(case: Case) -> list[Any]:
    """Sizes and times of the case's files, to see whether they have changed; None for what is not there."""
    return [_stat(Path(path)) for path in (case.image, case.lobes) if path]


def _linked_lobes(case: Case, folder: Path) -> Path | None:
    if case.lobes is None:
        return None
    lobes = Path(case.lobes)
    if not lobes.exists():
        raise InputError("its lobes are not there: check --lobes, or leave it out to have them found")
    linked = folder / f"{case.name}_lobes{'' if lobes.is_dir() else suffixes(lobes)}"
    if not lobes.is_dir():
        _link(lobes, linked)
        return linked
    linked.mkdir()
    for file in lobes.iterdir():
        if file.is_file():
            _link(file, linked / file.name)
    return linked


def _series_files(image: Path, series: str | None) -> list[Path]:
    """The files of one series; with them the broken ones, which reading must refuse."""
    from DRAMLesionLib.images.dicom.slices import read_slice, read_slices

    below = image.is_dir()
    if not below:
        series, image = read_slice(image)[0].uid, image.parent
    files = dicom_files(image, below)
    if series is None:
        return files
    slices, broken, _ = read_slices(files)
    own = [one.path for one in slices if one.uid == series]
    if not own:
        raise InputError("the series is no longer in its folder: list the cases anew")
    return [*dict.fromkeys(own), *broken]


def _link_data(header: Path, folder: Path) -> None:
    """The files beside a header that may hold its voxels, under the names that it calls them by."""
    for file in header.parent.iterdir():
        if file != header and file.name.startswith(stem(header)) and not (folder / file.name).exists():
            _link(file, folder / file.name)


def _link(file: Path, link: Path) -> None:
    """A link, or a copy where the system allows none."""
    file = file.resolve()
    for make in (os.symlink, os.link, shutil.copyfile):
        try:
            make(file, link)
            return
        except OSError:
            if make is shutil.copyfile:
                raise


def _stat(path: Path) -> list[int] | None:
    try:
        if not path.is_dir():
            stat = path.stat()
            return [1, stat.st_size, stat.st_mtime_ns]
        stats = [file.stat() for file in path.rglob("*") if file.is_file()]
        return [len(stats), sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0)]
    except OSError:
        return None
