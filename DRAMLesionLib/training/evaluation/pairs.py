"""Which masks an evaluation compares: found by name in folders, or by the rows of a data list."""

from dataclasses import dataclass
from pathlib import Path

from DRAMLesionLib.images.paths import is_volume_file, stem
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.training.data.find_files import PATTERNS, find_by_name


@dataclass(frozen=True)
class Pair:
    """What is to be compared.

    Attributes:
        name: The case.
        prediction: Lesion mask.
        reference: Lesion mask on the same grid.
        lobes: Lobes on the same grid; None compares the whole volume.
        part: The data list's part, ``training`` or ``validation``; else empty.
    """

    name: str
    prediction: Path
    reference: Path
    lobes: Path | None = None
    part: str = ""


def find_pairs(prediction: str | Path, reference: str | Path, lobes: str | Path | None = None) -> list[Pair]:
    """Which files :func:`~DRAMLesionLib.training.evaluation.masks.evaluate` compares; the arguments are its own.

    Raises:
        InputError: A mask is missing or can't be read; all cases that lack a mask are named at once.
    """
    prediction, reference = Path(prediction), Path(reference)
    for path in (prediction, reference, *([] if lobes is None else [Path(lobes)])):
        if not path.exists():
            raise InputError(f"{path}: no such file or folder: check the path")
    if is_volume_file(reference) and is_volume_file(prediction):
        return [Pair(stem(prediction), prediction, reference, None if lobes is None else Path(lobes))]
    wanted = _masks(reference)
    predicted = {pair.name: pair.prediction for pair in _masks(prediction)}
    own = _lobes(lobes) if lobes is not None else {}
    problems = [f"no mask of case {pair.name}" for pair in wanted if pair.name not in predicted]
    if problems:
        held = ", ".join(list(predicted)[:5]) + (", ..." if len(predicted) > 5 else "")
        raise InputError(
            f"{prediction}: {'; '.join(problems)} (it has {held}): call the masks as those of {reference}"
        )
    if lobes is not None and (missing := [pair.name for pair in wanted if pair.name not in own]):
        raise InputError(
            f"{lobes}: no lobes of case {', '.join(missing)}: call them NAME_lobes or NAME/lobes"
        )
    return [
        Pair(pair.name, predicted[pair.name], pair.reference, own.get(pair.name, pair.lobes), pair.part)
        for pair in wanted
    ]


def _masks(path: Path) -> list[Pair]:
    """The masks of a folder or a data list, as pairs with themselves."""
    if path.suffix.lower() == ".json":
        return _of_datalist(path)
    if not path.is_dir():
        raise InputError(
            f"{path}: is one file, the other is not: give two masks, or two folders or data lists"
        )
    files = find_by_name(path, PATTERNS["label"]) or find_by_name(path, ("{name}",))
    if not files:
        raise InputError(
            f"{path}: no masks in this folder: call them NAME_lesion.nii.gz or NAME/lesion.nii.gz"
        )
    return [Pair(name, file, file) for name, file in files.items()]


def _of_datalist(path: Path) -> list[Pair]:
    from DRAMLesionLib.training.data.datalist import PARTS, read_datalist

    scans = read_datalist(path)
    rows = [(part, scan) for part in PARTS for scan in getattr(scans, part)]
    missing = [scan.name for _, scan in rows if scan.label is None]
    if missing:
        raise InputError(
            f"{path}: no label of {', '.join(missing)}: give a data list with the masks to compare"
        )
    pairs = [Pair(scan.name, scan.label, scan.label, scan.lobes, part) for part, scan in rows if scan.label]
    names = [pair.name for pair in pairs]
    if doubles := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{path}: several scans are called {', '.join(doubles)}: give each its own name")
    return pairs


def _lobes(path: str | Path) -> dict[str, Path]:
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{path}: is one file, the masks are several: give a folder of lobe maps")
    return find_by_name(path, PATTERNS["lobes"], folders=True) or find_by_name(path, ("{name}",))
