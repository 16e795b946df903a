"""CT, lobes, model and device."""

import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from DRAMLesionLib.files import STAGING_PREFIX
from DRAMLesionLib.scene import ROLE_ATTRIBUTE
from DRAMLesionPanel.child_process import LibraryProcess

POLL_MS = 200


class InputSection:
    """The choices before a run. Models and devices are asked of a child process: only that one imports torch."""

    def __init__(self, panel: Any) -> None:
        self._panel, self._ui = panel, panel.ui
        self._examination: LibraryProcess | None = None
        self._folder: Path | None = None
        self._checked = ""
        self._filling = False
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self._poll)
        self._ui.modelSelector.addItem(_("Default"), "")
        self._ui.deviceSelector.addItem(_("Automatic"), "auto")
        self._ui.modelSelector.connect("currentIndexChanged(int)", self._onModel)
        self._ui.deviceSelector.connect("currentIndexChanged(int)", self._onDevice)

    def examine(self) -> None:
        """Ask which models and devices there are; the answer comes later."""
        if self._examination is None:
            self._folder = Path(
                tempfile.mkdtemp(prefix=f"{STAGING_PREFIX}doctor-", dir=slicer.app.temporaryPath)
            )
            self._examination = LibraryProcess(["doctor"], self._folder)
            self._timer.start()

    def chooseFirst(self) -> None:
        """Choose the scene's first CT if none is chosen."""
        parameters = self._panel.parameters
        if parameters is None or parameters.inputVolume is not None:
            return
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
            plain = node.GetClassName() == "vtkMRMLScalarVolumeNode" and not node.GetHideFromEditors()
            if plain and node.GetAttribute(ROLE_ATTRIBUTE) in (None, "ct"):
                parameters.inputVolume = node
                return

    def showChoices(self) -> None:
        """Let model and device follow from the parameter node."""
        parameters = self._panel.parameters
        if parameters is not None:
            self._choose(self._ui.modelSelector, parameters.model)
            self._choose(self._ui.deviceSelector, parameters.device)

    def update(self) -> None:
        """Warn once of a volume that does not look like a chest CT."""
        node = self._panel.parameters.inputVolume
        key = node.GetID() if node else ""
        if key != self._checked:
            self._checked = key
            doubt = doubtAbout(node) if node else None
            self._panel.showStatus(doubt or "", "warning" if doubt else "")

    def cleanup(self) -> None:
        """End the question after models and devices."""
        self._timer.stop()
        if self._examination is not None:
            self._examination.kill()
            self._forgetExamination()

    def _poll(self) -> None:
        if self._examination is None:
            return
        code = self._examination.poll()
        for event in self._examination.events():
            if event["event"] == "result":
                with self._panel.reported():
                    self._fill(event)
        if code is not None:
            if code != 0:
                logging.warning("DRAMLesion: %s", self._examination.log())
            self._timer.stop()
            self._forgetExamination()

    def _fill(self, found: dict[str, Any]) -> None:
        self._filling = True
        try:
            for name in found["models"]:
                self._add(self._ui.modelSelector, name, name, found["models"][name])
            memory = found.get("memory_gib")
            for name, what in found["devices"].items():
                text = f"{name} ({what}, {memory} GiB)" if name == "cpu" and memory else f"{name} ({what})"
                self._add(self._ui.deviceSelector, text, name, text)
        finally:
            self._filling = False
        self.showChoices()
        for problem in found["problems"]:
            self._panel.showStatus(problem, "warning")

    def _choose(self, box: Any, data: str) -> None:
        """Choose an entry; one that is not known yet, from a saved scene, is added."""
        if box.findData(data) < 0:
            box.addItem(data, data)
        self._filling = True
        box.setCurrentIndex(box.findData(data))
        self._filling = False

    @staticmethod
    def _add(box: Any, text: str, data: str, tip: str) -> None:
        index = box.findData(data)
        if index < 0:
            index = box.count
            box.addItem(text, data)
        box.setItemText(index, text)
        box.setItemData(index, tip, qt.Qt.ToolTipRole)

    def _onModel(self, index: int) -> None:
        if self._panel.parameters is not None and not self._filling:
            self._panel.parameters.model = self._ui.modelSelector.itemData(index)

    def _onDevice(self, index: int) -> None:
        if self._panel.parameters is not None and not self._filling:
            self._panel.parameters.device = self._ui.deviceSelector.itemData(index)

    def _forgetExamination(self) -> None:
        self._examination = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def doubtAbout(node: Any) -> str | None:
    """Why the values of a volume can't be those of a chest CT, or None."""
    from DRAMLesionLib.volume import why_not_ct as whyNotCt

    if node.GetImageData() is None:
        return _("{name}: has no voxels: load the volume again").format(name=node.GetName())
    doubt = whyNotCt(slicer.util.arrayFromVolume(node))
    return f"{node.GetName()}: {_('does not look like a chest CT')}: {doubt}" if doubt else None
