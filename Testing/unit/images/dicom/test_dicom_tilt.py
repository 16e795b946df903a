"""Tilted gantries: leaning slices come onto an upright grid with every value at its point, and masks come back."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_files import write_series
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from DRAMLesionLib.images import volume
from DRAMLesionLib.images.dicom import series as dicom
from DRAMLesionLib.images.dicom.slices import read_slice
from DRAMLesionLib.images.dicom.tilt import OUTSIDE_HU, TILT_DEGREES, find_tilt
from DRAMLesionLib.system.errors import InputError

COLUMNS, ROWS, SLICES, STEP = 20, 24, 9, 4.0
PIXEL = np.array([1.5, 1.4])  # along x and y


def body(points):
    """HU of a smooth body at points (..., 3) in mm: air around, soft tissue within, a lung."""
    x, y, z = np.moveaxis(np.asarray(points, float), -1, 0)
    near = 1 / (1 + np.exp((np.hypot(x / 1.2, y) - 9) / 1.5))
    lung = np.exp(-(((x - 3) / 4) ** 2 + ((y - 0.2 * z) / 4) ** 2 + (z / 15) ** 2))
    return -1000 + 1040 * near - 800 * lung * near


def axes(tilt_x, tilt_y, turn):
    """Row, column and normal of slices; the table runs along the patient's z."""
    rotation = sitk.Euler3DTransform()
    rotation.SetRotation(*np.radians((tilt_x, tilt_y, turn)))
    return np.reshape(rotation.GetMatrix(), (3, 3)).T


def write_tilted(folder, tilt_x, tilt_y=0.0, turn=0.0, flip=1.0):
    """A series whose slices are tilted against the table's way; returns the points of its pixels (k, row, column, 3)."""
    row, column, normal = axes(tilt_x, tilt_y, turn)
    way = np.array([0, 0, STEP / normal[2]]) * flip
    corner = -row * PIXEL[0] * (COLUMNS - 1) / 2 - column * PIXEL[1] * (ROWS - 1) / 2
    origins = [corner + (k - (SLICES - 1) / 2) * way for k in range(SLICES)]
    j, i = np.mgrid[:ROWS, :COLUMNS]
    inside = i[..., None] * PIXEL[0] * row + j[..., None] * PIXEL[1] * column
    points = np.stack([origin + inside for origin in origins])
    write_series(
        folder,
        origins,
        values=np.rint(body(points)).astype(int),
        orientation=[f"{value:.8g}" for value in (*row, *column)],
        PixelSpacing=[PIXEL[1], PIXEL[0]],
        SliceThickness=STEP,
        FrameOfReferenceUID="1.2.3.9",
    )
    return points


def points_of(image):
    index = np.stack(np.meshgrid(*[np.arange(n) for n in image.GetSize()], indexing="ij"), -1)
    matrix = volume.Geometry.from_image(image).matrix
    return np.moveaxis(index @ matrix[:3, :3].T + matrix[:3, 3], (0, 1, 2), (2, 1, 0))


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    tilt_x=st.floats(-30, 30),
    tilt_y=st.floats(-20, 20),
    turn=st.floats(-40, 40),
    flip=st.sampled_from((1.0, -1.0)),
)
def test_every_value_lies_at_its_point_on_the_upright_grid(tmp_path_factory, tilt_x, tilt_y, turn, flip):
    assume(
        max(abs(tilt_x), abs(tilt_y)) > TILT_DEGREES or tilt_x == tilt_y == 0
    )  # below it nothing is shifted
    folder = tmp_path_factory.mktemp("tilted")
    slices = write_tilted(folder, tilt_x, tilt_y, turn, flip)
    image, _ = dicom.read_series(folder)
    row, column, normal = axes(tilt_x, tilt_y, turn)
    np.testing.assert_allclose(
        np.reshape(image.GetDirection(), (3, 3)), np.stack([row, column, normal], 1), atol=1e-6
    )
    assert image.GetSpacing() == pytest.approx((*PIXEL, STEP), rel=1e-3)
    found, points = sitk.GetArrayFromImage(image), points_of(image)
    # All points of the slices lie within the grid, and the grid is no larger than they need by a pixel.
    matrix = volume.Geometry.from_image(image).matrix
    index = (slices.reshape(-1, 3) - matrix[:3, 3]) @ np.linalg.inv(matrix[:3, :3]).T
    assert (index > -1e-3).all() and (index < np.array(image.GetSize()) - 1 + 1e-3).all()
    room = np.array(image.GetSize())[:2] - 1 - index.max(axis=0)[:2]
    assert (room < 1).all()
    # Where slices are, the values are the body's; linear interpolation of so smooth a body is off by some HU.
    filled = found != OUTSIDE_HU
    error = np.abs(found - body(points))[filled]
    assert filled.mean() > 0.25 and np.percentile(error, 99) < 45 and error.mean() < 8
    # Nothing of the body is lost.
    assert filled[body(points) > -850].mean() > 0.97


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(tilt_x=st.floats(-30, 30), tilt_y=st.floats(-20, 20))
def test_a_mask_comes_back_onto_the_slices(tmp_path_factory, tilt_x, tilt_y):
    folder = tmp_path_factory.mktemp("tilted")
    slices = write_tilted(folder, tilt_x, tilt_y)
    image, _ = dicom.read_series(folder)
    ordered = sorted((read_slice(path)[0] for path in folder.iterdir()), key=lambda one: one.position_mm)
    tilt = find_tilt(ordered)
    wanted = body(slices) > -300
    if tilt is None:
        return
    back = tilt.back(body(points_of(image)) > -300, ROWS, COLUMNS)
    assert back.shape == wanted.shape
    assert (back != wanted).mean() < 0.04
    dice = 2 * (back & wanted).sum() / (back.sum() + wanted.sum())
    assert dice > 0.9


def test_whole_pixels_are_not_interpolated(tmp_path):
    origins = [(0.0, 0.7 * index, 2.5 * index) for index in range(8)]
    values = write_series(tmp_path, origins, PixelSpacing=[0.7, 0.7])
    ct = volume.read_ct(tmp_path)
    rows = values.shape[1]
    assert ct.array.shape == (8, rows + 7, values.shape[2])
    for index in range(8):
        np.testing.assert_array_equal(ct.array[index, index : index + rows], values[index])
    outside = np.concatenate([ct.array[0, rows:].ravel(), ct.array[7, :7].ravel()])
    assert (outside == OUTSIDE_HU).all()


@pytest.mark.parametrize("degrees", (1, 12, -25))
def test_gantry_tilt_is_said_with_its_angle(tmp_path, degrees):
    write_tilted(tmp_path, degrees)
    (warning,) = volume.read_ct(tmp_path).warnings
    assert warning.startswith(f"gantry tilt of {abs(degrees):.1f} degrees") and "upright grid" in warning


def test_a_stack_that_leans_too_far_is_refused(tmp_path):
    write_series(tmp_path, [(0.0, 4.0 * index, 2.5 * index) for index in range(8)])
    with pytest.raises(InputError, match=r"lean by 58\.0 degrees, more than any gantry"):
        volume.read_ct(tmp_path)


def test_a_dicom_segmentation_lies_on_the_leaning_slices(tmp_path):
    pytest.importorskip("highdicom")
    from DRAMLesionLib.lesions.findings import Findings
    from DRAMLesionLib.lesions.quantify import quantify
    from DRAMLesionLib.lungs.lobes import LobeMap
    from DRAMLesionLib.results.dicom_seg import make_dicom_seg
    from DRAMLesionLib.results.dicom_source import find_source

    slices = write_tilted(tmp_path, 18)
    ct = volume.read_ct(tmp_path)
    image = volume.to_image(ct.array, ct)
    lesion = (body(points_of(image)) > -300).astype(np.uint8)  # the axes are canonical already
    lobes = LobeMap((1 + lesion).astype(np.uint8), False, "made")
    table = quantify(ct.array, lobes, lesion, ct.spacing_mm, lesion.astype(np.float32))
    found = Findings(ct, lobes, lesion.astype(np.float32), lesion, table, {})
    segmentation = make_dicom_seg(found, find_source(tmp_path, ct))
    by_uid = {str(pydicom.dcmread(path).SOPInstanceUID): path for path in tmp_path.iterdir()}
    pixels = segmentation.pixel_array
    seen = np.zeros(len(slices), bool)
    heights = slices[:, 0, 0, 2]
    for frame, content in zip(pixels, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        if content.SegmentIdentificationSequence[0].ReferencedSegmentNumber != 1:
            continue
        reference = content.DerivationImageSequence[0].SourceImageSequence[0]
        place = float(pydicom.dcmread(by_uid[reference.ReferencedSOPInstanceUID]).ImagePositionPatient[2])
        index = int(np.abs(heights - place).argmin())
        wanted = body(slices[index]) > -300
        dice = 2 * (frame.astype(bool) & wanted).sum() / (frame.sum() + wanted.sum())
        assert dice > 0.9, (index, dice)
        seen[index] = True
    assert seen.sum() >= len(slices) - 2
