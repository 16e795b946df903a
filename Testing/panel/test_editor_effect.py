"""The Segment Editor's effect "DRAM refine", clicked in a stand-in for Slicer (see panel_standin)."""

from pathlib import Path

import numpy as np
import pytest
from vtk.util.numpy_support import vtk_to_numpy

EFFECT = "DRAM refine"
MODULE = Path(__file__).resolve().parents[2] / "SegmentEditorDRAMRefine" / "SegmentEditorDRAMRefine.py"


class Editor:
    """A segment editor on one segment, and strokes as Paint and Erase make them."""

    def __init__(self, ct, application):
        import slicer

        from DRAMLesionLib.results.scene import mrml

        self.application, self.volume = application, mrml.volume_from_node(ct)
        self.node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
        self.node.CreateDefaultDisplayNodes()
        self.node.SetReferenceImageGeometryParameterFromVolumeNode(ct)
        self.node.GetSegmentation().AddEmptySegment("mine")
        self.widget = slicer.qMRMLSegmentEditorWidget()
        self.widget.setMRMLScene(slicer.mrmlScene)
        self.widget.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
        self.widget.setSegmentationNode(self.node)
        self.widget.setSourceVolumeNode(ct)
        self.widget.setCurrentSegmentID("mine")
        self.logic = self.widget.logic

    def open(self):
        self.widget.setActiveEffectByName(EFFECT)
        return self.widget.activeEffect().self()

    @property
    def label(self):
        from DRAMLesionLib.results.scene import mrml

        return mrml.segment_array(self.node, "mine", self.volume)

    def put(self, label):
        from DRAMLesionLib.results.scene import mrml

        mrml.update_segment(self.node, "mine", label, self.volume)

    def paint(self, mask, add=True):
        import SimpleITK as sitk

        from DRAMLesionLib.images.volume import to_image

        self.widget.setActiveEffect(None)
        self.logic.SaveStateForUndo()
        self.logic.UpdateReferenceGeometryImage()
        self.logic.ResetModifierLabelmapToDefault()
        modifier = self.logic.GetModifierLabelmap()
        voxels = sitk.GetArrayFromImage(to_image(mask, self.volume)).ravel()
        vtk_to_numpy(modifier.GetPointData().GetScalars())[:] = voxels
        mode = self.logic.ModificationModeAdd if add else self.logic.ModificationModeRemove
        self.logic.UpdateMaskLabelmap()
        self.logic.ModifySegmentByLabelmap(self.node, "mine", modifier, mode, True, False)
        self.settle()

    def undo(self):
        self.widget.undo()
        self.settle()

    def redo(self):
        self.widget.redo()
        self.settle()

    def settle(self):
        for _ in range(3):
            self.application.processEvents()


@pytest.fixture(scope="module")
def registered(application):
    from panel_standin.application import loadModule

    loadModule(MODULE)
    application.startupCompleted.emit()


@pytest.fixture(scope="module")
def lobes_once(module):
    """Lobes are found once in each CT: that takes seconds, and each test would find the same ones again."""
    from DRAMLesionPanel.correct import segment_refining

    known, find = {}, segment_refining.find_lobes

    def once(ct, **options):
        key = (ct.array.tobytes(), ct.spacing_mm)
        if key not in known:
            known[key] = find(ct, **options)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_refining, "find_lobes", once)
        yield


@pytest.fixture
def editor(registered, lobes_once, ct, application):
    made = Editor(ct, application)
    yield made
    made.widget.setActiveEffect(None)
    for clone in made.widget._clones.values():
        clone.self().cleanup()
    made.widget.deleteLater()
    application.processEvents()


@pytest.fixture
def spot(phantom):
    """A stroke on the phantom's largest lesion, and what may follow it: the lobe around it."""
    from scipy import ndimage

    parts, count = ndimage.label(phantom.lesion)
    sizes = np.bincount(parts.ravel())[1:]
    assert count
    places = np.argwhere(parts == 1 + sizes.argmax())
    z, y, x = places[np.argmin(((places - places.mean(axis=0)) ** 2).sum(axis=1))]
    mask = np.zeros(phantom.lesion.shape, bool)
    mask[z, y - 1 : y + 2, x - 1 : x + 2] = phantom.lobes.labels[z, y - 1 : y + 2, x - 1 : x + 2] > 0
    return mask


def test_the_module_is_hidden_and_registers_the_effect(registered):
    import slicer

    assert slicer.modules.segmenteditordramrefine.hidden
    effect = slicer.qSlicerSegmentEditorEffectFactory.instance().effects[EFFECT]
    assert effect.perSegment and "Paint" in effect.self().helpText() and not effect.self().icon().isNull()


def test_a_stroke_grows_into_what_looks_like_it(editor, spot, phantom):
    effect = editor.open()
    assert "taken as it is" in effect.messageLabel.text and not effect.mapCheckBox.enabled
    editor.paint(spot)
    assert editor.label.sum() == spot.sum(), "nothing follows before the button is pressed"
    editor.open().refineButton.click()
    refined = editor.label
    assert (refined[spot] == 1).all() and refined.sum() > 2 * spot.sum()
    grown = (refined == 1) & ~spot
    inside = phantom.lesion[grown].mean()
    assert inside > 3 * phantom.lesion[phantom.lobes.labels > 0].mean(), "it follows the lesion, not the lung"
    assert not refined[phantom.lobes.labels == 0].any() or refined[phantom.lobes.labels == 0].mean() < 0.01
    assert "came in" in effect.messageLabel.text


def test_erasing_takes_more_away(editor, spot, phantom):
    editor.put(phantom.lobes.labels > 0)
    effect = editor.open()
    editor.paint(spot, add=False)
    before = editor.label
    editor.open()
    effect.refineButton.click()
    after = editor.label
    assert not after[spot].any() and after.sum() < before.sum()


def test_undo_and_redo_step_through_refinement_and_stroke(editor, spot):
    effect = editor.open()
    editor.paint(spot)
    painted = editor.label
    editor.open()
    effect.refineButton.click()
    refined = editor.label
    editor.undo()
    np.testing.assert_array_equal(editor.label, painted)
    editor.redo()
    np.testing.assert_array_equal(editor.label, refined)
    editor.undo()
    editor.undo()
    assert not editor.label.any()


def test_what_was_undone_is_no_edit_and_the_stroke_can_be_refined_again(editor, spot):
    effect = editor.open()
    editor.paint(spot)
    editor.open()
    effect.refineButton.click()
    refined = editor.label
    editor.undo()
    effect.refineButton.click()
    np.testing.assert_array_equal(editor.label, refined)


def test_an_undone_refinement_is_no_erasing_when_more_is_painted(editor, spot, phantom):
    effect = editor.open()
    editor.paint(spot)
    editor.open()
    effect.refineButton.click()
    refined = editor.label
    editor.undo()
    more = np.roll(spot, 1, axis=0)
    editor.paint(more)
    editor.open()
    effect.refineButton.click()
    both = editor.label
    assert (both[spot | more] == 1).all() and (both[refined == 1] == 1).mean() > 0.9


def test_refines_after_each_stroke_while_another_effect_paints(editor, spot):
    effect = editor.open()
    effect.autoCheckBox.click()
    assert effect.scriptedEffect.integerParameter("AutoRefine") == 1
    editor.paint(spot)
    refined = editor.label
    assert refined.sum() > 2 * spot.sum()
    editor.undo()
    assert editor.label.sum() == spot.sum(), "an undone refinement must not be made again at once"
    editor.redo()
    np.testing.assert_array_equal(editor.label, refined)


def test_nothing_painted_changes_nothing(editor, spot):
    editor.put(spot)
    effect = editor.open()
    effect.refineButton.click()
    assert "Nothing was painted" in effect.messageLabel.text
    np.testing.assert_array_equal(editor.label, spot)


def test_start_anew_takes_the_segment_as_it_is(editor, spot):
    effect = editor.open()
    editor.paint(spot)
    editor.open()
    effect.restartButton.click()
    effect.refineButton.click()
    np.testing.assert_array_equal(editor.label, spot)


def test_the_editors_mask_is_kept(editor, spot, phantom):
    import slicer

    from DRAMLesionLib.results.scene import mrml

    allowed = np.zeros(spot.shape, np.uint8)
    allowed[np.argwhere(spot)[0][0]] = 1
    editor.node.GetSegmentation().AddEmptySegment("area")
    mrml.update_segment(editor.node, "area", allowed, editor.volume)
    effect = editor.open()
    editor.paint(spot)
    node = effect.scriptedEffect.parameterSetNode()
    node.SetMaskSegmentID("area")
    node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
    node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
    editor.open()
    effect.refineButton.click()
    assert editor.label.sum() > spot.sum() and not editor.label[allowed == 0].any()


def test_takes_the_scenes_lesion_map_and_lobes(editor, spot, ct, findings):
    from DRAMLesionPanel.results.nodes import addResults

    addResults(findings, ct)
    effect = editor.open()
    assert effect.mapCheckBox.enabled and effect.mapCheckBox.checked
    editor.paint(spot)
    editor.open()
    effect.refineButton.click()
    with_map = editor.label
    editor.undo()
    effect.mapCheckBox.click()
    assert effect.scriptedEffect.integerParameter("UseMap") == 0
    effect.refineButton.click()
    without = editor.label
    assert (with_map[spot] == 1).all() and (without[spot] == 1).all() and (with_map != without).any()
    outside = findings.lobes.labels == 0
    assert not with_map[outside & ~spot].any() and not without[outside & ~spot].any()


def test_a_shorter_reach_changes_less(editor, spot, phantom):
    effect = editor.open()
    effect.reachSlider.value = 8
    editor.paint(spot)
    editor.open()
    effect.refineButton.click()
    z, y, x = (phantom.ct.spacing_mm[axis] for axis in range(3))
    far = np.argwhere(editor.label) * (z, y, x)
    centre = np.argwhere(spot).mean(axis=0) * (z, y, x)
    assert np.sqrt(((far - centre) ** 2).sum(axis=1)).max() < 8 + 1.5 * max(y, x) + 1


def test_a_missing_source_volume_is_said(registered, application):
    import slicer

    slicer.mrmlScene.Clear(0)
    widget = slicer.qMRMLSegmentEditorWidget()
    widget.setMRMLScene(slicer.mrmlScene)
    widget.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    widget.setActiveEffectByName(EFFECT)
    message = widget.activeEffect().self().messageLabel
    assert "choose a segmentation" in message.text and message.styleSheet


def test_a_removed_segment_ends_it_without_a_word(editor, spot):
    effect = editor.open()
    effect.autoCheckBox.click()
    editor.paint(spot)
    editor.node.GetSegmentation().RemoveSegment("mine")
    editor.settle()
    assert "Refined" in effect.messageLabel.text and not effect.messageLabel.styleSheet


def second_segment(editor):
    editor.node.GetSegmentation().AddEmptySegment("other")

    def label():
        from DRAMLesionLib.results.scene import mrml

        return mrml.segment_array(editor.node, "other", editor.volume)

    return label


def test_a_stroke_in_another_segment_is_not_refined_into_either(editor, spot):
    """The effect watched the whole segmentation, and wrote to whatever segment was chosen by then."""
    from DRAMLesionLib.results.scene import mrml

    effect = editor.open()
    effect.autoCheckBox.click()
    other = second_segment(editor)
    editor.widget.setCurrentSegmentID("other")
    mrml.update_segment(editor.node, "other", np.roll(spot, 2, axis=0), editor.volume)
    editor.settle()
    assert other().sum() == spot.sum() and not editor.label.any()


def test_a_stroke_that_is_refined_late_goes_into_its_own_segment(editor, spot):
    """Between stroke and refinement the user may choose another segment."""
    effect = editor.open()
    effect.autoCheckBox.click()
    other = second_segment(editor)
    editor.put(spot)
    editor.widget.setCurrentSegmentID("other")
    editor.settle()
    assert not other().any() and editor.label.sum() == spot.sum()
    editor.widget.setCurrentSegmentID("mine")
    editor.put(np.maximum(editor.label, np.roll(spot, 1, axis=0)))
    editor.settle()
    assert not other().any() and editor.label.sum() > 2 * spot.sum()


def test_erasing_leaves_alone_what_is_out_of_reach(editor, spot, phantom):
    editor.put(phantom.lobes.labels > 0)
    effect = editor.open()
    editor.paint(spot, add=False)
    editor.open()
    effect.refineButton.click()
    gone = np.argwhere((phantom.lobes.labels > 0) & (editor.label == 0)) * phantom.ct.spacing_mm
    centre = np.argwhere(spot).mean(axis=0) * phantom.ct.spacing_mm
    assert len(gone) and np.sqrt(((gone - centre) ** 2).sum(axis=1)).max() < 45
    assert editor.label.sum() > 0.5 * (phantom.lobes.labels > 0).sum()


def test_nothing_happens_while_the_editors_module_is_not_open(editor, spot):
    import slicer

    module = slicer.qSlicerScriptedLoadableModuleWidget()
    editor.widget.setParent(module)
    effect = editor.open()
    effect.autoCheckBox.click()
    module.entered = False
    editor.paint(spot)
    assert editor.label.sum() == spot.sum()
    module.entered = True
    editor.paint(np.roll(spot, 1, axis=0))
    assert editor.label.sum() > 2 * spot.sum()
    editor.widget.setParent(None)


def test_without_auto_a_stroke_is_not_even_read(editor, spot, monkeypatch):
    from DRAMLesionLib.results.scene.segment_view import SegmentView

    editor.open()
    looks, look = [], SegmentView.look
    monkeypatch.setattr(SegmentView, "look", lambda self: looks.append(1) or look(self))
    editor.paint(spot)
    assert not looks


def test_an_effect_that_is_cleaned_up_hears_no_signal(editor, spot):
    effect = editor.open()
    effect.cleanup()
    before = effect.scriptedEffect.parameter("AutoRefine")
    effect.autoCheckBox.click()
    effect.refineButton.click()
    assert effect.scriptedEffect.parameter("AutoRefine") == before and effect._segment is None
