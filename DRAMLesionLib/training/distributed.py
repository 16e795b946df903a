"""Training in several processes that ``torchrun`` starts; in a single process all of it does nothing.

Every process reads the data and takes its share of each batch. Gradients are averaged by DistributedDataParallel; small
things (figures, wishes to stop, errors) travel over a second group on the CPU.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from DRAMLesionLib.system.device import find_device
from DRAMLesionLib.system.errors import InputError

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others: the first one may validate for a while."""


@dataclass(frozen=True)
class Processes:
    """The processes of this training, as this one sees them.

    Attributes:
        rank: Which one this is, from 0.
        count: How many there are.
        device: Where this one computes.
        group: What small things travel over; None in a single process.
    """

    rank: int
    count: int
    device: torch.device
    group: Any = None

    @property
    def is_first(self) -> bool:
        """Whether this one writes and shows."""
        return self.rank == 0

    def gather(self, value: Any) -> list[Any]:
        """What each process gave, in the order of ranks. All have to call it."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value, group=self.group)
        return values

    def from_first(self, make: Callable[[], Any]) -> Any:
        """What ``make`` gives in the first process; the others wait for it. An error there is one everywhere."""
        if self.count == 1:
            return make()
        made: list[Any] = [None, None]
        if self.is_first:
            try:
                made = [make(), None]
            except Exception as error:  # the others would wait for ever
                distributed.broadcast_object_list([None, error], src=0, group=self.group)
                raise
        distributed.broadcast_object_list(made, src=0, group=self.group)
        if made[1] is not None:
            raise made[1]
        return made[0]

    def share(self, indices: Sequence[int]) -> list[tuple[int, float]]:
        """This process's part of a batch, with weights that make the average over processes the batch's mean.

        A process without a sample takes the first one with weight 0, since all have to compute gradients.
        """
        mine = [(index, self.count / len(indices)) for index in indices[self.rank :: self.count]]
        return mine or [(indices[0], 0.0)]


def world_size() -> int:
    """How many processes torchrun started for this training; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_process() -> bool:
    """Whether this process is to write and to show; true without torchrun."""
    return int(os.environ.get("RANK", "0")) == 0


def is_restart() -> bool:
    """Whether torchrun started this process again after one of them failed."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


@contextlib.contextmanager
def processes(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started, or be alone.

    Args:
        device: See :func:`~DRAMLesionLib.system.device.find_device`. ``auto`` and ``cuda`` are the GPU of this
            process's local rank.

    Raises:
        InputError: There is no such device.
    """
    if world_size() == 1:
        yield Processes(0, 1, find_device(device))
        return
    torch_device = find_device(_local_device(device))
    if torch_device.type == "cuda":
        torch.cuda.set_device(torch_device)
    _join("nccl" if torch_device.type == "cuda" else "gloo")
    try:
        group = distributed.new_group(backend="gloo", timeout=PATIENCE)
        yield Processes(distributed.get_rank(), distributed.get_world_size(), torch_device, group)
    finally:
        distributed.destroy_process_group()


def _join(backend: str) -> None:
    """Make the process group, on one machine with a store of its own for each start.

    torchrun (seen with torch 2.13) gives processes that it starts again the store of those that ended. A process that is
    quicker than the first one then finds the address of a dead process there. On several machines the counts of
    restarts may differ, and torchrun's own way has to do.
    """
    if os.environ.get("GROUP_WORLD_SIZE", "1") != "1" or "TORCHELASTIC_RESTART_COUNT" not in os.environ:
        distributed.init_process_group(backend, timeout=PATIENCE)
        return
    store, rank, size = next(distributed.rendezvous("env://", timeout=PATIENCE))
    own = distributed.PrefixStore(f"start_{os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    distributed.init_process_group(backend, store=own, rank=rank, world_size=size, timeout=PATIENCE)


def _local_device(device: str) -> str:
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device in ("auto", "cuda") and torch.cuda.is_available():
        if local >= torch.cuda.device_count():
            raise InputError(
                f"--nproc-per-node: process {local} has no GPU, here are {torch.cuda.device_count()}: "
                "start one process per GPU, or use --device cpu"
            )
        return f"cuda:{local}"
    if device.startswith("cuda:"):
        raise InputError(f"device {device!r}: several processes can't share it: use cuda or cpu")
    return "cpu" if device in ("auto", "mps") else device
