"""A phantom chest CT in Slicer's module Sample Data. It is made on this computer: nothing is downloaded."""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import slicer

from DRAMLesionLib.system.files import STAGING_PREFIX
from DRAMLesionPanel.shared.child_process import LibraryProcess

NAME = "DRAM phantom"
THUMBNAIL = Path(__file__).resolve().parents[1] / "Resources" / "Icons" / "DRAMLesionPhantom.png"
SIZE, SPACING_MM = (128, 128, 96), (2.8, 2.8, 3.2)
"""Along x, y, z: coarse, so that a first try takes seconds."""


class PhantomFailed(Exception):
    """The phantom could not be made; the message is one line."""


def registerSampleData() -> None:
    """Show the phantom in Sample Data, where that module is there."""
    try:
        import SampleData
    except ImportError:
        return
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="DRAMLesion",
        sampleName=NAME,
        thumbnailFileName=str(THUMBNAIL),
        # Sample Data wants one of each, although the function below does the work.
        uris="",
        fileNames="ct.nii.gz",
        nodeNames=NAME,
        customDownloader=loadPhantom,
    )


def loadPhantom(source: Any = None) -> Any:
    """Make the phantom in a child process, and show its CT.

    Args:
        source: What Sample Data gives, not needed.

    Returns:
        The CT's node.

    Raises:
        PhantomFailed: With the library's line.
    """
    from DRAMLesionLib.images.volume import read_ct
    from DRAMLesionLib.results.scene import mrml
    from DRAMLesionLib.results.scene import nodes as scene

    folder = Path(tempfile.mkdtemp(prefix=f"{STAGING_PREFIX}phantom-", dir=slicer.app.temporaryPath))
    try:
        with slicer.util.WaitCursor():
            _make(folder)
            ct = read_ct(folder / "phantom" / "ct.nii.gz")
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", NAME)
        mrml.fill_volume_node(node, ct.array, ct)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    display.AutoWindowLevelOff()
    display.SetWindowLevel(*scene.LUNG_WINDOW)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


def _make(folder: Path) -> None:
    arguments = ["phantom", "--out", str(folder / "phantom")]
    arguments += ["--size", *map(str, SIZE), "--spacing", *map(str, SPACING_MM)]
    process = LibraryProcess(arguments, folder)
    message = ""
    try:
        while process.poll() is None:
            slicer.app.processEvents()
            time.sleep(0.02)
        for event in process.events():
            message = str(event.get("message", "")) if event["event"] == "error" else message
        if process.poll() != 0:
            raise PhantomFailed(message or process.log().strip()[-500:])
    finally:
        process.kill()
