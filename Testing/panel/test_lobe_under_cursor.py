"""The lobe under the mouse is chosen in the table and outlined in the slice views, by Slicer's own crosshair node."""

import pytest
from clicks import open_correction, wait_until

from DRAMLesionLib.lungs.lobes import LOBES

ABBREVIATIONS = [lobe.abbreviation for lobe in LOBES]
AIR = (0.0, 0.0, 5000.0)


@pytest.fixture
def mouse(segmented, application):
    """Moves the mouse to a point in mm (None: out of the views), and tells what is shown then."""
    import slicer

    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    display = segmented.panel.currentResults().lobesSegmentationNode.GetDisplayNode()
    view = segmented.ui.resultsTableView

    class Mouse:
        def move(self, point) -> None:
            if point is None:
                crosshair.SetCursorPositionInvalid()
            else:
                crosshair.SetCursorPositionRAS(list(point))

        def outlined(self) -> list[str]:
            shown = [name for name in ABBREVIATIONS if display.GetSegmentVisibility2DOutline(name)]
            return shown if display.GetVisibility2DOutline() else []

        def rows(self) -> list[int]:
            return sorted({index.row() for index in view.selectionModel().selectedRows()})

        def at(self, point) -> tuple[list[str], list[int]]:
            self.move(point)
            wait_until(application, lambda: not segmented.panel.results._cursor._timer.active)
            return self.outlined(), self.rows()

        def middle(self, name: str) -> tuple[float, ...]:
            node = segmented.panel.currentResults().lobesSegmentationNode
            return node.GetSegmentCenterRAS(name)

    yield Mouse()
    crosshair.SetCursorPositionInvalid()


def test_the_lobe_under_the_mouse_is_chosen_in_the_table_and_outlined(mouse):
    for row in (0, 4):
        assert mouse.at(mouse.middle(ABBREVIATIONS[row])) == ([ABBREVIATIONS[row]], [row])
    assert mouse.at(AIR) == ([], [])
    assert mouse.at(mouse.middle("LUL")) == (["LUL"], [0])
    assert mouse.at(None) == ([], []), "out of the views"


def test_the_outline_of_a_clicked_lobe_comes_back_when_the_mouse_leaves(mouse, segmented):
    segmented.panel.results._onRow(2)
    assert mouse.outlined() == [ABBREVIATIONS[2]]
    assert mouse.at(mouse.middle("LUL"))[0] == ["LUL"]
    assert mouse.at(AIR)[0] == [ABBREVIATIONS[2]]


def test_a_moving_mouse_costs_one_look_and_nothing_is_drawn_within_a_lobe(mouse, segmented, monkeypatch):
    from DRAMLesionPanel.results import lobe_under_cursor

    looks, drawn, real = [], [], lobe_under_cursor.lobeAt
    monkeypatch.setattr(lobe_under_cursor, "lobeAt", lambda *given: looks.append(1) or real(*given))
    display = segmented.panel.currentResults().lobesSegmentationNode.GetDisplayNode()
    right, anterior, superior = mouse.middle("RLL")
    tag = display.AddObserver("ModifiedEvent", lambda *_: drawn.append(1))
    for step in range(30):
        mouse.move((right, anterior, superior + step / 100))
    mouse.at((right, anterior, superior))
    assert len(looks) == 1 and len(drawn) == 1
    mouse.at((right, anterior, superior + 0.5))
    display.RemoveObserver(tag)
    assert len(looks) == 2 and len(drawn) == 1


def test_a_tool_in_the_hand_is_not_disturbed(mouse, segmented, application):
    open_correction(segmented, application)
    segmented.ui.segmentEditorWidget._effect = object()
    assert mouse.at(mouse.middle("LUL")) == ([], [0]), "the row alone"
    segmented.ui.segmentEditorWidget._effect = None


def test_in_another_module_the_mouse_is_not_followed(mouse, segmented):
    assert mouse.at(mouse.middle("LUL"))[0] == ["LUL"]
    segmented.parent.exit()
    assert mouse.outlined() == [] and mouse.rows() == []
    assert mouse.at(mouse.middle("RLL")) == ([], [])
    segmented.parent.enter()
    assert mouse.at(mouse.middle("RLL"))[0] == ["RLL"]


def test_lobes_under_a_transform_are_where_they_are_seen(mouse, segmented):
    import slicer

    before = mouse.middle("RLL")
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = transform.GetMatrixTransformToParent()
    matrix.SetElement(2, 3, 1000.0)
    transform.SetMatrixTransformToParent(matrix)
    segmented.panel.currentResults().lobesSegmentationNode.SetAndObserveTransformNodeID(transform.GetID())
    assert mouse.at(before)[0] == []
    assert mouse.at((before[0], before[1], before[2] + 1000.0))[0] == ["RLL"]


def test_a_closed_scene_leaves_nothing_to_follow(mouse, segmented, application):
    import slicer

    mouse.at(mouse.middle("LUL"))
    mouse.move(AIR)
    slicer.mrmlScene.Clear(0)
    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    node.SetCursorPositionRAS([0.0, 0.0, 0.0])
    application.processEvents()
    assert not segmented.panel.results._cursor._timer.active and segmented.ui.statusLabel.text == ""
