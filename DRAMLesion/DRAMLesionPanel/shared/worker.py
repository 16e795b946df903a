"""The panel's worker: one child process that stays, so that the second CT need not wait for torch and the models."""

import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from DRAMLesionLib.system.files import STAGING_PREFIX
from DRAMLesionPanel.shared.child_process import EventFile, killGroup, startPython

IDLE_S = 600.0
"""A worker that nobody needed for so long ends: it holds a gigabyte."""
_PANEL_FOLDER = str(Path(__file__).resolve().parents[2])


class Worker:
    """At most one process at a time; it is started when it is needed, and again where it has ended."""

    def __init__(self, temporaryPath: str) -> None:
        """Nothing is started yet.

        Args:
            temporaryPath: A folder in which the worker's own folder is made.
        """
        self._temporaryPath = temporaryPath
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._job: WorkerJob | None = None
        self._number, self._first = 0, True
        self._lastUse = time.monotonic()

    @property
    def pid(self) -> int | None:
        """The process's ID, None where none lives."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def busy(self) -> bool:
        """Whether a job that somebody waits for is being done: another one would have to wait."""
        return self._job is not None and self._job.poll() is None and self._job.kind != "warm"

    def warm(self, model: str | None = None, method: str | None = None, device: str = "auto") -> None:
        """Start the worker, and let it load what a segmentation with these choices needs."""
        if self._job is None or self._job.poll() is not None:
            self.submit("warm", model=model, method=method, device=device)

    def submit(self, kind: str, **arguments: Any) -> "WorkerJob":
        """Give the worker a job; it is done after what it does already.

        Args:
            kind: One of :data:`DRAMLesionPanel.shared.worker_jobs.JOBS`.
            **arguments: The job's, JSON values.
        """
        if self.pid is None:
            self._start()
        assert self._process is not None and self._process.stdin is not None and self._folder is not None
        self._number += 1
        job = {"id": str(self._number), "job": kind, **arguments}
        self._job = WorkerJob(self, self._process, self._folder, job["id"], kind, self._first)
        self._first = False
        with contextlib.suppress(OSError):  # where it has just died, poll tells so
            self._process.stdin.write(json.dumps(job).encode("utf-8") + b"\n")
            self._process.stdin.flush()
        self._lastUse = time.monotonic()
        return self._job

    def endIfIdle(self, seconds: float = IDLE_S) -> bool:
        """End the process where nobody needed it for so long; returns whether none lives now."""
        if self._job is not None and self._job.poll() is None:
            self._lastUse = time.monotonic()
        elif self.pid is not None and time.monotonic() - self._lastUse >= seconds:
            self.end()
        return self.pid is None

    def end(self) -> None:
        """End the process and all that it started."""
        process, self._process, self._job = self._process, None, None
        if process is not None:
            killGroup(process)
            with contextlib.suppress(OSError):
                process.stdin.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _start(self) -> None:
        self.end()
        self._folder = Path(tempfile.mkdtemp(prefix=f"{STAGING_PREFIX}worker-", dir=self._temporaryPath))
        self._process = startPython(
            ["-m", "DRAMLesionPanel.shared.worker_jobs"],
            self._folder / "events.jsonl",
            self._folder / "log.txt",
            paths=(_PANEL_FOLDER,),
            stdin=subprocess.PIPE,
        )
        self._first = True


class WorkerJob:
    """A job of the worker, to be followed as a process of its own is."""

    def __init__(
        self,
        worker: Worker,
        process: "subprocess.Popen[bytes]",
        folder: Path,
        number: str,
        kind: str,
        first: bool,
    ) -> None:
        """Follow a job that was just given to the worker."""
        self.kind = kind
        self._worker, self._process, self._id = worker, process, number
        self._log = folder / "log.txt"
        self._logStart = self._log.stat().st_size if self._log.is_file() else 0
        self._file = EventFile(folder / "events.jsonl")
        self._begun = first
        self._new: list[dict[str, Any]] = []
        self._code: int | None = None

    @property
    def pid(self) -> int:
        """The worker's process ID."""
        return self._process.pid

    def poll(self) -> int | None:
        """The job's exit code, or None while it goes on; a worker that died gives its own."""
        if self._code is None:
            code = self._process.poll()  # first: what is read after it is all that there will be
            for event in self._file.new():
                self._take(event)
            if self._code is None and code is not None:
                self._code = code or 1
        return self._code

    def events(self) -> list[dict[str, Any]]:
        """What the job reported since the last call."""
        self.poll()
        new, self._new = self._new, []
        return new

    def log(self) -> str:
        """What the worker wrote to standard error meanwhile."""
        if not self._log.is_file():
            return ""
        with self._log.open("rb") as file:
            file.seek(self._logStart)
            return file.read().decode("utf-8", errors="replace")

    def kill(self) -> None:
        """End the job, and the worker with it: a computation can't be stopped otherwise. The next job gets a new one."""
        if self.poll() is None:
            self._code = 1
            self._worker.end()

    def _take(self, event: dict[str, Any]) -> None:
        # The file holds the events of the worker's earlier jobs, too.
        if event["event"] == "ended":
            if event["id"] == self._id:
                self._code = int(event["code"])
            elif int(event["id"]) == int(self._id) - 1:
                self._begun = True
        elif self._begun and self._code is None:
            self._new.append(event)
