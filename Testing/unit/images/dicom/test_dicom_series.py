"""DICOM folders: series are listed and chosen, slices sorted and checked, values rescaled."""

import re

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    BasicTextSRStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from DRAMLesionLib.images import volume
from DRAMLesionLib.images.dicom import series as dicom
from DRAMLesionLib.system.errors import InputError

AXIAL = (1, 0, 0, 0, 1, 0)
ROWS, COLUMNS = 12, 10


def hounsfield(slices, seed=0):
    """int16 (z, y, x) of air and soft tissue."""
    values = np.random.default_rng(seed).choice([-1000, -850, 0, 40, 700], (slices, ROWS, COLUMNS))
    return values.astype(np.int16)


def write_slice(path, values, origin, **changes):
    """One CT slice; ``values`` are HU, stored by the rescale in ``changes``."""
    slope, intercept = changes.pop("rescale", (1, -1024))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    data.SeriesInstanceUID, data.Modality, data.PatientName = "1.2.3.1", "CT", "Secret^Name"
    data.StudyInstanceUID, data.SeriesDescription, data.InstanceNumber = "1.2.3", "Thorax 2.5", 1
    data.Rows, data.Columns = values.shape
    data.PixelSpacing, data.SliceThickness = [0.8, 0.7], 2.5
    data.ImageOrientationPatient = list(changes.pop("orientation", AXIAL))
    data.ImagePositionPatient = [f"{value:.8g}" for value in origin]
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.RescaleSlope, data.RescaleIntercept = slope, intercept
    for key, value in changes.items():
        setattr(data, key, value)
    data.PixelData = np.rint((values - intercept) / slope).astype(np.uint16).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def write_series(folder, origins, prefix="slice", values=None, each=lambda index: {}, **changes):
    """Slices at ``origins`` (a list of z in mm, or of points); files in shuffled order of name and number."""
    values = hounsfield(len(origins)) if values is None else values
    names = np.random.default_rng(3).permutation(len(origins))
    for index, origin in enumerate(origins):
        point = (-35.0, -20.0, origin) if np.isscalar(origin) else origin
        more = {"InstanceNumber": int(names[index]) + 1, **changes, **each(index)}
        write_slice(folder / f"{prefix}{names[index]:03d}.dcm", values[index], point, **more)
    return values


def even(count, step=2.5, first=-100.0):
    return [first + step * index for index in range(count)]


def refusal(path, **arguments):
    with pytest.raises(InputError) as caught:
        volume.read_ct(path, **arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


# --- one good series -----------------------------------------------------------------------------------------------


def test_a_folder_is_read_in_the_order_of_positions_with_its_geometry(tmp_path):
    values = write_series(tmp_path / "thorax", even(8))
    ct = volume.read_ct(tmp_path / "thorax")
    np.testing.assert_array_equal(ct.array, values)
    assert (ct.array.dtype, ct.name, ct.warnings) == (np.int16, "thorax", ())
    assert ct.spacing_mm == pytest.approx((2.5, 0.8, 0.7))
    assert ct.geometry.origin == pytest.approx((-35, -20, -100))
    assert ct.geometry.size == (COLUMNS, ROWS, 8)
    assert ct.geometry.orientation == "LPS"


def test_the_patients_name_is_not_kept(tmp_path):
    write_series(tmp_path, even(4))
    assert "Secret" not in repr((volume.read_ct(tmp_path), dicom.list_series(tmp_path)))


@pytest.mark.parametrize(
    ("orientation", "code"),
    [
        (AXIAL, "LPS"),
        ((-1, 0, 0, 0, -1, 0), "RAS"),
        ((1, 0, 0, 0, 0, -1), "LIP"),
        ((0, 1, 0, 0, 0, -1), "PIR"),
        ((0.98480775, 0.17364818, 0, -0.17364818, 0.98480775, 0), "LPS"),
    ],
)
def test_every_direction_of_slices_is_placed_by_its_normal(tmp_path, orientation, code):
    row, column = np.array(orientation[:3], float), np.array(orientation[3:], float)
    normal = np.cross(row, column)
    origins = [np.array([10.0, 20.0, 30.0]) + 2.5 * index * normal for index in range(6)]
    values = write_series(tmp_path, origins, orientation=orientation)
    ct = volume.read_ct(tmp_path)
    assert ct.geometry.orientation == code
    # The stored value of slice 4, row 2, column 3 lies where DICOM's own formula (PS3.3 C.7.6.2.1.1) puts it.
    point = origins[4] + 3 * 0.7 * row + 2 * 0.8 * column
    index = np.rint(np.linalg.inv(ct.geometry.canonical().matrix) @ [*point, 1])[:3].astype(int)
    np.testing.assert_allclose(ct.geometry.canonical().matrix @ [*index, 1], [*point, 1], atol=1e-3)
    assert ct.array[tuple(index[::-1])] == values[4, 2, 3]
    stored = volume.to_image(ct.array, ct)
    assert stored.GetPixel(3, 2, 4) == values[4, 2, 3]


def test_slope_and_intercept_of_each_slice_are_applied(tmp_path):
    rescales = [(1, -1024), (2, -1000), (1, 0), (5, -3000), (1, -1024)]
    values = hounsfield(5)
    values[2] = np.abs(values[2])
    write_series(tmp_path, even(5), values=values, each=lambda index: {"rescale": rescales[index]})
    ct = volume.read_ct(tmp_path)
    np.testing.assert_array_equal(ct.array, values)
    assert ct.array.dtype == np.int16


@pytest.mark.parametrize("fractional", (0, 3))
def test_a_fractional_slope_in_any_slice_keeps_its_fractions(tmp_path, fractional):
    write_series(
        tmp_path, even(5), each=lambda index: {"rescale": (0.3, -1024.1)} if index == fractional else {}
    )
    ct = volume.read_ct(tmp_path)
    expected = hounsfield(5).astype(float)
    stored = np.rint((expected[fractional] + 1024.1) / 0.3)
    expected[fractional] = stored * 0.3 - 1024.1
    assert ct.array.dtype == np.float32
    np.testing.assert_allclose(ct.array, expected, atol=1e-3)


def test_a_file_stands_for_its_series_in_its_folder(tmp_path):
    values = write_series(tmp_path, even(6))
    write_series(tmp_path, even(3), prefix="scout", SeriesInstanceUID="1.2.3.2")
    ct = volume.read_ct(tmp_path / "slice002.dcm")
    np.testing.assert_array_equal(ct.array, values)
    assert ct.warnings == ("read with the 5 other slices of its series in its folder",)
    assert "belongs to series 1.2.3.1" in refusal(tmp_path / "slice002.dcm", series="1.2.3.2")


def test_files_without_suffix_in_subfolders_are_found(tmp_path):
    values = hounsfield(6)
    for index, place in enumerate(even(6)):
        write_slice(tmp_path / f"part{index % 2}" / f"IM{index}", values[index], (0, 0, place))
    np.testing.assert_array_equal(volume.read_ct(tmp_path).array, values)


def report_bytes(folder):
    """A DICOM structured report: no image in it."""
    path = write_slice(folder / "report.dcm", np.zeros((ROWS, COLUMNS)), (0, 0, 0))
    data = pydicom.dcmread(path)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    for key in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelSpacing"):
        delattr(data, key)
    data.save_as(path, enforce_file_format=True)
    return path.read_bytes()


def test_other_files_are_passed_over_and_dicom_ones_without_image_are_told_of(tmp_path):
    values = write_series(tmp_path, even(6))
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "VERSION").write_text("1")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "report.dcm").write_bytes(report_bytes(tmp_path))
    ct = volume.read_ct(tmp_path)
    np.testing.assert_array_equal(ct.array, values)
    assert ct.warnings == ("DICOM files in the folder that hold no image of a scan: 1",)


def test_thin_slices_far_apart_are_told_of(tmp_path):
    write_series(tmp_path, even(6, step=10), SliceThickness=1)
    (warning,) = volume.read_ct(tmp_path).warnings
    assert "1 mm thick lie 10 mm apart" in warning


def test_results_keep_the_geometry_of_the_series(tmp_path):
    write_series(
        tmp_path / "in", even(6), orientation=(0, 1, 0, 0, 0, -1), values=hounsfield(6)
    ) if False else None
    row, column = (0.0, 1.0, 0.0), (0.0, 0.0, -1.0)
    normal = np.cross(row, column)
    write_series(tmp_path / "in", [normal * 2.5 * index for index in range(6)], orientation=(*row, *column))
    ct = volume.read_ct(tmp_path / "in")
    volume.write_volume(ct.array < 0, ct, tmp_path / "lesion.nii.gz")
    np.testing.assert_array_equal(volume.read_on_grid(tmp_path / "lesion.nii.gz", ct), ct.array < 0)


# --- several series ------------------------------------------------------------------------------------------------


@pytest.fixture
def two_series(tmp_path):
    write_series(tmp_path, even(6), SeriesInstanceUID="1.2.840.5.11")
    write_series(
        tmp_path,
        even(2),
        prefix="scout",
        values=hounsfield(2, seed=9),
        SeriesInstanceUID="1.2.840.5.27",
        SeriesDescription="Localiser",
    )
    return tmp_path


def test_series_are_listed_with_the_largest_first(two_series):
    large, small = dicom.list_series(two_series)
    assert (large.uid, large.description, large.modality) == ("1.2.840.5.11", "Thorax 2.5", "CT")
    assert (large.slices, large.size) == (6, (COLUMNS, ROWS, 6))
    assert large.spacing_mm == pytest.approx((2.5, 0.8, 0.7))
    assert (small.uid, small.description, small.slices) == ("1.2.840.5.27", "Localiser", 2)
    assert len(large.files) == 6
    places = [float(pydicom.dcmread(file).ImagePositionPatient[2]) for file in large.files]
    assert places == sorted(places)


def test_several_series_are_never_guessed_among(two_series):
    message = refusal(two_series)
    assert "holds 2 series: choose one with --series UID" in message
    assert "1.2.840.5.11 (CT Thorax 2.5, 6 slices)" in message
    assert "1.2.840.5.27 (CT Localiser, 2 slices)" in message


@pytest.mark.parametrize(
    ("wanted", "slices"), [("1.2.840.5.11", 6), ("11", 6), ("1.2.840.5.2", 2), ("5.27", 2)]
)
def test_a_series_is_chosen_by_its_uid_or_an_end_of_it(two_series, wanted, slices):
    assert volume.read_ct(two_series, wanted).array.shape[0] == slices


def test_an_unknown_or_unclear_series_is_refused_with_the_list(two_series):
    assert "holds no series 9.9: choose one of: 1.2.840.5.11" in refusal(two_series, series="9.9")
    assert "1.2.840 fits 2 series" in refusal(two_series, series="1.2.840")


def test_a_uid_that_begins_another_is_still_chosen_exactly(tmp_path):
    write_series(tmp_path, even(6), SeriesInstanceUID="1.2.3")
    write_series(tmp_path, even(3), prefix="other", SeriesInstanceUID="1.2.3.4")
    assert volume.read_ct(tmp_path, "1.2.3").array.shape[0] == 6


# --- grids that are refused ----------------------------------------------------------------------------------------


def test_missing_slices_are_counted_and_placed(tmp_path):
    places = even(20)
    write_series(tmp_path, [place for index, place in enumerate(places) if index not in (5, 11, 12)])
    message = refusal(tmp_path)
    assert "3 slices are missing (between -90.00 and -85.00 mm, between -75.00 and -67.50 mm;" in message
    assert "the others are 2.5 mm apart" in message


def test_one_missing_slice_is_found(tmp_path):
    write_series(tmp_path, [place for place in even(12) if place != -75.0])
    assert "1 slice is missing (between -77.50 and -72.50 mm" in refusal(tmp_path)


def test_uneven_slices_are_named(tmp_path):
    write_series(tmp_path, [*even(8), -81.2, -79.9, -77.0])
    message = refusal(tmp_path)
    assert "spaced unevenly (1.3 to 2.9 mm, usually 2.5 mm, most uneven at -82.50 mm)" in message


def test_two_spacings_in_one_series_are_uneven_not_missing(tmp_path):
    write_series(tmp_path, [*even(8, 1.0), *even(8, 5.0, -88.0)])
    assert "spaced unevenly" in refusal(tmp_path)


def test_rounded_positions_are_even_enough(tmp_path):
    write_series(tmp_path, [round(place, 1) for place in even(12, step=1.25)], each=lambda index: {})
    assert volume.read_ct(tmp_path).spacing_mm[0] == pytest.approx(1.25, abs=0.01)


def test_duplicate_slices_are_named(tmp_path):
    write_series(tmp_path, [*even(6), -95.0])
    message = refusal(tmp_path)
    assert "1 slices are at the same place as another (first at -95.00 mm" in message
    assert len(re.findall(r"slice\d+\.dcm", message)) == 2


def test_slices_shifted_sideways_are_named(tmp_path):
    write_series(tmp_path, [(3.0 if index == 4 else 0, 0, place) for index, place in enumerate(even(8))])
    assert "shifted sideways by up to 3.00 mm" in refusal(tmp_path)


def test_mixed_sizes_in_one_series_are_named(tmp_path):
    write_series(tmp_path, even(6))
    write_slice(tmp_path / "odd.dcm", np.zeros((7, 9)), (0, 0, 50))
    message = refusal(tmp_path)
    assert (
        "1 of the series' 7 slices is not like the others: odd.dcm has 9 x 7 pixels, not 10 x 12" in message
    )


def test_a_single_slice_is_refused(tmp_path):
    path = write_slice(tmp_path / "one.dcm", hounsfield(1)[0], (0, 0, 0))
    assert "single slice" in refusal(path)
    assert "single slice" in refusal(tmp_path)


def test_slices_without_position_are_refused(tmp_path):
    write_series(tmp_path, even(6), each=lambda index: {"ImagePositionPatient": None})
    assert "6 slices have no usable position" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("changes", "lacks"),
    [
        ({"ImageOrientationPatient": None}, "direction"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "direction"),
        ({"ImageOrientationPatient": [1, 0, 0, 0.5, 0.866025, 0]}, "direction"),
        ({"PixelSpacing": None}, "pixel spacing"),
        ({"PixelSpacing": [0, 0.7]}, "pixel spacing"),
        ({"PixelSpacing": [-0.8, 0.7]}, "pixel spacing"),
        ({"RescaleSlope": 0}, "rescale slope"),
    ],
)
def test_what_gdcm_would_make_up_is_refused(tmp_path, changes, lacks):
    write_series(tmp_path, even(6), each=lambda index: changes)
    assert f"6 slices have no usable {lacks} (first: slice" in refusal(tmp_path)


def test_a_slice_without_rescale_among_others_is_refused(tmp_path):
    write_series(
        tmp_path,
        even(6),
        each=lambda index: {"RescaleSlope": None, "RescaleIntercept": None} if index == 2 else {},
    )
    assert "1 of its 6 slices have no rescale intercept (first: slice" in refusal(tmp_path)


def test_a_deflated_series_is_read(tmp_path):
    values = write_series(tmp_path, even(4))
    for path in dicom.list_series(tmp_path)[0].files:
        data = pydicom.dcmread(path)
        data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        data.save_as(path)
    np.testing.assert_array_equal(volume.read_ct(tmp_path).array, values)


def test_another_modality_is_refused_unless_allowed(tmp_path):
    values = write_series(tmp_path, even(6), Modality="MR")
    assert "its modality is MR" in refusal(tmp_path)
    ct = volume.read_ct(tmp_path, allow_unusual=True)
    np.testing.assert_array_equal(ct.array, values)
    assert "its modality is MR, not CT" in ct.warnings


def test_values_without_their_rescale_are_not_hu(tmp_path):
    write_series(tmp_path, even(6), values=hounsfield(6) + 1024, rescale=(1, 0))
    assert "unscaled CT values (offset 1024)" in refusal(tmp_path)


@pytest.mark.parametrize("keep", (0.99, 0.9, 0.5, 0.1, 0))
@pytest.mark.parametrize("end", (0, 3, 5))
def test_a_truncated_slice_is_never_read_as_whole_nor_left_out(tmp_path, keep, end):
    write_series(tmp_path, even(6))
    victim = dicom.list_series(tmp_path)[0].files[end]
    whole = victim.read_bytes()
    victim.write_bytes(whole[: int(len(whole) * keep)])
    message = refusal(tmp_path)
    assert re.search("truncated|corrupt|empty", message)
    assert victim.name in message


def test_pixels_of_other_lengths_and_syntaxes_are_not_taken_for_truncated(tmp_path):
    values = write_series(tmp_path, even(4))
    paths = dicom.list_series(tmp_path)[0].files
    data = pydicom.dcmread(paths[1])
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    data.save_as(paths[1], implicit_vr=True)
    data = pydicom.dcmread(paths[2])
    data.compress(RLELossless)
    data.save_as(paths[2])
    with paths[3].open("ab") as raw:
        raw.write(b"\xfc\xff\xfc\xffOB\0\0\4\0\0\0\0\0\0\0")  # Data Set Trailing Padding
    np.testing.assert_array_equal(volume.read_ct(tmp_path).array, values)


def test_a_folder_without_dicom_is_refused(tmp_path):
    assert "holds no DICOM image" in refusal(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    assert "holds no DICOM image" in refusal(tmp_path)
    assert "no such file or folder" in refusal(tmp_path / "none")


# --- frames in one file --------------------------------------------------------------------------------------------


def write_frames(path, values, places, rescales=None):
    """An enhanced CT: one file, one frame per slice, each with its own position (and rescale)."""
    rescales = rescales or [(1, -1024)] * len(places)
    write_slice(path, values[0], (0, 0, 0))
    data = pydicom.dcmread(path)
    for key in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(data, key)
    del data.RescaleSlope, data.RescaleIntercept
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    data.NumberOfFrames = len(places)

    def group(key, **values):
        item = Dataset()
        for name, value in values.items():
            setattr(item, name, value)
        holder = Dataset()
        setattr(holder, key, [item])
        return holder

    shared = Dataset()
    shared.update(group("PlaneOrientationSequence", ImageOrientationPatient=list(AXIAL)))
    shared.update(group("PixelMeasuresSequence", PixelSpacing=[0.8, 0.7], SliceThickness=2.5))
    data.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for place, (slope, intercept) in zip(places, rescales, strict=True):
        frame = group("PlanePositionSequence", ImagePositionPatient=[-35, -20, place])
        frame.update(
            group(
                "PixelValueTransformationSequence",
                RescaleSlope=slope,
                RescaleIntercept=intercept,
                RescaleType="HU",
            )
        )
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = frames
    stored = [np.rint((one - b) / a) for one, (a, b) in zip(values, rescales, strict=True)]
    data.PixelData = np.array(stored).astype(np.uint16).tobytes()
    data.save_as(path, enforce_file_format=True)
    return path


def test_frames_in_one_file_are_read(tmp_path):
    values = hounsfield(6)
    path = write_frames(tmp_path / "enhanced.dcm", values, even(6))
    for source in (path, tmp_path):
        ct = volume.read_ct(source)
        np.testing.assert_array_equal(ct.array, values)
        assert ct.spacing_mm == pytest.approx((2.5, 0.8, 0.7))
        assert ct.geometry.origin == pytest.approx((-35, -20, -100))


def test_shuffled_frames_are_put_in_order_with_the_right_spacing(tmp_path):
    values, places, order = hounsfield(6), even(6), [0, 3, 1, 5, 4, 2]
    path = write_frames(tmp_path / "enhanced.dcm", values[order], [places[index] for index in order])
    ct = volume.read_ct(path)
    np.testing.assert_array_equal(ct.array, values)
    assert ct.spacing_mm == pytest.approx((2.5, 0.8, 0.7))
    assert dicom.list_series(tmp_path)[0].size == (COLUMNS, ROWS, 6)


def test_a_missing_frame_is_found(tmp_path):
    path = write_frames(tmp_path / "enhanced.dcm", hounsfield(6), [0, 2.5, 5, 12.5, 15, 17.5])
    assert "2 slices are missing (between 5.00 and 12.50 mm" in refusal(path)


@pytest.mark.parametrize("other", [(2, -1000), (2, -1024), (1, -1000)])
def test_frames_with_rescales_of_their_own_are_read(tmp_path, other):
    values, rescales = hounsfield(6), [(1, -1024)] * 5 + [other]
    path = write_frames(tmp_path / "enhanced.dcm", values, even(6), rescales)
    np.testing.assert_array_equal(volume.read_ct(path).array, values)


def test_a_truncated_file_of_frames_is_refused(tmp_path):
    path = write_frames(tmp_path / "enhanced.dcm", hounsfield(6), even(6))
    path.write_bytes(path.read_bytes()[:-10])
    assert re.search("truncated|corrupt|not an image", refusal(path))
