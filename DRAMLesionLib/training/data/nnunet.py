"""nnU-Net v2: pseudo labels out as its raw data set, its predictions back as our results. Needs nothing of nnU-Net.

A data set as nnU-Net asks for it (documentation/dataset_format.md of nnU-Net v2), in a folder named ``DatasetNNN_Name``::

    dataset.json                 channels, labels, number of training cases, file ending
    imagesTr/CASE_0000.nii.gz    the CT;      imagesTs/: those of the list's validation part
    labelsTr/CASE.nii.gz         0 background, 1 lesion;    labelsTs/: where a validation row has a label
    dramlesion.json              ours, nnU-Net reads past it: each case's CT and lobes, and whether it is corrected
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from DRAMLesionLib.images.volume import Volume, read_ct, read_on_grid, write_volume
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lungs.read_lobes import find_lobes
from DRAMLesionLib.results.folder import write_findings
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import staged_directory
from DRAMLesionLib.system.progress import Progress, silent
from DRAMLesionLib.system.record import versions
from DRAMLesionLib.training.data.datalist import Scan, read_datalist, relative

ENDING, SIDECAR, DATASET = ".nii.gz", "dramlesion.json", "dataset.json"
_FOLDERS = ("imagesTr", "labelsTr", "imagesTs", "labelsTs")


@dataclass(frozen=True)
class ImportedCase:
    """A prediction that came back.

    Attributes:
        name: The case.
        folder: Where its results are.
        findings: What was measured.
    """

    name: str
    folder: Path
    findings: Findings


def export_nnunet(data: str | Path, out: str | Path, progress: Progress = silent) -> dict[str, Any]:
    """Write a data list with labels as an nnU-Net v2 raw data set, whole or not at all.

    Args:
        data: The data list; each training row needs a ``label``, as ``pseudo-label`` gives it.
        out: The data set's folder, ``.../nnUNet_raw/DatasetNNN_Name``. What an earlier export left there is replaced.
        progress: Told after each case.

    Returns:
        JSON values: the number of ``training`` and ``test`` cases, how many are ``corrected``, the ``dataset``'s name.

    Raises:
        InputError: The folder's name is not as nnU-Net wants it, or a row has no label, or files don't fit together.
        OutputError: It can't be written.
    """
    out = Path(out)
    if not re.fullmatch(r"Dataset\d{3}_\w+", out.name):
        raise InputError(
            f"{out}: nnU-Net finds data sets by name: call the folder Dataset501_Lesion, for instance"
        )
    scans = read_datalist(data)
    bare = [scan.name for scan in scans.training if scan.label is None]
    if bare:
        raise InputError(
            f"{data}: {len(bare)} training scans have no label ({', '.join(bare[:5])}): make them with pseudo-label"
        )
    rows = [("Tr", scan) for scan in scans.training] + [("Ts", scan) for scan in scans.validation]
    names = case_names(scan for _, scan in rows)
    cases: dict[str, Any] = {}
    with staged_directory(out) as folder:
        for name in _FOLDERS if scans.validation else _FOLDERS[:2]:
            (folder / name).mkdir()
        for number, (name, (part, scan)) in enumerate(zip(names, rows, strict=True)):
            progress("Writing the data set", number / len(rows))
            cases[name] = {"part": part, **_write_case(name, part, scan, folder, out)}
        _write_json(folder / DATASET, _dataset_json(len(scans.training)))
        _write_json(folder / SIDECAR, {"software": versions(), "cases": cases})
    progress("Writing the data set", 1.0)
    return {
        "dataset": out.name,
        "training": len(scans.training),
        "test": len(scans.validation),
        "corrected": sum(case["corrected"] for case in cases.values()),
    }


def case_names(scans: Iterable[Scan]) -> list[str]:
    """A name for each scan that serves as a file name and that no other has."""
    names: list[str] = []
    for scan in scans:
        plain = re.sub(r"\W+", "_", scan.name, flags=re.ASCII).strip("_") or "case"
        name, number = plain, 2
        while name in names:
            name, number = f"{plain}_{number}", number + 1
        names.append(name)
    return names


def import_nnunet(
    predictions: str | Path,
    dataset: str | Path,
    out: str | Path,
    *,
    allow_missing_lobes: bool = False,
    progress: Progress = silent,
) -> list[ImportedCase]:
    """Measure nnU-Net's predictions and write our results for each case: mask, table, summary and report.

    Args:
        predictions: The folder that ``nnUNetv2_predict -o`` wrote: ``CASE.nii.gz`` each, and ``CASE.npz`` with
            probabilities is passed over.
        dataset: The data set's folder, which tells each case's CT and lobes.
        out: A folder; each case gets one of its own in it.
        allow_missing_lobes: Accept a lobe without voxels.
        progress: Told after each case.

    Raises:
        InputError: There is no prediction, a case is not of the data set, or a prediction lies on another grid: nothing
            of that case is written.
    """
    predictions, out = Path(predictions), Path(out)
    cases = _read_sidecar(Path(dataset))
    files = sorted(predictions.glob(f"*{ENDING}")) if predictions.is_dir() else []
    if not files:
        raise InputError(
            f"{predictions}: holds no predictions (CASE{ENDING}): give nnUNetv2_predict's output folder"
        )
    unknown = [file.name for file in files if _case_of(file) not in cases]
    if unknown:
        raise InputError(f"{predictions / unknown[0]}: no case of {dataset} has this name: give its data set")
    done = []
    for number, file in enumerate(files):
        progress("Importing predictions", number / len(files))
        name = _case_of(file)
        case = cases[name]
        findings = import_prediction(
            file, case["image"], case["lobes"], allow_missing_lobes=allow_missing_lobes
        )
        write_findings(findings, out / name, with_scene=False)
        done.append(ImportedCase(name, out / name, findings))
    progress("Importing predictions", 1.0)
    return done


def import_prediction(
    prediction: str | Path,
    image: str | Path,
    lobes: str | Path | None = None,
    *,
    allow_missing_lobes: bool = False,
) -> Findings:
    """The findings of one prediction: 1 lesion, 0 elsewhere, on the CT's grid.

    Lesion outside the lobes is dropped, as in our own results. The map is the mask as 0 and 1: nnU-Net gives no dRAM.

    Raises:
        InputError: It lies on another grid or has other values.
    """
    ct = read_ct(image)
    lobes_of_ct = find_lobes(ct, lobes, allow_missing=allow_missing_lobes)
    mask = read_mask(prediction, ct)
    lesion = (mask * (lobes_of_ct.labels > 0)).astype(np.uint8)
    table = quantify(ct.array, lobes_of_ct, lesion, ct.spacing_mm)
    record: dict[str, Any] = {
        "model": {"name": f"nnU-Net prediction {Path(prediction).name}"},
        "settings": {"method": "nnU-Net", "lobes": lobes_of_ct.source},
        "versions": versions(),
        "warnings": [*ct.warnings, "the mask comes from nnU-Net; the map is that mask"],
    }
    dropped = int(mask.sum()) - int(lesion.sum())
    if dropped:
        record["warnings"].append(f"{dropped} lesion voxels outside the lobes were dropped")
    return Findings(ct, lobes_of_ct, lesion.astype(np.float32), lesion, table, record)


def read_mask(path: str | Path, ct: Volume) -> np.ndarray:
    """A mask of 0 and 1 on the grid of ``ct`` as uint8 (z, y, x).

    Raises:
        InputError: It can't be read, lies on another grid, or has other values.
    """
    array = read_on_grid(path, ct, "lesion mask")
    values = np.unique(array)
    if not np.isin(values, (0, 1)).all():
        listed = ", ".join(f"{value:g}" for value in values[:8])
        raise InputError(f"{path}: has the values {listed}: give a mask of 0 (background) and 1 (lesion)")
    return array.astype(np.uint8)


def _write_case(name: str, part: str, scan: Scan, folder: Path, out: Path) -> dict[str, Any]:
    """One case's image and label, both in the CT's own geometry: nnU-Net compares the two."""
    ct = read_ct(scan.image)
    write_volume(ct.array, ct, folder / f"images{part}" / f"{name}_0000{ENDING}")
    corrected = False
    if scan.label is not None:
        label = read_mask(scan.label, ct)
        write_volume(label, ct, folder / f"labels{part}" / f"{name}{ENDING}")
        corrected = scan.edits is not None
    return {
        "image": relative(scan.image, out),
        "lobes": relative(scan.lobes, out),
        "label": relative(scan.label, out) if scan.label else None,
        "corrected": corrected,
        "percent": list(scan.percent),
    }


def _dataset_json(count: int) -> dict[str, Any]:
    return {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "lesion": 1},
        "numTraining": count,
        "file_ending": ENDING,
        "overwrite_image_reader_writer": "SimpleITKIO",
        "description": "COVID-19 lesions, pseudo labels of DRAMLesion. Research use only, not for diagnosis.",
    }


def _read_sidecar(dataset: Path) -> dict[str, dict[str, Any]]:
    """Each case's CT and lobes with their paths from the data set's folder made whole."""
    path = dataset / SIDECAR
    try:
        cases = json.loads(path.read_text(encoding="utf-8"))["cases"]
        return {
            name: {"image": dataset / case["image"], "lobes": dataset / case["lobes"]}
            for name, case in cases.items()
        }
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file: give a data set that export-nnunet wrote") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: damaged: {error}: export the data set again") from error


def _case_of(file: Path) -> str:
    return file.name[: -len(ENDING)]


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
