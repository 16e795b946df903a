"""The scene's bundle and its pictures, segmentation files without Slicer, and the process that makes them."""

import ctypes.util
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from small_scene import TURN, make_findings, make_image, names, needs_slicer

from DRAMLesionLib.images.volume import from_image, to_image
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results import seg_nrrd, segments
from DRAMLesionLib.results.colors import map_colors
from DRAMLesionLib.results.scene import available, headless, mrml, process
from DRAMLesionLib.results.scene import nodes as scene_nodes
from DRAMLesionLib.system.progress import silent

ODD_NAME = "Übung 1" if sys.platform == "win32" else "Übung\n1"


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
def test_folder_gets_bundle_and_pictures_the_right_way_round(tmp_path, monkeypatch):
    """A lesion in the left lung's lower part must be drawn on the right, and low in the coronal picture."""
    straight = from_image(
        sitk.DICOMOrient(sitk.GetImageFromArray(np.full((40, 48, 56), -900, np.int16)), "RIP"), "p"
    )
    findings = make_findings(straight)
    findings.lesion[:] = 0
    findings.lesion[6:14, 30:38, 40:50] = 1
    findings.dram[:] = findings.lesion
    told: list[str] = []
    monkeypatch.chdir(tmp_path)
    folder = Path(ODD_NAME)  # relative, as people type it
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


def test_stopped_it_does_not_wait_for_a_child_that_tells_nothing_more(tmp_path, findings, monkeypatch):
    monkeypatch.setattr(process, "is_available", lambda: True)
    work = "input(); print('progress\\tat work\\t0', flush=True); import time; time.sleep(20)"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}

    def cancel(stage, _fraction):
        if stage == "at work":
            raise InterruptedError

    with (
        tempfile.TemporaryFile() as stderr,
        subprocess.Popen([sys.executable, "-c", work], text=True, **pipes) as running,
    ):
        making = process.begin_scene_folder(findings, tmp_path, process.Child(running, stderr))
        with pytest.raises(InterruptedError):
            making.finish(cancel)
        making.stop()
        assert running.returncode != 0  # killed: by itself it would have ended well
    assert names(tmp_path) == []
