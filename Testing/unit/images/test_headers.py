"""Headers that say two things, or nothing, of where a patient's left is; names in any case; axes off by rounding."""

import gzip
import locale
import struct

import numpy as np
import pytest
import SimpleITK as sitk

from DRAMLesionLib.images import volume
from DRAMLesionLib.images.image_file import c_numbers
from DRAMLesionLib.system.errors import InputError

VALUES = np.random.default_rng(0).choice([-1000, -850, 0, 40, 700], (9, 12, 10)).astype(np.int16)
SPACING, ORIGIN = (0.7, 0.8, 2.5), (-35.0, -20.0, -100.0)
NO_ORIENTATION = "its header holds no orientation: left and right are as its axes are usually taken"


def image():
    made = sitk.GetImageFromArray(VALUES)
    made.SetSpacing(SPACING)
    made.SetOrigin(ORIGIN)
    return made


def forms(folder, qform=1, sform=1, change=lambda matrix: matrix, name="ct.nii"):
    """A NIfTI file whose sform is changed (a 3 x 4 matrix), with these codes."""
    path = folder / "plain.nii"
    sitk.WriteImage(image(), str(path))
    content = bytearray(path.read_bytes())
    path.unlink()
    matrix = np.frombuffer(bytes(content[280:328]), "<f4").reshape(3, 4).astype(float)
    content[280:328] = change(matrix).astype("<f4").tobytes()
    struct.pack_into("<hh", content, 252, qform, sform)
    path = folder / name
    path.write_bytes(gzip.compress(bytes(content)) if name.endswith(".gz") else bytes(content))
    return path


def flipped(axis):
    def change(matrix):
        matrix[:, 3] += matrix[:, axis] * (VALUES.shape[2 - axis] - 1)
        matrix[:, axis] *= -1
        return matrix

    return change


def turned(matrix):
    return np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]) @ matrix


def moved(millimetres):
    return lambda matrix: matrix + np.array([[0, 0, 0, 0], [0, 0, 0, millimetres], [0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (flipped(0), "left and right exchanged"),
        (flipped(1), "front and back exchanged"),
        (flipped(2), "top and bottom exchanged"),
        (turned, "mm away"),
        (moved(3), "3 mm away"),
        (moved(-200), "200 mm away"),
    ],
)
@pytest.mark.parametrize("codes", [(1, 1), (1, 2), (2, 1), (4, 1)])
@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
def test_a_nifti_header_with_two_places_is_refused(tmp_path, change, said, codes, name):
    path = forms(tmp_path, *codes, change, name)
    with pytest.raises(InputError, match=said) as caught:
        volume.read_ct(path)
    assert "two orientations" in str(caught.value) and "convert the DICOM series again" in str(caught.value)


@pytest.mark.parametrize(
    ("codes", "change"),
    [
        ((1, 1), lambda matrix: matrix),
        ((1, 1), lambda matrix: np.round(matrix, 3)),
        ((1, 0), flipped(0)),
        ((0, 0), flipped(2)),
        ((0, 1), moved(50)),
    ],
)
def test_one_place_or_two_that_differ_by_rounding_are_read(tmp_path, codes, change):
    np.testing.assert_array_equal(
        np.sort(volume.read_ct(forms(tmp_path, *codes, change)).array, None), np.sort(VALUES, None)
    )


def without(text, *keys):
    return b"\n".join(line for line in text.split(b"\n") if not line.startswith(keys))


def headless(folder, suffix):
    """A file of each format that does not say where its axes point."""
    if suffix == ".nii":
        return forms(folder, 0, 0)
    path = folder / f"ct{suffix}"
    sitk.WriteImage(image(), str(path))
    content = path.read_bytes()
    if suffix == ".mha":
        end = content.index(b"ElementDataFile")
        path.write_bytes(
            without(content[:end], b"TransformMatrix", b"AnatomicalOrientation", b"CenterOfRotation")
            + content[end:]
        )
    elif suffix == ".nrrd":
        end = content.index(b"\n\n")
        head = without(content[:end], b"space", b"kinds") + b"\nspacings: 0.7 0.8 2.5"
        path.write_bytes(head + content[end:])
    else:
        end = content.index(b"\n\n")
        head = content[:end].replace(b"space: left-posterior-superior", b"space dimension: 3")
        path = folder / "ct.nrrd"
        path.write_bytes(head + content[end:])
        (folder / f"ct{suffix}").unlink(missing_ok=suffix == ".nrrd")
    return path


@pytest.mark.parametrize("suffix", [".nii", ".mha", ".nrrd"])
def test_every_format_without_orientation_gets_the_same_sentence(tmp_path, suffix):
    ct = volume.read_ct(headless(tmp_path, suffix))
    assert NO_ORIENTATION in ct.warnings
    assert ct.spacing_mm == pytest.approx(SPACING[::-1])


def test_directions_in_a_space_without_a_name_are_no_orientation(tmp_path):
    sitk.WriteImage(image(), str(tmp_path / "ct.nrrd"))
    content = (tmp_path / "ct.nrrd").read_bytes()
    (tmp_path / "ct.nrrd").write_bytes(
        content.replace(b"space: left-posterior-superior", b"space dimension: 3")
    )
    assert NO_ORIENTATION in volume.read_ct(tmp_path / "ct.nrrd").warnings


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".nrrd", ".nhdr", ".mhd"])
def test_with_an_orientation_nothing_is_said(tmp_path, suffix):
    sitk.WriteImage(image(), str(tmp_path / f"ct{suffix}"))
    assert volume.read_ct(tmp_path / f"ct{suffix}").warnings == ()


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        (b"Position = 10 0 0\n", True),
        (b"Rotation = -1 0 0 0 1 0 0 0 1\n", True),
        (b"Orientation = 1 0 0 0 1 0 0 0 1\n", False),
    ],
)
def test_two_names_of_one_field_must_agree_in_a_metaimage(tmp_path, line, refused):
    path = tmp_path / "ct.mha"
    sitk.WriteImage(image(), str(path))
    content = path.read_bytes()
    at = content.index(b"ElementSpacing")
    path.write_bytes(content[:at] + line + content[at:])
    if refused:
        with pytest.raises(InputError, match="two places or orientations"):
            volume.read_ct(path)
    else:
        np.testing.assert_array_equal(volume.read_ct(path).array, VALUES)


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "PIR", "SAL", "RIP", "ILA"])
@pytest.mark.parametrize("named", ["from", "to", "RIA", "???"])
def test_axes_that_a_metaimage_names_otherwise_than_its_matrix_are_told_of(tmp_path, orientation, named):
    path = tmp_path / "ct.mha"
    sitk.WriteImage(sitk.DICOMOrient(image(), orientation), str(path))
    if named != "from":
        content = path.read_bytes()
        at = content.index(b"AnatomicalOrientation = ") + len(b"AnatomicalOrientation = ")
        wanted = orientation if named == "to" else named
        path.write_bytes(content[:at] + wanted.encode() + content[at + 3 :])
    told = " ".join(volume.read_ct(path).warnings)
    assert ("its header names the axes RIA" in told) == (named == "RIA")


def test_a_nrrd_that_names_segments_is_no_ct(tmp_path):
    made = image()
    made.SetMetaData("Segment0_ID", "Segment_1")
    sitk.WriteImage(made, str(tmp_path / "export.nrrd"))
    with pytest.raises(InputError, match="is a segmentation, not a CT"):
        volume.read_ct(tmp_path / "export.nrrd")


# --- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("a.nii.gz", "CT.NII.GZ"),
        ("a.nii.gz", "ct.Nii.gz"),
        ("a.nii.gz", "ct.nii.GZ"),
        ("a.nii", "ct.Nii"),
        ("a.nrrd", "ct.Nrrd"),
        ("a.mha", "CT.MHA"),
        ("a.mha", "ct.Mha"),
    ],
)
def test_suffixes_in_any_case_are_read(tmp_path, written, name):
    sitk.WriteImage(image(), str(tmp_path / written))
    (tmp_path / written).rename(tmp_path / name)
    ct = volume.read_ct(tmp_path / name)
    np.testing.assert_array_equal(ct.array, VALUES)
    assert ct.spacing_mm == pytest.approx(SPACING[::-1]) and ct.name.lower() == "ct"


@pytest.mark.parametrize("names", [("a.hdr", "a.img"), ("A.HDR", "A.IMG"), ("a.Hdr", "a.img")])
@pytest.mark.parametrize("given", [0, 1])
def test_a_nifti_pair_is_read_by_either_name(tmp_path, names, given):
    sitk.WriteImage(image(), str(tmp_path / "pair.hdr"))
    for name, kind in zip(names, ("hdr", "img"), strict=True):
        (tmp_path / f"pair.{kind}").rename(tmp_path / name)
    ct = volume.read_ct(tmp_path / names[given])
    np.testing.assert_array_equal(ct.array, VALUES)
    assert ct.geometry.origin == pytest.approx(ORIGIN)


def test_pairs_that_are_not_whole_or_have_no_sides_are_refused(tmp_path):
    sitk.WriteImage(image(), str(tmp_path / "a.hdr"))
    voxels = (tmp_path / "a.img").read_bytes()
    (tmp_path / "a.img").write_bytes(voxels[:-200])
    with pytest.raises(InputError, match=r"a\.img: truncated"):
        volume.read_ct(tmp_path / "a.hdr")
    (tmp_path / "a.img").unlink()
    with pytest.raises(InputError, match=r"a\.img with its voxels is not beside it"):
        volume.read_ct(tmp_path / "a.hdr")
    (tmp_path / "a.img").write_bytes(voxels)
    header = bytearray((tmp_path / "a.hdr").read_bytes())
    header[344:348] = bytes(4)
    (tmp_path / "a.hdr").write_bytes(header)
    with pytest.raises(InputError, match="is an Analyze header, which does not tell left from right"):
        volume.read_ct(tmp_path / "a.hdr")


# --- axes ----------------------------------------------------------------------------------------------------------


def sheared(cosine):
    def change(matrix):
        matrix[0, 1] += cosine * SPACING[1]
        return matrix

    return change


@pytest.mark.parametrize("cosine", [1e-5, 3e-4, 1e-3, 5e-3])
def test_axes_that_rounding_put_off_their_right_angles_are_put_right(tmp_path, cosine):
    ct = volume.read_ct(forms(tmp_path, 0, 1, sheared(cosine)))
    assert ct.geometry.skew < 1e-6
    np.testing.assert_array_equal(ct.array, VALUES)
    assert ct.geometry.direction == pytest.approx((1, 0, 0, 0, 1, 0, 0, 0, 1), abs=cosine)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_the_same_in_the_other_formats(tmp_path, suffix):
    made = image()
    made.SetDirection((1, 2e-3, 0, 0, 1, 0, 0, 0, 1))
    sitk.WriteImage(made, str(tmp_path / f"ct{suffix}"))
    ct = volume.read_ct(tmp_path / f"ct{suffix}")
    assert ct.geometry.skew < 1e-6
    lobes = volume.read_on_grid(tmp_path / f"ct{suffix}", ct)
    np.testing.assert_array_equal(lobes, VALUES)


@pytest.mark.parametrize("cosine", [0.02, 0.1])
def test_a_true_shear_is_refused(tmp_path, cosine):
    with pytest.raises(InputError, match="axes are not perpendicular"):
        volume.read_ct(forms(tmp_path, 0, 1, sheared(cosine)))


# --- numbers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "old", "new"),
    [
        (".mha", b"ElementSpacing = 0.6", b"ElementSpacing = 0,6"),
        (".mha", b"Offset = -35 -20 -100", b"Offset = -35,5 -20 -100"),
        (".nrrd", b"(0.69999999999999996,0,0)", b"(0,7,0,0)"),
        (".nrrd", b"space origin: (-35,-20,-100)", b"space origin: (-35,5,-20,-100)"),
    ],
)
def test_decimal_commas_in_a_text_header_are_refused(tmp_path, suffix, old, new):
    path = tmp_path / f"ct{suffix}"
    sitk.WriteImage(image(), str(path))
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    with pytest.raises(InputError, match="decimal comma"):
        volume.read_ct(path)


def test_itk_reads_and_writes_numbers_under_the_c_locale(monkeypatch):
    """A program may have set a locale with commas; there is none on many computers, so it is pretended."""
    state = ["de_DE.UTF-8"]

    def setlocale(category, name=None):
        assert category == locale.LC_NUMERIC
        if name is not None:
            state[0] = name
        return state[0]

    monkeypatch.setattr(locale, "setlocale", setlocale)
    with c_numbers():
        assert state == ["C"]
    assert state == ["de_DE.UTF-8"]
    with pytest.raises(RuntimeError), c_numbers():
        raise RuntimeError
    assert state == ["de_DE.UTF-8"]


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nii.gz"])
def test_reading_and_writing_ask_for_the_c_locale(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"ct{suffix}"
    sitk.WriteImage(image(), str(path))
    asked = []

    def setlocale(category, name=None):
        asked.append(name)
        return "fr_FR.UTF-8" if name is None else name

    monkeypatch.setattr(locale, "setlocale", setlocale)
    ct = volume.read_ct(path)
    assert "C" in asked and asked[-1] == "fr_FR.UTF-8"
    asked.clear()
    volume.write_volume(ct.array, ct, tmp_path / "out.mha")
    assert asked == [None, "C", "fr_FR.UTF-8"]
