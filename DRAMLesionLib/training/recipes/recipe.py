"""Recipes: what a training does, as YAML. Those that ship lie beside this file and are known by their names.

A recipe has keys that every training has, one section named after its task, and ``model``::

    task: dram
    epochs: 24
    dram: {softness_weight: 0.3}
    model: {spacing_mm: [2.5, 2.5, 2.5]}
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from DRAMLesionLib.lesions.networks.description import ModelDescription
from DRAMLesionLib.lesions.networks.final_description import SegmentationDescription
from DRAMLesionLib.lesions.whole_lungs.description import AmountDescription
from DRAMLesionLib.lungs.lung_description import LungDescription
from DRAMLesionLib.system.checked_values import checked_values
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.text_file import read_yaml
from DRAMLesionLib.training.recipes.settings import (
    CamSettings,
    DramSettings,
    LungSettings,
    SegmentationSettings,
    WholeLungSettings,
)

SHIPPED = Path(__file__).parent
"""The folder of the recipes that ship, ``NAME.yaml``."""
PAGES = "Training"
"""The folder of a checkout that speaks of the recipes: ``Training/NAME.yaml`` means the one that ships, too."""

PRECISIONS = ("auto", "float32", "bfloat16")
SECTIONS: dict[str, tuple[Any, Any]] = {
    "dram": (DramSettings, ModelDescription),
    "cam": (CamSettings, ModelDescription),
    "segmentation": (SegmentationSettings, SegmentationDescription),
    "lungs": (LungSettings, LungDescription),
    "amounts": (WholeLungSettings, AmountDescription),
}
"""What the section named after a task and the section ``model`` hold; each class has ``from_dict(values, where)``."""


@dataclass(frozen=True)
class Recipe:
    """A training.

    Attributes:
        task: The kind of training: a name in :data:`SECTIONS`.
        settings: The task's own settings: the recipe's section of that name.
        model: What the network expects, and its size.
        name: The name of the model that results.
        version: The version of the model that results.
        epochs: Times that each sample is seen.
        batch: Samples per step of the optimizer, over all processes; gradients accumulate where they don't fit together.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: Weight decay of AdamW.
        clip: The gradient's norm is cut to this.
        ema: Decay of the weights' exponential moving average per step, which is then validated and saved; 0 is without.
        precision: ``float32``, ``bfloat16`` (autocast) or ``auto``: bfloat16 where the machine computes with it.
        compile: Compile the network (``torch.compile``): for long trainings on GPUs.
        validate_every: Epochs between two validations; the last epoch always has one.
        early_stop: Validations without improvement of the task's weak metric after which training ends; the best
            weights are saved then. 0: never, and the last weights are saved.
        seed: What the weights, the order and the augmentation depend on.
        threads: Threads of torch on the CPU; 0 leaves their number as it is.
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
        """The recipe as JSON values, as its file has them."""
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


def shipped_recipes() -> dict[str, Path]:
    """The files of the recipes and the study that ship, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"), key=lambda path: path.stem)}


def find_recipe(name_or_path: str | Path) -> Path:
    """The file of a recipe or a study.

    Args:
        name_or_path: A YAML file, or one that ships by its name: ``dram``, ``dram.yaml`` or ``Training/dram.yaml``.

    Returns:
        The file that ships, where ``name_or_path`` is its name and no file; else ``name_or_path``.
    """
    path = Path(name_or_path)
    is_name = path.parent in (Path(), Path(PAGES)) and path.suffix in ("", ".yaml")
    shipped = shipped_recipes().get(path.stem) if is_name else None
    return path if shipped is None or path.is_file() else shipped


def _remedy() -> str:
    return f"give a YAML file or one of {', '.join(name for name in shipped_recipes() if name != 'study')}"


def read_recipe(name_or_path: str | Path) -> Recipe:
    """Read and check a recipe.

    Args:
        name_or_path: See :func:`find_recipe`.

    Raises:
        InputError: The file can't be read, or a key is unknown or wrong: it is named.
    """
    path = find_recipe(name_or_path)
    content = read_yaml(path, "a recipe", _remedy())
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
    if not isinstance(task, str) or task not in SECTIONS:
        raise InputError(f"{where}: task: {task!r} is unknown: use one of {', '.join(SECTIONS)}")
    common = [f.name for f in fields(Recipe) if f.name not in ("task", "settings", "model")]
    for key in content:
        if key in SECTIONS and key != task:
            raise InputError(f"{where}: {key}: the task is {task}: remove this section or change task")
        if key not in (*common, "task", "model", task):
            raise InputError(
                f"{where}: {key}: unknown key: use one of {', '.join(('task', *common, task, 'model'))}"
            )
    values = {key: content[key] for key in common if key in content}
    settings, model = SECTIONS[task]
    return Recipe(
        task=task,
        settings=settings.from_dict(content.get(task, {}), f"{where}: {task}"),
        model=model.from_dict(content.get("model", {}), f"{where}: model"),
        **checked_values(Recipe, values, f"{where}: ", _BOUNDS, {"precision": PRECISIONS}),
    )
