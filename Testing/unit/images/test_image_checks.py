"""What ITK takes without a word, and would make a wrong volume of or end the process over, is refused."""

import gzip
import os
import struct
import zlib

import numpy as np
import pytest
import SimpleITK as sitk

from DRAMLesionLib.images import hounsfield, image_checks, volume
from DRAMLesionLib.images.image_file import read_image
from DRAMLesionLib.images.paths import check_file
from DRAMLesionLib.system.errors import InputError

VALUES = np.random.default_rng(0).choice([-1000, -850, 0, 40, 700], (9, 12, 10)).astype(np.int16)
META = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = False
TransformMatrix = 1 0 0 0 1 0 0 0 1
Offset = 0 0 0
ElementSpacing = 1 1 2
DimSize = 10 12 9
ElementType = MET_SHORT
ElementDataFile = LOCAL
"""
NRRD = """NRRD0004
type: unsigned short int
dimension: 3
space: left-posterior-superior
sizes: 10 12 9
space directions: (1,0,0) (0,1,0) (0,0,2)
endian: little
encoding: gzip

"""


def refusal(path):
    with pytest.raises(InputError) as caught:
        volume.read_ct(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def nifti(tmp_path, **changes):
    """A plain file with other values at these bytes: name to (offset, format, value)."""
    path = tmp_path / "ct.nii"
    sitk.WriteImage(sitk.GetImageFromArray(VALUES), str(path))
    content = bytearray(path.read_bytes())
    for offset, kind, *values in changes.values():
        struct.pack_into("<" + kind, content, offset, *values)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ((46, "h", 4), "holds more than the"),
        ((108, "f", 0.0), "voxels begin at byte 0"),
        ((108, "f", float("nan")), "voxels begin at byte nan"),
        ((0, "i", 100), "not an image"),
        ((344, "4s", b"ni1\0"), "not an image"),
        ((256, "3f", 5.0, 5.0, 5.0), "its qform is no rotation"),
        ((256, "3f", float("nan"), 0.0, 0.0), "NaN or infinite numbers"),
        ((112, "2f", float("inf"), 0.0), "scaled by inf"),
        ((112, "2f", 0.0, 50.0), "shifted by 50"),
        ((40, "h", 9), "9 dimensions"),
    ],
)
def test_nifti_headers_that_itk_mends_or_misreads(tmp_path, field, said):
    assert said in refusal(nifti(tmp_path, field=field))


def test_what_nifti_headers_may_hold(tmp_path):
    for field in ((112, "2f", float("nan"), float("nan")), (112, "2f", 0.0, 0.0), (72, "h", 8)):
        np.testing.assert_array_equal(
            volume.read_ct(nifti(tmp_path, field=field)).array.ravel().sum(), VALUES.sum()
        )


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "int32", "float32", "float64", "int8", "uint16", "uint32"]
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_plain_nifti_file_is_unpacked_once_and_read_as_itk_does(tmp_path, monkeypatch, dtype, suffix):
    values = (np.arange(7 * 6 * 5).reshape(7, 6, 5) % 100).astype(dtype)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.7, 0.8, 1.5))
    image.SetOrigin((-100.25, 7.5, 1e3))
    image.SetDirection((0, -1, 0, 0, 0, -1, 1, 0, 0))
    path = tmp_path / f"ct{suffix}"
    sitk.WriteImage(image, str(path))
    expected = sitk.ReadImage(str(path))
    monkeypatch.setattr(sitk.ImageFileReader, "Execute", None)  # would unpack it again
    read = read_image(path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), values)
    for about in ("GetPixelID", "GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(read, about)() == getattr(expected, about)(), about


@pytest.mark.parametrize("field", [(112, "2f", 2.0, 0.0), (112, "2f", 1.0, -24.0)])
def test_scaled_values_are_left_to_itk(tmp_path, field):
    slope, shift = field[2:]
    read = sitk.GetArrayFromImage(read_image(nifti(tmp_path, field=field)))
    np.testing.assert_allclose(read, VALUES * slope + shift)


def test_a_nifti_file_without_orientation_is_read_with_a_warning(tmp_path):
    path = nifti(tmp_path, qform=(252, "h", 0), sform=(254, "h", 0))
    assert "no orientation" in volume.read_ct(path).warnings[0]
    assert volume.read_ct(nifti(tmp_path)).warnings == ()


def test_a_flood_of_zeros_is_not_unpacked_to_its_end(tmp_path):
    content = nifti(tmp_path).read_bytes()
    packer = zlib.compressobj(1, wbits=31)
    parts = [packer.compress(content), *(packer.compress(bytes(1 << 20)) for _ in range(64)), packer.flush()]
    # Cut off at its end: who unpacks it all says so.
    (tmp_path / "bomb.nii.gz").write_bytes(b"".join(parts)[:-100])
    assert "holds more than" in refusal(tmp_path / "bomb.nii.gz")


def test_gzip_under_another_name_and_nifti_2_are_named(tmp_path):
    path = nifti(tmp_path)
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert "make its name end in .nii.gz" in refusal(path)
    path.write_bytes(struct.pack("<i", 540) + bytes(2000))
    assert "NIfTI-2" in refusal(path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("NDims = 3", "NDims = 99", "99 dimensions"),
        ("DimSize = 10 12 9", "DimSize = 10 12", "2 sizes"),
        ("DimSize = 10 12 9", "DimSize = 10 12 -9", "its size is"),
        ("DimSize = 10 12 9", "DimSize = 10 12 4", "holds more than"),
        ("ElementSpacing = 1 1 2", "ElementSpacing = 1 1 -2", "voxel spacing is (1, 1, -2)"),
        ("Offset", "Comment = " + "x" * 999 + "\nOffset", "more than 255 characters"),
        ("CompressedData = False", "CompressedData = True", "not none"),
        ("CompressedData = False", "CompressedData = True\nCompressedDataSize = 5", "not 5"),
    ],
)
def test_metaimage_headers_that_metaio_believes(tmp_path, old, new, said):
    data = VALUES.tobytes()
    text = META.replace(old, new)
    content = zlib.compress(data) if "CompressedData = True" in text else data
    (tmp_path / "ct.mha").write_bytes(text.encode() + content)
    assert said in refusal(tmp_path / "ct.mha")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("", "", None),
        ("unsigned short int", "uint16_t", None),
        ("sizes: 10 12 9", "sizes: 10 12 4", "holds more than"),
        ("sizes: 10 12 9", "sizes: 10 12 90000", "truncated"),
        ("sizes: 10 12 9", "sizes: 10 12 nine", "its size is"),
        ("(0,0,2)", "none", "no spacing for each of three axes"),
        ("space directions: (1,0,0) (0,1,0) (0,0,2)\n", "", "no spacing for each of three axes"),
    ],
)
def test_nrrd_headers_that_itk_believes(tmp_path, old, new, said):
    content = gzip.compress((VALUES + 1024).astype("<u2").tobytes())
    (tmp_path / "ct.nrrd").write_bytes(NRRD.replace(old, new).encode() + content)
    if said is None:
        ct = volume.read_ct(tmp_path / "ct.nrrd", allow_unusual=True)
        np.testing.assert_array_equal(ct.array, VALUES + 1024)
    else:
        assert said in refusal(tmp_path / "ct.nrrd")


def test_padding_does_not_hide_that_values_are_1024_too_high():
    chest = np.tile(np.array([24, 174, 1024, 1064], np.int16), (8, 8, 8))
    chest[:, 0] = -2000
    assert "subtract 1024" in hounsfield.why_not_ct(chest)
    assert hounsfield.why_not_ct(chest - 1024 * (chest > -2000)) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "ct.nii.gz")
    assert "no file but a pipe or device" in refusal(tmp_path / "ct.nii.gz")


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_names_that_are_no_text_are_refused_before_itk_ends_the_process(tmp_path):
    path = tmp_path / os.fsdecode(b"M\xfcller.nii.gz")
    path.touch()
    assert "M\\xfcller.nii.gz: its name holds bytes" in refusal(path)
    with pytest.raises(InputError):
        check_file(path)
    with pytest.raises(InputError, match="no UTF-8"):
        volume.write_volume(VALUES, volume.from_image(sitk.GetImageFromArray(VALUES), "x"), path)


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz", "ct.nrrd", "ct.mha"])
def test_a_header_is_told_from_other_bytes_without_itk(tmp_path, name, monkeypatch):
    path = tmp_path / name
    sitk.WriteImage(sitk.GetImageFromArray(VALUES), str(path))
    monkeypatch.setattr(sitk, "ImageFileReader", None)
    assert image_checks.has_header(path)
    for wrong in (b"", b"no image", path.read_bytes()[::-1]):
        path.write_bytes(wrong)
        assert not image_checks.has_header(path)
