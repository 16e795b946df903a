"""What a training is made of: the data list, the recipe with the user's changes, the models it needs, its name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from DRAMLesionLib.lesions.networks.bundle_folders import bundle_metadata
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.text_file import read_yaml
from DRAMLesionLib.training.data.datalist import DataList, read_datalist, spread
from DRAMLesionPanel.shared.models import DEFAULT_DRAM, DEFAULT_FINAL, folderOf, kindOf

DATALIST = "datalist.json"
RECIPES = ("dram", "final", "fine-tune")
"""Those the panel offers; a recipe's file may be given instead."""

CASES_TO_WATCH_SOME, WATCHED = 5, 0.2
"""Of a training folder with that many accepted cases a part is set aside, to see where the training goes."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")


@dataclass(frozen=True)
class Plan:
    """A training that can begin.

    Attributes:
        recipe: Which one was chosen.
        content: The recipe's keys, with all changes but the name.
        scans: What it learns from, and what is watched.
        start: Name of the model it starts from; empty: from nothing.
        labels_by: Name of the dRAM model that labels scans without a label; empty: none is needed.
    """

    recipe: str
    content: dict[str, Any]
    scans: DataList
    start: str = ""
    labels_by: str = ""


def recipeFile(recipe: str) -> Path:
    """The file of a recipe: one of :data:`RECIPES`, or a file's path."""
    from DRAMLesionLib.training.recipes.recipe import find_recipe

    return find_recipe(recipe) if recipe in RECIPES else Path(recipe)


def readRecipe(recipe: str) -> dict[str, Any]:
    """The keys of a recipe, checked.

    Raises:
        InputError: It can't be read, or is no recipe.
    """
    path = recipeFile(recipe)
    content = read_yaml(path, "a recipe", "choose another recipe")
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a recipe: give keys such as task and epochs")
    if not isinstance(content.get("model", {}), dict):
        raise InputError(f"{path}: model: is no table of settings: choose another recipe")
    return content


def findData(data: str) -> Path:
    """The data list that is meant by a file, or by a training folder.

    Raises:
        InputError: There is none.
    """
    if not data.strip():
        raise InputError("no data to train on: choose a data list, or a training folder with accepted cases")
    path = Path(data).expanduser()
    if path.is_dir():
        if not (path / DATALIST).is_file():
            raise InputError(f"{path}: has no {DATALIST}: accept a case first, or choose a data list")
        return path / DATALIST
    return path


def readData(data: str) -> DataList:
    """The scans of a data list or a training folder; of a folder with several cases some are set aside to watch.

    Raises:
        InputError: They can't be read.
    """
    scans = read_datalist(findData(data))
    ofFolder = Path(data).expanduser().is_dir()
    if ofFolder and not scans.validation and len(scans.training) >= CASES_TO_WATCH_SOME:
        return spread(scans.training, WATCHED)
    return scans


def makePlan(data: str, recipe: str, epochs: int | None = None, model: str | None = None) -> Plan:
    """Put a training together.

    Args:
        data: A data list or a training folder.
        recipe: One of :data:`RECIPES`, or a recipe's file.
        epochs: Instead of the recipe's.
        model: A model's name or folder: the final network to start from, or the dRAM model that labels. A model of the
            other kind, or none, leaves it to the default one.

    Raises:
        InputError: Something is missing or can't be read; one line.
    """
    scans = readData(data)
    content = readRecipe(recipe)
    if epochs:
        content["epochs"] = epochs
    if content.get("task", "dram") != "segmentation":
        content.setdefault("data", f"percentages or scores of the lobes of {len(scans.training)} scans")
        return Plan(recipe, content, scans)
    start = labels_by = ""
    if content.get("start_from"):
        start = findFinal(model, str(content["start_from"]))
        content |= _startingFrom(start)
    if any(scan.label is None for scan in scans.training):
        labels_by = _labeller(model, start)
        content["model"] = {**content.get("model", {}), "dram_model": labels_by}
        content.setdefault("data", f"pseudo labels of {len(scans.training)} scans by the model {labels_by}")
    return Plan(recipe, content, scans, start, labels_by)


def findFinal(model: str | None, default: str = DEFAULT_FINAL) -> str:
    """Name or folder of the final network to start from.

    Raises:
        InputError: There is none.
    """
    for name in (model, default):
        if name and kindOf(name) == "segmentation":
            return name
    raise InputError(
        f"{default}: no such final network to start from: choose one as Model, or train one by the recipe Final network"
    )


def checkName(name: str, taken: Mapping[str, Path]) -> None:
    """Check the name of a new model.

    Args:
        name: What the user typed.
        taken: Models that there are.

    Raises:
        InputError: It can't be used.
    """
    if not _NAME.fullmatch(name) or name.endswith((".", ".job", ".training")):
        shown = " ".join(name.split())
        raise InputError(
            f"{shown}: no name for a model: use letters, digits, '-', '_' and '.', beginning with a letter or digit"
        )
    known = {other.lower(): other for other in taken}
    if name.lower() in known:
        other = known[name.lower()]
        raise InputError(
            f"{name}: there is a model of this name in {taken[other].parent}: choose another name"
        )


def freeName(recipe: str, taken: set[str]) -> str:
    """A name for a model when the user gives none: after the recipe, with a number."""
    stem = {"fine-tune": "fine-tuned"}.get(recipe, re.sub(r"[^A-Za-z0-9._-]+", "-", Path(recipe).stem))
    known = {name.lower() for name in taken}
    number = 1
    while f"{stem}-{number}".lower() in known:
        number += 1
    return f"{stem}-{number}"


def _labeller(model: str | None, start: str) -> str:
    """Name of the dRAM model that labels: the chosen one, that of the network to start from, or the default one."""
    if model and kindOf(model) == "dram":
        return model
    beside = bundle_metadata(folderOf(start))["segmentation"].get("dram_model") if start else None
    return beside or DEFAULT_DRAM


def _startingFrom(start: str) -> dict[str, Any]:
    """The keys of a recipe that starts from a final network: its own size, and its terms, which the weights keep."""
    folder = folderOf(start)
    metadata = bundle_metadata(folder)
    changes: dict[str, Any] = {"start_from": start, "model": metadata["segmentation"]}
    changes["data"] = f"corrected cases, starting from {metadata.get('name', start)} " + (
        f"{metadata.get('version', '')} (trained on {metadata.get('data_source', 'data that is not stated')})"
    )
    licence = folder / "LICENSE"
    if licence.is_file() and (text := licence.read_text(encoding="utf-8", errors="replace").strip()):
        changes["licence"] = text + "\n"
    return changes
