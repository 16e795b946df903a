"""The scene and its pictures from a child process, so that a crash in native code loses nothing else.

The child gets the findings through a private folder beside the results and tells its progress on standard output.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from DRAMLesionLib.results.arrays import FOR_SCENE, write_arrays
from DRAMLesionLib.results.scene.available import (
    INPUT_NAME,
    PICTURES,
    SCENE_NAME,
    SceneUnavailable,
    is_available,
)
from DRAMLesionLib.system.files import temporary_prefix
from DRAMLesionLib.system.optional import install_command
from DRAMLesionLib.system.package import module_command, module_environment
from DRAMLesionLib.system.progress import Progress, silent

if TYPE_CHECKING:
    from DRAMLesionLib.lesions.findings import Findings

BACKEND_VARIABLE = "VTK_DEFAULT_OPENGL_WINDOW"
LINUX_BACKENDS = ("vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow")
"""Render windows that need no display, the first that works is used; elsewhere VTK's own choice needs none."""


class Making:
    """A scene folder that is being written while its owner does something else."""

    def __init__(self, write: Callable[[Progress], list[Path]], child: Child | None = None):
        """Begin to ``write``, which is given a progress whose exception ends it, and returns the files.

        Args:
            write: Does all the work, and waits for it.
            child: The process that it waits for, where that is known.
        """
        self._child = child
        self._told: queue.SimpleQueue[tuple[str, float] | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        pool = ThreadPoolExecutor(1, "scene")
        self._result = pool.submit(write, self._tell)
        self._result.add_done_callback(lambda _: self._told.put(None))
        pool.shutdown(wait=False)

    def finish(self, progress: Progress) -> list[Path]:
        """Wait for the files, and tell the child's progress meanwhile.

        Raises:
            Exception: What writing raised.
        """
        while (told := self._told.get()) is not None:
            progress(*told)
        return self._result.result()

    def stop(self) -> None:
        """End the child, if it still runs, and wait until what it wrote is gone."""
        self._stopped.set()
        if self._child is not None and not self._result.done():
            self._child.process.kill()  # it may tell nothing for many seconds
        wait([self._result])

    def _tell(self, stage: str, fraction: float) -> None:
        if self._stopped.is_set():
            raise InterruptedError
        self._told.put((stage, fraction))


@dataclass(frozen=True)
class Child:
    """A process that has imported Slicer, or does so just now, and waits for its work.

    Attributes:
        process: Reads one line from its standard input, ``scene`` or ``pictures`` and the folder, does that and ends. The
            line is JSON, which any name of a folder passes through.
        stderr: What it writes to standard error.
    """

    process: subprocess.Popen[str]
    stderr: IO[bytes]

    def end(self) -> None:
        """End it, if it still runs."""
        for stream in (self.process.stdin, self.process.stdout, self.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def _start(backend: str | None) -> Child:
    environment = module_environment() | ({BACKEND_VARIABLE: backend} if backend else {})
    stderr = tempfile.TemporaryFile()  # noqa: SIM115 - Child.end closes it
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": stderr}
    command = module_command("DRAMLesionLib.results.scene.child")
    return Child(subprocess.Popen(command, env=environment, text=True, **pipes), stderr)


def _backends() -> tuple[str | None, ...]:
    chosen = os.environ.get(BACKEND_VARIABLE)
    return (chosen,) if chosen or not sys.platform.startswith("linux") else LINUX_BACKENDS


@contextlib.contextmanager
def waiting_child() -> Iterator[Child | None]:
    """A child that gets ready beside other work, for :func:`begin_scene_folder`; None where there is no slicer-core."""
    child = _start(_backends()[0]) if is_available() else None
    try:
        yield child
    finally:
        if child is not None:
            child.end()


def run(
    findings: Findings, folder: Path, progress: Progress, timeout_s: float, child: Child | None = None
) -> list[Path]:
    """Do what :func:`~DRAMLesionLib.results.scene.process.write_scene_folder` says."""
    names = [SCENE_NAME, *PICTURES]
    # Beside the results, so that what a killed process leaves there goes when the next one writes.
    with tempfile.TemporaryDirectory(prefix=temporary_prefix(), dir=folder) as name:
        work = Path(name)
        write_arrays(findings, work / INPUT_NAME, FOR_SCENE)
        reason = _try_backends(work, progress, timeout_s, child)
        written = [Path(shutil.move(work / made, folder / made)) for made in names if (work / made).is_file()]
    if reason:
        raise SceneUnavailable(reason, written)
    return written


def _try_backends(work: Path, progress: Progress, timeout_s: float, waiting: Child | None) -> str:
    """Run a child with each backend until one works; returns the first failure's reason, or nothing."""
    reasons: list[str] = []
    for backend in _backends():
        what = "pictures" if (work / SCENE_NAME).is_file() else "scene"
        child, waiting = waiting or _start(backend), None
        try:
            reason = _run_child(child, work, what, progress, timeout_s)
        finally:
            child.end()
        if not reason:
            return ""
        reasons.append(reason)
        if not (work / SCENE_NAME).is_file():
            # Another way of rendering can't help.
            break
    return reasons[0]


def _run_child(child: Child, work: Path, what: str, progress: Progress, timeout_s: float) -> str:
    """Give the child its work and wait for it; returns why it failed, or nothing."""
    reason = ""
    progress("Scene: start", 0.0)
    timer = threading.Timer(timeout_s, child.process.kill)
    timer.start()
    try:
        assert child.process.stdin is not None and child.process.stdout is not None
        with contextlib.suppress(OSError):  # one that has died tells why below
            child.process.stdin.write(json.dumps([what, str(work)]) + "\n")
            child.process.stdin.close()
        for line in child.process.stdout:
            kind, _, rest = line.rstrip("\n").partition("\t")
            if kind == "progress":
                stage, _, fraction = rest.partition("\t")
                progress(stage, float(fraction))
            elif kind == "error":
                reason = rest
        status = child.process.wait()
    finally:
        late = not timer.is_alive()
        timer.cancel()
    if status == 0:
        return ""
    if late:
        return f"making the Slicer scene took more than {timeout_s:g} s"
    child.stderr.seek(0)
    said = child.stderr.read().decode("utf-8", errors="replace")
    return reason or _crash(work, status, what, said)


def _crash(work: Path, status: int, what: str, said: str) -> str:
    """One line on a child that ended without a word: the signal, or the last line that it wrote."""
    done = (work / SCENE_NAME).is_file()
    step = "rendering the scene's pictures" if done or what == "pictures" else "making the Slicer scene"
    if status < 0:
        hint = ": install a software renderer (Debian: libegl1 libgl1-mesa-dri)" if done else ""
        return f"{step} crashed (signal {-status}){hint}"
    lines = said.strip().splitlines()
    return f"{step} failed: {lines[-1].strip() if lines else f'exit code {status}'}"


def write_scene_folder(
    findings: Findings,
    folder: str | Path,
    progress: Progress = silent,
    timeout_s: float = 600.0,
    child: Child | None = None,
) -> list[Path]:
    """Write ``scene.mrb``, ``view_axial.png``, ``view_coronal.png`` and ``view_3d.png`` from a process of its own.

    Args:
        findings: The results.
        folder: Where to put them; it exists.
        progress: Called as the work goes on; what it raises stops the process.
        timeout_s: When to give up.
        child: One of :func:`waiting_child`; None starts one.

    Returns:
        The files, in that order.

    Raises:
        SceneUnavailable: slicer-core is not installed, no rendering works here, or the process crashed. Its ``written``
            says what was finished nevertheless.
    """
    if not is_available():
        raise SceneUnavailable(
            f"slicer-core is not installed: for scene and pictures, {install_command('slicer-core')}"
        )
    return run(findings, Path(folder), progress, timeout_s, child)


def begin_scene_folder(findings: Findings, folder: str | Path, child: Child | None = None) -> Making:
    """Begin what :func:`write_scene_folder` does, beside other work.

    Returns:
        Ask it to :meth:`~DRAMLesionLib.results.scene.process.Making.finish`, or to stop.
    """
    return Making(lambda progress: write_scene_folder(findings, folder, progress, child=child), child)
