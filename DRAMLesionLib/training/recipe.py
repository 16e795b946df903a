"""Recipes: what a training does, as YAML in ``Training/``."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from DRAMLesionLib.errors import InputError
from DRAMLesionLib.model_description import ModelDescription


@dataclass(frozen=True)
class Recipe:
    """A dRAM training.

    Attributes:
        name: Of the model that results.
        version: Of the model that results.
        epochs: Times that each lobe is seen.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: Of AdamW.
        softness_weight: Weight of :func:`~DRAMLesionLib.training.losses.softness`.
        roughness_weight: Weight of :func:`~DRAMLesionLib.training.losses.roughness`.
        priors_from: Fraction of the training after which the two begin to rise, 0..1.
        seed: Of the weights, the order and the augmentation.
        model: What the network expects, and its size.
        data: For the model card: what it was trained on.
        licence: The terms of the weights.
    """

    name: str = "dram"
    version: str = "0.1.0"
    epochs: int = 24
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    softness_weight: float = 0.3
    roughness_weight: float = 0.1
    priors_from: float = 0.1
    seed: int = 0
    model: ModelDescription = field(default_factory=ModelDescription)
    data: str = "not stated"
    licence: str = "not stated"


def read_recipe(path: str | Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        InputError: The file can't be read, or names the key that is unknown or wrong.
    """
    import yaml

    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: give a recipe such as Training/dram.yaml") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not a recipe: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a recipe: give keys such as epochs and learning_rate")
    types = {f.name: f.type for f in fields(Recipe)}
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in types:
            raise InputError(f"{path}: {key}: unknown key: use one of {', '.join(types)}")
        values[key] = _checked(key, value, types[key], path)
    return Recipe(**values)


def _checked(key: str, value: Any, kind: Any, path: Path) -> Any:
    if key == "model":
        return ModelDescription.from_dict(value, f"{path}: model")
    if kind is str:
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{path}: {key}: {value!r} is no text")
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or (kind is int and value != int(value)):
        raise InputError(f"{path}: {key}: {value!r} is no {'whole ' if kind is int else ''}number")
    lowest = 1 if key == "epochs" else 0
    highest = 1 if key in ("priors_from", "learning_rate", "weight_decay") else 1e9
    if not lowest <= value <= highest:
        raise InputError(f"{path}: {key}: {value!r} is not between {lowest:g} and {highest:g}")
    return kind(value)
