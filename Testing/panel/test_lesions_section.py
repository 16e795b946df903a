"""The list of lesions under the results, clicked in a stand-in for Slicer."""

import numpy as np
import pytest
from clicks import ball, in_this_process, lesion_of, open_correction, stroke, wait_until


@pytest.fixture
def listing(segmented, monkeypatch):
    """The panel with results; lists are made in this process, and at once."""
    from DRAMLesionPanel.results import lesions_section

    monkeypatch.setattr(lesions_section, "inWorker", in_this_process)
    segmented.panel.lesions._restTimer.setInterval(0)
    return segmented


def rows(panel) -> list[list[str]]:
    table = panel.ui.lesionsTable
    return [
        [table.item(row, column).text() for column in range(table.columnCount)]
        for row in range(table.rowCount)
    ]


def looked_at() -> list[float]:
    """Where the slice views stand: right, anterior, superior in mm."""
    import slicer

    planes = {
        node.GetName(): node.GetSliceToRAS() for node in slicer.util.getNodesByClass("vtkMRMLSliceNode")
    }
    return [planes[name].GetElement(axis, 3) for axis, name in enumerate(("Yellow", "Green", "Red"))]


@pytest.fixture
def views(application):
    """The slice views in the orientations of their names."""
    import slicer

    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(slicer.mrmlScene, True)
    for name, orientation in (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal")):
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            if node.GetName() == name:
                node.SetOrientation(orientation)


def test_the_list_has_lobe_volume_and_density_of_the_largest_first(listing, findings):
    from DRAMLesionLib.results.lesion_list import lesions_of

    known = lesions_of(findings).lesions
    assert len(known) > 1
    shown = rows(listing)
    assert [row[1] for row in shown] == [f"{lesion.volume_ml:.1f}" for lesion in known]
    assert [row[2] for row in shown] == [f"{lesion.mean_hu:.0f}" for lesion in known]
    assert [row[0].split(", ")[0] for row in shown] == [lesion.lobe for lesion in known]
    volumes = [lesion.volume_ml for lesion in known]
    assert volumes == sorted(volumes, reverse=True)


def test_a_click_and_the_arrow_keys_show_a_lesion_in_the_slice_views(listing, findings, views):
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    from DRAMLesionLib.results.lesion_list import lesions_of

    known, table = lesions_of(findings).lesions, listing.ui.lesionsTable
    place = table.visualItemRect(table.item(1, 0)).center()
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert looked_at() == pytest.approx(known[1].ras_mm, abs=0.01)
    QTest.keyClick(table, Qt.Key.Key_Up)
    assert looked_at() == pytest.approx(known[0].ras_mm, abs=0.01)


def lobe_at(findings, ras_mm) -> int:
    """The lobe at a point, 0 outside."""
    right, anterior, superior = ras_mm
    lps = (-right, -anterior, superior, 1.0)
    x, y, z = np.rint(np.linalg.solve(findings.ct.geometry.canonical().matrix, lps)[:3]).astype(int)
    return int(findings.lobes.labels[z, y, x])


def test_a_click_on_a_lobes_row_shows_that_lobe_and_its_outline(listing, findings, views):
    from PySide6.QtCore import QPoint, Qt
    from PySide6.QtTest import QTest

    from DRAMLesionLib.lungs.lobes import LOBES

    view, results = listing.ui.resultsTableView, listing.panel.currentResults()
    names = [view.model().headerData(row, Qt.Orientation.Vertical) for row in range(view.model().rowCount())]
    display = results.lobesSegmentationNode.GetDisplayNode()

    def click(name: str) -> None:
        place = view.visualRect(view.model().index(names.index(name), 0)).center()
        QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)

    def outlined() -> list[str]:
        known = [
            lobe.abbreviation for lobe in LOBES if display.GetSegmentVisibility2DOutline(lobe.abbreviation)
        ]
        return known if display.GetVisibility2DOutline() else []

    for lobe in (LOBES[4], LOBES[0]):
        click(lobe.name)
        assert outlined() == [lobe.abbreviation]
        assert lobe_at(findings, looked_at()) == lobe.value
    click(names[-1])
    assert outlined() == [] and lobe_at(findings, looked_at()) == LOBES[0].value, "the whole is no place"
    QTest.mouseClick(
        view.verticalHeader().viewport(),
        Qt.MouseButton.LeftButton,
        pos=QPoint(3, view.rowViewportPosition(names.index(LOBES[2].name)) + 5),
    )
    assert lobe_at(findings, looked_at()) == LOBES[2].value


def test_the_list_follows_a_stroke(listing, application):
    open_correction(listing, application)
    before = rows(listing)
    voxels, _centre = ball(listing, lobe=3, wanted=0)
    stroke(listing, application, voxels, add=True)
    wait_until(application, lambda: rows(listing) != before)
    wait_until(application, lambda: not listing.panel.lesions._listing.busy)
    from DRAMLesionLib.results.lesion_list import list_lesions

    now = listing.logic.panelLogic.currentFindings(listing.panel.currentResults())
    known = list_lesions(now.ct, now.lobes.labels, lesion_of(listing).astype(np.uint8))
    assert [row[1] for row in rows(listing)] == [f"{lesion.volume_ml:.1f}" for lesion in known.lesions]


def test_a_reopened_scene_has_the_list_at_once_and_a_closed_one_none(listing, application, tmp_path):
    import slicer

    before, scene = rows(listing), slicer.mrmlScene
    (tmp_path / "bundle").mkdir()
    assert scene.SaveSceneToSlicerDataBundleDirectory(str(tmp_path / "bundle"))
    scene.Clear(0)
    assert rows(listing) == [] and listing.ui.lesionsLabel.text == ""
    scene.SetURL(str(next((tmp_path / "bundle").glob("*.mrml"))))
    assert scene.Import()
    application.processEvents()
    assert rows(listing) == before


def test_a_list_that_is_being_made_is_waited_for(listing, application, monkeypatch):
    """Each stroke gave it up, and the worker with its loaded model went along."""
    from DRAMLesionPanel.results import lesions_section, nodes

    begun, ended = [], []

    def slow(*_given, **_more):
        begun.append(True)
        try:
            while True:
                yield "waiting"
        finally:
            ended.append(True)

    monkeypatch.setattr(lesions_section, "inWorker", slow)
    nodes.writeLesions(listing.panel.currentResults(), None)
    listing.panel.update()
    wait_until(application, lambda: begun)
    for _ in range(3):
        listing.panel.update()
        listing.panel.lesions._onRest()
    assert len(begun) == 1 and not ended
    listing.panel.lesions.closeScene()
    assert ended


def test_a_list_that_can_not_be_made_is_said(listing, application, monkeypatch):
    from DRAMLesionPanel.results import lesions_section, nodes

    from DRAMLesionLib.system.errors import InputError

    def failing(*_given, **_more):
        raise InputError("the disk is full")
        yield

    monkeypatch.setattr(lesions_section, "inWorker", failing)
    nodes.writeLesions(listing.panel.currentResults(), None)
    listing.panel.update()
    wait_until(application, lambda: "could not be made" in listing.ui.lesionsLabel.text)
    assert "the disk is full" in listing.ui.statusLabel.text
