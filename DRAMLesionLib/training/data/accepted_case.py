"""Cases that a person has corrected and accepted, kept for training.

A training folder holds::

    datalist.json              what the trainer reads: the files and lesion percentages of all accepted cases
    NAME/ct.nrrd               the CT
    NAME/lobes.nrrd            its lobes
    NAME/lesion.nrrd           the accepted label, 1 lesion
    NAME/edits.nrrd            what was painted: 1 lesion, 2 not lesion; not there where nothing was
    NAME/case.json             provenance: model, settings, versions, percentages, when it was accepted, and for each
                               lobe where its label comes from: a reader's percentage or score, or the accepted mask

A reader's number counts more than what the accepted mask measures: the row of the data list has the reader's percentage,
or for a lobe with a score that score and no percentage.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import DRAMLesionLib
from DRAMLesionLib.images.image_file import c_numbers
from DRAMLesionLib.images.volume import Volume, to_image
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import remove_stale, replaced_directory, write_text
from DRAMLesionLib.system.text_file import read_json

if TYPE_CHECKING:
    from DRAMLesionLib.lesions.findings import Findings

DATALIST, CASE = "datalist.json", "case.json"
IMAGES = ("ct", "lobes", "lesion", "edits")
ROW = ("image", "lobes", "label", "edits")
"""The images' keys in a row of the data list."""


def save_accepted_case(folder: str | Path, findings: Findings, edits: np.ndarray | None = None) -> Path:
    """Store an accepted case, whole or not at all; the same CT accepted again replaces its case.

    Args:
        folder: The training folder; it is created.
        findings: The results with the accepted lesion, its percentages, and a reader's numbers where there are any.
        edits: uint8 (z, y, x): 1 painted as lesion, 2 as not lesion, 0 not painted; None where nothing was painted.

    Returns:
        The case's folder.

    Raises:
        InputError: No folder is given, or its data list can't be read.
        OSError: The folder can't be written; what it held is as it was.
    """
    if not str(folder).strip():
        # "" would be the folder that the program was started in.
        raise InputError("no training folder: give one")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    remove_stale(folder)  # an older case that stood aside when its process was killed comes back
    content = _read_datalist(folder / DATALIST)
    checksum = _checksum(findings.ct)
    case = _case_folder(folder, findings.ct.name, checksum)
    with replaced_directory(case) as staging:
        arrays = (findings.ct.array, findings.lobes.labels, findings.lesion, edits)
        stored = {name: array for name, array in zip(IMAGES, arrays, strict=True) if array is not None}
        for name, array in stored.items():
            _write(array, findings.ct, staging / f"{name}.nrrd")
        text = json.dumps(_facts(findings, edits, checksum), indent=2, ensure_ascii=False) + "\n"
        (staging / CASE).write_text(text, encoding="utf-8")
    files = {key: f"{case.name}/{name}.nrrd" for key, name in zip(ROW, IMAGES, strict=True) if name in stored}
    row = {**files, **_weak_labels(findings)}
    others = [other for other in content["training"] if other.get("image") != row["image"]]
    write_text(folder / DATALIST, json.dumps({**content, "training": [*others, row]}, indent=2) + "\n")
    return case


def _read_datalist(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"training": []}
    content = read_json(path, "a data list", "repair it or choose another folder")
    rows = content.get("training") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: not a data list: it has no 'training' list: choose another folder")
    return content


def _case_folder(folder: Path, name: str, checksum: str) -> Path:
    """The folder of that CT: named after it, with a number where another CT has the name."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._") or "case"
    number = 1
    while True:
        case = folder / (stem if number == 1 else f"{stem}_{number}")
        if not case.exists() or _stored_checksum(case) == checksum:
            return case
        number += 1


def _stored_checksum(case: Path) -> str | None:
    try:
        return str(json.loads((case / CASE).read_text(encoding="utf-8"))["ct_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _facts(findings: Findings, edits: np.ndarray | None, checksum: str) -> dict[str, Any]:
    painted = np.zeros(0, np.uint8) if edits is None else edits
    reading = findings.reading
    return {
        "name": findings.ct.name,
        "ct_sha256": checksum,
        "accepted": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "software": f"DRAMLesion {DRAMLesionLib.__version__}",
        "percent": {region.key: region.percent for region in findings.quantification.lobes},
        "lobes": {"source": findings.lobes.source, "approximate": findings.lobes.approximate},
        "label_from": {lobe.abbreviation: _origin(findings, lobe.value) for lobe in LOBES},
        "reading": None if reading is None else reading.to_dict(),
        "painted_voxels": {"lesion": int((painted == 1).sum()), "not_lesion": int((painted == 2).sum())},
        "record": findings.record,
    }


def _weak_labels(findings: Findings) -> dict[str, Any]:
    """A row's ``percent``, and ``score`` where a reader gave one: the reader's numbers, else the mask's percentages."""
    percent: list[float | None] = []
    score: list[int | None] = []
    for lobe, region in zip(LOBES, findings.quantification.lobes, strict=True):
        said = findings.reading.of(lobe.value) if findings.reading else None
        measured = None if region.percent is None else round(float(region.percent), 4)
        percent.append(measured if said is None else said[1] if said[0] == "percent" else None)
        score.append(int(said[1]) if said is not None and said[0] == "score" else None)
    return (
        {"percent": percent, "score": score}
        if any(one is not None for one in score)
        else {"percent": percent}
    )


def _origin(findings: Findings, lobe: int) -> str:
    """Where a lobe's label comes from, for people."""
    said = findings.reading.of(lobe) if findings.reading else None
    if findings.reading is None or said is None:
        return "accepted mask"
    who = findings.reading.who[lobe - 1]
    return f"reader's {said[0]}" + (f", {who}" if who else "")


def _checksum(ct: Volume) -> str:
    """SHA-256 of voxels and geometry."""
    digest = hashlib.sha256(np.ascontiguousarray(ct.array).tobytes())
    digest.update(repr(ct.geometry).encode())
    return digest.hexdigest()


def _write(array: np.ndarray, like: Volume, path: Path) -> None:
    import SimpleITK as sitk

    # The weakest compression: a person waits for it, and stronger ones save little on a noisy CT.
    with c_numbers():
        sitk.WriteImage(to_image(array, like), str(path), useCompression=True, compressionLevel=1)
