"""A command of the library in a process of its own: the window stays alive, and all of it can be ended at once."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

EVENTS_NAME = "events.jsonl"
LOG_NAME = "log.txt"


class RunFailed(Exception):
    """A run ended with an error; the message is one line for the user."""


class LibraryProcess:
    """``python -m DRAMLesionLib ARGUMENTS --json``, whose lines are events.

    The lines go through a file, so that nothing must wait on a pipe: no thread, which would run late in an
    application that holds Python's lock, and no full pipe that would stop the child. The process leads a group of
    its own, because Slicer's Python is a launcher that starts the true interpreter: ending the launcher alone would
    leave that one running.
    """

    def __init__(self, arguments: list[str], folder: Path) -> None:
        """Start it.

        Args:
            arguments: The command and its options.
            folder: A private folder for its events and its log.
        """
        self._events, self._log = EventFile(Path(folder) / EVENTS_NAME), Path(folder) / LOG_NAME
        self._process = startPython(
            ["-m", "DRAMLesionLib", *arguments, "--json"], self._events.path, self._log
        )

    @property
    def pid(self) -> int:
        """The process's ID."""
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.poll()

    def events(self) -> list[dict[str, Any]]:
        """What it reported since the last call: whole lines of JSON; other lines are left out."""
        return self._events.new()

    def log(self) -> str:
        """What it wrote to standard error."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.is_file() else ""

    def kill(self) -> None:
        """End it and every process that it started, and wait until it is gone."""
        killGroup(self._process)


def killGroup(process: "subprocess.Popen[bytes]") -> None:
    """End a process that leads a group, and every process that it started, and wait until it is gone."""
    if process.poll() is not None:
        return
    if os.name == "nt":
        stop = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
        subprocess.run(stop, capture_output=True, check=False, **_ownGroup())
    else:
        # Not waited for yet, so its ID and its group's can't have been given to others.
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)


class EventFile:
    """The lines that a process writes, read as they come."""

    def __init__(self, path: Path) -> None:
        """Begin at the file's beginning; it need not be there yet."""
        self.path, self._read = path, 0

    def new(self) -> list[dict[str, Any]]:
        """Whole lines of JSON since the last call; other lines are left out."""
        if not self.path.is_file():
            return []
        with self.path.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        found = (_parse(line) for line in whole.splitlines())
        return [event for event in found if event is not None]


def startPython(
    arguments: list[str],
    events: Path,
    log: Path,
    append: bool = False,
    paths: tuple[str, ...] = (),
    stdin: int = subprocess.DEVNULL,
) -> "subprocess.Popen[bytes]":
    """Start Slicer's Python with the library at hand, in a group of its own, so that it can outlive the application.

    Args:
        arguments: Of the interpreter.
        events: Where its standard output goes.
        log: Where its standard error goes.
        append: Keep what the two files hold.
        paths: More folders to import from.
        stdin: Its standard input, as ``subprocess`` takes it.
    """
    mode = "ab" if append else "wb"
    with events.open(mode) as out, log.open(mode) as err:
        return subprocess.Popen(
            [pythonExecutable(), *arguments],
            stdin=stdin,
            stdout=out,
            stderr=err,
            cwd=events.parent,
            env=_environment(paths),
            **_ownGroup(),
        )


def killTree(pid: int) -> None:
    """End a process that leads no group of its own, and every process that it started."""
    if os.name == "nt":
        stop = ["taskkill", "/F", "/T", "/PID", str(pid)]
        subprocess.run(stop, capture_output=True, check=False, **_ownGroup())
        return
    children: dict[int, list[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    tree = [pid]
    for process in tree:
        tree += children.get(process, [])
    for process in tree:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)


def _parents() -> list[tuple[int, int]]:
    """All processes and their parents, by ID; a small Linux has no ``ps``, macOS no ``/proc``."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            words = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            found.append((int(stat.parent.name), int(words[1])))
    if not found:
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False)
        for line in listed.stdout.splitlines():
            child, parent = line.split()
            found.append((int(child), int(parent)))
    return found


def pythonExecutable() -> str:
    """Slicer's own Python where this runs in Slicer, else the interpreter that runs this."""
    return shutil.which("PythonSlicer") or sys.executable


def _environment(paths: tuple[str, ...] = ()) -> dict[str, str]:
    import DRAMLesionLib

    where = str(Path(DRAMLesionLib.__file__).resolve().parents[1])
    known = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([where, *paths, *([known] if known else [])]),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUNBUFFERED": "1",
        # A user's random.py in the folder that Slicer was started in must not take the place of Python's own.
        "PYTHONSAFEPATH": "1",
        # Threads that spin while they wait make the window sluggish.
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def _ownGroup() -> dict[str, Any]:
    if os.name != "nt":
        return {"start_new_session": True}
    return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None
