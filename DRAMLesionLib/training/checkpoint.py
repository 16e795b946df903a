"""Checkpoints: where a training stands, without pickle.

``checkpoint.safetensors`` has the tensors (weights, their average, the best ones, the optimizer's moments) and in its
header the scalars, so that both are replaced at once. ``checkpoint.json`` shows the scalars to people, and remembers a
training that has ended.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import atomic_file, write_text
from DRAMLesionLib.system.text_file import read_json
from DRAMLesionLib.training.recipes.recipe import Recipe

TENSORS, SCALARS = "checkpoint.safetensors", "checkpoint.json"
FORMAT = 1
FREE_TO_CHANGE = ("threads", "data", "licence")
"""Keys of a recipe that a resumed training may have different."""


@dataclass
class State:
    """Where a training stands, but for the tensors.

    Attributes:
        step: Steps of the optimizer that are done.
        sums: For each figure in the epoch so far, its sum over the samples that have it, and how many those are.
        seconds: That the training took.
        best: The best value of the weak metric.
        waited: Validations since then.
        figures: Losses and measures of the last whole epoch.
    """

    step: int = 0
    sums: dict[str, tuple[float, float]] = field(default_factory=dict)
    seconds: float = 0.0
    best: float | None = None
    waited: int = 0
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass
class Learner:
    """What has tensors to keep.

    Attributes:
        network: That is trained.
        optimizer: The optimizer of the network's parameters.
        average: Their moving average, or None.
        best: The best weights so far, empty before the first validation.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None = None
    best: dict[str, torch.Tensor] = field(default_factory=dict)


def save_checkpoint(folder: Path, learner: Learner, state: State, run: dict[str, Any]) -> Path:
    """Write a checkpoint, replacing the one before.

    Args:
        folder: Where the training's state lies.
        learner: The learner whose tensors are written.
        state: The training's scalars.
        run: What has to be the same when it goes on, see :func:`fingerprint`.

    Raises:
        OutputError: It can't be written; the one before is as it was.
    """
    from safetensors.torch import save_file

    tensors = {f"network.{key}": value for key, value in learner.network.state_dict().items()}
    if learner.average is not None:
        tensors |= {f"average.{key}": value for key, value in learner.average.state_dict().items()}
    tensors |= {f"best.{key}": value for key, value in learner.best.items()}
    names = [name for name, parameter in learner.network.named_parameters() if parameter.requires_grad]
    optimizer = learner.optimizer.state_dict()
    for number, moments in optimizer["state"].items():
        tensors |= {f"optimizer.{key}.{names[number]}": torch.as_tensor(v) for key, v in moments.items()}
    groups = [{k: v for k, v in g.items() if k != "params"} for g in optimizer["param_groups"]]
    scalars = {"format": FORMAT, "finished": False, "state": asdict(state), "groups": groups, "run": run}
    # A copy of each: safetensors takes neither shared memory nor the layout of channels_last.
    copies = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    with atomic_file(folder / TENSORS) as temporary:
        save_file(copies, temporary, metadata={"scalars": json.dumps(scalars)})
    write_text(folder / SCALARS, json.dumps(scalars, indent=1) + "\n")
    return folder / TENSORS


def check_checkpoint(folder: Path, run: dict[str, Any], resume: bool, recipe: str) -> None:
    """Check that a training may begin in a folder, or go on.

    Args:
        folder: Where the training's state lies.
        run: See :func:`fingerprint`.
        resume: Whether it is to go on, if there is a checkpoint.
        recipe: For messages: the recipe's file.

    Raises:
        InputError: It is to begin, but there is a checkpoint; or to go on, but recipe or data are not those the
            checkpoint was made with: what changed is named.
    """
    path = folder / TENSORS
    if not path.is_file():
        return
    if not resume:
        raise InputError(f"{path}: a training has not ended here: go on with --resume, or remove {folder}")
    before = _read(path)[0]["run"]
    changes = [
        change
        for part, name in (("recipe", recipe), ("data", "the data list"), ("bytes", "the size in bytes"))
        for change in _differences(before.get(part), run[part], f"{name}: ", "")
    ]
    if changes:
        more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
        raise InputError(
            f"{path}: the training began with something else: {'; '.join(changes[:3])}{more}: "
            f"undo this to go on, or remove {folder} and start again"
        )


def load_checkpoint(folder: Path, learner: Learner) -> State | None:
    """Bring a learner to where a checkpoint stands.

    Args:
        folder: Where the training's state lies.
        learner: Is changed.

    Returns:
        Its state, or None where there is no checkpoint.

    Raises:
        InputError: It is damaged.
    """
    path = folder / TENSORS
    if not path.is_file():
        return None
    scalars, tensors = _read(path)
    try:
        _restore(learner, tensors, scalars["groups"])
        return State(**scalars["state"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _damaged(path, error) from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            scalars = json.loads((opened.metadata() or {})["scalars"])
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        if scalars["format"] != FORMAT or not isinstance(scalars["run"], dict):
            raise InputError(f"{path}: a checkpoint of another version: remove {path.parent} and start again")
    except (SafetensorError, KeyError, TypeError, OSError, json.JSONDecodeError) as error:
        raise _damaged(path, error) from error
    return scalars, tensors


def _damaged(path: Path, error: Exception) -> InputError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InputError(f"{path}: damaged checkpoint: {reason}: remove {path.parent} and start again")


def _restore(learner: Learner, tensors: dict[str, torch.Tensor], groups: list[dict[str, Any]]) -> None:
    def part(prefix: str) -> dict[str, torch.Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    learner.network.load_state_dict(part("network."))
    if learner.average is not None:
        learner.average.load_state_dict(part("average."))
    learner.best = part("best.")
    names = [name for name, parameter in learner.network.named_parameters() if parameter.requires_grad]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in part("optimizer.").items():
        kind, name = key.split(".", 1)
        state.setdefault(names.index(name), {})[kind] = value
    restored = learner.optimizer.state_dict()
    restored["state"] = state
    for group, saved in zip(restored["param_groups"], groups, strict=True):
        group.update({k: tuple(v) if isinstance(v, list) else v for k, v in saved.items()})
    learner.optimizer.load_state_dict(restored)


def fingerprint(recipe: Recipe, data: Path) -> dict[str, Any]:
    """What has to be the same when a training goes on: the recipe, the data list, and the sizes of its files."""
    content = read_json(data, "a data list", "give JSON with a 'training' list")
    rows = {part: content.get(part, []) for part in ("training", "validation")}
    values = {key: value for key, value in recipe.to_dict().items() if key not in FREE_TO_CHANGE}
    return json.loads(json.dumps({"recipe": values, "data": rows, "bytes": _sizes(rows, data.parent)}))


def _sizes(rows: Any, folder: Path) -> dict[str, int]:
    if isinstance(rows, dict):
        rows = list(rows.values())
    if isinstance(rows, list):
        return {name: size for row in rows for name, size in _sizes(row, folder).items()}
    if isinstance(rows, str) and (folder / rows).is_file():
        return {rows: (folder / rows).stat().st_size}
    return {}


def _differences(before: Any, now: Any, where: str, key: str) -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            change
            for name in sorted(set(before) | set(now))
            for change in _differences(before.get(name), now.get(name), where, f"{key}.{name}".lstrip("."))
        ]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now) and key:
        pairs = enumerate(zip(before, now, strict=True))
        return [
            change
            for number, (old, new) in pairs
            for change in _differences(old, new, where, f"{key}[{number}]")
        ]
    if before == now:
        return []
    return [f"{where}{key} was {_short(before)} and is {_short(now)}"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def mark_finished(folder: Path, run: dict[str, Any]) -> None:
    """Remember that the training has ended, and drop its tensors."""
    write_text(
        folder / SCALARS, json.dumps({"format": FORMAT, "finished": True, "run": run}, indent=1) + "\n"
    )
    (folder / TENSORS).unlink(missing_ok=True)


def is_finished(folder: Path, run: dict[str, Any]) -> bool:
    """Whether a training with the same recipe and data has ended here."""
    try:
        scalars = json.loads((folder / SCALARS).read_text(encoding="utf-8"))
        return bool(scalars["finished"]) and scalars["run"] == run
    except (OSError, ValueError, KeyError, TypeError):
        return False
