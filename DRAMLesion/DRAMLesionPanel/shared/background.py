"""Long work beside the window: steps between which the window lives, and steps that wait for the worker."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import qt
from slicer.i18n import tr as _

from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.results.arrays import ARRAYS, FOR_SCENE, writing_arrays
from DRAMLesionLib.results.scene.steps import WAITING, Steps
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import STAGING_PREFIX
from DRAMLesionPanel.shared.worker import Worker, WorkerJob

STEP_MS, WAIT_MS = 1, 40


class Background:
    """Does one piece of long work at a time, a step with each turn of the application's event loop."""

    def __init__(self, reported: Callable[[], Any]) -> None:
        """Nothing is to be done yet.

        Args:
            reported: Makes a context that shows what goes wrong in a step.
        """
        self._reported, self._steps, self._whenDone = reported, None, None
        self._timer = qt.QTimer()
        self._timer.connect("timeout()", self._next)

    @property
    def busy(self) -> bool:
        """Whether something is being done."""
        return self._steps is not None

    def start(self, steps: Steps[Any], whenDone: Callable[[Any], None]) -> None:
        """Begin; what was being done is given up.

        Args:
            steps: The work.
            whenDone: Told the result; None where it failed.
        """
        self.cancel()
        self._steps, self._whenDone = steps, whenDone
        self._timer.setInterval(STEP_MS)
        self._timer.start()

    def cancel(self) -> None:
        """Give up what is being done."""
        self._timer.stop()
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.close()

    def _next(self) -> None:
        steps = self._steps
        if steps is None:
            return
        result = None
        with self._reported():
            try:
                interval = WAIT_MS if next(steps) == WAITING else STEP_MS
                if self._timer.interval != interval:
                    self._timer.setInterval(interval)
                return
            except StopIteration as end:
                result = end.value
        if self._steps is steps:
            self._timer.stop()
            self._steps = None
            self._whenDone(result)


def inWorker(
    worker: Worker,
    temporaryPath: str,
    kind: str,
    findings: Findings,
    tell: Callable[[str], None],
    extra: Mapping[str, np.ndarray] | None = None,
    withMaps: bool = False,
    **arguments: Any,
) -> Steps[dict[str, Any]]:
    """Let the worker do something with findings.

    Args:
        worker: Where it is done; while that one segments, one that lives as long as this.
        temporaryPath: A folder to hand the findings over in.
        kind: The worker's job, which takes the folder as ``case``.
        findings: The results; they must not change meanwhile.
        tell: Told the stage, for people.
        extra: More arrays, by name.
        withMaps: Hand the refined map and the probability over, too.
        **arguments: More of the job's arguments.

    Returns:
        What the job reports as its result.

    Raises:
        InputError: It failed; one line.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"{STAGING_PREFIX}case-", dir=temporaryPath))
    chosen = worker
    try:
        yield from writing_arrays(findings, folder, {*FOR_SCENE, *(ARRAYS if withMaps else ())})
        for name, array in (extra or {}).items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
            yield name
        # Only now: a run may have begun while the arrays were written, and must not be waited for.
        if worker.busy:
            chosen = Worker(temporaryPath)
        job = chosen.submit(kind, case=str(folder), **arguments)
        return (yield from following(job, lambda stage, _fraction: tell(stage)))
    finally:
        if chosen is not worker:
            chosen.end()
        shutil.rmtree(folder, ignore_errors=True)


def following(job: WorkerJob, tell: Callable[[str, float], None]) -> Steps[dict[str, Any]]:
    """Wait for a job; where that is given up, the job ends.

    Args:
        job: What a worker was given.
        tell: Told the stage, for people, and how much of it is done.

    Returns:
        What the job reports as its result.

    Raises:
        InputError: It failed; one line.
    """
    message, result = "", {}
    try:
        while True:
            code = job.poll()  # before the events: none comes after the end
            for event in job.events():
                if event["event"] == "progress":
                    tell(str(event["stage"]), float(event.get("fraction", 0.0)))
                elif event["event"] == "error":
                    message = str(event["message"])
                elif event["event"] == "result":
                    result = event
            if code == 0:
                return result
            if code is not None:
                raise InputError(
                    message or _("The worker ended unexpectedly: try again; details are in the log.")
                )
            yield WAITING
    finally:
        job.kill()
