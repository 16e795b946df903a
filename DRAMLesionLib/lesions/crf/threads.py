"""Threads that share work of torch on a CPU between them: slabs of one volume, or works that are alike.

torch splits each operation between all threads, and waits for the last one after each. Where operations are small, or
other programs use the cores too, waiting takes longer than the work.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import lru_cache
from typing import TypeVar

import torch

Result = TypeVar("Result")

_creating = threading.Lock()


def _take_one_thread() -> None:
    """Let torch compute with one thread in this one."""
    torch.get_num_threads()  # A thread's first question takes over the number of all others; then it may have its own.
    torch.set_num_threads(1)


@lru_cache(maxsize=8)
def _workers(process: int, count: int, name: str) -> ThreadPoolExecutor:
    """Threads that each run torch single-threaded; pools of one process, since threads do not survive a fork."""
    with _creating:
        before = torch.get_num_threads()
        ready = ThreadPoolExecutor(count, f"crf-{name}", initializer=_take_one_thread)
        all_started = threading.Barrier(count)
        list(ready.map(lambda _: all_started.wait(), range(count)))
        torch.set_num_threads(before)  # a thread that sets its own number changes what this one reads, too
    return ready


_conductor = threading.local()


def conduct(work: Callable[[], Result], device: torch.device) -> Result:
    """Calls ``work`` in a thread where no operation of torch is split, so that slabs alone are shared.

    Splitting each small operation between all cores needs a barrier per operation. Where other programs use the cores
    too, waiting at those barriers took ten times as long as the work.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1 or hasattr(_conductor, "threads"):
        return work()
    inference = torch.is_inference_mode_enabled()
    process = os.getpid()
    _workers(process, threads, "slabs")

    def alone() -> Result:
        _conductor.threads = threads
        with torch.no_grad(), torch.inference_mode(inference):  # these modes belong to a thread
            return work()

    return _workers(process, 1, "conductor").submit(alone).result()


def for_slabs(work: Callable[[slice], None], slabs: Sequence[slice], device: torch.device) -> None:
    """Calls ``work`` for every slab; on a CPU the slabs are shared between threads, without gradients."""
    threads = getattr(_conductor, "threads", None) or torch.get_num_threads()
    if device.type != "cpu" or threads == 1 or len(slabs) < 2 * threads:
        for slab in slabs:
            work(slab)
        return
    inference = torch.is_inference_mode_enabled()

    def quiet(slab: slice) -> None:
        with torch.no_grad(), torch.inference_mode(inference):
            work(slab)

    list(_workers(os.getpid(), threads, "slabs").map(quiet, slabs))


def one_thread_each(works: Sequence[Callable[[], Result]], device: torch.device) -> list[Result]:
    """Call functions at the same time, each in a thread where no operation of torch is split.

    On a CPU with more threads than works, on a GPU, and within such a thread they are called one after the other, and all
    threads share each operation.

    Args:
        works: They take no arguments; the longest ones should come first. None changes what another one reads.
        device: Where they compute.

    Returns:
        What each gives, in their order.

    Raises:
        Exception: What the first of them that failed raised; those that had begun have ended then, no other begins.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or not 1 < threads <= len(works) or hasattr(_conductor, "threads"):
        return [work() for work in works]
    inference = torch.is_inference_mode_enabled()

    def alone(work: Callable[[], Result]) -> Result:
        with torch.no_grad(), torch.inference_mode(inference):  # these modes belong to a thread
            return work()

    running = [_workers(os.getpid(), threads, "works").submit(alone, work) for work in works]
    try:
        wait(running, return_when=FIRST_EXCEPTION)
    finally:  # also after Ctrl+C: the threads outlive this call, and would go on with all that waits for them
        cancelled = [one for one in running if one.cancel()]
    begun = [one for one in running if one not in cancelled]
    wait(begun)
    return [one.result() for one in begun]
