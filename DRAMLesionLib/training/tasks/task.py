"""What the engine drives: a task has the network, the samples, the loss and the weak metric of one kind of training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from DRAMLesionLib.system.progress import Progress
from DRAMLesionLib.training.recipes.recipe import Recipe


class Task(Protocol):
    """One kind of training; :mod:`~DRAMLesionLib.training.tasks.kinds` knows them by name.

    The engine calls :meth:`loss` inside ``torch.autocast`` where the recipe's precision is bfloat16: weights,
    normalisation and elementwise functions are float32 all the same, convolutions and matrix products are not. A loss
    casts the network's output with ``.float()`` first, and puts convolutions and products of its own under
    ``torch.autocast(device.type, enabled=False)``.

    Attributes:
        network: What is trained; on the device. Parts of a loss that learn belong to it.
        weak_metric: The key of :meth:`validate`'s result, lower is better, that early stopping looks at. It must not come
            from voxel labels where the labels are weak. None: there is none.
        sample_weights: How often each sample comes, relative to the others; None: each comes once an epoch.
        samples_together: How many samples one call of :meth:`loss` gets at most. 1 where they differ in size.
    """

    network: torch.nn.Module
    weak_metric: str | None
    samples_together: int
    sample_weights: Sequence[float] | None

    def __len__(self) -> int:
        """How many training samples an epoch has."""
        ...

    def sample(self, index: int, epoch: int) -> Any:
        """One augmented sample, the same whenever it is asked for.

        It depends on nothing but the seed, the epoch (from 1) and the index: then a training that goes on equals an
        unbroken one, and several processes do what one would do. Its attribute ``name``, if it has one, stands in
        messages. It is made in another thread than the loss, one sample at a time.
        """
        ...

    def loss(self, samples: Sequence[Any], done: float) -> tuple[torch.Tensor, dict[str, float]]:
        """The mean loss over ``samples``, to descend, and its parts for the log (each a mean over ``samples``).

        Args:
            samples: From :meth:`sample`.
            done: The fraction of the training that is done, 0..1.
        """
        ...

    def validate(self) -> dict[str, float]:
        """Measures on the validation scans, in eval mode; empty where there are none.

        The log has them with ``validation_`` before their names.
        """
        ...

    def save(self, out: Path, figures: dict[str, Any]) -> Path:
        """Write the bundle with its card.

        Args:
            out: The bundle's folder.
            figures: Losses and measures of the last epoch, with minutes and machine, for the card.
        """
        ...


class TaskMaker(Protocol):
    """How the engine makes a task: the class of the task, called with these four."""

    def __call__(self, recipe: Recipe, data: Path, device: torch.device, progress: Progress) -> Task:
        """Read the scans of the data list and build the network on the device.

        torch's random state is seeded with the recipe's seed; weights may be drawn from it.
        """
        ...
