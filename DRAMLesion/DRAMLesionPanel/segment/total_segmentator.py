"""Lobes by the extension TotalSegmentator, where it is installed: its own logic does the work.

That logic waits for its child process line by line. Here the process is wrapped, so that the window stays alive while
it waits and the process can be ended with all that it started.
"""

import importlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from DRAMLesionPanel.shared.child_process import killTree

STRUCTURES = (
    "lung_upper_lobe_left",
    "lung_lower_lobe_left",
    "lung_upper_lobe_right",
    "lung_middle_lobe_right",
    "lung_lower_lobe_right",
)
"""Its names of the lobes."""
PAUSE_S = 0.02


class LobesFailed(Exception):
    """TotalSegmentator found no lobes; the message is one line."""


class LobesCancelled(Exception):
    """The user cancelled."""


def whyNot() -> str | None:
    """Why TotalSegmentator can't be used, None where it can."""
    if getattr(slicer.modules, "totalsegmentator", None) is None:
        return _("the extension TotalSegmentator is not installed; the Extensions Manager has it")
    return None


class TotalSegmentatorRun:
    """One search for lobes."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Prepare.

        Args:
            say: Told each line that TotalSegmentator writes.
        """
        self._say = say
        self._cancelled = False
        self._process: Any = None

    def find(self, volumeNode: Any, device: str = "auto") -> Any:
        """Make a segmentation of the five lobes; the application goes on living meanwhile.

        The first run installs TotalSegmentator's own packages and downloads its weights.

        Args:
            volumeNode: The CT.
            device: ``cpu`` works without a GPU, at a lower resolution, as that takes minutes and not an hour.

        Returns:
            vtkMRMLSegmentationNode with segments that are named and coded as lobes.

        Raises:
            LobesFailed: It failed; the scene is as it was.
            LobesCancelled: :meth:`cancel` was called; the scene is as it was.
        """
        name = _("{name} lobes (TotalSegmentator)").format(name=volumeNode.GetName())
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        try:
            logic = self._logic()
            logic.setupPythonRequirements()
            quality = "fast" if device == "cpu" or not _hasGPU() else "normal"
            logic.process(
                volumeNode, node, quality=quality, cpu=device == "cpu", task="total", subset=list(STRUCTURES)
            )
        except Exception as error:
            if node.GetScene() is not None:  # the scene may have been closed meanwhile
                slicer.mrmlScene.RemoveNode(node)
            if self._cancelled:
                raise LobesCancelled from error
            reason = " ".join(str(error).split()) or type(error).__name__
            raise LobesFailed(_("TotalSegmentator: {reason}").format(reason=reason)) from error
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetVisibility(False)
        return node

    def cancel(self) -> None:
        """End its process and all that this one started."""
        self._cancelled = True
        if self._process is not None:
            killTree(self._process.pid)

    def _logic(self) -> Any:
        run, base = self, importlib.import_module("TotalSegmentator").TotalSegmentatorLogic

        class Logic(base):
            def logProcessOutput(self, proc: Any, *args: Any, **kwargs: Any) -> Any:
                run._process = proc
                try:
                    return super().logProcessOutput(_LivelyProcess(proc), *args, **kwargs)
                finally:
                    run._process = None

        logic = Logic()
        logic.logCallback = self._hear
        return logic

    def _hear(self, line: str) -> None:
        self._say(str(line).strip())
        slicer.app.processEvents()
        if self._cancelled:
            raise LobesCancelled


class _LivelyProcess:
    """A process whose output is waited for while the application goes on living; all else is the process's own."""

    def __init__(self, process: Any) -> None:
        self._process = process
        self._lines: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._process, name)

    @property
    def stdout(self) -> Any:
        return self

    def readline(self) -> str:
        """The next line, empty at the end."""
        while True:
            try:
                return self._lines.get_nowait()
            except queue.Empty:
                slicer.app.processEvents()
                time.sleep(PAUSE_S)

    def _read(self) -> None:
        # No Qt and no scene here: this is another thread. It reads to the end, whatever comes: a full pipe would stop the
        # process. Text that can't be decoded is read as bytes, which the stream below has.
        stream = getattr(self._process.stdout, "buffer", self._process.stdout)
        try:
            for line in stream:
                self._lines.put(line if isinstance(line, str) else line.decode("utf-8", errors="replace"))
        except (OSError, ValueError):
            pass  # the process was ended, and its pipe closed
        self._lines.put("")


def _hasGPU() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())
