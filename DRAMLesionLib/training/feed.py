"""Which samples come when; the next ones are made by a thread while the network learns from the last."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookLong
from dataclasses import dataclass
from threading import Thread, current_thread
from typing import Any

import numpy as np

from DRAMLesionLib.training.recipes.recipe import Recipe
from DRAMLesionLib.training.tasks.task import Task

AHEAD = 2
"""Calls of the loss whose samples are made before their turn. Augmentation would leave a GPU waiting otherwise."""
_LOOK_S = 5.0


@dataclass(frozen=True)
class Call:
    """What one call of the loss gets.

    Attributes:
        share: Index and weight of each sample.
        samples: The samples.
        is_last: Whether the step of the optimizer comes after it.
    """

    share: Sequence[tuple[int, float]]
    samples: Sequence[Any]
    is_last: bool


def epoch_order(count: int, seed: int, epoch: int, weights: Sequence[float] | None = None) -> list[int]:
    """The order of the samples in an epoch, the same in every process.

    Args:
        count: How many samples there are.
        seed: The training's seed.
        epoch: From 0.
        weights: How often each comes, relative to the others: ``count`` samples are drawn with replacement then
            (:class:`torch.utils.data.WeightedRandomSampler`). None: each comes once.

    Returns:
        ``count`` indices.
    """
    if weights is None:
        order: list[int] = np.random.default_rng([seed, epoch]).permutation(count).tolist()
        return order
    import torch
    from torch.utils.data import WeightedRandomSampler

    state = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    return list(WeightedRandomSampler(weights, count, generator=torch.Generator().manual_seed(state)))


class Order:
    """The samples of each step of a training."""

    def __init__(self, task: Task, recipe: Recipe):
        """Take the task's samples and their weights.

        Args:
            task: Has the samples.
            recipe: Has seed and batch.
        """
        self._count, self._weights = len(task), task.sample_weights
        self._seed, self._batch = recipe.seed, recipe.batch
        self.steps_per_epoch = -(-self._count // recipe.batch)
        self._epoch, self._order = -1, list[int]()

    def step(self, number: int) -> list[int]:
        """The indices of a step's samples, over all processes. The last step of an epoch may have fewer."""
        epoch, step = divmod(number, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, epoch_order(self._count, self._seed, epoch, self._weights)
        return self._order[step * self._batch :][: self._batch]


def feed(
    task: Task,
    order: Order,
    share: Callable[[Sequence[int]], list[tuple[int, float]]],
    steps: range,
) -> Generator[Call, None, None]:
    """The calls of the loss, one after the other; to be closed, which ends the thread.

    Args:
        task: Makes the samples, from one thread.
        order: Which samples a step has.
        share: This process's part of them, see :meth:`~DRAMLesionLib.training.distributed.Processes.share`.
        steps: From which step to which.
    """
    size = max(1, task.samples_together)
    coming: deque[tuple[Future[list[Any]], list[tuple[int, float]], bool]] = deque()
    maker: list[Thread] = []
    pool = ThreadPoolExecutor(1, "samples", initializer=lambda: maker.append(current_thread()))
    try:
        for step in steps:
            mine = share(order.step(step))
            epoch = step // order.steps_per_epoch + 1
            for start in range(0, len(mine), size):
                part = mine[start : start + size]
                coming.append((pool.submit(_make, task, part, epoch), part, start + size >= len(mine)))
                if len(coming) > AHEAD:
                    yield _taken(maker, *coming.popleft())
        while coming:
            yield _taken(maker, *coming.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _make(task: Task, part: Sequence[tuple[int, float]], epoch: int) -> list[Any]:
    return [task.sample(index, epoch) for index, _ in part]


def _taken(
    maker: list[Thread], future: "Future[list[Any]]", part: list[tuple[int, float]], is_last: bool
) -> Call:
    """Wait for samples, but not for ever: a thread that gets no memory may end without a word."""
    while True:
        try:
            return Call(part, future.result(_LOOK_S), is_last)
        except TookLong as error:
            if future.done():  # it is the sample's own error
                raise
            if not any(thread.is_alive() for thread in maker):
                raise MemoryError("the thread that makes the samples has ended") from error
