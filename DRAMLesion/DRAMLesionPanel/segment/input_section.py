"""CT, lobes, method, model and device."""

import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from DRAMLesionLib.results.scene.nodes import ROLE_ATTRIBUTE
from DRAMLesionLib.system.files import STAGING_PREFIX
from DRAMLesionPanel.segment import total_segmentator
from DRAMLesionPanel.shared.child_process import LibraryProcess
from DRAMLesionPanel.shared.models import DEFAULT_FINAL, kindOf, knownModels
from DRAMLesionPanel.shared.settings import REMEMBERED, remember, remembered

POLL_MS = 200
PLANES, TOTAL_SEGMENTATOR = "planes", "TotalSegmentator"
"""How lobes are found."""
FINAL = "final"
"""The method that not every installation has a model for."""


class InputSection:
    """The choices before a run. Models and devices are asked of a child process: only that one imports torch."""

    def __init__(self, panel: Any) -> None:
        self._panel, self._ui = panel, panel.ui
        self._examination: LibraryProcess | None = None
        self._folder: Path | None = None
        self._checked: tuple[Any, ...] = ()
        self._devices: dict[str, str] = {}
        self._filling = False
        self._methodsFor: str | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self._poll)
        self._ui.modelSelector.addItem(_("Default"), "")
        self._ui.deviceSelector.addItem(_("Automatic"), "auto")
        self._ui.methodSelector.addItem(_("Default"), "")
        self._ui.methodSelector.addItem(_("Final network"), FINAL)
        self._ui.methodSelector.addItem(_("Lesion map (dRAM)"), "dram")
        self._ui.methodSelector.connect("currentIndexChanged(int)", self._onMethod)
        self._ui.modelSelector.connect("currentIndexChanged(int)", self._onModel)
        self._ui.deviceSelector.connect("currentIndexChanged(int)", self._onDevice)
        self._ui.lobesMethodSelector.addItem(_("Automatic (approximate)"), PLANES)
        self._ui.lobesMethodSelector.addItem(TOTAL_SEGMENTATOR, TOTAL_SEGMENTATOR)
        self._ui.lobesMethodSelector.connect("currentIndexChanged(int)", self._onLobesMethod)
        self.enter()

    def enter(self) -> None:
        """Extensions and models may have come since the module was loaded."""
        self._methodsFor = None
        box, reason = self._ui.lobesMethodSelector, total_segmentator.whyNot()
        index = box.findData(TOTAL_SEGMENTATOR)
        box.model().item(index).setEnabled(reason is None)
        text = _("TotalSegmentator (not installed)") if reason else _("TotalSegmentator")
        box.setItemText(index, text)
        tip = _("Exact lobes, in some minutes; its first run installs packages and weights of some GB.")
        box.setItemData(index, reason or tip, qt.Qt.ToolTipRole)

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
            self._recall(parameters)
            self._choose(self._ui.modelSelector, parameters.model)
            self._choose(self._ui.deviceSelector, parameters.device)
            self._choose(self._ui.lobesMethodSelector, parameters.lobesMethod)
            self._choose(self._ui.methodSelector, parameters.method)

    @staticmethod
    def _recall(parameters: Any) -> None:
        """Let a scene that says nothing else begin with what was chosen last."""
        for name, nothing in REMEMBERED.items():
            value = remembered(name)
            gone = (name == "model" and value not in knownModels()) or (
                value == TOTAL_SEGMENTATOR and total_segmentator.whyNot() is not None
            )
            if getattr(parameters, name) == nothing and value != nothing and not gone:
                setattr(parameters, name, value)

    def update(self) -> None:
        """Warn once of a volume that does not look like a chest CT, or for which there is little memory."""
        parameters = self._panel.parameters
        self._ui.lobesMethodSelector.enabled = parameters.lobes is None
        self._showMethods(parameters.model)
        self._hideResults()
        node = parameters.inputVolume
        key = (node.GetID() if node else "", parameters.device, len(self._devices))
        if key == self._checked:
            return
        before, self._checked = self._checked, key
        doubt = (doubtAbout(node) or self.lowMemory(node)) if node else None
        # Another device alone must not wipe away what a run just said.
        if doubt or before[:1] != key[:1]:
            self._panel.showStatus(doubt or "", "warning" if doubt else "")

    def _hideResults(self) -> None:
        """Offer no result as an input: a lesion map is no CT, and a lesion is no lobes."""
        for box, kind, roles in (
            (self._ui.inputVolumeSelector, "vtkMRMLScalarVolumeNode", (None, "ct")),
            (self._ui.lobesSelector, "vtkMRMLSegmentationNode", (None, "lobes")),
        ):
            nodes = slicer.util.getNodesByClass(kind)
            hidden = sorted(node.GetID() for node in nodes if node.GetAttribute(ROLE_ATTRIBUTE) not in roles)
            model = box.sortFilterProxyModel()
            if list(model.hiddenNodeIDs) != hidden:
                model.hiddenNodeIDs = hidden

    def _showMethods(self, model: str) -> None:
        """Grey the final network, and say why, where the chosen model can't be one."""
        if model == self._methodsFor:
            return
        self._methodsFor = model
        box, reason = self._ui.methodSelector, whyNoFinal(model)
        index = box.findData(FINAL)
        box.model().item(index).setEnabled(reason is None)
        tip = _("A network of its own segments the lesion, patch by patch.")
        box.setItemData(index, reason or tip, qt.Qt.ToolTipRole)

    def addModel(self, name: str, tip: str) -> None:
        """Offer a model that was just made."""
        self._filling = True
        self._add(self._ui.modelSelector, name, name, tip)
        self._filling = False
        self._methodsFor = None

    def findsLobesByTotalSegmentator(self) -> bool:
        """Whether a run begins with TotalSegmentator."""
        parameters = self._panel.parameters
        return parameters.lobes is None and parameters.lobesMethod == TOTAL_SEGMENTATOR

    def lowMemory(self, node: Any) -> str | None:
        """Why a run on a volume is likely to fail for want of memory, or None."""
        from DRAMLesionLib.system.memory import device_memory_gib, low_memory

        if node.GetImageData() is None:
            return None
        device = self._panel.parameters.device
        if device == "auto":
            device = next((name for name in self._devices if name != "cpu"), "cpu")
        gpu = device_memory_gib(self._devices.get(device, "")) if device != "cpu" else None
        x, y, z = node.GetImageData().GetDimensions()
        line = low_memory((x, y, z), device, gpu_gib=gpu)
        return f"{node.GetName()}: {line}" if line else None

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
            self._devices = dict(found["devices"])
            memory = found.get("memory_gib")
            for name, what in found["devices"].items():
                text = f"{name} ({what}, {memory} GiB)" if name == "cpu" and memory else f"{name} ({what})"
                self._add(self._ui.deviceSelector, text, name, text)
        finally:
            self._filling = False
        self.showChoices()
        if self._panel.parameters is not None:
            self.update()
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
            self._set("model", self._ui.modelSelector.itemData(index))

    def _onMethod(self, index: int) -> None:
        if self._panel.parameters is not None and not self._filling:
            self._set("method", self._ui.methodSelector.itemData(index))

    def _onDevice(self, index: int) -> None:
        if self._panel.parameters is not None and not self._filling:
            self._set("device", self._ui.deviceSelector.itemData(index))

    def _onLobesMethod(self, index: int) -> None:
        if self._panel.parameters is not None and not self._filling:
            self._set("lobesMethod", self._ui.lobesMethodSelector.itemData(index))

    def _set(self, name: str, value: str) -> None:
        setattr(self._panel.parameters, name, value)
        remember(name, value)

    def _forgetExamination(self) -> None:
        self._examination = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def whyNoFinal(model: str) -> str | None:
    """Why a model can't segment by the method final network, or None.

    Args:
        model: Name or folder; empty: the default one.
    """
    if not model:
        if DEFAULT_FINAL in knownModels():
            return None
        return _(
            "No final network is installed: train one in the section Train, or install the extension again."
        )
    if kindOf(model) == "dram":
        return _("{model} makes lesion maps: choose a final network as Model, or Default.").format(
            model=model
        )
    return None


def doubtAbout(node: Any) -> str | None:
    """Why the values of a volume can't be those of a chest CT, or None."""
    from DRAMLesionLib.images.hounsfield import why_not_ct as whyNotCt

    if node.GetImageData() is None:
        return _("{name}: has no voxels: load the volume again").format(name=node.GetName())
    doubt = whyNotCt(slicer.util.arrayFromVolume(node))
    return f"{node.GetName()}: {_('does not look like a chest CT')}: {doubt}" if doubt else None
