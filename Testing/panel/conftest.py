"""Starts the stand-in for Slicer, once, for the tests of the panel."""

import importlib.metadata
import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE = REPOSITORY / "DRAMLesion" / "DRAMLesion.py"
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

FINAL = """
task: segmentation
name: tiny-final
epochs: 1
batch: 2
learning_rate: 0.01
validate_every: 1
threads: 1
precision: float32
segmentation: {patches_per_scan: 2}
model:
  spacing_mm: [8, 8, 8]
  patch: [16, 16, 16]
  network: {filters: [2, 4, 4]}
"""


def _missing() -> str | None:
    try:
        importlib.metadata.version("slicer-core")
    except importlib.metadata.PackageNotFoundError:
        return "slicer-core is not installed (pip install slicer-core)"
    if importlib.util.find_spec("PySide6") is None:
        return "PySide6 is not installed (pip install PySide6-Essentials)"
    return None


@pytest.fixture(scope="session")
def application():
    reason = _missing()
    if reason:
        pytest.skip(reason)
    from panel_standin.application import start

    return start()


@pytest.fixture(autouse=True)
def deleted():
    """What a test deletes later is deleted when it ends: no event loop runs, and without one Qt keeps it for ever.
    Widgets that are left hear of each change of the scene, which takes longer and longer."""
    yield
    if "qt" in sys.modules:
        qt = sys.modules["qt"]
        qt.QCoreApplication.sendPostedEvents(None, qt.QEvent.DeferredDelete.value)


@pytest.fixture(scope="session")
def module(application):
    from panel_standin.application import loadModule

    return loadModule(MODULE)


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """A folder with one small model that marks what is bright inside the lobes; child processes find it, too."""
    import torch

    from DRAMLesionLib.lesions.networks.bundle import save_model
    from DRAMLesionLib.lesions.networks.description import ModelDescription, NetworkDescription
    from DRAMLesionLib.lesions.networks.dram_network import DenseNetwork

    small = NetworkDescription(features=(2, 2, 4, 4, 4, 2))
    description = ModelDescription(spacing_mm=(8.0, 8.0, 8.0), candidate_hu=-600.0, network=small)
    network = DenseNetwork(small, head_bias=2.0)
    torch.nn.init.zeros_(network.unet.final_conv.weight)
    folder = tmp_path_factory.mktemp("models")
    words = {"version": "0", "card": "-", "summary": "For tests.", "data": "none", "licence": "none"}
    save_model(folder / "tiny", network, description, name="tiny", **words)
    os.environ["DRAMLESION_MODELS"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def phantom():
    from DRAMLesionLib.phantom import make_phantom

    return make_phantom((56, 56, 48), (6.4, 6.4, 6.2), seed=3, orientation="RAS")


@pytest.fixture(scope="session")
def findings(phantom, models):
    """What the library finds in the phantom with the small model."""
    from DRAMLesionLib.lesions.find import find_lesions
    from DRAMLesionLib.lesions.networks.bundle import load_model
    from DRAMLesionLib.results.lesion_list import lesions_of

    found = find_lesions(phantom.ct, load_model(models / "tiny"))
    lesions_of(found)  # as the worker does, which hands the list over
    return found


@pytest.fixture
def ct(phantom, application):
    """The phantom's node in an empty scene."""
    import slicer

    from DRAMLesionLib.results.scene.mrml import fill_volume_node

    slicer.mrmlScene.Clear(0)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Phantom CT")
    fill_volume_node(node, phantom.ct.array, phantom.ct)
    node.CreateDefaultDisplayNodes()
    yield node
    slicer.mrmlScene.Clear(0)


@pytest.fixture
def panel(module, models, application, ct, monkeypatch):
    """The opened panel with the phantom chosen; it doesn't ask for models and devices, which takes seconds."""
    import qt
    from DRAMLesionPanel.panel import Panel
    from DRAMLesionPanel.segment.input_section import InputSection
    from panel_standin.application import closePanel, openPanel

    qt.QSettings().clear()
    monkeypatch.setattr(InputSection, "examine", lambda self: None)
    monkeypatch.setattr(Panel, "warm", lambda self: None)
    widget = openPanel(module)
    monkeypatch.undo()
    widget.panel.parameters.model = "tiny"
    yield widget
    closePanel(widget)


@pytest.fixture
def segmented(panel, ct, findings):
    """The panel with results, put in without a child process."""
    results = panel.logic.panelLogic.deliver(findings, ct)
    panel.panel.results.showNew(results)
    panel.panel.update()
    return panel


@pytest.fixture
def own(tmp_path, module, monkeypatch) -> Path:
    """The user's own models' folder, for child processes, too; none of these is left behind."""
    from DRAMLesionPanel.train import run as training_run

    folder, begin, processes = tmp_path / "own models", training_run.startPython, []

    def startPython(*arguments, **options):
        processes.append(begin(*arguments, **options))
        return processes[-1]

    monkeypatch.setattr(training_run, "startPython", startPython)
    monkeypatch.setenv("DRAMLESION_USER_MODELS", str(folder))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield folder
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def scans(phantom, module, tmp_path_factory) -> Path:
    """A data list with one phantom, to train on and to watch."""
    from DRAMLesionPanel.self_test import RECIPE

    from DRAMLesionLib.phantom import save_phantom

    folder = tmp_path_factory.mktemp("scans")
    save_phantom(phantom, folder / "1")
    row = {"image": "1/ct.nii.gz", "lobes": "1/lobes.nii.gz", "percent": list(phantom.percent)}
    path = folder / "list.json"
    path.write_text(json.dumps({"training": [row], "validation": [row]}))
    (folder / "dram.yaml").write_text(RECIPE)
    (folder / "final.yaml").write_text(FINAL)
    return path


@pytest.fixture
def training(panel, own, scans, application):
    """The panel with the Train section open, a tiny recipe and data chosen."""
    ui = panel.ui
    panel.panel.parameters.trainRecipe = str(scans.with_name("dram.yaml"))
    panel.panel.train.showChoices()
    ui.trainCollapsibleButton.collapsed = False
    ui.dataListSelector.currentPath = str(scans)
    application.processEvents()
    return panel
