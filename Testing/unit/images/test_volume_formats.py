"""Volumes as files: each format, its geometry, its types."""

import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from volume_files import REPOSITORY, SUFFIXES, ct_image, ct_values, reordered, rotation, written

from DRAMLesionLib.images import volume
from DRAMLesionLib.system.errors import InputError


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_each_format_is_read_with_its_values_and_geometry(tmp_path, suffix):
    image = reordered(ct_image(direction=rotation((0.1, -0.05, 0.2))), "RAS")
    path = written(tmp_path, image, "case7" + suffix)
    result = volume.read_ct(path)
    assert (result.name, result.path, result.array.dtype, result.warnings) == ("case7", path, np.int16, ())
    np.testing.assert_array_equal(result.array, volume.from_image(image, "").array)
    np.testing.assert_allclose(result.geometry.matrix, volume.Geometry.from_image(image).matrix, atol=1e-4)


@pytest.mark.parametrize("suffix", (".nii", ".nii.gz", ".nrrd", ".mha"))
@pytest.mark.parametrize("orientation", ("LPS", "RAS", "SLA", "PIR"))
def test_results_are_written_in_the_geometry_of_the_input(tmp_path, suffix, orientation):
    path = written(tmp_path, reordered(ct_image(direction=rotation((0.2, 0.1, -0.3))), orientation))
    ct = volume.read_ct(path)
    out = tmp_path / ("out" + suffix)
    volume.write_volume(ct.array > 0, ct, out)
    np.testing.assert_array_equal(volume.read_on_grid(out, ct, "lesion"), ct.array > 0)
    given = volume.Geometry.from_image(sitk.ReadImage(str(path)))
    got = volume.Geometry.from_image(sitk.ReadImage(str(out)))
    np.testing.assert_allclose(got.matrix, given.matrix, atol=1e-4)
    assert sorted(item.name for item in tmp_path.iterdir()) == sorted([path.name, out.name])


def test_nrrd_keeps_the_geometry_to_the_last_bit(tmp_path):
    ct = volume.from_image(ct_image(origin=(0.1, 1 / 3, -2 / 7)), "case")
    volume.write_volume(ct.array, ct, tmp_path / "out.nrrd")
    back = volume.Geometry.from_image(sitk.ReadImage(str(tmp_path / "out.nrrd")))
    assert back == ct.geometry


def test_an_unknown_suffix_is_refused_before_anything_is_written(tmp_path):
    ct = volume.from_image(ct_image(), "case")
    with pytest.raises(InputError, match=r"\.png"):
        volume.write_volume(ct.array, ct, tmp_path / "out.png")
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import resource, signal, sys
import numpy as np
from DRAMLesionLib.images import volume
from DRAMLesionLib.system.files import OutputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
ct = volume.read_ct(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    volume.write_volume(ct.array, ct, sys.argv[2])
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes there")
@pytest.mark.parametrize("suffix", (".nii", ".nii.gz", ".nrrd", ".mha"))
def test_a_file_that_does_not_fit_is_told_of_and_not_left_behind(tmp_path, suffix):
    # A limit on the size of files stands in for the full disk: ITK's NIfTI writer says nothing in either case, our own
    # hears the system's reason.
    path = written(tmp_path, ct_image((40, 64, 64)))
    out = tmp_path / "out" / ("lesion" + suffix)
    command = [sys.executable, "-c", FULL_DISK, str(path), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=True)
    reason = "written whole: free some space on the disk or give another folder"
    if suffix == ".nii.gz":
        reason = (
            "written: the file is larger than this disk or account allows (ulimit -f): give another folder"
        )
    assert done.stdout == f"{out}: can't be {reason}\n"
    assert list(out.parent.iterdir()) == []


def test_nan_is_never_written(tmp_path):
    ct = volume.from_image(ct_image(), "case")
    with pytest.raises(ValueError, match="NaN"):
        volume.write_volume(np.full(ct.array.shape, np.nan), ct, tmp_path / "map.nii.gz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "scale", "expected"),
    [
        (np.int32, 1, np.int16),
        (np.float64, 1, np.int16),
        (np.float32, 1, np.int16),
        (np.float64, 1.0001, np.float32),
        (np.int32, 100, np.float32),
    ],
)
def test_whole_numbers_become_int16_and_all_else_float32(tmp_path, kind, scale, expected):
    values = ct_values().astype(kind)
    values[values == 700] *= kind(scale)
    path = written(tmp_path, sitk.GetImageFromArray(values), "ct.mha")
    result = volume.read_ct(path)
    assert result.array.dtype == expected
    np.testing.assert_allclose(result.array, values, rtol=1e-6)


def test_a_fourth_axis_of_length_one_is_dropped(tmp_path):
    path = written(tmp_path, sitk.JoinSeries([ct_image()]), "ct.nrrd")
    assert volume.read_ct(path).array.shape == (9, 12, 10)


@pytest.mark.real
def test_the_real_scans_and_their_lobes_are_read(covid_ct):
    paths = sorted(covid_ct.glob("*_ct.nii.gz"))
    assert len(paths) == 6
    for path in paths:
        ct = volume.read_ct(path)
        assert ct.array.dtype == np.int16
        assert ct.spacing_mm == pytest.approx((1.25, 1.4, 1.4))
        lobes = volume.read_on_grid(path.with_name(path.name.replace("_ct", "_lobes")), ct)
        assert set(np.unique(lobes)) == {0, 1, 2, 3, 4, 5}
