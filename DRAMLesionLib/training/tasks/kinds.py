"""The kinds of training by their name in a recipe."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

_MODULE = "DRAMLesionLib.training."


@dataclass(frozen=True)
class TaskKind:
    """Where the classes of a task are; they are imported when they are asked for.

    Attributes:
        settings: ``module:class`` of the recipe's section that is named after the task. It has
            ``from_dict(values, where)``.
        task: ``module:class`` of the task, a :class:`~DRAMLesionLib.training.tasks.task.TaskMaker`.
        model: ``module:class`` of the recipe's ``model`` section. It has ``from_dict(values, where)``.
    """

    settings: str
    task: str
    model: str = "DRAMLesionLib.lesions.networks.description:ModelDescription"


TASKS = {
    "dram": TaskKind(_MODULE + "dram_task:DramSettings", _MODULE + "dram_task:DramTask"),
    "cam": TaskKind(_MODULE + "cam_task:CamSettings", _MODULE + "cam_task:CamTask"),
    "segmentation": TaskKind(
        _MODULE + "segmentation_task:SegmentationSettings",
        _MODULE + "segmentation_task:SegmentationTask",
        "DRAMLesionLib.lesions.networks.final_description:SegmentationDescription",
    ),
}


def load_class(reference: str) -> Any:
    """The class that ``module:class`` names."""
    module, name = reference.split(":")
    return getattr(import_module(module), name)
