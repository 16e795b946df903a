"""A training from data list to model, in a process of its own that may outlive Slicer.

``python -m DRAMLesionPanel.train.job FOLDER`` does the work, and goes on with it where an earlier process stopped.
FOLDER lies beside the model that results, and holds all that is needed::

    job.json          see :class:`Job`
    recipe.yaml       the recipe with name, epochs and start of this training
    datalist.json     the scans as they were when it began
    labels/           pseudo labels, where some scans had no label
    events.jsonl      what the process reports, one JSON value in a line
    log.txt           what it wrote to standard error
    stop              asks it to stop at a checkpoint
    lock              held while it works

It knows nothing of Slicer, and imports torch only when it works.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SUFFIX = ".job"
JOB, RECIPE, DATALIST, LABELS = "job.json", "recipe.yaml", "datalist.json", "labels"
EVENTS, LOG, STOP, LOCK = "events.jsonl", "log.txt", "stop", "lock"
LABELLING, TRAINING = "labels", "training"
"""The stages, as the event ``begin_stage`` names them."""
SECONDS_FOR_THE_LOCK = 3.0


@dataclass(frozen=True)
class Job:
    """What is to be done.

    Attributes:
        name: Of the model that results; its bundle has this name, in the folder that the job's folder lies in.
        recipe: The recipe that was chosen: for people.
        device: Where to compute: see the library's ``find_device``.
        labels_by: The dRAM model that labels scans without a label; empty: none is needed.
    """

    name: str
    recipe: str
    device: str = "auto"
    labels_by: str = ""


def jobFolder(models: Path, name: str) -> Path:
    """Where the job of a model lies."""
    return models / (name + SUFFIX)


def bundleOf(folder: Path) -> Path:
    """Where the model of a job goes."""
    return folder.with_name(folder.name.removesuffix(SUFFIX))


def stateOf(folder: Path) -> Path:
    """Where the library keeps the state of a job's training; the same as its ``engine.state_folder``."""
    bundle = bundleOf(folder)
    return bundle.with_name(bundle.name + ".training")


def readJob(folder: Path) -> Job | None:
    """The job of a folder, None where there is none."""
    try:
        return Job(**json.loads((folder / JOB).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def writeJob(folder: Path, job: Job) -> None:
    """Write ``job.json``."""
    (folder / JOB).write_text(json.dumps(asdict(job), indent=2) + "\n", encoding="utf-8")


def isRunning(folder: Path) -> bool:
    """Whether a process works on a job, also one that another Slicer started."""
    if not (folder / LOCK).is_file():
        return False
    with _lock(folder / LOCK) as mine:
        return not mine


@contextlib.contextmanager
def _lock(path: Path, patience: float = 0.0) -> Iterator[bool]:
    """Hold a lock that ends with its process, however that ends; yield whether it was to be had.

    The package filelock does the same, but Slicer does not bring it, and the panel looks at trainings before anything
    is installed.
    """
    with path.open("a+b") as file:
        end = time.monotonic() + patience
        while not (mine := _take(file)) and time.monotonic() < end:
            time.sleep(0.05)  # somebody may just be looking whether it is held
        yield mine


def _take(file: Any) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def work(folder: Path) -> int:
    """Do a job; report by JSON lines as the command line does.

    Returns:
        The exit code: 0 done, 75 stopped at a checkpoint, others as the command line's.
    """
    import typer

    from DRAMLesionLib.commands.terminal.console import Reporter
    from DRAMLesionLib.system.errors import InputError
    from DRAMLesionLib.training.stopping import STOPPED_EXIT_CODE, Stopped, stop_signals

    with _lock(folder / LOCK, SECONDS_FOR_THE_LOCK) as mine:
        try:
            with Reporter(as_json=True, debug=False) as reporter, stop_signals() as signalled:
                job = readJob(folder)
                if not mine or job is None:
                    what = "is in work already" if job else f"no training: {JOB} is missing or damaged"
                    raise InputError(f"{folder}: {what}: choose another name")
                reporter.log({"event": "begin", **asdict(job)})
                try:
                    bundle = _run(folder, job, reporter, lambda: signalled() or (folder / STOP).exists())
                except Stopped as stopped:
                    checkpoint = str(stopped.checkpoint) if stopped.checkpoint else None
                    reporter.log({"event": "stopped", "checkpoint": checkpoint})
                    return STOPPED_EXIT_CODE
                reporter.result({"model": str(bundle)})
        except typer.Exit as end:
            return end.exit_code
    return 0


def _run(folder: Path, job: Job, reporter: Any, wished: Callable[[], bool]) -> Path:
    """Label, if need be, and train. Both go on from what is there."""
    from DRAMLesionLib.training.engine import TRAINING as STEPS
    from DRAMLesionLib.training.engine import train
    from DRAMLesionLib.training.stopping import Stopped

    def told(stage: str, fraction: float) -> None:
        if stage != STEPS:  # each step has its own line
            reporter.progress(stage, fraction)

    def toldOrStopped(stage: str, fraction: float) -> None:
        told(stage, fraction)
        if wished():
            raise Stopped(None)

    data = folder / DATALIST
    if job.labels_by:
        from DRAMLesionLib.training.data.pseudo_labels import write_pseudo_labels

        reporter.log({"event": "begin_stage", "stage": LABELLING})
        data = write_pseudo_labels(
            data, job.labels_by, folder / LABELS, resume=True, device=job.device, progress=toldOrStopped
        )
    reporter.log({"event": "begin_stage", "stage": TRAINING})
    return train(
        folder / RECIPE,
        data,
        bundleOf(folder),
        device=job.device,
        resume=True,
        progress=told,
        log=reporter.log,
        stop=wished,
    )


if __name__ == "__main__":
    sys.exit(work(Path(sys.argv[1])))
