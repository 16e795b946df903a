"""Our bundle is Slicer's own, but for how the volumes are packed; the pictures' surfaces may be coarser than voxels."""

import zipfile

import numpy as np
import pytest
import SimpleITK as sitk
from small_scene import make_findings, make_image, needs_slicer

from DRAMLesionLib.images.volume import from_image
from DRAMLesionLib.results.scene import bundle, headless
from DRAMLesionLib.results.scene.available import SceneUnavailable
from DRAMLesionLib.results.scene.nodes import add_findings
from DRAMLesionLib.results.scene.surfaces import drop_surfaces, making_surfaces

pytestmark = needs_slicer
FLIPPED = np.diag([1, -1, 1])


def unpacked(path, folder):
    with zipfile.ZipFile(path) as file:
        file.extractall(folder)
        modes = {entry.filename: entry.external_attr for entry in file.infolist()}
    return {str(one.relative_to(folder)): one for one in folder.rglob("*") if one.is_file()}, modes


def without_notes(path):
    """A table of colours notes the file's whole path."""
    return [line for line in path.read_bytes().splitlines() if not line.startswith(b"# Color table")]


@pytest.fixture
def opened():
    with headless.open_scene(make_findings(from_image(make_image(FLIPPED), "patient"))) as scene:
        for node in (scene.nodes.ct, scene.nodes.heatmap):
            node.AddDefaultStorageNode()
        yield scene


def test_it_holds_what_slicers_own_writer_gives(tmp_path, opened):
    volumes = (opened.nodes.ct, opened.nodes.heatmap)
    images = [node.GetImageData() for node in volumes]
    for name in ("slicers", "ours"):
        (tmp_path / name).mkdir()
    assert opened.application.scene.WriteToMRB(str(tmp_path / "slicers" / "scene.mrb"))
    written = bundle.write_bundle(opened.application.scene, volumes, tmp_path / "ours", "scene.mrb")
    assert [one.name for one in (tmp_path / "ours").iterdir()] == ["scene.mrb"]
    assert [node.GetImageData() for node in volumes] == images
    expected, modes = unpacked(tmp_path / "slicers" / "scene.mrb", tmp_path / "a")
    found, found_modes = unpacked(written, tmp_path / "b")
    assert found.keys() == expected.keys() and found_modes == modes
    volumes_seen = 0
    for name, path in found.items():
        if name.endswith(".nrrd") and not name.endswith(".seg.nrrd"):
            ours, theirs = sitk.ReadImage(str(path)), sitk.ReadImage(str(expected[name]))
            np.testing.assert_array_equal(sitk.GetArrayFromImage(ours), sitk.GetArrayFromImage(theirs))
            headers = (file.read_bytes().partition(b"\n\n")[0] for file in (path, expected[name]))
            assert len(set(headers)) == 1
            volumes_seen += 1
        else:
            assert without_notes(path) == without_notes(expected[name]), name
    assert volumes_seen == 2


def test_a_volume_that_slicer_writes_otherwise_is_told_and_stays(tmp_path, opened):
    heatmap = opened.nodes.heatmap
    heatmap.GetStorageNode().SetDefaultWriteFileExtension("nii")
    image = heatmap.GetImageData()
    with pytest.raises(SceneUnavailable, match="otherwise than as NRRD"):
        bundle.write_bundle(opened.application.scene, (heatmap,), tmp_path, "scene.mrb")
    assert heatmap.GetImageData() is image


def test_coarser_surfaces_have_fewer_points_in_the_same_place(application):
    findings = make_findings(from_image(make_image(FLIPPED), "patient"))

    def surfaces(finest_mm):
        nodes = add_findings(application.scene, findings)
        for node in (nodes.lobes, nodes.lesion):
            node.GetSegmentation().RemoveRepresentation("Closed surface")
        steps = list(making_surfaces([nodes.lobes, nodes.lesion], finest_mm))
        assert steps == ["LUL", "LLL", "RUL", "RML", "RLL", "lesion"]
        segmentation = nodes.lobes.GetSegmentation()
        assert segmentation.ContainsRepresentation("Closed surface")
        return [segmentation.GetSegment(name).GetRepresentation("Closed surface") for name in steps[:5]]

    fine = [(one.GetNumberOfPoints(), np.array(one.GetBounds())) for one in surfaces(0.0)]
    for (points, bounds), coarse in zip(fine, surfaces(2.4), strict=True):  # every third column, second row
        assert 0 < coarse.GetNumberOfPoints() < 0.5 * points
        assert np.abs(np.array(coarse.GetBounds()) - bounds).max() < 2.4


def test_a_view_that_looks_between_the_steps_finds_no_surface_to_complete(application):
    nodes = add_findings(application.scene, make_findings(from_image(make_image(FLIPPED), "patient")))
    drop_surfaces(nodes.lobes)
    segmentation = nodes.lobes.GetSegmentation()

    def attached():
        names = segmentation.GetSegmentIDs()
        return [
            segmentation.GetSegment(name).GetRepresentation("Closed surface") is not None for name in names
        ]

    for _segment in making_surfaces([nodes.lobes]):
        assert not any(attached())
    assert all(attached())


def test_what_is_painted_between_the_steps_gets_no_surface_of_before(application):
    nodes = add_findings(application.scene, make_findings(from_image(make_image(FLIPPED), "patient")))
    drop_surfaces(nodes.lesion)
    segment = nodes.lesion.GetSegmentation().GetNthSegment(0)
    steps = making_surfaces([nodes.lesion])
    next(steps)
    labelmap = segment.GetRepresentation("Binary labelmap")
    from vtk.util.numpy_support import vtk_to_numpy

    voxels = vtk_to_numpy(labelmap.GetPointData().GetScalars())
    voxels[:] = 0
    voxels[voxels.size // 2] = 1
    labelmap.Modified()
    assert list(steps) == []
    bounds = np.array(segment.GetRepresentation("Closed surface").GetBounds()).reshape(3, 2)
    assert (bounds[:, 1] - bounds[:, 0] < 6).all()
