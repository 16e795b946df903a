"""The scene and its pictures from a child process, so that a crash in native code loses nothing else.

The child gets the findings through a private folder beside the results and tells its progress on standard output.
"""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING

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

    def __init__(self, write: Callable[[Progress], list[Path]]):
        """Begin to ``write``, which is given a progress whose exception ends it, and returns the files."""
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
        wait([self._result])

    def _tell(self, stage: str, fraction: float) -> None:
        if self._stopped.is_set():
            raise InterruptedError
        self._told.put((stage, fraction))


def run(findings: Findings, folder: Path, progress: Progress, timeout_s: float) -> list[Path]:
    """Do what :func:`~DRAMLesionLib.results.scene.process.write_scene_folder` says."""
    names = [SCENE_NAME, *PICTURES]
    # Beside the results, so that what a killed process leaves there goes when the next one writes.
    with tempfile.TemporaryDirectory(prefix=temporary_prefix(), dir=folder) as name:
        work = Path(name)
        write_arrays(findings, work / INPUT_NAME, FOR_SCENE)
        reason = _try_backends(work, progress, timeout_s)
        written = [Path(shutil.move(work / made, folder / made)) for made in names if (work / made).is_file()]
    if reason:
        raise SceneUnavailable(reason, written)
    return written


def _try_backends(work: Path, progress: Progress, timeout_s: float) -> str:
    """Run the child with each backend until one works; returns the first failure's reason, or nothing."""
    chosen = os.environ.get(BACKEND_VARIABLE)
    backends = (chosen,) if chosen or not sys.platform.startswith("linux") else LINUX_BACKENDS
    reasons: list[str] = []
    for backend in backends:
        what = "pictures" if (work / SCENE_NAME).is_file() else "scene"
        reason = _run_child(work, what, backend, progress, timeout_s)
        if not reason:
            return ""
        reasons.append(reason)
        if not (work / SCENE_NAME).is_file():
            # Another way of rendering can't help.
            break
    return reasons[0]


def _run_child(work: Path, what: str, backend: str | None, progress: Progress, timeout_s: float) -> str:
    """Run the child once; returns why it failed, or nothing."""
    environment = module_environment()
    environment |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(work))
    if backend:
        environment[BACKEND_VARIABLE] = backend
    command = module_command("DRAMLesionLib.results.scene.child", str(work), what)
    reason = ""
    progress("Scene: start", 0.0)
    with (work / "stderr.txt").open("wb") as stderr:
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True)
        timer = threading.Timer(timeout_s, child.kill)
        timer.start()
        try:
            assert child.stdout is not None
            for line in child.stdout:
                kind, _, rest = line.rstrip("\n").partition("\t")
                if kind == "progress":
                    stage, _, fraction = rest.partition("\t")
                    progress(stage, float(fraction))
                elif kind == "error":
                    reason = rest
            status = child.wait()
        finally:
            late = not timer.is_alive()
            timer.cancel()
            if child.poll() is None:
                child.kill()
                child.wait()
            if child.stdout is not None:
                child.stdout.close()
    if status == 0:
        return ""
    if late:
        return f"making the Slicer scene took more than {timeout_s:g} s"
    return reason or _crash(work, status, what)


def _crash(work: Path, status: int, what: str) -> str:
    """One line on a child that ended without a word: the signal, or the last line that it wrote."""
    done = (work / SCENE_NAME).is_file()
    step = "rendering the scene's pictures" if done or what == "pictures" else "making the Slicer scene"
    if status < 0:
        hint = ": install a software renderer (Debian: libegl1 libgl1-mesa-dri)" if done else ""
        return f"{step} crashed (signal {-status}){hint}"
    lines = (work / "stderr.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"{step} failed: {lines[-1].strip() if lines else f'exit code {status}'}"


def write_scene_folder(
    findings: Findings, folder: str | Path, progress: Progress = silent, timeout_s: float = 600.0
) -> list[Path]:
    """Write ``scene.mrb``, ``view_axial.png``, ``view_coronal.png`` and ``view_3d.png`` from a process of its own.

    Args:
        findings: The results.
        folder: Where to put them; it exists.
        progress: Called as the work goes on; what it raises stops the process.
        timeout_s: When to give up.

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
    return run(findings, Path(folder), progress, timeout_s)


def begin_scene_folder(findings: Findings, folder: str | Path) -> Making:
    """Begin what :func:`write_scene_folder` does, beside other work.

    Returns:
        Ask it to :meth:`~DRAMLesionLib.results.scene.process.Making.finish`, or to stop.
    """

    return Making(lambda progress: write_scene_folder(findings, folder, progress))
