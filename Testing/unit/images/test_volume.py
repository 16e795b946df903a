"""Volumes: reading, canonical axes, the way back, and what is refused."""

import gzip
import itertools
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from DRAMLesionLib.images import volume
from DRAMLesionLib.system.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[3]
ORIENTATIONS = [
    "".join(letters)
    for axes in itertools.permutations(("LR", "PA", "SI"))
    for letters in itertools.product(*axes)
]
SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")


def ct_values(shape=(9, 12, 10), seed=0):
    """int16 (z, y, x) with air, soft tissue and bone at random places."""
    values = np.random.default_rng(seed).choice([-1000, -850, 0, 40, 700], shape)
    return values.astype(np.int16)


def ct_image(shape=(9, 12, 10), spacing=(0.7, 0.8, 2.5), origin=(-120.5, 33.25, 910.0), direction=None):
    image = sitk.GetImageFromArray(ct_values(shape))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    if direction is not None:
        image.SetDirection(direction)
    return image


def reordered(image, orientation):
    """The same voxels at the same points, stored with other axes (ITK's own filter: an independent judge)."""
    return sitk.DICOMOrient(image, orientation)


def rotation(angles):
    transform = sitk.Euler3DTransform()
    transform.SetRotation(*angles)
    return transform.GetMatrix()


def written(tmp_path, image, name="ct.nii.gz"):
    path = tmp_path / name
    sitk.WriteImage(image, str(path))
    return path


def refusal(path, **arguments):
    with pytest.raises(InputError) as caught:
        volume.read_ct(path, **arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


ANGLES = st.tuples(*[st.integers(-500, 500).map(lambda turn: turn / 1000)] * 3)
"""Radians. No tiny numbers: ITK's inverse of a direction with 1e-309 in it is not finite."""


# --- canonical axes and back ---------------------------------------------------------------------------------------


def test_there_are_48_orientations():
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_each_axis_order_and_flip_gives_the_same_canonical_array_and_comes_back_exactly(orientation):
    original = ct_image()
    stored = reordered(original, orientation)
    result = volume.from_image(stored, "case")

    assert result.geometry.orientation == orientation
    np.testing.assert_array_equal(result.array, sitk.GetArrayFromImage(original))
    assert result.array.flags.c_contiguous
    assert result.spacing_mm == pytest.approx((2.5, 0.8, 0.7))

    back = volume.to_image(result.array, result)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(stored))
    assert volume.Geometry.from_image(back) == volume.Geometry.from_image(stored)  # bitwise


@settings(max_examples=60, deadline=None)
@given(
    orientation=st.sampled_from(ORIENTATIONS),
    angles=ANGLES,
    size=st.tuples(*[st.integers(2, 7)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 5)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
)
def test_oblique_images_come_back_exactly_with_each_voxel_at_its_point(
    orientation, angles, size, spacing, origin
):
    original = ct_image(size[::-1], spacing, origin, rotation(angles))
    stored = reordered(original, orientation)
    result = volume.from_image(stored, "case")
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(volume.to_image(result.array, result)), sitk.GetArrayFromImage(stored)
    )

    canonical = result.geometry.canonical()
    assert canonical.orientation == "LPS"
    assert canonical.size == result.array.shape[::-1]
    assert canonical.spacing[::-1] == result.spacing_mm
    for corner in itertools.product(*[(0, length - 1) for length in canonical.size]):
        point = (canonical.matrix @ [*corner, 1])[:3]
        index = stored.TransformPhysicalPointToIndex([float(value) for value in point])
        x, y, z = corner
        assert result.array[z, y, x] == stored[index]
        np.testing.assert_allclose(stored.TransformIndexToPhysicalPoint(index), point, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(orientation=st.sampled_from(ORIENTATIONS), angles=ANGLES)
def test_an_oblique_scan_has_one_canonical_array_however_it_is_stored(orientation, angles):
    original = ct_image(direction=rotation(angles))
    expected = volume.from_image(original, "case")
    stored = volume.from_image(reordered(original, orientation), "case")
    np.testing.assert_array_equal(stored.array, expected.array)
    np.testing.assert_allclose(
        stored.geometry.canonical().matrix, expected.geometry.canonical().matrix, atol=1e-9
    )


def test_a_processed_array_lands_at_the_same_point_as_in_the_input():
    stored = reordered(ct_image(), "AIR")
    result = volume.from_image(stored, "case")
    marked = np.zeros(result.array.shape, np.uint8)
    marked[2, 3, 4] = 1
    out = volume.to_image(marked, result)
    (index,) = np.argwhere(sitk.GetArrayViewFromImage(out))
    point = out.TransformIndexToPhysicalPoint([int(value) for value in index[::-1]])
    np.testing.assert_allclose(point, ct_image().TransformIndexToPhysicalPoint((4, 3, 2)), atol=1e-9)


def test_booleans_and_half_floats_get_a_type_that_files_know():
    result = volume.from_image(ct_image(), "case")
    assert volume.to_image(result.array > 0, result).GetPixelID() == sitk.sitkUInt8
    assert volume.to_image(result.array.astype(np.float16), result).GetPixelID() == sitk.sitkFloat32


def test_an_array_of_another_shape_is_refused():
    result = volume.from_image(ct_image(), "case")
    with pytest.raises(ValueError, match=r"shape \(1, 2, 3\)"):
        volume.to_image(np.zeros((1, 2, 3)), result)


# --- files ---------------------------------------------------------------------------------------------------------


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


# --- what is refused -----------------------------------------------------------------------------------------------


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


# --- one grid ------------------------------------------------------------------------------------------------------


def on_grid(tmp_path, mask, ct=None):
    like = volume.from_image(ct or ct_image(), "case")
    return volume.read_on_grid(written(tmp_path, mask, "mask.nrrd"), like)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shape": (8, 12, 10)}, "lobe mask has size (10, 12, 8), CT has (10, 12, 9)"),
        ({"spacing": (0.7, 0.8, 2.0)}, "lobe mask has spacing (0.7, 0.8, 2) mm, CT has (0.7, 0.8, 2.5) mm"),
        ({"origin": (-120.5, 33.25, 912.5)}, "lobe mask lies up to 2.5 mm (1 voxels) away from CT"),
        ({"direction": rotation((0, 0, np.radians(8)))}, "lobe mask is turned by 8.0 degrees against CT"),
        ({"direction": (-1, 0, 0, 0, -1, 0, 0, 0, 1)}, "away from CT"),
    ],
)
def test_another_grid_is_described(tmp_path, changes, said):
    with pytest.raises(InputError) as caught:
        on_grid(tmp_path, ct_image(**changes))
    message = str(caught.value)
    assert said in message
    assert message.startswith(str(tmp_path / "mask.nrrd"))
    assert "\n" not in message


@pytest.mark.parametrize("shift", (0.0, 0.05))
@pytest.mark.parametrize("orientation", ("LPS", "RAS", "SPL"))
def test_a_mask_of_the_same_points_is_taken_however_it_is_stored(tmp_path, orientation, shift):
    mask = ct_image(origin=(-120.5 + shift * 0.7, 33.25, 910.0))
    np.testing.assert_array_equal(on_grid(tmp_path, reordered(mask, orientation)), ct_values())


def test_a_map_with_nan_is_refused(tmp_path):
    values = ct_values().astype(np.float32)
    values[3, 4, 5] = np.nan
    broken = sitk.GetImageFromArray(values)
    broken.CopyInformation(ct_image())
    with pytest.raises(InputError, match="has 1 NaN"):
        on_grid(tmp_path, broken)


def test_difference_is_none_for_the_same_geometry_and_names_other_axes():
    here = volume.Geometry.from_image(ct_image())
    there = volume.Geometry.from_image(reordered(ct_image((12, 12, 12), (1, 1, 1)), "RAS"))
    cube = volume.Geometry.from_image(ct_image((12, 12, 12), (1, 1, 1)))
    assert here.difference(here) is None
    assert there.difference(cube, what="map") == "map has axes RAS, CT has LPS"
