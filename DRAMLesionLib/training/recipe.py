"""Recipes: what a training does, as YAML in ``Training/``.

A recipe has keys that every training has, one section named after its task, and ``model``::

    task: dram
    epochs: 24
    dram: {softness_weight: 0.3}
    model: {spacing_mm: [2.5, 2.5, 2.5]}
"""

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.text_file import read_yaml
from DRAMLesionLib.training.tasks.kinds import TASKS, load_class

PRECISIONS = ("auto", "float32", "bfloat16")
Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Recipe:
    """A training.

    Attributes:
        task: Its kind: a name in :data:`~DRAMLesionLib.training.tasks.kinds.TASKS`.
        settings: The task's own settings: the recipe's section of that name.
        model: What the network expects, and its size.
        name: Of the model that results.
        version: Of the model that results.
        epochs: Times that each sample is seen.
        batch: Samples per step of the optimizer, over all processes; gradients accumulate where they don't fit together.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: Of AdamW.
        clip: The gradient's norm is cut to this.
        ema: Decay of the weights' exponential moving average per step, which is then validated and saved; 0 is without.
        precision: ``float32``, ``bfloat16`` (autocast) or ``auto``: bfloat16 where the machine computes with it.
        compile: Compile the network (``torch.compile``): for long trainings on GPUs.
        validate_every: Epochs between two validations; the last epoch always has one.
        early_stop: Validations without improvement of the task's weak metric after which training ends; the best
            weights are saved then. 0: never, and the last weights are saved.
        seed: Of the weights, the order and the augmentation.
        threads: Of torch on the CPU; 0 leaves it as it is.
        start_from: A model whose weights are the start: a bundle's name or folder; None starts from random weights.
        data: For the model card: what it was trained on.
        licence: The terms of the weights.
    """

    task: str
    settings: Any
    model: Any
    name: str = "model"
    version: str = "0.1.0"
    epochs: int = 24
    batch: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    clip: float = 1.0
    ema: float = 0.0
    precision: str = "auto"
    compile: bool = False
    validate_every: int = 5
    early_stop: int = 0
    seed: int = 0
    threads: int = 0
    start_from: str | None = None
    data: str = "not stated"
    licence: str = "not stated"

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values, as the recipe's file has them."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values[self.task] = asdict(values.pop("settings"))
        values["model"] = self.model.to_dict()
        return values


_BOUNDS: dict[str, tuple[float, float]] = {
    "epochs": (1, 1e6),
    "batch": (1, 1e4),
    "learning_rate": (0, 1),
    "weight_decay": (0, 1),
    "clip": (1e-6, 1e6),
    "ema": (0, 0.99999),
    "validate_every": (1, 1e6),
    "early_stop": (0, 1e6),
    "seed": (0, 2**31 - 1),
    "threads": (0, 1024),
}


def read_recipe(path: str | Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        InputError: The file can't be read, or a key is unknown or wrong: it is named.
    """
    content = read_yaml(path, "a recipe", "give a recipe such as Training/dram.yaml")
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a recipe: give keys such as task and epochs")
    return recipe_from_dict(content, str(path))


def recipe_from_dict(content: Mapping[str, Any], where: str) -> Recipe:
    """A recipe from what its file holds.

    Args:
        content: Keys and values.
        where: What errors name: the file.

    Raises:
        InputError: A key is unknown or wrong: it is named.
    """
    task = content.get("task", "dram")
    if not isinstance(task, str) or task not in TASKS:
        raise InputError(f"{where}: task: {task!r} is unknown: use one of {', '.join(TASKS)}")
    common = [f.name for f in fields(Recipe) if f.name not in ("task", "settings", "model")]
    for key in content:
        if key in TASKS and key != task:
            raise InputError(f"{where}: {key}: the task is {task}: remove this section or change task")
        if key not in (*common, "task", "model", task):
            raise InputError(
                f"{where}: {key}: unknown key: use one of {', '.join(('task', *common, task, 'model'))}"
            )
    values = {key: content[key] for key in common if key in content}
    kind = TASKS[task]
    return Recipe(
        task=task,
        settings=load_class(kind.settings).from_dict(content.get(task, {}), f"{where}: {task}"),
        model=load_class(kind.model).from_dict(content.get("model", {}), f"{where}: model"),
        **checked_values(Recipe, values, f"{where}: ", _BOUNDS, {"precision": PRECISIONS}),
    )


def read_settings(
    cls: type[Settings],
    values: Any,
    where: str,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    choices: Mapping[str, tuple[str, ...]] | None = None,
) -> Settings:
    """A dataclass of texts, numbers and truth values from a recipe's section.

    Args:
        cls: A dataclass; what ``values`` does not name has its default.
        values: The section.
        where: What errors name, for instance ``"dram.yaml: dram"``.
        bounds: Lowest and highest value of numbers; 0 to 1e9 where a number has none.
        choices: The allowed texts.

    Raises:
        InputError: A key is unknown or wrong: it is named as ``where.key``.
    """
    if not isinstance(values, dict):
        raise InputError(f"{where}: {values!r} is no section with settings")
    known = get_type_hints(cls)
    for key in values:
        if key not in known:
            raise InputError(f"{where}.{key}: unknown key: use one of {', '.join(known)}")
    return cls(**checked_values(cls, values, f"{where}.", bounds or {}, choices or {}))


def checked_values(
    cls: type,
    values: Mapping[str, Any],
    where: str,
    bounds: Mapping[str, tuple[float, float]],
    choices: Mapping[str, tuple[str, ...]],
) -> dict[str, Any]:
    """``values`` with the types that ``cls`` declares for them; see :func:`read_settings`."""
    kinds = get_type_hints(cls)
    return {
        key: _checked(value, kinds[key], f"{where}{key}", bounds.get(key, (0, 1e9)), choices.get(key))
        for key, value in values.items()
    }


def _checked(
    value: Any, kind: Any, where: str, bounds: tuple[float, float], choices: tuple[str, ...] | None
) -> Any:
    if value is None and kind in (str | None, float | None):
        return None
    if get_origin(kind) is Literal:
        kind, choices = str, get_args(kind)
    if kind in (str, str | None):
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{where}: {value!r} is no text")
        if choices and value not in choices:
            raise InputError(f"{where}: {value!r} is unknown: use one of {', '.join(choices)}")
        return value
    if kind is bool:
        if not isinstance(value, bool):
            raise InputError(f"{where}: {value!r} is not true or false")
        return value
    if kind in (float, float | None) and isinstance(value, str):  # YAML reads 1e-3 as a text
        with contextlib.suppress(ValueError):
            value = float(value)
    number = isinstance(value, int | float) and not isinstance(value, bool) and value == value
    if not number or (kind is int and value not in (float("inf"), -float("inf")) and value != int(value)):
        raise InputError(f"{where}: {value!r} is no {'whole ' if kind is int else ''}number")
    low, high = bounds
    if not low <= value <= high:
        raise InputError(f"{where}: {value!r} is not between {low:g} and {high:g}")
    return int(value) if kind is int else float(value)
