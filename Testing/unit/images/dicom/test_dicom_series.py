"""Series of DICOM slices: the grid that they make, and which series is meant."""

import numpy as np
import pydicom
import pytest
from dicom_files import AXIAL, COLUMNS, ROWS, even, hounsfield, refusal, write_series, write_slice
from pydicom.uid import (
    BasicTextSRStorage,
)

from DRAMLesionLib.images import volume
from DRAMLesionLib.images.dicom import series as dicom


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
