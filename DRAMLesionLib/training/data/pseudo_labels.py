"""Pseudo labels for a whole data list: what the final network is trained on.

The folder holds::

    datalist.json          the data list again, with a ``label`` for each training scan
    NAME_pseudo.nii.gz     the guessed label of a scan, 1 lesion, on its CT's grid
    pseudo_labels.json     provenance: model, settings, versions, and each scan's percentages before and after

A label that a row has already (drawn or accepted by a person) is kept instead of a guess. Painted voxels (``edits``) of
a row without a label are put into the guess.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from DRAMLesionLib.images.volume import Volume, read_ct, read_on_grid, write_volume
from DRAMLesionLib.lesions.dram import predict_dram
from DRAMLesionLib.lesions.mask import with_refined_dram
from DRAMLesionLib.lesions.networks.bundle import Model
from DRAMLesionLib.lesions.probability import predict_lesion
from DRAMLesionLib.lesions.refined_dram import refine_dram
from DRAMLesionLib.lesions.run_models import CaseModels, load_case_models
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.lungs.read_lobes import read_lobes
from DRAMLesionLib.system.device import find_device
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import checksum, write_text
from DRAMLesionLib.system.progress import Progress, silent
from DRAMLesionLib.system.record import versions
from DRAMLesionLib.training.data.datalist import DataList, Scan, read_datalist, write_datalist
from DRAMLesionLib.training.data.pseudo_label import Rule, pseudo_label, smooth_inside

DATALIST, PROVENANCE, SUFFIX = "datalist.json", "pseudo_labels.json", "_pseudo.nii.gz"


@dataclass(frozen=True)
class PseudoLabelSettings:
    """How the maps become labels.

    Attributes:
        rule: See :func:`~DRAMLesionLib.training.data.pseudo_label.pseudo_label`; a lobe whose percentage is not known
            is cut at the model's threshold, within the range of its score where that is known.
        crf: Refine the map by the dense CRF first. A map whose network learned with the CRF does not gain by it.
        smooth_mm: Sigma of a Gaussian inside the lobes that the map is smoothed by before the cut; 0 is none.
        dram_share: Of a final network's labels: how much the dRAM counts beside its probability, 0..1; None: as its
            description says.
    """

    rule: Rule = "quantile"
    crf: bool = False
    smooth_mm: float = 2.0
    dram_share: float | None = None


def write_pseudo_labels(
    data: str | Path,
    model: str | Path | None,
    out: str | Path,
    settings: PseudoLabelSettings | None = None,
    *,
    resume: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> Path:
    """Guess the label of each training scan of a data list, and write them with a new data list.

    Args:
        data: The data list; its validation scans are carried over as they are.
        model: A model's name or folder: a dRAM model, or a final network, whose probability is cut together with the map
            of its dRAM model; None is the default dRAM model.
        out: The folder.
        settings: How; None is the default.
        resume: Keep labels that an earlier run with the same model, settings and scans has written.
        device: See :func:`~DRAMLesionLib.system.device.find_device`.
        progress: Told the stage and how much of it is done.

    Returns:
        The new data list's path.

    Raises:
        InputError: The data list, the model or a scan can't be used. Labels written so far stay, for ``resume``; there is
            no data list then.
    """
    settings, out, data = settings or PseudoLabelSettings(), Path(out), Path(data)
    torch_device = find_device(device)
    scans = read_datalist(data)
    if data.resolve() == (out / DATALIST).resolve():
        raise InputError(f"{data}: would be replaced by its own pseudo labels: give another folder")
    models = load_case_models(model, "dram" if model is None else None, torch_device)
    maker = models.final or models.dram
    facts: dict[str, Any] = {
        "model": {"name": maker.name, "version": maker.version, "checksum": models.checksum},
        "settings": {**asdict(settings), "threshold": maker.description.threshold},
    }
    earlier = _earlier(out, facts) if resume else {}
    (out / DATALIST).unlink(missing_ok=True)
    done: dict[str, Any] = {}
    rows: list[Scan] = []
    for number, (name, scan) in enumerate(zip(_names(scans.training), scans.training, strict=True), 1):

        def told(
            stage: str, fraction: float, which: str = f"{name}, {number} of {len(scans.training)}"
        ) -> None:
            progress(f"{which}: {stage}", fraction)

        stamp = _stamp(scan)
        known = earlier.get(name, {})
        if known.get("files") == stamp and _is_whole(out / f"{name}{SUFFIX}", known):
            done[name] = known
        else:
            done[name] = {
                **_one_scan(name, scan, models, settings, out, str(torch_device), told),
                "files": stamp,
            }
        label = scan.label if done[name]["label"] == "given" else out / f"{name}{SUFFIX}"
        rows.append(replace(scan, label=label))
        facts_so_far = {**facts, "versions": versions(), "scans": done}
        write_text(out / PROVENANCE, json.dumps(facts_so_far, indent=2, ensure_ascii=False) + "\n")
    about = {"labels": f"pseudo labels, see {PROVENANCE}"}
    write_datalist(out / DATALIST, DataList(tuple(rows), scans.validation), about)
    return out / DATALIST


def guess_label(
    ct: Volume,
    lobes: np.ndarray,
    scan: Scan,
    models: CaseModels | Model,
    settings: PseudoLabelSettings,
    *,
    device: str = "cpu",
    progress: Progress = silent,
) -> tuple[np.ndarray, np.ndarray]:
    """The pseudo label of one scan.

    Args:
        ct: The CT.
        lobes: uint8 (z, y, x), 1..5.
        scan: What is known of its lobes.
        models: The dRAM model, and the final network where that makes the labels; a dRAM model alone will do.
        settings: How.
        device: Where to compute.
        progress: Told the stage and how much of it is done.

    Returns:
        uint8 (z, y, x), 1 lesion; and the map that it was cut from, float32 (z, y, x).
    """
    models = models if isinstance(models, CaseModels) else CaseModels(models)
    how: dict[str, Any] = {"device": device, "progress": progress}
    on = (ct.array, lobes, ct.spacing_mm)
    wanted, threshold = models.dram.description, models.dram.description.threshold
    lesion_map = predict_dram(models.dram.network, wanted, *on, **how)
    if settings.crf:
        progress("Refining the dRAM", 0.0)
        lesion_map = refine_dram(lesion_map, ct.array, ct.spacing_mm, lobes, wanted)
    if models.final is not None:
        final = models.final.description
        probability = predict_lesion(models.final.network, final, *on, **how)
        share = final.dram_share if settings.dram_share is None else settings.dram_share
        lesion_map = with_refined_dram(probability, final.threshold, lesion_map, threshold, share)
        threshold = final.threshold
    lesion_map = smooth_inside(lesion_map, lobes > 0, ct.spacing_mm, settings.smooth_mm)
    percent, bounds = _known(scan)
    label = pseudo_label(lesion_map, lobes, percent, rule=settings.rule, threshold=threshold, bounds=bounds)
    return label, lesion_map


def _known(scan: Scan) -> tuple[list[float | None], list[tuple[float, float] | None]]:
    """The known percentage of each lobe, and bounds of it where there is a score alone; None where nothing is known."""
    percent: list[float | None] = []
    bounds: list[tuple[float, float] | None] = []
    for lobe in LOBES:
        weak = scan.weak_label(lobe.value)
        low, high = (0.0, 0.0) if weak is None else weak.known_range
        exact = weak is not None and (weak.is_healthy or weak.fraction is not None)
        percent.append(100 * low if exact else None)
        bounds.append((100 * low, 100 * high) if weak is not None and weak.fraction is None else None)
    return percent, bounds


def _one_scan(
    name: str,
    scan: Scan,
    models: CaseModels,
    settings: PseudoLabelSettings,
    out: Path,
    device: str,
    progress: Progress,
) -> dict[str, Any]:
    """Write the label of a scan, if it needs one; return its facts for the provenance."""
    progress("Reading", 0.0)
    ct = read_ct(scan.image)
    lobes = read_lobes(scan.lobes, ct, allow_missing=True).labels
    facts: dict[str, Any] = {"image": str(scan.image), "known_percent": list(scan.percent)}
    if scan.score is not None:
        facts["known_score"] = list(scan.score)
    edits = None if scan.edits is None else read_on_grid(scan.edits, ct, "edits")
    if edits is not None:
        facts["painted_voxels"] = {"lesion": int((edits == 1).sum()), "not_lesion": int((edits == 2).sum())}
    if scan.label is not None:
        given = (read_on_grid(scan.label, ct, "label") > 0).astype(np.uint8)
        return {**facts, "label": "given", "percent_label": _percent(given, lobes)}
    label, dram = guess_label(ct, lobes, scan, models, settings, device=device, progress=progress)
    cut = dram > (models.final or models.dram).description.threshold
    if edits is not None:
        label[edits == 1], label[edits == 2] = 1, 0
        label[lobes == 0] = 0
    path = out / f"{name}{SUFFIX}"
    write_volume(label, ct, path)
    return {
        **facts,
        "label": "guessed" if edits is None else "guessed, with painted voxels",
        "percent_map": _percent(cut, lobes),
        "percent_label": _percent(label, lobes),
        "sha256": _sha256(path),
    }


def _percent(mask: np.ndarray, lobes: np.ndarray) -> list[float | None]:
    """Percentage of each lobe that a mask covers; None where the lobe has no voxels."""
    inside = [lobes == lobe.value for lobe in LOBES]
    return [round(100 * float(np.mean(mask[one] > 0)), 3) if one.any() else None for one in inside]


def _names(scans: Sequence[Scan]) -> list[str]:
    """A file name for each scan: its name, with a number where another one has it."""
    names: list[str] = []
    for scan in scans:
        name, number = scan.name, 1
        while name in names:
            number += 1
            name = f"{scan.name}_{number}"
        names.append(name)
    return names


def _earlier(out: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """The scans of an earlier run, if it had the same model and settings."""
    try:
        content = json.loads((out / PROVENANCE).read_text(encoding="utf-8"))
        same = all(content[key] == facts[key] for key in ("model", "settings"))
        return dict(content["scans"]) if same else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _is_whole(path: Path, facts: dict[str, Any]) -> bool:
    if facts.get("label") == "given":
        return True
    return path.is_file() and _sha256(path) == facts.get("sha256")


def _stamp(scan: Scan) -> dict[str, str]:
    """What a label depends on, but for model and settings."""
    files = {"image": scan.image, "lobes": scan.lobes, "label": scan.label, "edits": scan.edits}
    stamps = {key: _sha256(path) for key, path in files.items() if path is not None}
    return {**stamps, "weak_label": json.dumps([scan.percent, scan.score])}


def _sha256(path: Path) -> str:
    """SHA-256 of a file; for a folder (DICOM, lobe masks) that of its files' names and sizes."""
    if not path.is_dir():
        return checksum(path)
    listed = sorted(
        (p.relative_to(path).as_posix(), p.stat().st_size) for p in path.rglob("*") if p.is_file()
    )
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()
