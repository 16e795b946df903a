"""What is chosen before a run: memory, TotalSegmentator's lobes, sample data; clicked in a stand-in for Slicer."""

import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from clicks import node_ids, own_folders, wait_until

from DRAMLesionLib.results import segments

NAMES = (
    "inputVolumeSelector",
    "lobesSelector",
    "modelSelector",
    "deviceSelector",
    "segmentButton",
    "cancelButton",
    "progressBar",
    "heatmapOpacitySlider",
    "heatmapThresholdSlider",
    "resultsTableView",
    "reportButton",
    "segmentEditorWidget",
    "refineButton",
    "autoRefineCheckBox",
    "undoButton",
    "acceptButton",
    "trainingFolderSelector",
    "recipeSelector",
    "epochsSpinBox",
    "trainStartButton",
    "trainStopButton",
    "trainResumeButton",
    "installButton",
    "statusLabel",
)


def test_the_panel_has_its_widgets(panel):
    assert [name for name in NAMES if not hasattr(panel.ui, name)] == []


def test_the_final_network_is_greyed_with_the_reason_where_there_is_none(panel, monkeypatch):
    import qt
    from DRAMLesionPanel.segment import input_section

    box = panel.ui.methodSelector
    index = box.findData("final")

    def shown() -> tuple[bool, str]:
        return box.model().item(index).isEnabled(), box.itemData(index, qt.Qt.ToolTipRole)

    assert not shown()[0] and "tiny makes lesion maps" in shown()[1]
    panel.panel.parameters.model = ""
    assert shown()[0] and "No final network" not in shown()[1], "one ships"
    known = input_section.knownModels()
    monkeypatch.setattr(
        input_section, "knownModels", lambda: {n: f for n, f in known.items() if n != "segmentation-covid"}
    )
    panel.enter()
    assert not shown()[0] and "No final network is installed" in shown()[1]
    panel.panel.parameters.model = "segmentation-covid"
    assert shown()[0]


def test_low_memory_is_explained_before_the_run(panel, ct, monkeypatch):
    from DRAMLesionLib.system import memory

    monkeypatch.setattr(memory, "free_memory_gib", lambda: 0.4)
    panel.ui.inputVolumeSelector.setCurrentNode(None)
    panel.ui.inputVolumeSelector.setCurrentNode(ct)
    text = panel.ui.statusLabel.text
    assert (
        text.startswith("Phantom CT: a CT of 56 x 56 x 48 voxels needs about 1.4 GiB")
        and "0.4 GiB are free" in text
    )
    assert panel.ui.statusLabel.styleSheet and panel.ui.segmentButton.enabled


def test_a_small_gpu_is_explained_and_the_cpu_is_not_accused(panel, monkeypatch):
    from DRAMLesionLib.system import memory

    monkeypatch.setattr(memory, "free_memory_gib", lambda: 64.0)
    devices = {"cpu": "8 cores", "cuda:0": "NVIDIA T400, 0.8 GiB"}
    panel.panel.inputs._fill({"models": {}, "devices": devices, "memory_gib": 64.0, "problems": []})
    assert "cuda:0 has 0.8 GiB" in panel.ui.statusLabel.text
    panel.ui.deviceSelector.setCurrentIndex(panel.ui.deviceSelector.findData("cpu"))
    assert panel.panel.inputs.lowMemory(panel.ui.inputVolumeSelector.currentNode()) is None
    assert "0.8 GiB" in panel.ui.deviceSelector.itemText(2)


# A child that starts another one, says a line, and then sleeps.
WORKS = "print('Predicting...', flush=True)"
SLEEPS = (
    "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)']);"
    "print(p.pid, flush=True); time.sleep(100)"
)
FAILS = "print('no weights', flush=True); raise SystemExit(3)"


@pytest.fixture
def extension(panel, phantom, monkeypatch):
    """TotalSegmentator's module and logic with its signatures; a real child process stands for its work."""
    import slicer

    from DRAMLesionLib.results.scene import mrml

    calls = []

    class TotalSegmentatorLogic:
        def __init__(self):
            self.logCallback = None

        def setupPythonRequirements(self, upgrade=False):
            calls.append("requirements")

        def log(self, text):
            if self.logCallback:
                self.logCallback(text)

        def logProcessOutput(self, proc, returnOutput=False):
            while line := proc.stdout.readline():
                self.log(line.rstrip())
            proc.wait()
            if proc.returncode:
                raise subprocess.CalledProcessError(proc.returncode, proc.args)

        def process(self, inputVolume, outputSegmentation, quality=None, cpu=False, task=None, subset=None):
            calls.append((inputVolume, quality, cpu, task, tuple(subset)))
            command = [sys.executable, "-c", module.script]
            self.logProcessOutput(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            ct = mrml.volume_from_node(inputVolume)
            infos = [
                segments.SegmentInfo(name, name, value, (9, 9, 9), "")
                for name, value in zip(subset, (1, 2, 3, 4, 5), strict=True)
            ]
            mrml.set_segments(outputSegmentation, phantom.lobes.labels, ct, infos)

    module = types.ModuleType("TotalSegmentator")
    module.TotalSegmentatorLogic, module.script, module.calls = TotalSegmentatorLogic, WORKS, calls
    monkeypatch.setitem(sys.modules, "TotalSegmentator", module)
    monkeypatch.setattr(slicer.modules, "totalsegmentator", object(), raising=False)
    panel.panel.enter()
    box = panel.ui.lobesMethodSelector
    box.setCurrentIndex(box.findData("TotalSegmentator"))
    return module


def test_totalsegmentator_is_greyed_with_the_reason_where_it_is_not_installed(panel):
    import qt

    box = panel.ui.lobesMethodSelector
    index = box.findData("TotalSegmentator")
    assert not box.model().item(index).isEnabled() and "not installed" in box.itemText(index)
    assert "Extensions Manager" in box.itemData(index, qt.Qt.ToolTipRole)
    assert box.itemData(box.currentIndex) == "planes"


def test_totalsegmentator_finds_the_lobes_once(panel, application, extension, ct, phantom):
    assert panel.panel.parameters.lobesMethod == "TotalSegmentator"
    panel.ui.segmentButton.click()
    node, (volume, quality, cpu, task, subset) = panel.ui.lobesSelector.currentNode(), extension.calls[-1]
    assert volume is ct and task == "total" and quality == "fast" and not cpu
    assert subset[0] == "lung_upper_lobe_left" and len(subset) == 5
    assert node.GetName() == "Phantom CT lobes (TotalSegmentator)" and not node.GetDisplayVisibility()
    assert not panel.ui.lobesMethodSelector.enabled
    wait_until(application, lambda: panel.panel.run.current is None)
    results = panel.panel.currentResults()
    assert panel.ui.statusLabel.styleSheet == "", panel.ui.statusLabel.text
    from DRAMLesionLib.results.scene import mrml

    lobes = mrml.lobes_from_segmentation(results.lobesSegmentationNode, mrml.volume_from_node(ct))
    np.testing.assert_array_equal(lobes.labels, phantom.lobes.labels)
    assert not lobes.approximate and "approximate" not in panel.ui.summaryLabel.text
    assert extension.calls == ["requirements", extension.calls[-1]]


@pytest.mark.skipif(sys.platform == "win32", reason="looks into processes as Linux and macOS show them")
def test_cancel_ends_totalsegmentator_and_what_it_started(panel, application, extension):
    import os

    import qt

    extension.script = SLEEPS
    before, grandchildren = node_ids(), []

    timer = qt.QTimer()

    def cancel():
        said = (panel.ui.statusLabel.text.split() or [""])[-1]
        if said.isdigit():
            timer.stop()
            grandchildren.append(int(said))
            panel.ui.cancelButton.click()

    timer.connect("timeout()", cancel)
    timer.start(20)
    panel.ui.segmentButton.click()
    assert "Cancelled" in panel.ui.statusLabel.text and node_ids() == before
    assert panel.ui.segmentButton.enabled and not panel.ui.cancelButton.enabled
    assert panel.ui.progressBar.maximum == 100 and panel.panel.run.current is None

    def gone() -> bool:
        try:
            state = Path(f"/proc/{grandchildren[0]}/stat").read_text().rpartition(")")[2].split()[0]
            return state == "Z"
        except OSError:
            try:
                os.kill(grandchildren[0], 0)
            except ProcessLookupError:
                return True
            return False

    wait_until(application, gone, seconds=5)


def test_a_failure_of_totalsegmentator_is_one_line(panel, extension):
    extension.script = FAILS
    before = node_ids()
    panel.ui.segmentButton.click()
    text = panel.ui.statusLabel.text
    assert text.startswith("TotalSegmentator: ") and "exit status 3" in text and "\n" not in text
    assert panel.ui.statusLabel.styleSheet and node_ids() == before and panel.ui.segmentButton.enabled


def test_sample_data_makes_a_phantom_and_the_panel_takes_it(module, panel, application, monkeypatch):
    import slicer
    from DRAMLesionPanel import about, sample_data

    monkeypatch.setattr(sample_data, "SIZE", (48, 48, 40))
    monkeypatch.setattr(sample_data, "SPACING_MM", (7.5, 7.5, 7.5))
    slicer.modules.sampleDataSources.clear()
    about.onStartup()
    (source,) = slicer.modules.sampleDataSources["DRAMLesion"]
    assert source.sampleName == "DRAM phantom" and Path(source.thumbnailFileName).is_file()
    node = source.customDownloader(source)
    assert node.GetName() == "DRAM phantom" and node.GetImageData().GetDimensions() == (48, 48, 40)
    assert not own_folders()
    panel.ui.inputVolumeSelector.setCurrentNode(node)
    assert panel.ui.statusLabel.styleSheet == "" and panel.ui.segmentButton.enabled
    terms = slicer.modules.terminologies.logic()
    assert terms.IsTerminologyContextLoaded("Segmentation category and type - DRAMLesion")


def test_a_phantom_that_can_not_be_made_leaves_nothing_and_is_said(module, application, monkeypatch):
    """Sample Data shows no exception of a custom downloader."""
    import slicer
    from DRAMLesionPanel import sample_data

    from DRAMLesionLib.system.errors import InputError

    shown = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, **_: shown.append(text))
    monkeypatch.setattr(application, "setOverrideCursor", lambda *_: None)
    monkeypatch.setattr(application, "restoreOverrideCursor", lambda *_: None)
    monkeypatch.setattr(sample_data, "SIZE", (-1, 4, 4))
    before = node_ids()
    with pytest.raises((InputError, ValueError)):
        sample_data.showPhantom(None)
    assert node_ids() == before and len(shown) == 1 and "phantom" in shown[0]
