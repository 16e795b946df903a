"""Draw the panel in each of its states into Documentation/, on a phantom, in the tests' stand-in for Slicer; and the
slice views and the 3-D view of the results, which are the real scene's.

    python Scripts/screenshots.py [--out FOLDER] [--scale 1.5]

The widgets that Slicer brings along look a little different there.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
LONGEST_RUN_S = 600.0
EPOCHS = 20


def wait(application, until, seconds: float = LONGEST_RUN_S) -> None:
    """Let the application live until a condition holds."""
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            sys.exit("the panel did not get on")
        application.processEvents()
        time.sleep(0.02)


def grab(widget, path: Path) -> None:
    """Save a picture of the panel, as tall as it needs to be."""
    import qt

    host = widget.parent
    for _ in range(3):
        qt.QApplication.processEvents()
    layout = host.layout()
    host.resize(host.width, max(layout.sizeHint().height(), layout.totalHeightForWidth(host.width)))
    qt.QApplication.processEvents()
    host.grab().save(str(path))
    print(path)


def paint_into(segmentation, segment_id: str, findings) -> None:
    """A box in the right upper lobe where the map is bright, but no lesion was found."""
    from DRAMLesionLib.results.scene import mrml

    missed = np.where((findings.lobes.labels == 3) & (findings.lesion == 0), findings.dram, 0)
    z, y, x = np.unravel_index(missed.argmax(), missed.shape)
    box = (slice(z, z + 4), slice(y - 4, y + 5), slice(x - 4, x + 5))
    mrml.update_segment(segmentation, segment_id, np.ones((4, 9, 9), np.uint8), findings.ct, box)


def paint(widget, application, findings) -> None:
    """A stroke of lesion in the right upper lobe, and refine."""
    paint_into(widget.panel.currentResults().lesionSegmentationNode, "lesion", findings)
    wait(application, lambda: widget.ui.undoButton.enabled, 30)
    table = widget.ui.summaryLabel.text
    wait(application, lambda: widget.ui.summaryLabel.text != table, 30)


def views(findings, folder: Path) -> None:
    """Save the pictures of the real scene: axial, coronal and in 3-D."""
    from DRAMLesionLib.results.scene.process import write_scene_folder

    with tempfile.TemporaryDirectory() as temporary:
        for path in write_scene_folder(findings, temporary):
            if path.suffix == ".png":
                shutil.copy(path, folder / path.name)
                print(folder / path.name)


def editor(application, node, findings, path: Path) -> None:
    """The Segment Editor with the effect, after a stroke."""
    import slicer
    from panel_standin.application import loadModule

    loadModule(REPOSITORY / "SegmentEditorDRAMRefine" / "SegmentEditorDRAMRefine.py")
    application.startupCompleted.emit()
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(node)
    segmentation.GetSegmentation().AddEmptySegment("lesion", "Lesion")
    widget = slicer.qMRMLSegmentEditorWidget()
    widget.setEffectNameOrder(["Paint", "Erase", "Scissors", "DRAM refine"])
    widget.setMRMLScene(slicer.mrmlScene)
    widget.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    widget.setSegmentationNode(segmentation)
    widget.setSourceVolumeNode(node)
    widget.setCurrentSegmentID("lesion")
    widget.setActiveEffectByName("DRAM refine")
    paint_into(segmentation, "lesion", findings)
    widget.activeEffect().self().onRefine()
    widget.resize(440, 360)
    widget.show()
    application.processEvents()
    widget.grab().save(str(path))
    print(path)


def training(widget, application, folder: Path, pictures: Path) -> None:
    """The section Train: with a training that goes on, and after it."""
    from DRAMLesionPanel.self_test import RECIPE
    from DRAMLesionPanel.train import plan as training_plan

    from DRAMLesionLib.phantom import make_phantom, save_phantom

    os.environ["DRAMLESION_USER_MODELS"] = str(folder / "models")
    rows = []
    for seed in range(8):
        phantom = make_phantom((56, 56, 48), (6.4, 6.4, 6.2), seed=seed)
        save_phantom(phantom, folder / str(seed))
        files = {"image": f"{seed}/ct.nii.gz", "lobes": f"{seed}/lobes.nii.gz"}
        rows.append({**files, "percent": list(phantom.percent)})
    (folder / "datalist.json").write_text(json.dumps({"training": rows[:6], "validation": rows[6:]}))
    # A network of seconds takes the recipe's place.
    (folder / "dram.yaml").write_text(RECIPE.replace("0.01", "0.003"))
    training_plan.recipeFile = lambda _recipe: folder / "dram.yaml"
    ui = widget.ui
    for section in ("inputs", "results", "correct"):
        getattr(ui, f"{section}CollapsibleButton").collapsed = True
    ui.trainCollapsibleButton.collapsed = False
    ui.dataListSelector.currentPath = str(folder / "datalist.json")
    ui.trainNameSelector.setEditText("our-scans")
    ui.epochsSpinBox.value = EPOCHS
    # People see a path of theirs.
    ui.dataListSelector.blockSignals(True)
    ui.dataListSelector.currentPath = "/data/scans/datalist.json"
    ui.trainStartButton.click()
    run = widget.panel.train.current
    if run is None:
        sys.exit(ui.trainStatusLabel.text)
    wait(
        application,
        lambda: run.finished or (run.progress.epoch > EPOCHS // 2 and len(run.progress.validations) > 4),
    )
    grab(widget, pictures / "panel_training.png")
    wait(application, lambda: widget.panel.train.current is None)
    if run.model is None:
        sys.exit(ui.trainStatusLabel.text)
    grab(widget, pictures / "panel_trained.png")
    ui.dataListSelector.blockSignals(False)


def main() -> None:
    """Draw all states."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=REPOSITORY / "Documentation")
    parser.add_argument("--scale", default="1")
    arguments = parser.parse_args()
    os.environ |= {"QT_QPA_PLATFORM": "offscreen", "QT_SCALE_FACTOR": arguments.scale}
    sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing" / "panel")]
    from panel_standin.application import loadModule, openPanel, start

    application = start()
    import slicer

    from DRAMLesionLib.phantom import make_phantom
    from DRAMLesionLib.results.scene.mrml import fill_volume_node

    module = loadModule(REPOSITORY / "DRAMLesion" / "DRAMLesion.py")
    phantom = make_phantom((96, 96, 80), (3.7, 3.7, 3.7))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Phantom CT")
    fill_volume_node(node, phantom.ct.array, phantom.ct)
    widget = openPanel(module)
    wait(application, lambda: widget.ui.deviceSelector.count > 1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    grab(widget, arguments.out / "panel_inputs.png")
    widget.ui.segmentButton.click()
    wait(application, lambda: not widget.panel.run.current or widget.ui.progressBar.value >= 40)
    grab(widget, arguments.out / "panel_running.png")
    wait(application, lambda: widget.panel.run.current is None)
    results = widget.panel.currentResults()
    if results is None:
        sys.exit(widget.ui.statusLabel.text)
    grab(widget, arguments.out / "panel_results.png")
    widget.ui.correctCollapsibleButton.collapsed = False
    with tempfile.TemporaryDirectory() as folder:
        widget.ui.trainingFolderSelector.currentPath = folder
        paint(widget, application, widget.logic.panelLogic.currentFindings(results))
        widget.ui.trainingFolderSelector.currentPath = "/data/training"
    grab(widget, arguments.out / "panel_correct.png")
    findings = widget.logic.panelLogic.currentFindings(results)
    editor(application, node, findings, arguments.out / "effect.png")
    views(findings, arguments.out)
    with tempfile.TemporaryDirectory() as folder:
        training(widget, application, Path(folder), arguments.out)
    widget.cleanup()


if __name__ == "__main__":
    main()
