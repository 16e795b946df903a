"""What a study compares: the rows of its table, as YAML; the study that ships is ``study``.

::

    seeds: [0, 1]
    rows:
      - {name: threshold, mask: threshold}
      - {name: dRAM, mask: dram, recipe: dram.yaml, change: {model: {attention: null}}}
      - {name: final network, mask: final, recipe: final.yaml, labels_of: dRAM, labels: {rule: quantile}}

A row is trained by its ``recipe`` (a file beside the study's, or one that ships), in which ``change`` replaces single
keys, or it reads another map of the model of the row ``model_of``, or it reads a ``model`` that is there already: a
bundle's folder, from the study's file, or a known name. A final network learns from pseudo labels that the model of
the row ``labels_of`` makes, or, with ``labels_of: expert``, from the data list's own labels.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from DRAMLesionLib.lesions.networks.bundle_folders import find_bundle
from DRAMLesionLib.system.checked_values import read_settings
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.text_file import read_yaml
from DRAMLesionLib.training.data.pseudo_labels import PseudoLabelSettings
from DRAMLesionLib.training.recipes.recipe import Recipe, find_recipe, recipe_from_dict

MASKS = ("threshold", "line", "cam", "dram", "attention", "crf", "final", "combined")
"""What cuts a mask: a plain threshold, the straight line from density to percentage, the class activation map,
the dRAM, the dRAM after the attention, the refined dRAM after the CRF, the final network, or the last two together."""
TRAINED_BY_NOBODY = ("threshold", "line")
EXPERT = "expert"


@dataclass(frozen=True)
class StudyRow:
    """One method.

    Attributes:
        name: The method's name in the table.
        mask: Which map is cut, one of :data:`MASKS`.
        recipe: How its model is trained; None where it has none, or another row's.
        model_of: The row whose model it reads; None for its own.
        model: The folder of a bundle that the study does not train; None where it does.
        labels_of: The row whose pseudo labels it learns from, ``expert``, or None.
        labels: How these are made.
        cut: The map's threshold; None is the model's.
        note: For the table's reader.
    """

    name: str
    mask: str
    recipe: Recipe | None = None
    model_of: str | None = None
    model: Path | None = None
    labels_of: str | None = None
    labels: PseudoLabelSettings = field(default_factory=PseudoLabelSettings)
    cut: float | None = None
    note: str = ""

    @property
    def slug(self) -> str:
        """The name as a folder's."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


@dataclass(frozen=True)
class Study:
    """All rows, in an order in which each can be made from those before it, and the seeds they are trained with."""

    rows: tuple[StudyRow, ...]
    seeds: tuple[int, ...] = (0,)

    def row(self, name: str) -> StudyRow:
        """The row of that name."""
        return next(row for row in self.rows if row.name == name)

    def owner(self, row: StudyRow) -> StudyRow:
        """The row whose model a row reads: itself, or the one that ``model_of`` names."""
        return self.row(row.model_of) if row.model_of else row

    def seeds_of(self, row: StudyRow) -> tuple[int, ...]:
        """All seeds for a row whose model the study trains, else the first alone."""
        return self.seeds if self.owner(row).recipe is not None else self.seeds[:1]


def read_study(name_or_path: str | Path) -> Study:
    """Read and check a study.

    Args:
        name_or_path: See :func:`~DRAMLesionLib.training.recipes.recipe.find_recipe`.

    Raises:
        InputError: The file or one of its recipes can't be read, or a key is wrong: it is named.
    """
    path = find_recipe(name_or_path)
    content = _yaml(path)
    for key in content:
        if key not in ("seeds", "rows"):
            raise InputError(f"{path}: {key}: unknown key: use seeds and rows")
    seeds = content.get("seeds", [0])
    good = isinstance(seeds, list) and seeds and all(type(s) is int and s >= 0 for s in seeds)
    if not good or len(set(seeds)) < len(seeds):
        raise InputError(f"{path}: seeds: {seeds!r} is not a list of different whole numbers")
    rows = content.get("rows")
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path}: rows: give a list of rows with name and mask")
    made: list[StudyRow] = []
    for number, row in enumerate(rows):
        made.append(_row(row, f"{path}: rows[{number}]", path.parent, made))
    return Study(tuple(made), tuple(seeds))


def _row(values: Any, where: str, folder: Path, earlier: list[StudyRow]) -> StudyRow:
    if not isinstance(values, dict):
        raise InputError(f"{where}: {values!r} is no row: give its name and mask")
    known = {"name", "mask", "note", "recipe", "change", "model", "model_of", "labels_of", "labels", "cut"}
    for key in values:
        if key not in known:
            raise InputError(f"{where}.{key}: unknown key: use {', '.join(sorted(known))}")
    for key in ("name", "mask"):
        if not isinstance(values.get(key), str) or not values[key].strip():
            raise InputError(f"{where}.{key}: is missing: give it")
    row = StudyRow(values["name"], values["mask"], note=str(values.get("note", "")))
    if row.mask not in MASKS:
        raise InputError(f"{where}.mask: {row.mask!r} is unknown: use one of {', '.join(MASKS)}")
    if not row.slug or row.slug in [other.slug for other in earlier]:
        raise InputError(f"{where}.name: {row.name!r} is not a name of its own: give another")
    cut = values.get("cut")
    if cut is not None and not (isinstance(cut, int | float) and 0 < cut < 1):
        raise InputError(f"{where}.cut: {cut!r} is not between 0 and 1")
    row = replace(row, cut=cut, labels=_labels(values.get("labels", {}), f"{where}.labels"))
    names = [other.name for other in earlier]
    for key, possible in (("model_of", names), ("labels_of", [*names, EXPERT])):
        if values.get(key) is not None and values[key] not in possible:
            raise InputError(f"{where}.{key}: {values[key]!r} is no row before this one: name one of those")
    row = replace(row, model_of=values.get("model_of"), labels_of=values.get("labels_of"))
    given = [key for key in ("recipe", "model_of", "model") if values.get(key) is not None]
    if len(given) != (0 if row.mask in TRAINED_BY_NOBODY else 1):
        raise InputError(
            f"{where}: a threshold or a line needs no model; any other row one of recipe, model_of and model"
        )
    if "model" in given:
        row = replace(row, model=_bundle(folder, values["model"]))
    if row.mask == "combined" and any(
        one.model for one in (row, *earlier) if one.name in (row.name, row.model_of)
    ):
        raise InputError(f"{where}.mask: combined needs the dRAM model that taught the network: use final")
    if "recipe" not in given:
        return row
    beside = folder / str(values["recipe"])
    file = beside if beside.is_file() else find_recipe(str(values["recipe"]))
    changed = _changed(_yaml(file), values.get("change", {}), f"{where}.change")
    return replace(row, recipe=recipe_from_dict(changed, f"{file} as changed by {where}"))


def _bundle(folder: Path, name_or_folder: Any) -> Path:
    beside = folder / str(name_or_folder)
    return find_bundle(beside if beside.is_dir() else str(name_or_folder))


def _labels(values: Any, where: str) -> PseudoLabelSettings:
    return read_settings(PseudoLabelSettings, values, where, {"smooth_mm": (0, 20)})


def _changed(content: dict[str, Any], change: Any, where: str) -> dict[str, Any]:
    """``content`` with the keys of ``change``, section by section."""
    if not isinstance(change, Mapping):
        raise InputError(f"{where}: {change!r} is no section with keys of the recipe")
    result = dict(content)
    for key, value in change.items():
        inner = result.get(key)
        if isinstance(inner, dict) and isinstance(value, Mapping):
            result[key] = _changed(inner, value, f"{where}.{key}")
        else:
            result[key] = value
    return result


def _yaml(path: Path) -> dict[str, Any]:
    content = read_yaml(path, "a study or recipe", "give a file such as study.yaml")
    if not isinstance(content, dict):
        raise InputError(f"{path}: has no keys: give a file such as study.yaml")
    return content
