"""The kinds of training: the task of each name that a recipe may give, imported when it is asked for."""

from importlib import import_module
from typing import Any

TASKS = {
    "dram": "DRAMLesionLib.training.tasks.dram:DramTask",
    "cam": "DRAMLesionLib.training.tasks.cam:CamTask",
    "segmentation": "DRAMLesionLib.training.tasks.segmentation:SegmentationTask",
    "lungs": "DRAMLesionLib.training.tasks.lungs.task:LungTask",
    "amounts": "DRAMLesionLib.training.tasks.synthetic.whole_lungs:WholeLungTask",
}
"""``module:class`` of each :class:`~DRAMLesionLib.training.tasks.task.TaskMaker`, by the name of its recipe's section;
:data:`~DRAMLesionLib.training.recipes.recipe.SECTIONS` says what that section holds."""


def load_task(name: str) -> Any:
    """The class of a task.

    Args:
        name: One of :data:`TASKS`.
    """
    module, class_name = TASKS[name].split(":")
    return getattr(import_module(module), class_name)
