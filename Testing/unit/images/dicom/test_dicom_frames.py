"""Frames in one file (enhanced CT)."""

import re

import numpy as np
import pytest
from dicom_files import COLUMNS, ROWS, even, hounsfield, refusal, write_frames

from DRAMLesionLib.images import volume
from DRAMLesionLib.images.dicom import series as dicom

# --- frames in one file --------------------------------------------------------------------------------------------


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
