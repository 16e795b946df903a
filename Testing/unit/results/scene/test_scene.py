"""Scenes: findings to MRML nodes and back."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from small_scene import directions, make_findings, make_image, needs_slicer, ras_matrix

from DRAMLesionLib.images.volume import from_image
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results import segments
from DRAMLesionLib.results.scene import mrml
from DRAMLesionLib.results.scene import nodes as scene_nodes
from DRAMLesionLib.system.errors import InputError


@needs_slicer
def test_volumes_keep_exactly_their_geometry_in_all_orientations(application):
    node = application.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "ct")
    assert len(directions()) == 96
    for name, direction in directions().items():
        image = make_image(direction)
        volume = from_image(image, "ct")
        mrml.fill_volume_node(node, volume.array, volume)
        matrix = ras_matrix(node)
        for index in ((0, 0, 0), (29, 0, 0), (0, 23, 0), (0, 0, 17), (7, 11, 13)):
            x, y, z = image.TransformIndexToPhysicalPoint(index)
            np.testing.assert_allclose((matrix @ [*index, 1])[:3], (-x, -y, z), atol=1e-9, err_msg=name)
            assert node.GetImageData().GetScalarComponentAsDouble(*index, 0) == image[index]
        back = mrml.volume_from_node(node)
        assert back.geometry == volume.geometry, name
        assert back.array.dtype == np.int16
        np.testing.assert_array_equal(back.array, volume.array)


@needs_slicer
def test_segments_come_back_in_all_orientations_and_boxes_change_nothing_else(application):
    generator = np.random.default_rng(3)
    box = (slice(2, 9), slice(5, 17), slice(11, 14))
    for name, direction in directions().items():
        if not name.endswith("oblique"):
            continue
        volume = from_image(make_image(direction), "ct")
        labels = generator.integers(0, 6, volume.array.shape).astype(np.uint8)
        node = application.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "lobes")
        mrml.set_segments(node, labels, volume, segments.LOBE_SEGMENTS)
        part = generator.random(volume.array[box].shape) < 0.5
        mrml.update_segment(node, "RUL", part, volume, box)
        for lobe in LOBES:
            expected = labels == lobe.value
            if lobe.abbreviation == "RUL":
                expected[box] = part
            got = mrml.segment_array(node, lobe.abbreviation, volume)
            assert got.dtype == np.uint8
            np.testing.assert_array_equal(got, expected, err_msg=f"{name} {lobe.name}")
        application.scene.RemoveNode(node)


@needs_slicer
def test_add_findings_makes_what_the_panel_shows(application, findings):
    nodes = scene_nodes.add_findings(application.scene, findings)
    assert nodes.ct.GetName() == "patient"
    display = nodes.heatmap.GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel()) == (1.0, 0.5)
    assert display.GetApplyThreshold() and display.GetLowerThreshold() == pytest.approx(0.1)
    assert display.GetColorNode().GetID() == nodes.colors.GetID()
    assert nodes.heatmap.GetNthDisplayNode(1).IsA("vtkMRMLColorLegendDisplayNode")
    np.testing.assert_array_equal(mrml.volume_from_node(nodes.heatmap).array, findings.dram)

    segmentation = nodes.lobes.GetSegmentation()
    assert segmentation.GetNumberOfLayers() == 1
    for lobe in LOBES:
        segment = segmentation.GetSegment(lobe.abbreviation)
        assert segment.GetName() == lobe.name
        np.testing.assert_allclose(segment.GetColor(), np.array(lobe.color) / 255, atol=1e-6)
        assert segment.GetTerminology() == lobe.terminology
    lesion = nodes.lesion.GetSegmentation().GetSegment("lesion").GetTerminology()
    for code in ("49755003", "47351003", "840539006", "39607008"):
        assert f"SCT^{code}^" in lesion
    assert nodes.lesion.GetNodeReferenceID("referenceImageGeometryRef") == nodes.ct.GetID()

    hierarchy = application.scene.GetSubjectHierarchyNode()
    for node in (nodes.heatmap, nodes.lesion, nodes.lobes, nodes.table, nodes.chart):
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == nodes.folder
    ct_item = hierarchy.GetItemByDataNode(nodes.ct)
    assert hierarchy.GetItemParent(ct_item) == hierarchy.GetItemParent(nodes.folder)


@needs_slicer
def test_table_has_the_measurements(application, findings):
    table = scene_nodes.add_findings(application.scene, findings).table
    columns = {table.GetColumnName(number): number for number in range(table.GetNumberOfColumns())}
    for row, region in enumerate(findings.quantification.regions):
        assert table.GetCellText(row, columns["Region"]) == region.name
        for title, value in (("Volume (mL)", region.volume_ml), ("Lesion (%)", region.percent)):
            assert float(table.GetCellText(row, columns[title])) == pytest.approx(value, abs=0.051)
        score = table.GetCellText(row, columns["Severity score"])
        assert score == ("" if region.score is None else str(region.score))


@needs_slicer
def test_a_rerun_replaces_its_own_results_alone(application, findings):
    import vtk

    first = scene_nodes.add_findings(application.scene, findings)
    other = application.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "patient lesion")
    first.lesion.GetSegmentation().AddEmptySegment("mine", "my own segment")
    first.heatmap.GetDisplayNode().SetLowerThreshold(0.3)
    count = application.scene.GetNumberOfNodes()

    changed = make_findings(findings.ct, approximate=False)
    changed.lesion[:] = 0
    changed.lesion[8:10, 8:12, 20:25] = 1
    second = scene_nodes.add_findings(application.scene, changed, first.ct)
    assert application.scene.GetNumberOfNodes() == count
    assert [node.GetID() for node in (second.lesion, second.heatmap, second.table)] == [
        node.GetID() for node in (first.lesion, first.heatmap, first.table)
    ]
    np.testing.assert_array_equal(mrml.segment_array(second.lesion, "lesion", findings.ct), changed.lesion)
    assert second.lesion.GetSegmentation().GetSegment("mine").GetName() == "my own segment"
    assert second.heatmap.GetDisplayNode().GetLowerThreshold() == pytest.approx(0.3)
    assert second.lobes.GetName() == "patient Lobes"
    assert other.GetSegmentation().GetNumberOfSegments() == 0

    # A name that somebody gave stays, and two results never have one name.
    second.lobes.SetName("my lobes")
    third = scene_nodes.add_findings(application.scene, changed, first.ct)
    assert third.lobes.GetName() == "my lobes" and third.table.GetName() == second.table.GetName()

    # Another CT's results are not touched.
    ct_node = application.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "patient")
    matrix = vtk.vtkMatrix4x4()
    first.ct.GetIJKToRASMatrix(matrix)
    third = scene_nodes.add_findings(application.scene, findings, ct_node)
    assert third.lesion.GetID() != second.lesion.GetID()
    np.testing.assert_array_equal(mrml.segment_array(second.lesion, "lesion", findings.ct), changed.lesion)


@needs_slicer
def test_no_lesion_gives_an_empty_segment_that_can_be_painted(application, findings):
    empty = make_findings(findings.ct)
    empty.lesion[:] = 0
    node = scene_nodes.add_findings(application.scene, empty).lesion
    assert not mrml.segment_array(node, "lesion", findings.ct).any()
    box = (slice(3, 6), slice(10, 12), slice(0, 15))
    mrml.update_segment(node, "lesion", np.ones((3, 2, 15), np.uint8), findings.ct, box)
    got = mrml.segment_array(node, "lesion", findings.ct)
    assert got[box].all() and got.sum() == 90
    mrml.update_segment(node, "lesion", np.zeros(findings.ct.array.shape, bool), findings.ct)
    assert not mrml.segment_array(node, "lesion", findings.ct).any()


@needs_slicer
def test_a_segment_on_another_grid_is_resampled(application, findings):
    fine = sitk.Resample(
        sitk.GetImageFromArray(np.zeros((4, 4, 4), np.uint8)),
        [60, 48, 36],
        sitk.Transform(),
        sitk.sitkNearestNeighbor,
        findings.ct.geometry.origin,
        [spacing / 2 for spacing in findings.ct.geometry.spacing],
        findings.ct.geometry.direction,
        0,
        sitk.sitkUInt8,
    )
    volume = from_image(fine, "fine")
    labels = ndimage.zoom(findings.lesion, 2, order=0).astype(np.uint8)
    node = application.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "fine")
    mrml.set_segments(node, labels, volume, [segments.LESION])
    got = mrml.segment_array(node, "lesion", findings.ct)
    overlap = 2 * (got & findings.lesion).sum() / (got.sum() + findings.lesion.sum())
    assert overlap > 0.8


@needs_slicer
@pytest.mark.parametrize(
    "naming",
    [
        "name",
        "total_segmentator",
        "terminology",
        "anatomical",
        "without lobe",
        "numbered",
        "plain",
        "segment",
    ],
)
def test_lobes_are_recognised_in_a_segmentation_as_in_a_file(application, findings, naming):
    node = scene_nodes.add_findings(application.scene, findings).lobes
    segmentation = node.GetSegmentation()
    for number, lobe in enumerate(LOBES):
        level = {"upper": "superior", "lower": "inferior"}.get(lobe.name.split()[1], "middle")
        called = {
            "name": lobe.name.capitalize(),
            "total_segmentator": lobe.total_segmentator,
            "terminology": f"Segment_{number}",
            "anatomical": f"{level} lobe of {lobe.side} lung",
            "without lobe": lobe.total_segmentator.replace("_lobe", ""),
            "numbered": f"{lobe.abbreviation} 1",
            "plain": f"{lobe.name.split()[1]} {lobe.side} lung",
            "segment": f"{lobe.name.capitalize()} segment",
        }
        copy = segmentation.GetSegment(lobe.abbreviation)
        copy.SetName(called[naming])
        segmentation.AddSegment(copy, f"s{number}")
        segmentation.RemoveSegment(lobe.abbreviation)
    found = mrml.lobes_from_segmentation(node, findings.ct)
    np.testing.assert_array_equal(found.labels, findings.lobes.labels)
    assert found.approximate and found.source == node.GetName()

    segmentation.RemoveSegment("s3")
    with pytest.raises(InputError, match="right middle lobe"):
        mrml.lobes_from_segmentation(node, findings.ct)
    assert not (mrml.lobes_from_segmentation(node, findings.ct, allow_missing=True).labels == 4).any()


@needs_slicer
def test_lobes_from_a_label_map_and_errors_that_name_the_node(application, findings):
    node = application.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "my lobes")
    with pytest.raises(InputError, match="my lobes: has no voxels"):
        mrml.lobes_from_segmentation(node, findings.ct)
    mrml.fill_volume_node(node, findings.lobes.labels, findings.ct)
    found = mrml.lobes_from_segmentation(node, findings.ct)
    np.testing.assert_array_equal(found.labels, findings.lobes.labels)
    assert not found.approximate
    node.SetSpacing(3, 3, 3)
    with pytest.raises(InputError, match=r"my lobes: label map has spacing .* give one made from this CT"):
        mrml.lobes_from_segmentation(node, findings.ct)
    transform = application.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Registration")
    node.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(InputError, match="my lobes: lies under the transform Registration: harden it"):
        mrml.volume_from_node(node)
    with pytest.raises(InputError, match="has no segment nothing"):
        mrml.segment_array(
            scene_nodes.add_findings(application.scene, findings).lesion, "nothing", findings.ct
        )
