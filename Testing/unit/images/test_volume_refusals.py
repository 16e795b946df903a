"""Files that are no whole CT are refused by name, and what is not HU is told."""

import gzip
import re

import numpy as np
import pytest
import SimpleITK as sitk
from volume_files import (
    SUFFIXES,
    ct_image,
    ct_values,
    refusal,
    written,
)

from DRAMLesionLib.images import volume
from DRAMLesionLib.system.errors import InputError


def test_a_missing_file_is_named(tmp_path):
    assert "no such file" in refusal(tmp_path / "none.nii.gz")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_empty_file_is_named(tmp_path, suffix):
    path = tmp_path / ("ct" + suffix)
    path.touch()
    assert "empty" in refusal(path)


@pytest.mark.parametrize("suffix", (*SUFFIXES, ".nhdr"))
@pytest.mark.parametrize("compressed", (False, True))
@pytest.mark.parametrize("keep", (0.95, 0.5, 0.02))
def test_a_truncated_file_is_found_even_where_itk_reads_on(tmp_path, suffix, compressed, keep):
    path = tmp_path / ("ct" + suffix)
    sitk.WriteImage(ct_image((30, 40, 40)), str(path), compressed)
    data = max(tmp_path.iterdir(), key=lambda item: item.stat().st_size)
    whole = data.read_bytes()
    data.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(InputError, match=r"truncated|corrupt") as caught:
        volume.read_ct(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", (".nii.gz", ".nrrd", ".mha"))
@pytest.mark.parametrize("where", (0.3, 0.5, 0.8, 0.99))
def test_damaged_compressed_data_is_found(tmp_path, suffix, where):
    path = tmp_path / ("ct" + suffix)
    sitk.WriteImage(ct_image((30, 40, 40)), str(path), True)
    data = bytearray(path.read_bytes())
    data[int(len(data) * where)] ^= 0xFF
    path.write_bytes(data)
    assert re.search("truncated|corrupt", refusal(path))


def test_a_gzip_that_is_whole_but_too_short_is_found(tmp_path):
    path = written(tmp_path, ct_image(), "ct.nii")
    short = tmp_path / "ct.nii.gz"
    short.write_bytes(gzip.compress(path.read_bytes()[:-500]))
    assert "truncated" in refusal(short)


def test_text_under_an_image_name_is_named(tmp_path):
    path = tmp_path / "ct.nii.gz"
    path.write_text("not an image")
    assert "not an image" in refusal(path)


def test_another_format_is_named(tmp_path):
    path = tmp_path / "photo.png"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((8, 8), np.uint8)), str(path))
    assert "not an image that can be read" in refusal(path)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (sitk.GetImageFromArray(ct_values()[0]), "is 2-D (10 x 12)"),
        (sitk.GetImageFromArray(ct_values()[:1]), "single slice (10 x 12 x 1)"),
        (sitk.JoinSeries([ct_image()] * 3), "is 4-D (10 x 12 x 9 x 3)"),
        (sitk.Compose([ct_image()] * 3), "3 values per voxel (a colour picture)"),
        (sitk.Compose([ct_image()] * 2), "2 values per voxel (a vector image)"),
        (sitk.Cast(ct_image(), sitk.sitkComplexFloat32), "complex"),
        (ct_image() * 0 - 1000, "all its voxels have the value -1000"),
        (ct_image(spacing=(0.7, 0.8, 0.001)), "spacing is (0.7, 0.8, 0.001) mm"),
        (ct_image(spacing=(700, 700, 2500)), "spacing is (700, 700, 2500) mm"),
        (ct_image(direction=(1, 0, 0, 0, 1, 0.3, 0, 0, 1)), "not perpendicular"),
    ],
)
def test_what_is_not_one_volume_is_named(tmp_path, image, said):
    assert said in refusal(written(tmp_path, image, "ct.nrrd"))


@pytest.mark.parametrize(("bad", "count"), [(np.nan, 1), (np.inf, 2), (-np.inf, 3)])
@pytest.mark.parametrize("kind", (np.float32, np.float64))
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nan_and_infinite_values_are_counted(tmp_path, bad, count, suffix, kind):
    values = ct_values().astype(np.float32)
    values.flat[100 : 100 + count] = bad
    assert f"has {count} NaN or infinite" in refusal(
        written(tmp_path, sitk.GetImageFromArray(values.astype(kind)), "ct" + suffix)
    )


def patched(path, at, data):
    """The same NIfTI file with bytes of its header replaced."""
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("value", (0.0, -2.5, np.nan, np.inf))
def test_a_spacing_that_is_no_positive_number_is_refused(tmp_path, value):
    path = written(tmp_path, ct_image(), "ct.nii")
    pixdim_z = 76 + 3 * 4
    assert f"spacing is (0.7, 0.8, {value:g})" in refusal(
        patched(path, pixdim_z, np.float32(value).tobytes())
    )


def test_a_header_with_two_spacings_is_refused(tmp_path):
    path = written(tmp_path, ct_image(), "ct.nii")
    said = refusal(patched(path, 76 + 3 * 4, np.float32(5).tobytes()))
    assert "two voxel spacings, (0.7, 0.8, 5) and (0.7, 0.8, 2.5)" in said


def big_endian(path):
    """The same NIfTI-1 file in the other byte order."""
    content = path.read_bytes()
    swapped = bytearray(content)
    for start, count, size in ((0, 1, 4), (40, 8, 2), (68, 4, 2), (76, 11, 4), (252, 2, 2), (256, 18, 4)):
        part = np.frombuffer(content, f"<i{size}", count, start)
        swapped[start : start + count * size] = part.byteswap().tobytes()
    swapped[352:] = np.frombuffer(content, "<i2", offset=352).byteswap().tobytes()
    path.write_bytes(swapped)
    return path


def test_a_big_endian_file_is_read_and_a_truncated_one_found(tmp_path):
    path = big_endian(written(tmp_path, ct_image(), "ct.nii"))
    np.testing.assert_array_equal(volume.read_ct(path).array, ct_values())
    path.write_bytes(path.read_bytes()[:-100])
    assert "truncated: holds 2412 of the 2512 bytes" in refusal(path)


def test_a_header_with_singular_directions_is_refused(tmp_path):
    path = tmp_path / "ct.mha"
    sitk.WriteImage(ct_image(), str(path), False)
    header = path.read_bytes().replace(
        b"TransformMatrix = 1 0 0 0 1 0 0 0 1", b"TransformMatrix = 1 0 0 1 0 0 0 0 1"
    )
    path.write_bytes(header)
    assert re.search("singular|perpendicular", refusal(path))


def test_a_segmentation_is_not_a_ct(tmp_path):
    assert "is a segmentation" in refusal(written(tmp_path, ct_image(), "lungs.seg.nrrd"))


def test_a_series_of_a_file_without_series_is_refused(tmp_path):
    assert "no DICOM series" in refusal(written(tmp_path, ct_image()), series="1.2.3")


# --- what is not HU ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((ct_values() + 1000) % 256, "values 0..232, expected HU"),
        ((ct_values() + 1000) / 1700, "values 0..1, expected HU"),
        (ct_values() + 1024, "look like unscaled CT values (offset 1024)"),
        (ct_values() > 0, "values 0..1, expected HU"),
        (np.maximum(ct_values(), -160), "0.0 percent air"),
        (ct_values() - 1024, "0.0 percent soft tissue"),
        (ct_values() / 1000, "0.0 percent air"),
    ],
)
def test_values_that_are_not_hu_are_described_and_may_be_allowed(tmp_path, values, said):
    values = np.asarray(values)
    image = sitk.GetImageFromArray(values.astype(np.uint8 if values.dtype == bool else np.float32))
    path = written(tmp_path, image)
    assert said in refusal(path)
    allowed = volume.read_ct(path, allow_unusual=True)
    assert len(allowed.warnings) == 1
    assert said in allowed.warnings[0]


def test_padding_far_below_air_and_metal_are_still_a_ct(tmp_path):
    values = ct_values()
    values[:, :2], values[0, 5, 5] = -3024, 30000
    assert volume.read_ct(written(tmp_path, sitk.GetImageFromArray(values))).warnings == ()
