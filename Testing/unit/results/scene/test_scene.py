"""Scenes: findings to MRML nodes and back, the bundle and its pictures, segmentation files without Slicer."""

import ctypes.util
import itertools
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from DRAMLesionLib.images.volume import Volume, from_image, to_image
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lungs.lobes import LOBES, LobeMap
from DRAMLesionLib.results import seg_nrrd, segments
from DRAMLesionLib.results.colors import map_colors
from DRAMLesionLib.results.scene import available, headless, mrml, process
from DRAMLesionLib.results.scene import nodes as scene_nodes
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import silent

needs_slicer = pytest.mark.skipif(not available.is_available(), reason="slicer-core is not installed")
SHAPE = (18, 24, 30)
ODD_NAME = "Übung 1" if sys.platform == "win32" else "Übung\n1"
TURN = ((0.36, 0.48, -0.8), (-0.8, 0.6, 0.0), (0.48, 0.64, 0.6))


def make_image(orientation: np.ndarray, seed: int = 0) -> sitk.Image:
    array = np.random.default_rng(seed).integers(-1000, 400, SHAPE).astype(np.int16)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.8, 1.1, 2.5))
    image.SetOrigin((-31.25, 17.5, -203.125))
    image.SetDirection(orientation.ravel().tolist())
    return image


def directions() -> dict[str, np.ndarray]:
    """The 48 axis orders and flips, each also turned by an oblique angle of some degrees."""
    axis = np.array([0.6, 0.0, 0.8])
    cross = np.cross(np.eye(3), axis)
    angle = np.radians(11)
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    found = {}
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            straight = np.eye(3)[:, list(order)] * signs
            found[f"{order}{signs}"] = straight
            found[f"{order}{signs} oblique"] = turn @ straight
    return found


def make_findings(ct: Volume, approximate: bool = True) -> Findings:
    """Five blocks for lobes and a ball of lesion that crosses two of them."""
    shape = ct.array.shape
    z, y, x = np.indices(shape)
    labels = np.zeros(shape, np.uint8)
    inside = (y > 3) & (y < shape[1] - 3) & (z > 1) & (z < shape[0] - 2)
    left, low = x > shape[2] // 2, z < shape[0] // 2
    right = x < shape[2] // 2 - 2
    labels[inside & left & ~low], labels[inside & left & low] = 1, 2
    labels[inside & right & ~low] = 3
    labels[inside & right & low & (y <= shape[1] // 2)] = 4
    labels[inside & right & low & (y > shape[1] // 2)] = 5
    center = np.array(shape) * (0.45, 0.6, 0.7)
    distance = np.sqrt(sum((c - m) ** 2 for c, m in zip((z, y, x), center, strict=True)))
    lesion = ((distance < min(shape) / 4) & (labels > 0)).astype(np.uint8)
    dram = (np.clip(1.2 - distance / min(shape) * 2.5, 0, 1) * (labels > 0)).astype(np.float32)
    lobes = LobeMap(labels, approximate, "blocks")
    return Findings(ct, lobes, dram, lesion, quantify(ct.array, lobes, lesion, ct.spacing_mm, dram))


@pytest.fixture(scope="module")
def ct() -> Volume:
    return from_image(make_image(np.array(TURN) @ np.diag([1, -1, 1])), "patient")


@pytest.fixture(scope="module")
def findings(ct) -> Findings:
    return make_findings(ct)


@pytest.fixture()
def application():
    with headless.start() as started:
        yield started


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def ras_matrix(node) -> np.ndarray:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])


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


@needs_slicer
@pytest.mark.parametrize("flip", [1, -1])
def test_bundle_opens_again_with_everything_in_its_place(tmp_path, flip):
    import slicer

    ct = from_image(make_image(np.array(TURN) * [1, 1, flip]), "patient")
    findings = make_findings(ct)
    headless.write_scene(findings, tmp_path / "scene.mrb")
    assert names(tmp_path) == ["scene.mrb"]
    with zipfile.ZipFile(tmp_path / "scene.mrb") as bundle:
        bundle.extract("scene/Data/patient.nrrd", tmp_path)
    stored = sitk.ReadImage(str(tmp_path / "scene/Data/patient.nrrd"))
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(stored), sitk.GetArrayFromImage(to_image(ct.array, ct))
    )
    np.testing.assert_allclose(stored.GetDirection(), ct.geometry.direction, atol=1e-9)
    np.testing.assert_allclose(stored.GetOrigin(), ct.geometry.origin, atol=1e-9)

    with headless.start() as application:
        reread = application.scene
        assert reread.ReadFromMRB(str(tmp_path / "scene.mrb"), True)
        ct_node = reread.GetFirstNodeByName("patient")
        back = mrml.volume_from_node(ct_node)
        # Slicer's reader may turn an axis of a left-handed grid round: the same points have the same values.
        np.testing.assert_array_equal(back.array, ct.array)
        np.testing.assert_allclose(
            back.geometry.canonical().matrix, ct.geometry.canonical().matrix, atol=1e-6
        )
        heatmap = reread.GetFirstNodeByName("patient lesion map")
        np.testing.assert_array_equal(mrml.volume_from_node(heatmap).array, findings.dram)
        display = heatmap.GetDisplayNode()
        assert display.GetApplyThreshold() and display.GetLowerThreshold() == pytest.approx(0.1)
        color = np.zeros(4)
        assert display.GetColorNode().GetNumberOfColors() == 256
        display.GetColorNode().GetColor(255, color)
        np.testing.assert_allclose(color[:3], map_colors(np.array(1.0)), atol=0.005)
        lesion = reread.GetFirstNodeByName("patient lesion")
        np.testing.assert_array_equal(mrml.segment_array(lesion, "lesion", ct), findings.lesion)
        assert lesion.GetSegmentation().ContainsRepresentation("Closed surface")
        lobes = reread.GetFirstNodeByName("patient Lobes (approximate)")
        found = mrml.lobes_from_segmentation(lobes, ct)
        np.testing.assert_array_equal(found.labels, findings.lobes.labels)
        assert found.approximate
        assert reread.GetFirstNodeByName("patient lesion per lobe").GetNumberOfRows() == 8
        for view in ("Red", "Yellow", "Green"):
            composite = reread.GetNodeByID(f"vtkMRMLSliceCompositeNode{view}")
            assert composite.GetBackgroundVolumeID() == ct_node.GetID()
            assert composite.GetForegroundVolumeID() == heatmap.GetID()
            assert composite.GetForegroundOpacity() == pytest.approx(0.5)
        layout = reread.GetFirstNodeByClass("vtkMRMLLayoutNode")
        assert layout.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView


def test_segmentation_file_needs_no_slicer(tmp_path, findings, monkeypatch):
    for module in ("slicer", "vtk"):
        monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / "lesion.seg.nrrd"
    seg_nrrd.write_segmentation(findings, path)
    image = sitk.ReadImage(str(path))
    assert image.GetPixelID() == sitk.sitkUInt8
    assert image.GetDirection() == pytest.approx(findings.ct.geometry.direction, abs=1e-12)
    np.testing.assert_array_equal(from_image(image, "").array, findings.lesion)
    assert image.GetMetaData("Segment0_ID") == "lesion"
    assert image.GetMetaData("Segment0_Extent") == " ".join(f"0 {n - 1}" for n in image.GetSize())


@needs_slicer
def test_slicer_reads_the_segmentation_file(tmp_path, findings, application):
    import slicer

    path = tmp_path / "lobes.seg.nrrd"
    seg_nrrd.write_labels(findings.lobes.labels, findings.ct, segments.LOBE_SEGMENTS, path)
    node = application.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "read")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    segmentation = node.GetSegmentation()
    assert list(segmentation.GetSegmentIDs()) == [lobe.abbreviation for lobe in LOBES]
    for lobe in LOBES:
        segment = segmentation.GetSegment(lobe.abbreviation)
        assert segment.GetName() == lobe.name
        assert segment.GetTerminology() == lobe.terminology
        np.testing.assert_allclose(segment.GetColor(), np.array(lobe.color) / 255, atol=1e-5)
        expected = findings.lobes.labels == lobe.value
        np.testing.assert_array_equal(
            mrml.segment_array(node, lobe.abbreviation, findings.ct), expected, err_msg=lobe.name
        )
    assert segmentation.ContainsRepresentation("Closed surface")
    # The grid that Slicer itself would note for this CT.
    reference = scene_nodes.add_findings(application.scene, findings).lobes.GetSegmentation()
    key = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    ours, its = (
        np.array([float(v) for v in s.GetConversionParameter(key).split(";") if v])
        for s in (segmentation, reference)
    )
    np.testing.assert_allclose(ours, its, atol=1e-6)


@needs_slicer
def test_folder_gets_bundle_and_pictures_the_right_way_round(tmp_path):
    """A lesion in the left lung's lower part must be drawn on the right, and low in the coronal picture."""
    straight = from_image(
        sitk.DICOMOrient(sitk.GetImageFromArray(np.full((40, 48, 56), -900, np.int16)), "RIP"), "p"
    )
    findings = make_findings(straight)
    findings.lesion[:] = 0
    findings.lesion[6:14, 30:38, 40:50] = 1
    findings.dram[:] = findings.lesion
    told: list[str] = []
    folder = tmp_path / ODD_NAME
    folder.mkdir()
    try:
        written = process.write_scene_folder(findings, folder, lambda stage, fraction: told.append(stage))
    except available.SceneUnavailable as reason:
        assert [path.name for path in reason.written] == ["scene.mrb"]
        pytest.skip(str(reason))
    assert [path.name for path in written] == [
        "scene.mrb",
        "view_axial.png",
        "view_coronal.png",
        "view_3d.png",
    ]
    assert names(folder) == sorted(path.name for path in written)
    assert "Scene: pictures" in told
    axial, coronal, three_d = (lesion_center(path) for path in written[1:])
    assert axial[1] > 0.55 and axial[0] > 0.55  # posterior is below, the patient's left on the right
    assert coronal[1] > 0.55 and coronal[0] > 0.6
    assert three_d[1] > 0.55 and three_d[0] > 0.55


def lesion_center(path: Path) -> tuple[float, float]:
    """Where the lesion's colour lies in a picture: parts of the height (downwards) and the width."""
    picture = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[..., :3].astype(int)
    violet = (picture[..., 0] > 100) & (picture[..., 1] < 80) & (picture[..., 2] > 140)
    assert violet.sum() > 50, path.name
    rows, columns = np.nonzero(violet)
    return rows.mean() / violet.shape[0], columns.mean() / violet.shape[1]


@needs_slicer
@pytest.mark.skipif(
    not sys.platform.startswith("linux") or ctypes.util.find_library("OSMesa") is not None,
    reason="needs a rendering backend that does not work",
)
def test_a_crash_of_the_renderer_is_one_line_and_keeps_the_bundle(tmp_path, findings, monkeypatch):
    monkeypatch.setenv(process.BACKEND_VARIABLE, "vtkOSOpenGLRenderWindow")
    with pytest.raises(available.SceneUnavailable) as caught:
        process.write_scene_folder(findings, tmp_path)
    assert "\n" not in str(caught.value)
    assert "pictures" in str(caught.value)
    assert caught.value.written == [tmp_path / "scene.mrb"]
    assert names(tmp_path) == ["scene.mrb"]


@needs_slicer
def test_stopping_and_lateness_leave_nothing(tmp_path, findings):
    class Stop(Exception):
        pass

    def stop(stage, fraction):
        raise Stop

    with pytest.raises(Stop):
        process.write_scene_folder(findings, tmp_path, stop)
    with pytest.raises(available.SceneUnavailable, match=r"more than 0\.2 s"):
        process.write_scene_folder(findings, tmp_path, timeout_s=0.2)
    assert names(tmp_path) == []


@needs_slicer
def test_a_child_that_gets_no_work_ends_with_who_waited_for_it():
    with pytest.raises(KeyError), process.waiting_child() as child:
        assert child.process.poll() is None
        raise KeyError
    assert child.process.poll() is not None and child.process.stdin.closed and child.stderr.closed


def test_without_slicer_core_the_reason_says_what_to_install(tmp_path, findings, monkeypatch):
    monkeypatch.setattr(process, "is_available", lambda: False)
    with pytest.raises(available.SceneUnavailable, match="pip install 'slicer-core>="):
        process.write_scene_folder(findings, tmp_path)
    assert names(tmp_path) == []


def test_begun_beside_other_work_it_tells_its_progress_and_result_to_who_waits(tmp_path):
    def write(progress):
        progress("one", 0.5)
        progress("two", 0.9)
        return [tmp_path / "scene.mrb"]

    told = []
    making = process.Making(write)
    assert making.finish(lambda *what: told.append(what)) == [tmp_path / "scene.mrb"]
    assert told == [("one", 0.5), ("two", 0.9)]
    making.stop()  # of one that has ended, nothing

    def fail(progress):
        raise available.SceneUnavailable("no display")

    with pytest.raises(available.SceneUnavailable, match="no display"):
        process.Making(fail).finish(silent)


def test_stopped_it_ends_at_the_next_word_and_is_waited_for(tmp_path):
    left = []

    def write(progress):
        try:
            for _ in range(500):
                time.sleep(0.01)
                progress("working", 0.0)
            return []
        finally:
            left.append("cleaned")

    making = process.Making(write)
    making.stop()
    assert left == ["cleaned"]
    with pytest.raises(InterruptedError):
        making.finish(silent)
