"""A training under way: its process, its files beside the model that results, and how to go on with it later."""

import logging
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from DRAMLesionLib.lesions.networks.bundle_folders import user_models_folder
from DRAMLesionLib.system.errors import InputError
from DRAMLesionPanel.shared.child_process import EventFile, RunFailed, startPython
from DRAMLesionPanel.shared.models import knownModels
from DRAMLesionPanel.train import job as jobs
from DRAMLesionPanel.train.plan import Plan, checkName, freeName
from DRAMLesionPanel.train.progress import TrainingProgress

CHECKPOINT = "checkpoint.safetensors"


class TrainingRun:
    """A training that goes on in a process of its own, begun here or by another Slicer.

    Attributes:
        folder: The job's, see :mod:`DRAMLesionPanel.train.job`.
        job: What is done.
        progress: Where it stands.
        error: One line for the user, once it has failed.
        stopping: Whether it was asked to stop.
    """

    def __init__(self, folder: Path, process: "subprocess.Popen[bytes] | None" = None) -> None:
        """Follow a job.

        Args:
            folder: The job's.
            process: Its process, where it was started here.

        Raises:
            InputError: There is no job.
        """
        job = jobs.readJob(folder)
        if job is None:
            raise InputError(
                f"{folder}: no training: {jobs.JOB} is missing or damaged: train under another name"
            )
        self.folder, self.job = folder, job
        self.progress = TrainingProgress()
        self.error: str | None = None
        self.stopping = (folder / jobs.STOP).exists()
        self.finished = False
        self._process = process
        self._events = EventFile(folder / jobs.EVENTS)

    @property
    def model(self) -> Path | None:
        """The finished model's folder."""
        return Path(self.progress.model) if self.progress.model and self.finished else None

    @property
    def stopped(self) -> bool:
        """Whether it ended at a checkpoint, from which it can go on."""
        return self.finished and self.progress.stopped

    def poll(self) -> bool:
        """Take what the process reported.

        Returns:
            Whether the training has ended, in whatever way.
        """
        if self.finished:
            return True
        # First whether it lives: what is read after that is all that there will be.
        alive = self._process.poll() is None if self._process else jobs.isRunning(self.folder)
        for event in self._events.new():
            self.progress.take(event)
        if not alive:
            self._finish()
        return self.finished

    def stop(self) -> None:
        """Ask it to stop at a checkpoint; :meth:`poll` tells when it has."""
        (self.folder / jobs.STOP).touch()
        self.stopping = True

    def wait(self, onProgress: Callable[[float, str], None] | None = None) -> Path | None:
        """Wait while the application goes on living.

        Returns:
            The model's folder; None where it was stopped at a checkpoint.

        Raises:
            RunFailed: It failed.
        """
        while not self.poll():
            if onProgress:
                onProgress(self.progress.fraction, self.progress.text())
            slicer.app.processEvents()
            time.sleep(0.05)
        if self.error:
            raise RunFailed(self.error)
        return self.model

    def _finish(self) -> None:
        self.finished = True
        progress, log = self.progress, self.folder / jobs.LOG
        if progress.model or progress.stopped:
            return
        self.error = progress.error or _("The training ended unexpectedly; details are in {log}.").format(
            log=log
        )
        logging.error("DRAMLesion: %s", self.error)
        if log.is_file():
            logging.info("DRAMLesion: %s", log.read_text(encoding="utf-8", errors="replace").strip())


def startTraining(plan: Plan, name: str | None = None, device: str = "auto") -> TrainingRun:
    """Begin a training.

    Args:
        plan: What to do.
        name: Of the model that results; None: after the recipe.
        device: See the library's ``find_device``.

    Raises:
        InputError: The name is taken or can't be used, or the models' folder can't be written.
    """
    models = user_models_folder()
    taken = knownModels()
    if not name:
        name = freeName(plan.recipe, {*taken, *unfinished(models)})
    checkName(name, taken)
    folder = jobs.jobFolder(models, name)
    if jobs.isRunning(folder):
        raise InputError(f"{name}: is being trained already: choose another name")
    if hasWork(folder):
        raise InputError(
            f"{name}: a training of this name has not ended: resume it, discard it, or choose another name"
        )
    try:
        _prepare(folder, plan, name, device)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{models}: can't be written: {reason}: free some space, or ask for access"
        ) from error
    return _launch(folder)


def resumeTraining(name: str | None = None, device: str | None = None) -> TrainingRun:
    """Go on with a training that was stopped, also by another Slicer.

    Args:
        name: Of the model; None: the latest that has not ended.
        device: Where to compute from now on; None: where it did.

    Raises:
        InputError: There is none.
    """
    models = user_models_folder()
    name = name or next(iter(unfinished(models)), None)
    folder = jobs.jobFolder(models, name) if name else None
    if folder is None or not isResumable(folder):
        raise InputError(f"{name or models}: no training that could go on: start one")
    if jobs.isRunning(folder):
        return TrainingRun(folder)
    job = jobs.readJob(folder)
    if job is not None and device:
        jobs.writeJob(folder, replace(job, device=device))
    return _launch(folder)


def discardTraining(name: str) -> None:
    """Throw away a training that has not ended: its checkpoint, labels and log. A finished model is never touched.

    Args:
        name: Of the model that would have resulted.

    Raises:
        InputError: There is no such training, or it goes on, or its files can't be removed.
    """
    folder = jobs.jobFolder(user_models_folder(), name)
    if jobs.isRunning(folder):
        raise InputError(f"{name}: is being trained: stop it first")
    if not isResumable(folder):
        raise InputError(f"{name}: no unfinished training of this name: there is nothing to discard")
    try:
        for part in (jobs.stateOf(folder), folder):
            if part.exists():
                shutil.rmtree(part)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{error.filename or folder}: can't be removed: {reason}: close what uses it"
        ) from error


def findRunning() -> TrainingRun | None:
    """A training that goes on, begun here or by another Slicer."""
    for folder in _jobFolders(user_models_folder()):
        if jobs.isRunning(folder):
            return TrainingRun(folder)
    return None


def unfinished(models: Path | None = None) -> list[str]:
    """Names of the trainings that can go on, the latest first."""
    folders = [folder for folder in _jobFolders(models or user_models_folder()) if isResumable(folder)]
    return [jobs.bundleOf(folder).name for folder in folders]


def isResumable(folder: Path) -> bool:
    """Whether a training was begun in a folder, and has not ended."""
    begun = jobs.readJob(folder) is not None and not jobs.bundleOf(folder).exists()
    return begun and (hasWork(folder) or _wasStopped(folder))


def hasWork(folder: Path) -> bool:
    """Whether a job has left something that a new one must not throw away."""
    if jobs.bundleOf(folder).exists():
        return False
    return (jobs.stateOf(folder) / CHECKPOINT).is_file() or any(
        (folder / jobs.LABELS).glob("*_pseudo.nii.gz")
    )


def _wasStopped(folder: Path) -> bool:
    events = EventFile(folder / jobs.EVENTS).new()
    return bool(events) and events[-1]["event"] == "stopped"


def _jobFolders(models: Path) -> list[Path]:
    """All of them, the one that was worked on last first."""
    found = [folder for folder in models.glob(f"*{jobs.SUFFIX}") if (folder / jobs.JOB).is_file()]
    return sorted(found, key=_lastChange, reverse=True)


def _lastChange(folder: Path) -> float:
    events = folder / jobs.EVENTS
    return (events if events.is_file() else folder).stat().st_mtime


def _prepare(folder: Path, plan: Plan, name: str, device: str) -> None:
    """Write a job's folder."""
    import yaml

    from DRAMLesionLib.training.data.datalist import write_datalist

    for old in (folder, jobs.stateOf(folder)):
        if old.exists():
            shutil.rmtree(old)
    folder.mkdir(parents=True)
    # The list as it is now: cases that are accepted later must not keep a training from going on.
    write_datalist(folder / jobs.DATALIST, plan.scans)
    recipe: dict[str, Any] = {**plan.content, "name": name}
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
    (folder / jobs.RECIPE).write_text(text, encoding="utf-8")
    jobs.writeJob(folder, jobs.Job(name, plan.recipe, device or "auto", plan.labels_by))


def _launch(folder: Path) -> TrainingRun:
    (folder / jobs.STOP).unlink(missing_ok=True)
    # What an earlier process of this job reported stays: loss and validation go on.
    process = startPython(
        ["-m", "DRAMLesionPanel.train.job", str(folder)],
        folder / jobs.EVENTS,
        folder / jobs.LOG,
        append=True,
        paths=(str(Path(__file__).resolve().parents[2]),),
    )
    return TrainingRun(folder, process)
