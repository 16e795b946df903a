"""Where cases are done: in worker processes of this machine, or by Dask's workers here and elsewhere."""

import contextlib
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from DRAMLesionLib.batch.memory import available_memory_gib
from DRAMLesionLib.batch.process import CaseProcess
from DRAMLesionLib.batch.work import CRASHED, Case, Job, Outcome, to_json
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.optional import install_command
from DRAMLesionLib.system.progress import Progress

GIB_PER_WORKER = 2.7
"""Memory that a worker needs for one thoracic CT of 512 x 512 x 400 voxels, all its processes together, the scene's from
the beginning: 2.4 by what 300 and 600 slices took at the peak, by two threads."""
ANSWER_S = 20.0
"""A scheduler has this long to answer the first call."""
_LOOK_S = 2.0
STARTING = "Loading the models"
"""What a worker does before its first case tells anything."""


class Pool(Protocol):
    """Does cases, several at a time."""

    @property
    def window(self) -> int:
        """How many cases it wants to have at once."""

    def submit(self, case: Case, attempt: int) -> None:
        """Take a case."""

    def finished(self, timeout_s: float) -> list[tuple[Case, Outcome]]:
        """Cases that ended since the last call; waits for one, but no longer than ``timeout_s``."""


Moving = dict[str, tuple[str, float]]
"""The cases that are being done, by name: the stage of each, and how much of it is done, 0..1."""


def moving_in(pool: Pool) -> Moving:
    """What moves in a pool; nothing where the pool does not tell."""
    return dict(getattr(pool, "moving", {}))


def count_workers(wanted: int | None, gib_each: float, device: str) -> tuple[int, str]:
    """How many workers this machine has room for.

    Args:
        wanted: What the user asked for; None: as many as fit.
        gib_each: Memory of each.
        device: On a GPU, which they would have to share, it is one.

    Returns:
        The number, and a sentence where it is less than was asked for.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = available_memory_gib()
    room = cores if memory is None else max(1, int(memory / gib_each))
    if wanted is None:
        gpu = device not in ("auto", "cpu") or (device == "auto" and Path("/dev/nvidia0").exists())
        return (1 if gpu else min(cores, room)), ""
    if wanted > room:
        note = (
            f"{room} workers instead of {wanted}: {memory:.1f} GiB of memory are free, {gib_each:g} for each"
        )
        return room, f"{note} (--memory-per-worker)"
    return wanted, ""


def threads_each(workers: int) -> int:
    """Threads of each worker, so that together they keep the cores busy and no more."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // max(1, workers))


def has_dask() -> bool:
    """Whether Dask's scheduler is installed (the extra ``batch``)."""
    return find_spec("distributed") is not None


class ProcessPool:
    """Worker processes of this machine, without Dask."""

    def __init__(self, job: Job, workers: int) -> None:
        """Start nothing yet: each process comes up with its first case."""
        self._window = workers
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="case")
        self._idle = [CaseProcess(job) for _ in range(workers)]
        self._every = tuple(self._idle)
        self._running: dict[Future[Outcome], Case] = {}
        self.moving: Moving = {}

    @property
    def window(self) -> int:
        """How many cases to hand out at once: one for each process, since a waiting case would gain nothing."""
        return self._window

    def submit(self, case: Case, attempt: int) -> None:
        """Take a case."""
        self._running[self._threads.submit(self._do, case)] = case

    def finished(self, timeout_s: float) -> list[tuple[Case, Outcome]]:
        """See :class:`Pool`."""
        done, _ = wait(self._running, timeout_s, FIRST_COMPLETED)
        return [(self._running.pop(future), future.result()) for future in done]

    def close(self) -> None:
        """End all processes at once."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._every:
            process.close()
        self._threads.shutdown(wait=True)

    def _do(self, case: Case) -> Outcome:
        process = self._idle.pop()

        def progress(stage: str, fraction: float) -> None:
            self.moving[case.name] = (stage, fraction)

        progress(STARTING, 0.0)
        try:
            return process.run(case, progress)
        finally:
            self.moving.pop(case.name, None)
            self._idle.append(process)


class DaskPool:
    """Workers of a Dask cluster; each does its cases in a process of its own, so that a crash costs no worker."""

    def __init__(self, client: Any, job: Job) -> None:
        """Use the workers that ``client`` has, and those that come and go."""
        self._client, self._job = client, job
        self._running: dict[Any, Case] = {}
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.moving: Moving = {}
        client.subscribe_topic(_topic(job.run), self._moved)
        self._slots, self._looked = 0, 0.0

    @property
    def window(self) -> int:
        """The workers' threads, and some for workers that come; the scheduler never holds a long list."""
        if time.monotonic() - self._looked > _LOOK_S:
            self._slots = sum(self._client.nthreads().values())
            self._looked = time.monotonic()
        return self._slots + max(2, self._slots // 4)

    def submit(self, case: Case, attempt: int) -> None:
        """Take a case."""
        key = f"case-{self._job.run}-{case.name}-{attempt}"
        future = self._client.submit(
            run_on_worker, to_json(case), to_json(self._job), key=key, pure=False, retries=0
        )
        self._running[future] = case
        future.add_done_callback(self._ended.put)

    def _moved(self, event: Any) -> None:
        """A worker told where a case is; comes in a thread of the client's."""
        _, (name, stage, fraction) = event
        if any(case.name == name for case in list(self._running.values())):
            self.moving[name] = (stage, fraction)

    def finished(self, timeout_s: float) -> list[tuple[Case, Outcome]]:
        """See :class:`Pool`."""
        done = []
        with contextlib.suppress(queue.Empty):
            done.append(self._ended.get(timeout=timeout_s))
            while True:
                done.append(self._ended.get_nowait())
        ended = []
        for future in done:
            if (
                future.status == "pending"
            ):  # its answer died with the worker that held it, and is computed anew
                future.add_done_callback(self._ended.put)
                continue
            case = self._running.pop(future)
            ended.append((case, self._outcome(future, case)))
        for case, _ in ended:
            self.moving.pop(case.name, None)
        return ended

    def close(self) -> None:
        """Let the workers drop the cases that they are at."""
        # A worker that is gone by now has taken its processes with it.
        with contextlib.suppress(OSError, TimeoutError):
            self._client.cancel(list(self._running), force=True)
            self._client.run(end_processes, self._job.run, on_error="ignore")
            self._client.unsubscribe_topic(_topic(self._job.run))

    def _outcome(self, future: Any, case: Case) -> Outcome:
        from distributed import KilledWorker

        if future.status == "finished":
            return Outcome(**future.result())
        if future.status == "error":
            error = future.exception()
            if isinstance(error, KilledWorker):
                return Outcome(
                    case.name, CRASHED, reason=f"its Dask worker died ({error.last_worker.address})"
                )
            raise error
        raise InputError("the Dask scheduler is gone: start it and go on with --resume")


_processes: dict[str, list[CaseProcess]] = {}
_idle: dict[str, list[CaseProcess]] = {}
_guard = threading.Lock()


def run_on_worker(case: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    """Do a case, called by a Dask worker; its processes are kept for the next."""
    known = Job(**job)
    if not known.threads:
        from distributed import get_worker

        known = replace(known, threads=threads_each(get_worker().state.nthreads))
    with _guard:
        idle = _idle.setdefault(known.run, [])
        if not idle:
            idle.append(CaseProcess(known))
            _processes.setdefault(known.run, []).append(idle[-1])
        process = idle.pop()
    try:
        return to_json(process.run(Case(**case), _told_to_scheduler(known.run, case["name"])))
    finally:
        with _guard:
            idle.append(process)


def _topic(run: str) -> str:
    """Under which name Dask's events tell where the cases of a run are."""
    return f"dramlesion-{run}"


def _told_to_scheduler(run: str, name: str) -> Progress:
    """A progress of one case that every client of the scheduler can hear."""
    from distributed import get_worker

    worker = get_worker()

    def progress(stage: str, fraction: float) -> None:
        worker.log_event(_topic(run), (name, stage, fraction))

    progress(STARTING, 0.0)
    return progress


def end_processes(run: str) -> None:
    """End the processes that a run has on a Dask worker."""
    with _guard:
        ending = _processes.pop(run, [])
        _idle.pop(run, None)
    for process in ending:
        process.close()


def dask_setup(worker: Any) -> None:
    """Called by Dask as each of the local workers starts: a Ctrl-C in the terminal is for the batch, which ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def process_pool(job: Job, workers: int) -> Iterator[ProcessPool]:
    """Worker processes of this machine, which end with the block."""
    pool = ProcessPool(job, workers)
    try:
        yield pool
    finally:
        pool.close()


@contextmanager
def local_dask_pool(job: Job, workers: int) -> Iterator[DaskPool]:
    """A Dask cluster on this machine, which ends with the block."""
    import logging

    import dask
    from distributed import Client, LocalCluster

    settings = {
        # We count the crashes, and a case that only waits on a worker must not share its blame.
        "distributed.scheduler.allowed-failures": 0,
        "distributed.scheduler.worker-saturation": 1.0,
        "distributed.worker.daemon": True,
        "distributed.comm.timeouts.connect": "60s",
    }
    with dask.config.set(settings):
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            # The memory is in the processes that do the cases.
            memory_limit=0,
            dashboard_address=None,
            host="127.0.0.1",
            silence_logs=logging.CRITICAL,
            preload=[__name__],
        )
        with cluster, Client(cluster, set_as_default=False) as client:
            pool = DaskPool(client, job)
            try:
                yield pool
            finally:
                pool.close()


@contextmanager
def dask_pool(job: Job, scheduler: str) -> Iterator[DaskPool]:
    """The workers of a running Dask scheduler.

    Raises:
        InputError: Dask is not installed, or the scheduler does not answer.
    """
    if not has_dask():
        raise InputError(f"--scheduler {scheduler}: Dask is not installed: {install_command('distributed')}")
    from distributed import Client

    try:
        client = Client(scheduler, timeout=ANSWER_S, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"--scheduler {scheduler}: does not answer: check the address and that it runs"
        ) from error
    with client:
        pool = DaskPool(client, job)
        try:
            yield pool
        finally:
            pool.close()
