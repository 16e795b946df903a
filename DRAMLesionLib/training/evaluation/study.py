"""A study: each method trained with each seed on the same scans, and compared with the experts' masks.

The data list has the experts' masks as ``label``. Only the last comparison and the rows that learn from ``expert`` labels
see them: all other rows get a data list without labels. The folder holds::

    weak.json, expert.json       the data list without and with labels
    ROW/seed-S/model             the row's model, with its training's state beside it
    ROW/seed-S/labels            pseudo labels that it learned from
    ROW/seed-S/NAME.nii.gz       its masks;  scores.json: how they agree with the experts'
    study.md, study.csv          the table;  stages.png: every stage on one slice

What is there already is kept, so a study that was stopped goes on.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from DRAMLesionLib.images.volume import read_ct, read_on_grid, write_volume
from DRAMLesionLib.lesions.mask import segment_lesion, take_speckle_off
from DRAMLesionLib.lesions.networks.bundle import WEIGHTS
from DRAMLesionLib.lungs.read_lobes import read_lobes
from DRAMLesionLib.system.device import find_device
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import checksum, write_text
from DRAMLesionLib.system.progress import Progress, silent
from DRAMLesionLib.training.data.datalist import DataList, Scan, read_datalist, write_datalist
from DRAMLesionLib.training.data.pseudo_labels import write_pseudo_labels
from DRAMLesionLib.training.engine import state_folder, train
from DRAMLesionLib.training.evaluation.masks import ScanScore, score_masks
from DRAMLesionLib.training.evaluation.study_masks import (
    LoadedScan,
    fit_line,
    lesion_map,
    load_row_model,
    threshold_of,
)
from DRAMLesionLib.training.evaluation.study_recipe import EXPERT, Study, StudyRow
from DRAMLesionLib.training.run_log import LOG, Log, read_log

SCORES = "scores.json"


@dataclass(frozen=True)
class Run:
    """One row with one seed.

    Attributes:
        row: The row.
        seed: The seed of the model's training.
        scores: One per scan, ``part`` is training or validation.
        minutes: How long the model's training took; None without one.
    """

    row: StudyRow
    seed: int
    scores: tuple[ScanScore, ...]
    minutes: float | None


def run_study(
    study: Study,
    data: str | Path,
    out: str | Path,
    *,
    epochs: int | None = None,
    device: str = "auto",
    progress: Progress = silent,
    log: Log = lambda event: None,
    stop: Callable[[], bool] | None = None,
) -> list[Run]:
    """Train and score every row with every seed; goes on where an earlier run was stopped.

    Args:
        study: Rows and seeds.
        data: The data list, with the experts' mask as ``label`` of each scan.
        out: The folder.
        epochs: Instead of each recipe's, for a trial.
        device: See :func:`~DRAMLesionLib.system.device.find_device`.
        progress: Told the stage and how much of it is done.
        log: Given the events of each training.
        stop: Asked at each step of a training whether to stop at a checkpoint.

    Returns:
        The runs, row by row.

    Raises:
        InputError: The data list or a recipe can't be used.
        Stopped: It was asked to stop.
    """
    out, device = Path(out), str(find_device(device))
    scans = read_datalist(data)
    without = [scan.name for scan in (*scans.training, *scans.validation) if scan.label is None]
    if without:
        raise InputError(
            f"{data}: no label to compare with for {', '.join(without)}: give the experts' masks"
        )
    out.mkdir(parents=True, exist_ok=True)
    write_datalist(out / "expert.json", scans)
    write_datalist(out / "weak.json", _without_labels(scans))
    loaded: list[LoadedScan] = []  # read when first needed: a study that is complete reads none
    runs = []
    for row in study.rows:
        for seed in study.seeds_of(row):

            def told(stage: str, fraction: float, what: str = f"{row.name}, seed {seed}") -> None:
                progress(f"{what}: {stage}", fraction)

            folder = out / row.slug / f"seed-{seed}"
            if row.recipe is not None:
                _train(row, study, seed, out, folder, epochs, device, told, log, stop)
            facts = _facts(row, study, seed, out, scans)
            scores = _kept_scores(folder / SCORES, facts)
            if scores is None:
                loaded = loaded or list(load_scans(scans, progress))
                scores = _score(row, study, seed, out, folder, loaded, device, told)
                content = {**facts, "scores": [asdict(score) for score in scores]}
                write_text(folder / SCORES, json.dumps(content, indent=2) + "\n")
            runs.append(Run(row, seed, scores, _minutes(row, folder)))
    return runs


def model_folder(row: StudyRow, study: Study, seed: int, out: Path) -> Path | None:
    """The model that a row reads; None where it needs none."""
    owner = study.owner(row)
    return out / owner.slug / f"seed-{seed}" / "model" if owner.recipe is not None else owner.model


def teacher_folder(row: StudyRow, study: Study, seed: int, out: Path) -> Path | None:
    """The dRAM model that made the labels of the final network that a ``combined`` row reads; None for other rows."""
    owner = study.owner(row)
    if row.mask != "combined" or owner.labels_of in (None, EXPERT):
        return None
    assert owner.labels_of is not None
    return model_folder(study.row(owner.labels_of), study, seed, out)


def _without_labels(scans: DataList) -> DataList:
    parts = [
        tuple(replace(s, label=None, edits=None) for s in part) for part in (scans.training, scans.validation)
    ]
    return DataList(*parts)


def _train(
    row: StudyRow,
    study: Study,
    seed: int,
    out: Path,
    folder: Path,
    epochs: int | None,
    device: str,
    progress: Progress,
    log: Log,
    stop: Callable[[], bool] | None,
) -> None:
    assert row.recipe is not None
    data = out / "weak.json"
    if row.labels_of == EXPERT:
        data = out / "expert.json"
    elif row.labels_of is not None:
        teacher = model_folder(study.row(row.labels_of), study, seed, out)
        if teacher is None:
            raise InputError(f"{row.name}: labels_of: {row.labels_of} has no model: name a row that has one")
        data = write_pseudo_labels(
            data, teacher, folder / "labels", row.labels, resume=True, device=device, progress=progress
        )
    recipe = replace(row.recipe, seed=seed, epochs=epochs or row.recipe.epochs)
    train(recipe, data, folder / "model", device=device, resume=True, progress=progress, log=log, stop=stop)


def _facts(row: StudyRow, study: Study, seed: int, out: Path, scans: DataList) -> dict[str, Any]:
    """What scores depend on."""
    folder = model_folder(row, study, seed, out)
    names = [scan.name for scan in (*scans.training, *scans.validation)]
    model_checksum = None if folder is None else checksum(folder / WEIGHTS)
    return {"row": row.name, "mask": row.mask, "cut": row.cut, "model": model_checksum, "scans": names}


def _kept_scores(path: Path, facts: dict[str, Any]) -> tuple[ScanScore, ...] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if any(content[key] != value for key, value in facts.items()):
            return None
        return tuple(ScanScore(**{**score, **_tuples(score)}) for score in content["scores"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _tuples(score: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) for key, value in score.items() if isinstance(value, list)}


def load_scans(scans: DataList, progress: Progress) -> Iterator[LoadedScan]:
    """Read scans with their lobes and the experts' masks, one at a time."""
    everything: list[tuple[str, Scan]] = [
        *(("training", scan) for scan in scans.training),
        *(("validation", scan) for scan in scans.validation),
    ]
    for number, (part, scan) in enumerate(everything):
        progress("Reading the scans", number / len(everything))
        ct = read_ct(scan.image)
        lobes = read_lobes(scan.lobes, ct, allow_missing=True).labels
        assert scan.label is not None
        expert = (read_on_grid(scan.label, ct, "label") != 0) & (lobes > 0)
        yield LoadedScan(part, scan, ct, lobes, expert.astype(np.uint8))


def _score(
    row: StudyRow,
    study: Study,
    seed: int,
    out: Path,
    folder: Path,
    loaded: list[LoadedScan],
    device: str,
    progress: Progress,
) -> tuple[ScanScore, ...]:
    where = model_folder(row, study, seed, out)
    model = None if where is None else load_row_model(row.mask, where, device)
    taught_by = teacher_folder(row, study, seed, out)
    teacher = None if taught_by is None else load_row_model("dram", taught_by, device)
    if row.mask == "line":
        teacher = fit_line([one for one in loaded if one.part == "training"])
    cut = threshold_of(row, model)
    scores = []
    for number, one in enumerate(loaded):
        progress("Segmenting", number / len(loaded))
        values = lesion_map(row.mask, model, one, device, teacher)
        take_speckle_off(values, one.lobes, cut, one.ct.spacing_mm)
        mask = segment_lesion(values, one.lobes, cut)
        folder.mkdir(parents=True, exist_ok=True)
        write_volume(mask, one.ct, folder / f"{one.scan.name}.nii.gz")
        scores.append(score_masks(mask, one.expert, one.lobes, name=one.scan.name, part=one.part))
    return tuple(scores)


def _minutes(row: StudyRow, folder: Path) -> float | None:
    if row.recipe is None:
        return None
    ends = [e["seconds"] for e in read_log(state_folder(folder / "model") / LOG) if "seconds" in e]
    return ends[-1] / 60 if ends else None
