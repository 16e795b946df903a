"""DICOM as hospitals have it: rounded headers, odd files in a series, padding, overlays, commas, frames, own results."""

import numpy as np
import pydicom
import pytest
from dicom_files import even, hounsfield, refusal, write_frames, write_series, write_slice
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRBigEndian, RLELossless

from DRAMLesionLib.images import volume
from DRAMLesionLib.images.dicom import series as dicom
from DRAMLesionLib.images.dicom.pixels import read_pixels
from DRAMLesionLib.images.dicom.slices import read_slice


def change_files(folder, change):
    for number, path in enumerate(sorted(folder.iterdir())):
        data = pydicom.dcmread(path)
        change(number, data)
        data.save_as(path)


# --- headers that differ by rounding -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "noisy",
    [
        lambda i: {"PixelSpacing": [f"{0.8 + 1e-7 * (-1) ** i:.8f}", "0.7"]},
        lambda i: {"PixelSpacing": [f"{0.8:.{4 + i % 3}f}", f"{0.70004:.{4 + i % 2}f}"]},
        lambda i: {"orientation": [f"{v:.9f}" for v in (1, 4e-8 * i, 0, -4e-8 * i, 1, 0)]},
        lambda i: {"orientation": [f"{v:.{3 + i % 4}f}" for v in (0.99999, 0.0044, 0, -0.0044, 0.99999, 0)]},
    ],
)
def test_slices_that_differ_by_rounding_are_one_series(tmp_path, noisy):
    values = write_series(tmp_path, even(9), each=noisy)
    np.testing.assert_array_equal(volume.read_ct(tmp_path).array, values)


# --- files that are not of the stack -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "changes", "said"),
    [
        ((0, 0, 50), {"orientation": (1, 0, 0, 0, 0, -1)}, "turned by 90 degrees"),
        ((0, 0, 50), {"orientation": (0.9397, 0.342, 0, -0.342, 0.9397, 0)}, "turned by 20 degrees"),
        ((0, 0, 50), {"PixelSpacing": [0.4, 0.35]}, "pixels of 0.35 x 0.4 mm, not 0.7 x 0.8 mm"),
        ((-35, -20, 60), {}, "odd.dcm"),
        ((-35, -20, -93.9), {}, "odd.dcm"),
        ((-35, 10, -90.0), {}, "odd.dcm"),
        ((0, 0, 50), {"ImagePositionPatient": None}, "no usable position (first: odd.dcm)"),
    ],
)
def test_a_file_that_is_not_of_the_stack_is_named_with_what_differs(tmp_path, origin, changes, said):
    write_series(tmp_path, even(9))
    write_slice(tmp_path / "odd.dcm", hounsfield(1)[0], origin, **changes)
    message = refusal(tmp_path)
    assert "odd.dcm" in message and said in message


def test_own_segmentation_beside_the_slices_is_no_series(tmp_path):
    values = write_series(tmp_path, even(9))
    for name, modality in (("lesion.dcm", "SEG"), ("dose.dcm", "RTDOSE"), ("results/lesion.dcm", "SEG")):
        write_slice(
            tmp_path / name,
            hounsfield(1)[0],
            (0, 0, 0),
            Modality=modality,
            SeriesInstanceUID=f"1.2.9.{len(name)}",
        )
    ct = volume.read_ct(tmp_path)
    np.testing.assert_array_equal(ct.array, values)
    assert any("hold no image of a scan" in warning for warning in ct.warnings)
    assert [one.modality for one in dicom.list_series(tmp_path)] == ["CT"]


# --- frames --------------------------------------------------------------------------------------------------------


def test_frames_of_one_to_a_file_are_one_stack(tmp_path):
    values, places = hounsfield(7), even(7)
    for index, place in enumerate(places):
        write_frames(tmp_path / f"f{index}.dcm", values[index : index + 1], [place])
    ct = volume.read_ct(tmp_path)
    np.testing.assert_array_equal(ct.array, values)
    assert ct.spacing_mm == pytest.approx((2.5, 0.8, 0.7))
    np.testing.assert_array_equal(volume.read_ct(tmp_path / "f3.dcm").array, values)


@pytest.mark.parametrize("where", ["RequestAttributesSequence", "SourceImageSequence", "private"])
def test_positions_in_other_sequences_are_not_the_frames(tmp_path, where):
    """A reference to another image, before or after the functional groups, may carry a position of its own."""
    values = hounsfield(6)
    path = write_frames(tmp_path / "enhanced.dcm", values, even(6))
    data = pydicom.dcmread(path)
    item = Dataset()
    item.ImagePositionPatient, item.ImageOrientationPatient = [1, 2, 3], [0, 1, 0, 0, 0, -1]
    item.PixelSpacing, item.RescaleIntercept = [9, 9], 5
    if where == "private":
        block = data.private_block(0x0019, "MAKER", create=True)
        block.add_new(0x10, "SQ", [item])
    else:
        setattr(data, where, [item])
    data.save_as(path)
    np.testing.assert_array_equal(volume.read_ct(path).array, values)


def test_what_all_frames_share_may_stand_in_each_or_in_the_file(tmp_path):
    values = hounsfield(6)
    path = write_frames(tmp_path / "enhanced.dcm", values, even(6))
    data = pydicom.dcmread(path)
    shared = data.SharedFunctionalGroupsSequence[0]
    for frame in data.PerFrameFunctionalGroupsSequence:
        frame.PlaneOrientationSequence = shared.PlaneOrientationSequence
    data.PixelSpacing = shared.PixelMeasuresSequence[0].PixelSpacing
    del data.SharedFunctionalGroupsSequence
    assert data.SOPClassUID == EnhancedCTImageStorage
    data.save_as(path)
    ct = volume.read_ct(path)
    np.testing.assert_array_equal(ct.array, values)
    assert ct.spacing_mm == pytest.approx((2.5, 0.8, 0.7))


# --- words that are no HU ------------------------------------------------------------------------------------------

PADDING = {"PixelPaddingValue": 0x00280120, "PixelPaddingRangeLimit": 0x00280121}
CORNER = (slice(None), slice(0, 2), slice(0, 3))


def stored(folder, words, **changes):
    """A series of words as they stand in the files, little-endian."""
    write_series(folder, even(len(words)), values=np.zeros(words.shape) - 1024)

    def change(number, data):
        data.PixelData = words[number].tobytes()
        for key, value in changes.items():
            if key in PADDING:
                data.add_new(PADDING[key], "SS" if value < 0 else "US", value)
            else:
                setattr(data, key, value)

    order = {path: read_slice(path)[0].position_mm for path in folder.iterdir()}
    for number, path in enumerate(sorted(order, key=order.get)):
        data = pydicom.dcmread(path)
        change(number, data)
        data.save_as(path)
    return folder


@pytest.mark.parametrize(
    ("padding", "changes", "expected"),
    [
        (-2000, {"PixelRepresentation": 1, "RescaleIntercept": 0}, -2000),
        (-2000, {"PixelRepresentation": 1, "RescaleIntercept": 0, "BitsStored": 12, "HighBit": 11}, -2000),
        (-4000, {"PixelRepresentation": 1, "RescaleIntercept": 0, "BitsStored": 13, "HighBit": 12}, -4000),
        (-2048, {"PixelRepresentation": 0, "RescaleIntercept": -1024}, -3072),
        (
            -1000,
            {"PixelRepresentation": 0, "RescaleIntercept": -1024, "BitsStored": 12, "HighBit": 11},
            -2024,
        ),
    ],
)
@pytest.mark.parametrize("told", [True, False])
def test_padding_is_read_below_air_with_or_without_its_tag(tmp_path, padding, changes, expected, told):
    values = hounsfield(6)
    words = (values - changes["RescaleIntercept"]).astype(np.int16)
    words[CORNER] = padding
    if changes.get("BitsStored") == 12 and changes["PixelRepresentation"]:
        words[words > 0] &= 0x07FF
    tag = (
        {"PixelPaddingValue": padding % 65536 if changes["PixelRepresentation"] == 0 else padding}
        if told
        else {}
    )
    ct = volume.read_ct(stored(tmp_path / "scan", words.view(np.uint16), **changes, **tag))
    values[CORNER] = expected
    np.testing.assert_array_equal(ct.array, values)


def test_padding_that_tissue_has_too_is_what_reaches_the_edge(tmp_path):
    values = hounsfield(6)
    values[values == 0] = 40
    values[CORNER], values[:, 5:7, 5:7] = 0, 0
    words = values.astype(np.int16).view(np.uint16)
    ct = volume.read_ct(
        stored(tmp_path / "scan", words, PixelRepresentation=1, RescaleIntercept=0, PixelPaddingValue=0)
    )
    assert (ct.array[CORNER] <= -1024).all()
    np.testing.assert_array_equal(ct.array[:, 5:7, 5:7], 0)


def test_a_range_of_padding_is_padding_whole(tmp_path):
    values = hounsfield(6)
    words = (values + 1024).astype(np.uint16)
    words[CORNER] = 60000
    words[0, 0, 0] = 61000
    ct = volume.read_ct(
        stored(tmp_path / "scan", words, PixelPaddingValue=60000, PixelPaddingRangeLimit=61000)
    )
    assert (ct.array[CORNER] <= -1024).all()
    values[CORNER] = ct.array[CORNER]
    np.testing.assert_array_equal(ct.array, values)


@pytest.mark.parametrize("bit", [12, 13, 15])
def test_an_overlay_in_the_unused_bits_is_no_value(tmp_path, bit):
    values = hounsfield(6)
    words = (values + 1024).astype(np.uint16)
    words[:, 3:5] |= np.uint16(1 << bit)
    ct = volume.read_ct(stored(tmp_path / "scan", words, BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(ct.array, values)


@pytest.mark.parametrize("packed", [False, True])
def test_padding_of_a_compressed_file_is_read_below_air(tmp_path, packed):
    values = hounsfield(6)
    words = (values + 1024).astype(np.uint16)
    words[CORNER] = 63536
    folder = stored(tmp_path / "scan", words, PixelPaddingValue=63536)
    if packed:
        change_files(folder, lambda number, data: data.compress(RLELossless))
    ct = volume.read_ct(folder)
    assert (ct.array[CORNER] == -3024).all()
    values[CORNER] = -3024
    np.testing.assert_array_equal(ct.array, values)


def test_big_endian_words_are_read(tmp_path):
    values = write_series(tmp_path, even(4))
    for path in dicom.list_series(tmp_path)[0].files:
        data = pydicom.dcmread(path)
        data.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
        pydicom.dcmwrite(path, data, implicit_vr=False, little_endian=False)
    np.testing.assert_array_equal(volume.read_ct(tmp_path).array, values)


# --- numbers with commas -------------------------------------------------------------------------------------------


def with_texts(folder, **texts):
    """Replace numbers by texts of the same length in the files' bytes."""
    for path in folder.iterdir():
        content = path.read_bytes()
        for old, new in texts.values():
            assert len(old) == len(new) and old in content
            content = content.replace(old, new)
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("changes", "texts"),
    [
        ({"PixelSpacing": ["0.85", "0.75"]}, {"spacing": (rb"0.85\0.75", rb"0,85\0,75")}),
        ({"PixelSpacing": ["0.703", "0.703"]}, {"spacing": (rb"0.703\0.703", rb"0,703\0,703")}),
        ({"SliceThickness": "2.50"}, {"thickness": (b"2.50", b"2,50")}),
    ],
)
def test_decimal_commas_in_the_geometry_are_read_and_told_of(tmp_path, changes, texts):
    write_series(tmp_path / "point", even(5), **changes)
    write_series(tmp_path / "comma", even(5), **changes)
    with_texts(tmp_path / "comma", **texts)
    point, comma = volume.read_ct(tmp_path / "point"), volume.read_ct(tmp_path / "comma")
    assert comma.geometry == point.geometry
    np.testing.assert_array_equal(comma.array, point.array)
    assert "decimal commas" in " ".join(comma.warnings) and not point.warnings


def test_decimal_commas_in_the_rescale_are_read(tmp_path):
    values = hounsfield(5) + 0.5
    write_series(tmp_path, even(5), values=values, rescale=(1, -1023.5))
    change_files(tmp_path, lambda number, data: setattr(data, "RescaleSlope", "1.00"))
    with_texts(tmp_path, intercept=(b"-1023.5", b"-1023,5"), slope=(b"1.00", b"1,00"))
    np.testing.assert_array_equal(volume.read_ct(tmp_path).array, values.astype(np.float32))


def test_a_comma_that_may_mark_thousands_is_not_guessed_at(tmp_path):
    write_series(tmp_path, even(5))
    change_files(tmp_path, lambda number, data: setattr(data, "RescaleIntercept", "-1024.0"))
    with_texts(tmp_path, intercept=(b"-1024.0", b"-1,024 "))
    with pytest.raises(volume.InputError, match="decimal comma or a mark of thousands"):
        volume.read_ct(next(tmp_path.iterdir()))
    assert "can't read the DICOM file" in refusal(tmp_path)


def test_commas_in_a_compressed_files_rescale_are_refused(tmp_path):
    write_series(tmp_path, even(5))
    change_files(tmp_path, lambda number, data: setattr(data, "RescaleIntercept", "-1024.0"))
    change_files(tmp_path, lambda number, data: data.compress(RLELossless))
    with_texts(tmp_path, intercept=(b"-1024.0", b"-1024,0"))
    with pytest.raises(volume.InputError, match="export the series again without compression"):
        volume.read_ct(tmp_path)


def test_pixels_keep_their_fractions_where_one_slice_has_another_slope(tmp_path):
    paths = [
        write_slice(tmp_path / "a.dcm", np.full((4, 5), 3.0), (0, 0, 0), rescale=(1, -1024)),
        write_slice(tmp_path / "b.dcm", np.full((4, 5), 3.5), (0, 0, 1), rescale=(0.5, -1024)),
    ]
    stack = read_pixels([read_slice(path)[0] for path in paths])
    assert stack.dtype == np.float32 and stack[0, 0, 0] == 3.0 and stack[1, 0, 0] == 3.5
