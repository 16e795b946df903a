"""The parent's side of a worker's process: hands it one case at a time, and sees when it dies."""

import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

from DRAMLesionLib.batch.work import CASES, CRASHED, FAILED, WORK, Case, Job, Outcome, to_json
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import remove_stale
from DRAMLesionLib.system.package import module_command, module_environment
from DRAMLesionLib.system.progress import Progress, silent

MOST_STARTS = 6
"""A worker that dies so often before its first case will not start."""
_SHOWN = 20_000


class WorkerStartError(InputError):
    """No worker can be started: a reason to end the batch, not the case."""


class CaseProcess:
    """A process that does cases, one after the other, and is started anew after a crash."""

    def __init__(self, job: Job) -> None:
        """Nothing is started before the first case.

        Args:
            job: What is the same for all cases.
        """
        self._job = job
        self._child: subprocess.Popen[str] | None = None
        self._log: IO[bytes] | None = None
        self._closed = False
        self._late = False
        self._ending = threading.Lock()

    def run(self, case: Case, progress: Progress = silent) -> Outcome:
        """Do a case.

        Args:
            case: The case.
            progress: Told the case's stage, and how much of the case is done; called in this thread.

        Returns:
            Its outcome; crashed where the process died, failed where it took too long.

        Raises:
            WorkerStartError: The process does not come up, for instance since there is no such model.
        """
        self._start()
        timer = threading.Timer(self._job.timeout_s or 1e9, self._stop_late)
        timer.daemon = True
        self._late = False
        if self._job.timeout_s:
            timer.start()
        try:
            answer = self._ask(to_json(case), progress)
        finally:
            timer.cancel()
        if answer is not None and "outcome" in answer:
            return Outcome(**answer["outcome"])
        return self._crash(case)

    def close(self) -> None:
        """End the process and all that it started, whatever it does; it can't be used any more."""
        self._closed = True
        self._kill()

    @property
    def pid(self) -> int | None:
        """The process's ID while there is one."""
        return self._child.pid if self._child else None

    def _start(self) -> None:
        if self._child is not None and self._child.poll() is None:
            return
        for _ in range(MOST_STARTS):
            self._kill()
            self._launch()
            answer = self._ask(to_json(self._job))
            if answer is not None and "ready" in answer:
                return
            if answer is not None and "refused" in answer:
                self._kill()
                raise WorkerStartError(answer["refused"])
            if self._closed:
                break
        said = self._said().strip().splitlines()
        self._kill()
        raise WorkerStartError(f"a worker can't start: {said[-1] if said else 'it ends without a word'}")

    def _launch(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        command = module_command("DRAMLesionLib.batch.worker", python=_python())
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=_environment(self._job.threads),
            encoding="utf-8",
            **_own_group(),
        )
        if self._closed:
            self._signal()

    def _ask(self, values: dict[str, Any], progress: Progress = silent) -> dict[str, Any] | None:
        """Send a line and wait for the one that answers it; None where the process died."""
        child = self._child
        if child is None or child.stdin is None or child.stdout is None:
            return None
        try:
            child.stdin.write(json.dumps(values) + "\n")
            child.stdin.flush()
            while True:
                line = child.stdout.readline()
                answer = json.loads(line) if line.endswith("\n") else None
                if answer is None or "moved" not in answer:
                    return answer
                progress(*answer["moved"])
        except (OSError, ValueError):
            return None

    def _crash(self, case: Case) -> Outcome:
        child = self._child
        with contextlib.suppress(subprocess.TimeoutExpired):
            if child is not None:
                child.wait(10)
        code = child.returncode if child is not None else None
        details = self._said()
        worker = f"{platform.node()}:{self.pid}"
        self._kill()
        for folder in (WORK, CASES):
            remove_stale(Path(self._job.out) / folder)
        if self._late:
            reason = f"took more than {self._job.timeout_s / 60:g} minutes: see --timeout"
            return Outcome(case.name, FAILED, reason=reason, worker=worker, seconds=self._job.timeout_s)
        return Outcome(case.name, CRASHED, reason=_why(code), worker=worker, details=details)

    def _said(self) -> str:
        if self._log is None:
            return ""
        with contextlib.suppress(OSError, ValueError):
            end = self._log.seek(0, os.SEEK_END)
            self._log.seek(max(0, end - _SHOWN))
            return self._log.read().decode("utf-8", errors="replace")
        return ""

    def _stop_late(self) -> None:
        self._late = True
        self._signal()

    def _signal(self) -> None:
        child = self._child
        if child is None or child.poll() is not None:
            return
        with contextlib.suppress(OSError):
            if os.name == "nt":
                child.kill()
            else:
                # Not waited for yet, so neither its ID nor its group's can be another's.
                os.killpg(child.pid, signal.SIGKILL)

    def _kill(self) -> None:
        with self._ending:
            self._end()

    def _end(self) -> None:
        child, log = self._child, self._log
        if child is not None:
            self._signal()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                with contextlib.suppress(OSError, ValueError):
                    if pipe is not None:
                        pipe.close()
        if log is not None:
            log.close()
        self._child = self._log = None


def _why(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in {s.value for s in signal.Signals} else f"signal {-code}"
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"its worker was ended by {name}{hint}"
    return f"its worker ended with exit code {code}"


def _python() -> str:
    """The interpreter that runs this; where that is an application, Slicer's own Python."""
    if "python" in Path(sys.executable or "").name.lower():
        return sys.executable
    return shutil.which("PythonSlicer") or sys.executable


def _environment(threads: int) -> dict[str, str]:
    """So that workers share the cores, and find the library from a checkout, too."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    limits = dict.fromkeys((*names, "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), str(max(1, threads)))
    return {
        **module_environment(),
        **limits,
        # Threads that spin while they wait take time from the other workers.
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONIOENCODING": "utf-8",
    }


def _own_group() -> dict[str, Any]:
    """A Ctrl-C in the terminal reaches the batch alone, which then ends its workers."""
    if os.name != "nt":
        return {"start_new_session": True}
    return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined]
