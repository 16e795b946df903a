"""The panel's logic: nodes that can't be used, and trainings that can't be planned."""

import importlib.metadata
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import Job, Table
from world import LOBES, World

from DRAMLesionLib.system.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[3]
TABLE = Table("panel")


def start() -> None:
    """Start the stand-in for Slicer once; skip where it can't be."""
    try:
        importlib.metadata.version("slicer-core")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("slicer-core is not installed (pip install slicer-core)")
    if importlib.util.find_spec("PySide6") is None:
        pytest.skip("PySide6 is not installed (pip install PySide6-Essentials)")
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    for folder in (REPOSITORY / "Testing" / "panel", REPOSITORY / "DRAMLesion"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    from panel_standin.application import start as begin

    begin()


def _volume(array: np.ndarray, name: str = "CT", matrix: Any = None, spacing: Any = (7.4, 7.4, 7.4)) -> Any:
    """A scalar volume node in the empty scene."""
    import slicer
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    if array.size:
        data = vtk.vtkImageData()
        components = array.shape[3] if array.ndim == 4 else 1
        data.SetDimensions(*array.shape[2::-1])
        flat = np.ascontiguousarray(array).reshape(-1, components) if components > 1 else array.ravel()
        data.GetPointData().SetScalars(numpy_to_vtk(flat, deep=True))
        node.SetAndObserveImageData(data)
    node.SetSpacing(*spacing)
    if matrix is not None:
        rows = vtk.vtkMatrix4x4()
        for row in range(3):
            for column in range(3):
                rows.SetElement(row, column, matrix[row][column])
        node.SetIJKToRASDirectionMatrix(rows)
    return node


_RAS = [[-1, 0, 0], [0, -1, 0], [0, 0, 1]]


def _node(
    name: str, make_node: Callable[[World], Any], *words: str, lobes: Any = None, short: bool = False
) -> None:
    """A segmentation of a node is refused, by the panel or by the process that it starts."""

    def make(world: World, folder: Path) -> Job:
        start()
        import slicer
        from DRAMLesionPanel.logic import PanelLogic

        slicer.mrmlScene.Clear(0)
        node = make_node(world)
        given = lobes(world) if lobes else None
        before = sorted(Path(slicer.app.temporaryPath).iterdir())

        def run() -> None:
            try:
                started = PanelLogic().startSegmentation(node, given, str(world.model), "cpu")
                while not started.poll():
                    time.sleep(0.05)
                assert started.error is not None and started.results is None
                raise InputError(started.error)
            finally:
                assert sorted(Path(slicer.app.temporaryPath).iterdir()) == before, (
                    "left in the temporary folder"
                )

        return Job(run, words, finally_=lambda: slicer.mrmlScene.Clear(0))

    TABLE.add(name, make, short)


def _ct(world: World) -> Any:
    return _volume(world.hu, matrix=_RAS)


_node("a node without voxels", lambda w: _volume(np.empty(0)), "CT", "no voxels", short=True)
_node("a colour volume", lambda w: _volume(np.repeat(w.hu[..., None], 3, axis=3)), "CT", "several values")
_node(
    "directions singular", lambda w: _volume(w.hu, matrix=[[1, 0, 0], [1, 0, 0], [0, 0, 1]]), "CT", "singular"
)
_node("directions of zeros", lambda w: _volume(w.hu, matrix=[[0] * 3] * 3), "CT", "singular", short=True)
_node("directions NaN", lambda w: _volume(w.hu, matrix=[[float("nan"), 0, 0], [0, 1, 0], [0, 0, 1]]), "CT")
_node(
    "directions sheared (gantry tilt)",
    lambda w: _volume(w.hu, matrix=[[-1, 0, 0], [0, -1, 0.3], [0, 0, 0.954]]),
    "CT",
    "perpendicular",
    short=True,
)
_node("spacing of zero", lambda w: _volume(w.hu, spacing=(7.4, 7.4, 0)), "CT", "spacing")
_node("spacing of 100 mm", lambda w: _volume(w.hu, spacing=(100, 100, 100)), "CT", "spacing")
_node("spacing NaN", lambda w: _volume(w.hu, spacing=(7.4, 7.4, float("nan"))), "CT")
_node("a single slice", lambda w: _volume(w.hu[20:21]), "CT", "single slice")
_node(
    "NaN in the voxels", lambda w: _volume(np.where(w.hu > 0, np.nan, w.hu).astype(np.float32)), "CT", "NaN"
)
_node("1024 too high", lambda w: _volume((w.hu + 1024).astype(np.uint16)), "CT", "subtract 1024")
_node("constant", lambda w: _volume(np.zeros_like(w.hu)), "CT", "all its voxels")
_node("no node at all", lambda w: None, "choose a CT")
_node("under a transform", lambda w: _transformed(w), "CT", "transform")


def _transformed(world: World) -> Any:
    import slicer

    node = _ct(world)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Turn")
    node.SetAndObserveTransformNodeID(transform.GetID())
    return node


def _lobes(name: str, make_lobes: Callable[[World], Any], *words: str, short: bool = False) -> None:
    _node(f"lobes: {name}", _ct, *words, lobes=make_lobes, short=short)


def _segmentation(world: World, names: tuple[str, ...], empty: bool = False) -> Any:
    import slicer
    from vtk.util.numpy_support import numpy_to_vtk

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Lobes")
    for value, name in enumerate(names, 1):
        labelmap = slicer.vtkOrientedImageData()
        mask = (world.labels == value).astype(np.uint8) * (not empty)
        labelmap.SetDimensions(*mask.shape[::-1])
        labelmap.GetPointData().SetScalars(numpy_to_vtk(mask.ravel(), deep=True))
        labelmap.SetSpacing(7.4, 7.4, 7.4)
        node.AddSegmentFromBinaryLabelmapRepresentation(labelmap, name, [1, 0, 0])
    return node


_lobes(
    "a segmentation without segments", lambda w: _segmentation(w, ()), "Lobes", "left upper lobe", short=True
)
_lobes("segments of organs", lambda w: _segmentation(w, ("liver", "spleen")), "Lobes")
_lobes(
    "two segments of one name",
    lambda w: _segmentation(w, ("LUL", "left upper lobe", "RUL", "RML", "RLL")),
    "Lobes",
)
_lobes("empty segments", lambda w: _segmentation(w, LOBES, empty=True), "Lobes", "no voxels")
_lobes("three of five", lambda w: _segmentation(w, LOBES[:3]), "Lobes")
_lobes("a label map on another grid", lambda w: _volume(w.labels[1:], "Lobes", _RAS), "Lobes", "size")
_lobes("a label map of other values", lambda w: _volume(w.labels + 100, "Lobes", _RAS), "Lobes", short=True)
_lobes(
    "a label map of fractions",
    lambda w: _volume(w.labels * np.float32(0.3), "Lobes", _RAS),
    "Lobes",
    "values",
)
_lobes("the CT itself", lambda w: _volume(w.hu, "Lobes", _RAS), "Lobes", "values")
_lobes(
    "a label map that is upside down",
    lambda w: _volume(w.labels[::-1].copy(), "Lobes", _RAS),
    "Lobes",
    "upside down",
)


# Trainings.
def _plan(
    name: str, prepare: Callable[[World, Path], tuple[Any, ...]], *words: str, short: bool = False
) -> None:
    def make(world: World, folder: Path) -> Job:
        start()
        from DRAMLesionPanel.train.plan import makePlan

        arguments = prepare(world, folder)
        return Job(lambda: makePlan(*arguments), words)

    TABLE.add(f"training: {name}", make, short)


def _list(folder: Path, text: str) -> str:
    (folder / "list.json").write_text(text)
    return str(folder / "list.json")


def _good(world: World, folder: Path) -> str:
    row = {"image": str(world.ct_path), "lobes": str(world.lobes_path), "percent": [1, 2, 3, 4, 5]}
    return _list(folder, json.dumps({"training": [row]}))


def _recipe(folder: Path, text: str) -> str:
    (folder / "recipe.yaml").write_text(text)
    return str(folder / "recipe.yaml")


_plan("no data", lambda w, f: ("  ", "dram"), "no data")
_plan("a folder without accepted cases", lambda w, f: (str(f), "dram"), "datalist.json")
_plan("a list that is no JSON", lambda w, f: (_list(f, "{"), "dram"), "list.json")
_plan("a list nested too deep", lambda w, f: (_list(f, "[" * 100000), "dram"), "list.json", short=True)
_plan(
    "a list with a null byte in a path",
    lambda w, f: (
        _list(f, '{"training": [{"image": "a\\u0000b", "lobes": "x", "percent": [1, 1, 1, 1, 1]}]}'),
        "dram",
    ),
    "list.json",
)
_plan("a recipe that is not there", lambda w, f: (_good(w, f), str(f / "gone.yaml")), "gone.yaml")
_plan("a recipe of an unknown name", lambda w, f: (_good(w, f), "magic"), "magic")
_plan("a recipe that is no YAML", lambda w, f: (_good(w, f), _recipe(f, "a: [")), "recipe.yaml")
_plan("a recipe nested too deep", lambda w, f: (_good(w, f), _recipe(f, "[" * 5000)), "recipe.yaml")
_plan(
    "a recipe whose model is a text",
    lambda w, f: (_good(w, f), _recipe(f, "task: segmentation\nmodel: big")),
    "recipe.yaml",
    "model",
)
_plan(
    "a recipe that starts from a model that is not there",
    lambda w, f: (_good(w, f), _recipe(f, "task: segmentation\nstart_from: nowhere"), None, "gone"),
    "nowhere",
)
_plan(
    "a recipe that starts from a list",
    lambda w, f: (_good(w, f), _recipe(f, "task: segmentation\nstart_from: [1]")),
    "[1]",
)

for _bad in ("", "../x", "a/b", "a\\b", "con?", ".hidden", "x.training", "x" * 200, "a\0b", "two\nlines"):

    def _named(world: World, folder: Path, name: str = _bad) -> Job:
        start()
        from DRAMLesionPanel.train.plan import checkName

        return Job(lambda: checkName(name, {}), ("no name for a model",))

    TABLE.add(f"training: the name {_bad[:20]!r}", _named, short=_bad == "../x")
