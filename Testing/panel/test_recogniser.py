"""Strokes are recognised in a segment: the right values and voxels, whatever grid and neighbours it has."""

import numpy as np
import pytest
from panel_standin.application import start  # noqa: F401 - the stand-in comes first

ORIENTATIONS = ("LPS", "RAS", "PSR", "AIL")


@pytest.fixture
def made(application, module, request):
    """A CT of a given orientation, and a segmentation on it with two segments in one layer."""
    import types

    import slicer

    from DRAMLesionLib.phantom import make_phantom
    from DRAMLesionLib.results.scene import mrml
    from DRAMLesionLib.results.segments import SegmentInfo

    slicer.mrmlScene.Clear(0)
    orientation = getattr(request, "param", "LPS")
    ct = make_phantom((48, 48, 40), (7.5, 7.5, 7.5), seed=1, orientation=orientation).ct
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    labels = np.zeros(ct.array.shape, np.uint8)
    labels[5:9, 10:20, 10:20] = 1
    labels[5:9, 24:30, 10:20] = 2
    names = [SegmentInfo(name, name, value, (255, 0, 0), "") for name, value in (("one", 1), ("two", 2))]
    mrml.set_segments(node, labels, ct, names)
    yield types.SimpleNamespace(ct=ct, node=node, labels=labels)
    slicer.mrmlScene.Clear(0)


def put(made, segment, box, value):
    """Change a segment as Slicer's own tools do."""
    from DRAMLesionLib.results.scene import mrml

    shape = tuple(side.stop - side.start for side in box)
    mrml.update_segment(made.node, segment, np.full(shape, value), made.ct, box)


def array(made, segment):
    from DRAMLesionLib.results.scene import mrml

    return mrml.segment_array(made.node, segment, made.ct)


@pytest.mark.parametrize("made", ORIENTATIONS, indirect=True)
def test_what_came_in_is_lesion_and_what_went_out_is_not(made):
    from DRAMLesionLib.correction.segment.recogniser import StrokeRecogniser

    segment = StrokeRecogniser(made.node, "one", made.ct)
    assert segment.look() is None
    put(made, "one", (slice(8, 11), slice(12, 14), slice(30, 33)), 1)
    put(made, "one", (slice(5, 6), slice(10, 12), slice(10, 20)), 0)
    edit = segment.look()
    strokes = dict(edit.strokes())
    assert set(strokes) == {1, 2}, "1 is painted as lesion, 2 as not lesion"
    painted = np.zeros(made.ct.array.shape, np.uint8)
    for value, voxels in strokes.items():
        painted[voxels] = value
    expected = np.zeros_like(painted)
    expected[8:11, 12:14, 30:33] = 1
    expected[5:6, 10:12, 10:20] = 2
    np.testing.assert_array_equal(painted, expected)
    assert edit.box == (slice(5, 11), slice(10, 14), slice(10, 33)), "the box is tight"
    assert segment.look() is None, "it was seen"
    np.testing.assert_array_equal(segment.seen, array(made, "one"))


@pytest.mark.parametrize("made", ORIENTATIONS, indirect=True)
def test_what_is_shown_is_in_the_segment_and_no_stroke(made):
    from DRAMLesionLib.correction.segment.recogniser import StrokeRecogniser

    segment = StrokeRecogniser(made.node, "one", made.ct)
    box = (slice(2, 7), slice(8, 13), slice(9, 15))
    label = np.random.default_rng(0).integers(0, 2, (5, 5, 6)).astype(np.uint8)
    segment.show(box, label)
    expected = (made.labels == 1).astype(np.uint8)
    expected[box] = label
    np.testing.assert_array_equal(array(made, "one"), expected)
    np.testing.assert_array_equal(array(made, "two"), made.labels == 2)
    assert segment.look() is None


def test_a_segment_of_its_own_is_changed_in_its_own_memory_and_slicer_hears_of_it(made):
    import slicer

    from DRAMLesionLib.correction.segment.recogniser import StrokeRecogniser
    from DRAMLesionLib.results.segments import SOURCE_REPRESENTATION

    segmentation = made.node.GetSegmentation()
    segmentation.RemoveSegment("two")
    heard = []
    segmentation.AddObserver(
        slicer.vtkSegmentation.SourceRepresentationModified, lambda *_: heard.append("modified")
    )
    labelmap = segmentation.GetSegment("one").GetRepresentation(SOURCE_REPRESENTATION)
    made.node.CreateClosedSurfaceRepresentation()
    segment = StrokeRecogniser(made.node, "one", made.ct)
    segment.show((slice(0, 2), slice(0, 2), slice(0, 2)), np.ones((2, 2, 2)))
    assert heard and segmentation.GetSegment("one").GetRepresentation(SOURCE_REPRESENTATION) is labelmap
    assert array(made, "one")[:2, :2, :2].all()


def test_another_segments_stroke_is_not_this_ones(made):
    from DRAMLesionLib.correction.segment.recogniser import StrokeRecogniser

    segment = StrokeRecogniser(made.node, "one", made.ct)
    put(made, "two", (slice(30, 33), slice(30, 33), slice(30, 33)), 1)
    assert segment.look() is None


def test_a_segment_that_slicer_cut_to_its_own_extent_is_read_just_so(made):
    """Slicer's label maps need not cover the CT."""
    from DRAMLesionLib.correction.segment.recogniser import StrokeRecogniser

    segmentation = made.node.GetSegmentation()
    segmentation.RemoveSegment("one")
    segmentation.AddEmptySegment("one")
    segment = StrokeRecogniser(made.node, "one", made.ct)
    box = (slice(8, 11), slice(12, 14), slice(30, 33))
    put(made, "one", box, 1)
    edit = segment.look()
    assert edit.box == box and edit.after.all() and not edit.before.any()
    segment.show(box, np.zeros((3, 2, 3)))
    assert not array(made, "one").any() and segment.look() is None


def test_a_stroke_outside_what_is_allowed_is_given_back(made):
    from DRAMLesionLib.correction.segment.recogniser import StrokeRecogniser

    segment = StrokeRecogniser(made.node, "one", made.ct)
    allowed = np.zeros(made.ct.array.shape, np.uint8)
    allowed[:, :, :30] = 3
    put(made, "one", (slice(8, 9), slice(12, 14), slice(28, 33)), 1)
    edit = segment.look(allowed)
    assert edit.box == (slice(8, 9), slice(12, 14), slice(28, 30))
    assert array(made, "one")[8, 12:14, 28:33].tolist() == [[1, 1, 0, 0, 0]] * 2
    put(made, "one", (slice(8, 9), slice(12, 14), slice(30, 33)), 1)
    assert segment.look(allowed) is None and not array(made, "one")[:, :, 30:].any()


def test_a_change_and_its_way_back_are_told_apart():
    from DRAMLesionLib.correction.segment.recogniser import edit_between

    before, after = np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)
    after[1:3, 2, 2] = 1
    box = (slice(10, 14), slice(0, 4), slice(5, 9))
    edit = edit_between(box, before, after)
    assert edit.box == (slice(11, 13), slice(2, 3), slice(7, 8))
    back = edit_between(box, after, before)
    assert edit.reversed().equals(back) and not edit.equals(back) and not edit.equals(None)
    assert edit_between(box, before, before) is None
