"""One segmentation of a CT: its nodes to files, a child process, and its files back to the scene."""

import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from DRAMLesionLib.images.volume import Volume, to_image
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.options import Options
from DRAMLesionLib.results.arrays import reading_arrays
from DRAMLesionLib.results.scene import mrml
from DRAMLesionLib.results.scene.preview import remove_preview, show_preview
from DRAMLesionLib.results.scene.steps import WAITING, Steps
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import STAGING_PREFIX
from DRAMLesionPanel.results.nodes import Results
from DRAMLesionPanel.segment.estimate import ARRIVAL, estimateOf
from DRAMLesionPanel.shared.child_process import RunFailed
from DRAMLesionPanel.shared.time_left import stageAndTime
from DRAMLesionPanel.shared.worker_jobs import OUTLINE

Deliver = Callable[[Findings, Any], Steps[Results]]
Launch = Callable[[dict[str, Any], Path], Any]
"""Takes the arguments of the worker's job ``segment`` and a private folder, and gives what can be followed: a
:class:`~DRAMLesionPanel.shared.child_process.LibraryProcess`, or a job of the worker."""
STEPS_TO_ARRIVE = 12
"""About so many: for the progress bar."""


class SegmentRun:
    """A segmentation that goes on in a child process; its results then come into the scene step by step.

    Attributes:
        results: The nodes, once it has succeeded.
        findings: What was put into the scene, once it has succeeded.
        error: One line for the user, once it has failed.
        cancelled: Whether it was cancelled.
        waiting: Whether its results wait for another process just now.
        inScene: Whether the scene is changed already; it is too late to cancel then.
        estimate: How far it is.
    """

    def __init__(
        self,
        volumeNode: Any,
        deliver: Deliver,
        launch: Launch,
        lobesNode: Any = None,
        model: str | None = None,
        device: str = "auto",
        method: str | None = None,
    ) -> None:
        """Write the inputs and start the process.

        Args:
            volumeNode: The CT.
            deliver: Puts the findings into the scene; nothing touches the scene before.
            launch: Starts the work: see :data:`Launch`.
            lobesNode: Its lobes; None: they are found.
            model: A model's name or folder; None: the default one.
            device: See the library's ``find_device``.
            method: What makes the lesion: ``final`` or ``dram``; None: the final network where it is there.

        Raises:
            InputError: The nodes can't be used.
        """
        self.results: Results | None = None
        self.error: str | None = None
        self.cancelled = self.inScene = self.waiting = False
        lobes = lobesNode.GetName() if lobesNode else None
        self.estimate = estimateOf(Options(lobes=lobes, method=method, with_scene=False))
        self._ctNode, self._deliver = volumeNode, deliver
        self._process: Any = None
        self.findings: Findings | None = None
        self._arrival: Steps[Results] | None = None
        self._arrived = 0
        self._preview: Any = None
        self._message = ""
        self._ct = mrml.volume_from_node(volumeNode)
        self._lobes = mrml.lobes_from_segmentation(lobesNode, self._ct) if lobesNode else None
        self._folder = Path(tempfile.mkdtemp(prefix=f"{STAGING_PREFIX}run-", dir=slicer.app.temporaryPath))
        try:
            self._process = launch(self._arguments(model, device, method), self._folder)
        except BaseException:
            self._clean()
            raise

    @property
    def finished(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._process is None

    @property
    def outlined(self) -> bool:
        """Whether the lesion's outline is on the screen, while the rest is computed."""
        return self._preview is not None

    @property
    def arriving(self) -> bool:
        """Whether the work is done, and its results are on their way into the scene."""
        return self._arrival is not None

    @property
    def pid(self) -> int | None:
        """The child's process ID while it runs."""
        return self._process.pid if self._process else None

    def poll(self) -> bool:
        """Take what the child reported; when it has ended, bring its results into the scene, a step with each call.

        Returns:
            Whether the run is finished.
        """
        if self._process is None:
            return True
        if self._arrival is not None:
            self._arrive(self._arrival)
            return self.finished
        # The exit code first: what is read after it is all that there will be.
        code = self._process.poll()
        for event in self._process.events():
            self._take(event)
        if code is not None:
            self._finish(code)
        return self.finished

    def wait(self, onProgress: Callable[[float, str], None] | None = None) -> Results:
        """Wait while the application goes on living.

        Raises:
            RunFailed: It failed or was cancelled.
        """
        while not self.poll():
            if onProgress:
                onProgress(self.estimate.fraction, stageAndTime(self.estimate))
            slicer.app.processEvents()
            time.sleep(0.02)
        if self.results is None:
            raise RunFailed(self.error or _("The segmentation was cancelled."))
        return self.results

    def cancel(self) -> None:
        """End the child and all that it started; the scene stays as it is."""
        if self._process is not None:
            self._process.kill()
            if self._arrival is not None:
                self._arrival.close()
            self.cancelled = True
            self._clean()

    def _arguments(self, model: str | None, device: str, method: str | None) -> dict[str, Any]:
        given, lobes = self._folder / "ct.nrrd", None
        _write(self._ct.array, self._ct, given)
        if self._lobes is not None:
            lobes = str(self._folder / "lobes.nrrd")
            _write(self._lobes.labels, self._ct, Path(lobes))
        return {
            "ct": str(given),
            "out": str(self._folder / "out"),
            "lobes": lobes,
            "model": str(model) if model else None,
            "method": method or None,
            "device": device or "auto",
        }

    def _take(self, event: dict[str, Any]) -> None:
        if event["event"] == "progress":
            self.estimate.report(str(event.get("stage", "")), float(event.get("fraction", 0.0)))
        elif event["event"] == "error":
            self._message = str(event.get("message", ""))
        elif event["event"] == OUTLINE and self._ctNode.GetScene() is not None:
            mask = np.load(event["path"], mmap_mode="r", allow_pickle=False)
            self._preview = show_preview(self._ctNode.GetScene(), mask, self._ct)

    def _removePreview(self) -> None:
        if self._preview is not None:
            remove_preview(self._preview)
            self._preview = None

    def _finish(self, code: int) -> None:
        process = self._process
        assert process is not None
        log = process.log().strip()
        if log:
            logging.info("DRAMLesion: %s", log)
        if code == 0:
            self._arrival = self._arriving()
            return
        self.error = self._explain(code)
        logging.error("DRAMLesion: %s", self.error)
        self._clean()

    def _arriving(self) -> Steps[Results]:
        findings = yield from reading_arrays(self._folder / "out", self._ct, self._lobes)
        self._removePreview()
        self.inScene, self.findings = True, findings
        return (yield from self._deliver(findings, self._ctNode))

    def _arrive(self, arrival: Steps[Results]) -> None:
        self._arrived += 1
        self.estimate.report(ARRIVAL, min(1.0, self._arrived / STEPS_TO_ARRIVE))
        try:
            if self._ctNode.GetScene() is None:
                raise InputError(_("{name}: was removed from the scene.").format(name=self._ct.name))
            self.waiting = next(arrival) == WAITING
        except StopIteration as end:
            self.results = end.value
            self.estimate.report(ARRIVAL, 1.0)
            self._clean()
        except InputError as error:
            self.error = str(error)
            self._clean()
        except BaseException:
            self._clean()
            raise

    def _explain(self, code: int) -> str:
        if not self._message:
            return _("The work ended unexpectedly (exit code {code}); details are in the log.").format(
                code=code
            )
        # The user knows the nodes, not the temporary files that were made of them.
        text = self._message.replace(str(self._folder / "ct.nrrd"), self._ct.name)
        return text.replace(str(self._folder / "lobes.nrrd"), _("lobes"))

    def _clean(self) -> None:
        self._removePreview()
        self._process = self._arrival = None
        shutil.rmtree(self._folder, ignore_errors=True)


def commandOf(arguments: dict[str, Any]) -> list[str]:
    """The library's command line that does what the worker's job ``segment`` does."""
    command = [
        "segment",
        arguments["ct"],
        "--out",
        arguments["out"],
        "--handover",
        "--device",
        arguments["device"],
    ]
    for name in ("model", "method", "lobes"):
        if arguments[name]:
            command += [f"--{name}", arguments[name]]
    return command


def _write(array: Any, like: Volume, path: Path) -> None:
    import SimpleITK as sitk

    # Uncompressed: it is read once, and compressing a large CT takes longer than finding its lobes.
    sitk.WriteImage(to_image(array, like), str(path), useCompression=False)
