"""Our NIfTI files are ITK's, packed otherwise."""

import gzip
import zlib

import numpy as np
import pytest
import SimpleITK as sitk

from DRAMLesionLib.images import nifti_writer
from DRAMLesionLib.images.geometry import Geometry
from DRAMLesionLib.images.nifti_writer import can_write, write_nifti


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_unpacked_it_is_itks_file_to_the_byte(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr(nifti_writer, "CHUNK", 3000)  # many chunks
    values = (np.random.default_rng(0).random((23, 17, 19)) * 200).astype(dtype)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.7, 0.8, 1.5))
    image.SetOrigin((-100.25, 7.5, 1e3))
    image.SetDirection((0, -1, 0, 0, 0, -1, 1, 0, 0))
    write_nifti(values, Geometry.from_image(image), tmp_path / "ours.nii.gz")
    sitk.WriteImage(image, str(tmp_path / "itks.nii"))
    packed = (tmp_path / "ours.nii.gz").read_bytes()
    expected = (tmp_path / "itks.nii").read_bytes()
    assert gzip.decompress(packed) == expected
    # One gzip member: some readers stop after the first.
    stream = zlib.decompressobj(wbits=31)
    assert stream.decompress(packed) == expected and stream.eof and not stream.unused_data


def test_the_same_values_in_any_strides_give_the_same_bytes(tmp_path):
    values = np.random.default_rng(0).integers(0, 9, (7, 6, 5), np.uint8)
    geometry = Geometry.from_image(sitk.GetImageFromArray(values))
    write_nifti(values, geometry, tmp_path / "a.nii.gz")
    write_nifti(np.asfortranarray(values)[::-1][::-1], geometry, tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_what_is_left_to_itk(tmp_path):
    small = np.zeros((2, 2, 2), np.uint8)
    assert can_write(small, "A.NII.GZ") and not can_write(small, "a.nii") and not can_write(small, "a.nrrd")
    assert not can_write(np.zeros((2, 2, 40000), np.uint8), "a.nii.gz")
