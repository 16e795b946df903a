"""Steps that the panel's tests share: waiting, looking, painting."""

import contextlib
import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

PATIENCE_S = 240.0
"""For child processes on a busy machine."""


def wait_until(application, condition, seconds: float = PATIENCE_S) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        application.processEvents()
        time.sleep(0.01)


def lesion_of(panel) -> np.ndarray:
    from DRAMLesionLib.results.scene import mrml

    results = panel.panel.currentResults()
    return mrml.segment_array(results.lesionSegmentationNode, "lesion", mrml.volume_from_node(results.ctNode))


def node_ids() -> set[str]:
    import slicer

    return {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}


def own_folders() -> list[str]:
    import slicer

    names = [path.name for path in Path(slicer.app.temporaryPath).glob(".dramlesion-*")]
    return [name for name in names if "worker" not in name]  # the worker stays


def group_is_gone(pid: int) -> bool:
    """Whether no process of the group lives; ended ones that nobody waits for don't count."""
    if not Path("/proc/self/stat").exists():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, 0)
            return False
        return True
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _parent, group = entry.read_text().rpartition(")")[2].split()[:3]
            if int(group) == pid and state != "Z":
                return False
    return True


def open_correction(panel, application) -> None:
    panel.ui.correctCollapsibleButton.collapsed = False
    wait_until(application, lambda: panel.panel.correct._watched is not None)


def ball(panel, lobe: int, wanted: int, radius: float = 2.5) -> tuple[np.ndarray, tuple[int, ...]]:
    """A brush's voxels (canonical axes) around a voxel of a lobe whose label is ``wanted``, and that voxel."""
    from DRAMLesionLib.results.scene import mrml

    results = panel.panel.currentResults()
    ct = mrml.volume_from_node(results.ctNode)
    lobes = mrml.lobes_from_segmentation(results.lobesSegmentationNode, ct)
    places = np.argwhere((lobes.labels == lobe) & (lesion_of(panel) == wanted))
    centre = tuple(int(i) for i in places[len(places) // 2])
    grid = np.indices(ct.array.shape) - np.reshape(centre, (3, 1, 1, 1))
    return (grid**2).sum(axis=0) <= radius**2, centre


def stroke(panel, application, voxels: np.ndarray, add: bool) -> None:
    """Paint as a segment editor effect does: hand the editor's logic a modifier label map."""
    import slicer
    from vtk.util.numpy_support import vtk_to_numpy

    from DRAMLesionLib.images.volume import to_image
    from DRAMLesionLib.results.scene import mrml

    results = panel.panel.currentResults()
    ct = mrml.volume_from_node(results.ctNode)
    modifier = slicer.vtkSlicerSegmentationsModuleLogic.CreateOrientedImageDataFromVolumeNode(results.ctNode)
    modifier.AllocateScalars(3, 1)
    import SimpleITK as sitk

    own = sitk.GetArrayFromImage(to_image(voxels, ct))
    vtk_to_numpy(modifier.GetPointData().GetScalars())[:] = own.ravel()
    logic = panel.ui.segmentEditorWidget.logic
    mode = logic.ModificationModeAdd if add else logic.ModificationModeRemove
    logic.ModifySegmentByLabelmap(results.lesionSegmentationNode, "lesion", modifier, mode, True, False)
    for _ in range(3):
        application.processEvents()


def in_this_process(_worker, temporary, kind, findings, _tell, withMaps=False, **arguments):
    """What ``inWorker`` does, but in this process, which has torch loaded already: a worker needs seconds for it."""
    from DRAMLesionPanel.shared.worker_jobs import JOBS

    from DRAMLesionLib.results.arrays import writing_arrays

    with tempfile.TemporaryDirectory(dir=temporary) as folder:
        yield from writing_arrays(
            findings, folder, ("ct", "lobes", "dram", "lesion", "refined", "probability")
        )
        reporter = SimpleNamespace(progress=lambda *_: None)
        return JOBS[kind](None, reporter, case=folder, **arguments)


def accepted(panel, application) -> None:
    """Press Accept, and wait until the case is stored, or can't be."""
    panel.ui.acceptButton.click()
    wait_until(application, lambda: not panel.panel.correct._accepting.busy)


def reported(panel, application, path) -> None:
    """Save a report, and wait until it is there, or can't be."""
    panel.panel.results.saveReport(panel.panel.currentResults(), str(path))
    wait_until(application, lambda: panel.ui.reportButton.enabled)


def ended(panel, application) -> None:
    """Wait for a training's end."""
    wait_until(application, lambda: panel.panel.train.current is None)


def started(panel, application) -> None:
    """Wait for a training's first step."""
    run = panel.panel.train.current
    wait_until(application, lambda: run.progress.step > 0 or run.finished)
    assert not run.finished, panel.ui.trainStatusLabel.text
