"""A command of the library in a process of its own: the window stays alive, and all of it can be ended at once."""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

LOG_NAME = "log.txt"


class LibraryProcess:
    """``python -m DRAMLesionLib ARGUMENTS --json``, whose lines arrive as events.

    A thread reads the pipe into a queue and touches nothing else: Qt and MRML are called from the caller's thread
    alone. The process leads a group of its own, because Slicer's Python is a launcher that starts the true
    interpreter: ending the launcher alone would leave that one running.
    """

    def __init__(self, arguments: list[str], folder: Path) -> None:
        """Start it.

        Args:
            arguments: The command and its options.
            folder: A private folder for its log.
        """
        self._log = Path(folder) / LOG_NAME
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._ended = False
        command = [pythonExecutable(), "-m", "DRAMLesionLib", *arguments, "--json"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(),
                encoding="utf-8",
                errors="replace",
                **_ownGroup(),
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process's ID."""
        return self._process.pid

    @property
    def exitCode(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def events(self) -> list[dict[str, Any]]:
        """What it reported since the last call; lines that are not JSON are left out."""
        found = []
        while True:
            try:
                line = self._lines.get_nowait()
            except queue.Empty:
                return found
            if line is None:
                self._ended = True
                return found
            event = _parse(line)
            if event is not None:
                found.append(event)

    def ended(self) -> bool:
        """Whether it has ended and all its events were taken."""
        return self._ended and self._process.poll() is not None

    def log(self) -> str:
        """What it wrote to standard error."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.is_file() else ""

    def kill(self) -> None:
        """End it and every process that it started, and wait until it is gone."""
        if self._process.poll() is None:
            if os.name == "nt":
                stop = ["taskkill", "/F", "/T", "/PID", str(self.pid)]
                subprocess.run(stop, capture_output=True, check=False, **_ownGroup())
            else:
                # The group's ID is the leader's as long as the leader was not waited for.
                os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(timeout=30)
        self._reader.join(timeout=5)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._process.stdout.close()
        self._lines.put(None)


def pythonExecutable() -> str:
    """Slicer's own Python where this runs in Slicer, else the interpreter that runs this."""
    return shutil.which("PythonSlicer") or sys.executable


def _environment() -> dict[str, str]:
    import DRAMLesionLib

    where = str(Path(DRAMLesionLib.__file__).resolve().parents[1])
    known = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([where, *([known] if known else [])]),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUNBUFFERED": "1",
        # Threads that spin while they wait make the window sluggish.
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def _ownGroup() -> dict[str, Any]:
    if os.name != "nt":
        return {"start_new_session": True}
    return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}


def _parse(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return None
    return event if isinstance(event, dict) and "event" in event else None
