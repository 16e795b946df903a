"""Lobes from label maps, segmentations and folders, and the built-in ones."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import DRAMLesionLib
from DRAMLesionLib.images.volume import Volume, from_image, to_image, write_volume
from DRAMLesionLib.lungs.lobes import LOBES, TERMINOLOGY_CONTEXT, lobe_by_name, lobe_by_terminology, lobe_of
from DRAMLesionLib.lungs.read_lobes import find_lobes, read_lobes
from DRAMLesionLib.phantom import make_phantom
from DRAMLesionLib.system.errors import InputError

SHAPE = (12, 14, 16)


@pytest.fixture
def labels() -> np.ndarray:
    """Five boxes, value 1..5."""
    array = np.zeros(SHAPE, np.uint8)
    for value, (z, x) in enumerate([(6, 9), (1, 9), (8, 2), (5, 2), (1, 2)], start=1):
        array[z : z + 3, 3:11, x : x + 5] = value
    return array


@pytest.fixture(params=["LPS", "RAS", "PIR", "SAL"])
def ct(request: pytest.FixtureRequest) -> Volume:
    """A CT whose file has other axes than the arrays, and a turned grid; air in the lobes' places."""
    image = sitk.GetImageFromArray(np.full(SHAPE, -850, np.int16))
    image.SetSpacing((1.5, 1.25, 2.5))
    image.SetOrigin((-100.0, 20.0, 7.0))
    turn = sitk.Euler3DTransform((0, 0, 0), 0.05, -0.02, 0.1).GetMatrix()
    image.SetDirection(turn)
    return from_image(sitk.DICOMOrient(image, request.param), "ct")


def write_segments(path: Path, image: sitk.Image, segments: list[dict[str, object]]) -> None:
    for number, segment in enumerate(segments):
        for key, value in segment.items():
            image.SetMetaData(f"Segment{number}_{key}", str(value))
    sitk.WriteImage(image, str(path), useCompression=True)


def test_table() -> None:
    assert [lobe.value for lobe in LOBES] == [1, 2, 3, 4, 5]
    assert [lobe.abbreviation for lobe in LOBES] == ["LUL", "LLL", "RUL", "RML", "RLL"]
    assert len({lobe.color for lobe in LOBES}) == 5
    for lobe in LOBES:
        assert lobe_by_name(lobe.abbreviation) is lobe
        assert lobe_by_name(lobe.name) is lobe
        assert lobe_by_name(lobe.total_segmentator) is lobe
        assert lobe_by_terminology(lobe.terminology) is lobe


@pytest.mark.parametrize(
    ("name", "abbreviation"),
    [
        ("Upper lobe of left lung", "LUL"),
        ("Right Middle Lobe", "RML"),
        ("right lower lobe of the lung", "RLL"),
        ("lung_lower_lobe_left", "LLL"),
        ("rul", "RUL"),
        ("lung_upper_left", "LUL"),
        ("LUL 1", "LUL"),
        ("upper left lung", "LUL"),
        ("Left upper lobe segment", "LUL"),
        ("left lower lobe (approximate)", "LLL"),
        ("LeftLowerLobe", "LLL"),
        ("RT UPPER LOBE", "RUL"),
        ("right mid lobe mask", "RML"),
        ("Lower lobe of right lung (RLL)", "RLL"),
        ("superior segment of left lower lobe", None),
        ("anterior segment of right upper lobe", None),
        ("LUL LLL", None),
        ("LUL nodule", None),
        ("left lung", None),
        ("left upper lobe lesion", None),
        ("upper abdomen left", None),
        ("", None),
    ],
)
def test_names(name: str, abbreviation: str | None) -> None:
    lobe = lobe_by_name(name)
    assert (lobe.abbreviation if lobe else None) == abbreviation


def test_a_segment_is_known_by_name_then_identifier_then_terminology() -> None:
    upper, lower = LOBES[0], LOBES[1]
    assert lobe_of("left upper lobe", "LLL", lower.terminology) is upper
    assert lobe_of("Segment_3", "lung_upper_left", lower.terminology) is upper
    assert lobe_of("Segment_3", "Segment_3", lower.terminology) is lower
    assert lobe_of("Segment_3", "Segment_3", "") is None


def test_terminology_file_has_the_codes_and_colours_of_the_table() -> None:
    path = Path(DRAMLesionLib.__file__).parent / "terminologies" / "DRAMLesion.term.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["SegmentationCategoryTypeContextName"] == TERMINOLOGY_CONTEXT
    listed = {}
    for category in content["SegmentationCodes"]["Category"]:
        for kind in category["Type"]:
            for modifier in [{}, *kind.get("Modifier", [])]:
                codes = (category["CodeValue"], kind["CodeValue"], modifier.get("CodeValue", ""))
                listed[codes] = {**kind, **modifier}.get("recommendedDisplayRGBValue")
    for lobe in LOBES:
        codes = tuple(part.split("^")[1] for part in lobe.terminology.split("~")[1:4])
        assert listed[codes] == list(lobe.color)
    assert ("49755003", "47351003", "840539006") in listed


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_own_values(tmp_path: Path, ct: Volume, labels: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"lobes{suffix}"
    write_volume(labels, ct, path)
    found = read_lobes(path, ct)
    assert np.array_equal(found.labels, labels)
    assert found.labels.dtype == np.uint8
    assert not found.approximate
    assert found.source == path.name


def test_whole_numbers_as_float(tmp_path: Path, ct: Volume, labels: np.ndarray) -> None:
    write_volume(labels.astype(np.float32), ct, tmp_path / "lobes.nii.gz")
    assert np.array_equal(read_lobes(tmp_path / "lobes.nii.gz", ct).labels, labels)


@pytest.mark.parametrize("first", [10, 13])
@pytest.mark.parametrize("organs", [False, True])
def test_total_segmentator_values(
    tmp_path: Path, ct: Volume, labels: np.ndarray, first: int, organs: bool
) -> None:
    """Version 2 and 1, the lobes alone or among organs that have the values 1..5 and, in tissue, the other's."""
    given = np.where(labels > 0, labels + (first - 1), 0).astype(np.uint8)
    hu = ct.array.copy()
    if organs:
        others = [1, 2, 3, 4, 5, 51, *(set(range(10, 18)) - set(range(first, first + 5)))]
        given[11, 0, : len(others)] = others
        hu[11, 0] = 40
    ct = Volume(hu, ct.spacing_mm, ct.geometry, ct.name)
    write_volume(given, ct, tmp_path / "total.nii.gz")
    assert np.array_equal(read_lobes(tmp_path / "total.nii.gz", ct).labels, labels)


def test_folder_of_masks(tmp_path: Path, ct: Volume, labels: np.ndarray) -> None:
    for lobe in LOBES:
        write_volume(labels == lobe.value, ct, tmp_path / f"{lobe.total_segmentator}.nii.gz")
    write_volume(labels > 0, ct, tmp_path / "heart.nii.gz")
    assert np.array_equal(read_lobes(tmp_path, ct).labels, labels)


@pytest.mark.parametrize("named", [True, False])
def test_segmentation_by_name_or_terminology(
    tmp_path: Path, ct: Volume, labels: np.ndarray, named: bool
) -> None:
    values = {lobe.value: 30 - lobe.value for lobe in LOBES}
    mapped = np.zeros_like(labels)
    segments = []
    for lobe in LOBES:
        mapped[labels == lobe.value] = values[lobe.value]
        segments.append(
            {
                "Name": lobe.name.upper() if named else f"Segment_{lobe.value}",
                "LabelValue": values[lobe.value],
                "Layer": 0,
                "Tags": ""
                if named
                else f"Segmentation.Status:inprogress|TerminologyEntry:{lobe.terminology}|",
            }
        )
    segments.append({"Name": "heart", "LabelValue": 3, "Layer": 0, "Tags": ""})
    write_segments(tmp_path / "lobes.seg.nrrd", to_image(mapped, ct), segments)
    assert np.array_equal(read_lobes(tmp_path / "lobes.seg.nrrd", ct).labels, labels)


def test_segmentation_in_layers_cropped_to_a_part_of_the_grid(
    tmp_path: Path, ct: Volume, labels: np.ndarray
) -> None:
    """Each lobe is value 1 in its own layer, as Slicer saves segments that may overlap."""
    layers = []
    filled = sitk.LabelShapeStatisticsImageFilter()
    whole = to_image(labels, ct)
    filled.Execute(sitk.Cast(whole > 0, sitk.sitkUInt8))
    box = filled.GetBoundingBox(1)
    for lobe in LOBES:
        layers.append(sitk.RegionOfInterest(to_image(labels == lobe.value, ct), box[3:], box[:3]))
    image = sitk.Compose(layers)
    assert image.GetSize() != whole.GetSize()
    segments = [{"Name": lobe.name, "LabelValue": 1, "Layer": i} for i, lobe in enumerate(LOBES)]
    write_segments(tmp_path / "lobes.seg.nrrd", image, segments)
    assert np.array_equal(read_lobes(tmp_path / "lobes.seg.nrrd", ct).labels, labels)


def test_segmentation_that_reaches_beyond_the_ct(tmp_path: Path, ct: Volume, labels: np.ndarray) -> None:
    padded = sitk.ConstantPad(to_image(labels, ct), (2, 3, 1), (1, 0, 4))
    segments = [{"Name": lobe.abbreviation, "LabelValue": lobe.value, "Layer": 0} for lobe in LOBES]
    write_segments(tmp_path / "lobes.seg.nrrd", padded, segments)
    assert np.array_equal(read_lobes(tmp_path / "lobes.seg.nrrd", ct).labels, labels)


@pytest.mark.parametrize("change", ["half a voxel", "spacing", "turned"])
def test_segmentation_off_the_grid_is_refused(
    tmp_path: Path, ct: Volume, labels: np.ndarray, change: str
) -> None:
    image = to_image(labels, ct)
    if change == "half a voxel":
        image.SetOrigin([o + s / 2 for o, s in zip(image.GetOrigin(), image.GetSpacing(), strict=True)])
    elif change == "spacing":
        image.SetSpacing([1.1 * s for s in image.GetSpacing()])
    else:
        turn = np.reshape(sitk.Euler3DTransform((0, 0, 0), 0.1, 0, 0).GetMatrix(), (3, 3))
        image.SetDirection((turn @ np.reshape(image.GetDirection(), (3, 3))).ravel())
    segments = [{"Name": lobe.name, "LabelValue": lobe.value, "Layer": 0} for lobe in LOBES]
    write_segments(tmp_path / "lobes.seg.nrrd", image, segments)
    with pytest.raises(InputError, match=r"lobes\.seg\.nrrd: lobe segmentation .*made from this CT"):
        read_lobes(tmp_path / "lobes.seg.nrrd", ct)


def test_label_map_of_another_grid_is_refused(tmp_path: Path, ct: Volume, labels: np.ndarray) -> None:
    image = to_image(labels, ct)
    sitk.WriteImage(image[:, :, 1:], str(tmp_path / "lobes.nii.gz"))
    with pytest.raises(InputError, match=r"lobes\.nii\.gz: lobe mask has size"):
        read_lobes(tmp_path / "lobes.nii.gz", ct)


def test_missing_lobe_is_named_and_can_be_allowed(tmp_path: Path, ct: Volume, labels: np.ndarray) -> None:
    labels[labels == 4] = 3
    write_volume(labels, ct, tmp_path / "lobes.nii.gz")
    with pytest.raises(
        InputError, match=r"lobes\.nii\.gz: .*right middle lobe \(RML\).*--allow-missing-lobes"
    ):
        read_lobes(tmp_path / "lobes.nii.gz", ct)
    assert np.array_equal(read_lobes(tmp_path / "lobes.nii.gz", ct, allow_missing=True).labels, labels)


def test_nothing_recognisable_is_listed(tmp_path: Path, ct: Volume, labels: np.ndarray) -> None:
    write_volume(np.where(labels > 0, 7, 0).astype(np.uint8), ct, tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match=r"a\.nii\.gz: no lobes among its values \(7\)"):
        read_lobes(tmp_path / "a.nii.gz", ct)
    write_volume(np.zeros_like(labels), ct, tmp_path / "b.nii.gz")
    with pytest.raises(InputError, match=r"b\.nii\.gz: no lobes"):
        read_lobes(tmp_path / "b.nii.gz", ct, allow_missing=True)
    write_volume(labels * np.float32(0.3), ct, tmp_path / "c.nii.gz")
    with pytest.raises(InputError, match=r"c\.nii\.gz: has fractional values"):
        read_lobes(tmp_path / "c.nii.gz", ct)
    write_segments(tmp_path / "d.seg.nrrd", to_image(labels, ct), [{"Name": "heart", "LabelValue": 1}])
    with pytest.raises(InputError, match=r"d\.seg\.nrrd: no lobes among its segments \(heart\)"):
        read_lobes(tmp_path / "d.seg.nrrd", ct)
    with pytest.raises(InputError, match=r"no lobe masks in this folder \(a\.nii\.gz"):
        read_lobes(tmp_path, ct)
    with pytest.raises(InputError, match="no such file or folder"):
        read_lobes(tmp_path / "nowhere.nii.gz", ct)


def test_two_segments_for_one_lobe_are_refused(tmp_path: Path, ct: Volume, labels: np.ndarray) -> None:
    segments = [{"Name": "LUL", "LabelValue": 1}, {"Name": "left upper lobe", "LabelValue": 2}]
    write_segments(tmp_path / "lobes.seg.nrrd", to_image(labels, ct), segments)
    with pytest.raises(InputError, match="LUL and left upper lobe are both the left upper lobe"):
        read_lobes(tmp_path / "lobes.seg.nrrd", ct)


def test_built_in_lobes_are_called_approximate(tmp_path: Path) -> None:
    phantom = make_phantom((100, 100, 70), (3.4, 3.4, 4.2), seed=1, severity=10)
    stages: list[tuple[str, float]] = []
    found = find_lobes(phantom.ct, progress=lambda stage, fraction: stages.append((stage, fraction)))
    assert found.approximate
    assert "approximate" in found.source
    assert set(np.unique(found.labels)) == {0, 1, 2, 3, 4, 5}
    assert stages[-1] == ("Lobes", 1.0)
    truth = phantom.lobes.labels
    for value in range(1, 6):
        assert 2 * np.sum((found.labels == value) & (truth == value)) > 0.6 * (
            np.sum(found.labels == value) + np.sum(truth == value)
        )


def test_given_lobes_are_read_instead(tmp_path: Path, ct: Volume, labels: np.ndarray) -> None:
    write_volume(labels, ct, tmp_path / "lobes.nii.gz")
    found = find_lobes(ct, tmp_path / "lobes.nii.gz")
    assert np.array_equal(found.labels, labels)
    assert not found.approximate


def test_scan_without_lungs(ct: Volume) -> None:
    water = Volume(np.full(SHAPE, 30, np.int16), ct.spacing_mm, ct.geometry, "head", Path("head.nii.gz"))
    with pytest.raises(InputError, match=r"head\.nii\.gz: no lungs found.*--lobes"):
        find_lobes(water)
