"""Series that make no even grid, or whose values are no HU, are refused."""

import re

import numpy as np
import pydicom
import pytest
from dicom_files import even, hounsfield, refusal, write_series, write_slice
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from DRAMLesionLib.images import volume
from DRAMLesionLib.images.dicom import series as dicom


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
