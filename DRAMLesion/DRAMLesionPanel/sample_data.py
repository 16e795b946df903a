"""A phantom chest CT in Slicer's module Sample Data. It is made on this computer: nothing is downloaded."""

from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

NAME = "DRAM phantom"
THUMBNAIL = Path(__file__).resolve().parents[1] / "Resources" / "Icons" / "DRAMLesionPhantom.png"
SIZE, SPACING_MM = (128, 128, 96), (2.8, 2.8, 3.2)
"""Along x, y, z: coarse, so that a first try takes seconds."""


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
        # Sample Data wants one of each, although the function below does the work: a click calls it. Its own function
        # downloadSample knows addresses alone, and can't make a phantom.
        uris="",
        fileNames="ct.nii.gz",
        nodeNames=NAME,
        customDownloader=showPhantom,
    )


def showPhantom(_source: Any = None) -> Any:
    """What a click in Sample Data does: Sample Data itself shows no error."""
    with slicer.util.tryWithErrorDisplay(_("The phantom can't be made."), waitCursor=True):
        return loadPhantom()


def loadPhantom() -> Any:
    """Make the phantom, and show its CT. It needs no package that Slicer does not bring, and takes a second.

    Returns:
        The CT's node.

    Raises:
        InputError: The phantom can't be made.
    """
    from DRAMLesionLib.phantom import make_phantom
    from DRAMLesionLib.results.scene import mrml
    from DRAMLesionLib.results.scene import nodes as scene

    ct = make_phantom(SIZE, SPACING_MM).ct
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", NAME)
    mrml.fill_volume_node(node, ct.array, ct)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    display.AutoWindowLevelOff()
    display.SetWindowLevel(*scene.LUNG_WINDOW)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node
