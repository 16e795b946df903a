"""Draw the panel in each of its states into Documentation/, on a phantom, in the tests' stand-in for Slicer.

    python Scripts/screenshots.py [--out FOLDER] [--scale 1.5]

The widgets that Slicer brings along look a little different there. ``panel_and_views.png`` is composed of the panel and
the views of the real scene, drawn by Slicer's own displayable managers; ``steering.png`` and ``stroke.gif`` are slices
with the outlines of the panel's own results, before and after.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

REPOSITORY = Path(__file__).resolve().parents[1]
LONGEST_RUN_S = 600.0
EPOCHS = 20
SIZE, SPACING_MM = (160, 160, 132), (2.2, 2.2, 2.2)
STEERED_LOBE, STEERED_PERCENT = 2, 45.0
OUTLINE, BRUSH = (204, 0, 255), (0, 255, 255)
ENLARGED = 6


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
    trim(path)
    print(path)


def trim(path: Path) -> None:
    """Cut off the empty end of a picture of the panel."""
    picture = Image.open(path).convert("RGB")
    rows = np.flatnonzero((np.asarray(picture) != picture.getpixel((0, picture.height - 1))).any(axis=(1, 2)))
    end = min(picture.height, int(rows[-1]) + 15)
    picture.crop((0, 0, picture.width, end)).save(path, optimize=True)


def paint_into(segmentation, segment_id: str, findings) -> None:
    """A box in the right upper lobe where the map is bright, but no lesion was found."""
    from DRAMLesionLib.results.scene import mrml

    missed = np.where((findings.lobes.labels == 3) & (findings.lesion == 0), findings.dram, 0)
    z, y, x = np.unravel_index(missed.argmax(), missed.shape)
    box = (slice(z, z + 4), slice(y - 4, y + 5), slice(x - 4, x + 5))
    mrml.update_segment(segmentation, segment_id, np.ones((4, 9, 9), np.uint8), findings.ct, box)


def compose(panel: Path, findings, path: Path) -> None:
    """The panel beside the views of the real scene: axial, coronal and in 3-D."""
    from DRAMLesionLib.results.scene.process import write_scene_folder

    with tempfile.TemporaryDirectory() as temporary:
        written = {file.name: file for file in write_scene_folder(findings, temporary)}
        axial, coronal, surfaces = (
            Image.open(written[f"view_{name}.png"]).convert("RGB") for name in ("axial", "coronal", "3d")
        )
    left = Image.open(panel).convert("RGB")
    half = 480
    small = half * axial.height // axial.width
    large = (2 * half + 4, (2 * half + 4) * surfaces.height // surfaces.width)
    picture = Image.new(
        "RGB", (left.width + 4 + large[0], max(left.height, small + 4 + large[1])), left.getpixel((1, 1))
    )
    picture.paste(left, (0, 0))
    picture.paste(axial.resize((half, small), Image.Resampling.LANCZOS), (left.width + 4, 0))
    picture.paste(coronal.resize((half, small), Image.Resampling.LANCZOS), (left.width + 8 + half, 0))
    picture.paste(surfaces.resize(large, Image.Resampling.LANCZOS), (left.width + 4, small + 4))
    picture.save(path, optimize=True)
    print(path)


def slice_picture(ct: np.ndarray, lesion: np.ndarray, brush: np.ndarray | None = None) -> Image.Image:
    """An axial slice (y, x) in HU in the lung window, with the lesion's outline and, under a brush, its voxels."""
    shown = np.clip((ct.astype(np.float32) + 1350) / 1500 * 255, 0, 255).astype(np.uint8)
    size = (shown.shape[1] * ENLARGED, shown.shape[0] * ENLARGED)
    picture = Image.fromarray(shown).resize(size, Image.Resampling.BICUBIC).convert("RGB")
    if brush is not None:
        ink = Image.fromarray((brush * 110).astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
        picture.paste(BRUSH, (0, 0), ink)
    inside = Image.fromarray((lesion != 0).astype(np.uint8) * 255).resize(size, Image.Resampling.NEAREST)
    # A mask minus itself eroded is its edge.
    eroded = np.asarray(inside.filter(ImageFilter.MinFilter(7)))
    edge = Image.fromarray(np.asarray(inside) & ~eroded)
    picture.paste(OUTLINE, (0, 0), edge)
    return picture


def titled(picture: Image.Image, title: str) -> Image.Image:
    """A picture with words at its upper left."""
    whole = Image.new("RGB", (picture.width, picture.height + 26), "black")
    whole.paste(picture, (0, 26))
    ImageDraw.Draw(whole).text((6, 4), title, fill=(255, 255, 255), font_size=17)
    return whole


def around(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The box (y, x) of a mask with a margin, within the slice."""
    ends = []
    for axis in (0, 1):
        where = np.flatnonzero(mask.any(axis=1 - axis))
        ends.append(slice(max(0, int(where[0]) - margin), min(mask.shape[axis], int(where[-1]) + margin + 1)))
    return ends[0], ends[1]


def steering(widget, application, folder: Path) -> None:
    """The reader's numbers: the section, and a slice before and after one of them."""
    ui, panel = widget.ui, widget.panel
    before = panel.logic.currentFindings(panel.currentResults())
    ui.steerCollapsibleButton.collapsed = False
    ui.readerLineEdit.text = "A. Reader"
    wait(application, lambda: panel.steer._lobes)
    panel.steer.rows[STEERED_LOBE].slider.value = STEERED_PERCENT
    correction = panel.logic.openCorrection(panel.currentResults())
    wait(application, lambda: not correction.dragging and not panel.steer._wanted)
    wait(application, lambda: panel.steer.rows[STEERED_LOBE].resetButton.enabled)
    wait(application, lambda: "follows" not in ui.lesionsLabel.text)
    grab(widget, folder / "panel_steering.png")
    after = panel.logic.currentFindings(panel.currentResults())
    lobe = before.lobes.labels == STEERED_LOBE
    z = int(np.count_nonzero((before.lesion != after.lesion) & lobe, axis=(1, 2)).argmax())
    y, x = around(lobe[z], 6)
    percents = [
        100 * np.count_nonzero(found.lesion[lobe]) / np.count_nonzero(lobe) for found in (before, after)
    ]
    pictures = [
        titled(slice_picture(found.ct.array[z, y, x], found.lesion[z, y, x]), f"{who}: {percent:.0f} %")
        for found, who, percent in zip((before, after), ("model", "reader"), percents, strict=True)
    ]
    both = Image.new("RGB", (sum(p.width for p in pictures) + 4, pictures[0].height), "white")
    both.paste(pictures[0], (0, 0))
    both.paste(pictures[1], (pictures[0].width + 4, 0))
    both.save(folder / "steering.png", optimize=True)
    print(folder / "steering.png")
    ui.steerUndoButton.click()
    ui.steerCollapsibleButton.collapsed = True


def missed_piece(phantom, findings) -> np.ndarray:
    """The largest piece of true lesion that was not found."""
    from scipy import ndimage

    missed = (phantom.lesion != 0) & (findings.lesion == 0) & (findings.lobes.labels > 0)
    pieces, _count = ndimage.label(ndimage.binary_opening(missed))
    return pieces == np.bincount(pieces.ravel())[1:].argmax() + 1


def stroke_animation(widget, application, phantom, path: Path) -> None:
    """A stroke through what was missed, in the panel, and the outline that follows."""
    from DRAMLesionLib.results.scene import mrml

    panel = widget.panel
    before = panel.logic.currentFindings(panel.currentResults())
    piece = missed_piece(phantom, before)
    z = int(np.count_nonzero(piece, axis=(1, 2)).argmax())
    places = np.argwhere(piece[z])
    middle = places.mean(axis=0)
    direction = np.linalg.svd(places - middle, full_matrices=False)[2][0]
    along = (places - middle) @ direction
    ends = np.quantile(along, (0.2, 0.8))
    grid = np.indices(piece[z].shape).transpose(1, 2, 0)
    strokes = []
    brush = np.zeros(piece[z].shape, bool)
    for step in np.linspace(*ends, 8):
        centre = middle + step * direction
        brush = brush | (((grid - centre) ** 2).sum(axis=-1) <= 2.0**2)
        strokes.append(brush)
    node = panel.currentResults().lesionSegmentationNode
    label = before.lesion.copy()
    label[z][brush] = 1
    undoable = len(panel.logic.openCorrection(panel.currentResults())._groups)
    mrml.update_segment(
        node, "lesion", label[z : z + 1], before.ct, (slice(z, z + 1), slice(None), slice(None))
    )
    correction = panel.logic.openCorrection(panel.currentResults())
    wait(application, lambda: len(correction._groups) > undoable, 60)
    after = panel.logic.currentFindings(panel.currentResults())
    y, x = around(
        piece[z] | (before.lobes.labels[z] == before.lobes.labels[z][tuple(places[len(places) // 2])]), 4
    )
    hu = before.ct.array[z, y, x]
    frames = [(titled(slice_picture(hu, before.lesion[z, y, x]), "as the model found it"), 1400)]
    frames += [
        (titled(slice_picture(hu, before.lesion[z, y, x], one[y, x]), "a stroke"), 110) for one in strokes
    ]
    frames += [
        (titled(slice_picture(hu, after.lesion[z, y, x], brush[y, x]), "what is alike follows"), 900),
        (titled(slice_picture(hu, after.lesion[z, y, x]), "what is alike follows"), 1800),
    ]
    pictures = [picture.quantize(96, dither=Image.Dither.NONE) for picture, _ms in frames]
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=[ms for _p, ms in frames], loop=0
    )
    print(path, path.stat().st_size)


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
    ui.trainStartButton.click()
    # People see a path of theirs.
    ui.dataListSelector.blockSignals(True)
    ui.dataListSelector.currentPath = "/data/scans/datalist.json"
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
    ui.dataListSelector.currentPath = str(folder / "datalist.json")
    widget.panel.train.update()
    hint = ui.trainHintLabel.text
    ui.dataListSelector.currentPath = "/data/scans/datalist.json"
    ui.trainHintLabel.text = hint
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
    phantom = make_phantom(SIZE, SPACING_MM)
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
    widget.ui.inputsCollapsibleButton.collapsed = True
    grab(widget, arguments.out / "panel_results.png")
    steering(widget, application, arguments.out)
    widget.ui.correctCollapsibleButton.collapsed = False
    with tempfile.TemporaryDirectory() as folder:
        widget.ui.trainingFolderSelector.currentPath = folder
        wait(application, lambda: widget.panel.correct._watched is not None)
        stroke_animation(widget, application, phantom, arguments.out / "stroke.gif")
        widget.ui.trainingFolderSelector.currentPath = "/data/training"
    wait(application, lambda: not widget.panel.correct._tableTimer.active, 30)
    widget.ui.lesionsCollapsibleButton.collapsed = True
    grab(widget, arguments.out / "panel_correct.png")
    widget.ui.lesionsCollapsibleButton.collapsed = False
    findings = widget.logic.panelLogic.currentFindings(results)
    editor(application, node, findings, arguments.out / "effect.png")
    compose(arguments.out / "panel_results.png", findings, arguments.out / "panel_and_views.png")
    with tempfile.TemporaryDirectory() as folder:
        training(widget, application, Path(folder), arguments.out)
    widget.cleanup()


if __name__ == "__main__":
    main()
