"""Values that are no HU: what is refused says the remedy that fits, what can be mended is mended and told."""

import numpy as np
import pytest
import SimpleITK as sitk

from DRAMLesionLib.images import volume
from DRAMLesionLib.images.hounsfield import clipped, why_not_ct, with_signs
from DRAMLesionLib.phantom import make_phantom
from DRAMLesionLib.system.errors import InputError


@pytest.fixture(scope="module")
def hu():
    return make_phantom((40, 40, 30), (8.8, 8.8, 9.6), seed=2).ct.array.astype(np.int32)


def outside(hu):
    """bool: the corners beyond a round field of view."""
    y, x = np.mgrid[: hu.shape[1], : hu.shape[2]] - (hu.shape[1] - 1) / 2
    return np.broadcast_to(np.hypot(y, x) > hu.shape[1] / 2, hu.shape)


def test_the_phantom_itself_is_a_ct(hu):
    assert why_not_ct(hu) is None and clipped(hu) == () and with_signs(hu)[1] == ()


@pytest.mark.parametrize(
    ("spoil", "offset"),
    [
        (lambda hu: hu + 1024, 1024),
        (lambda hu: hu + 1000, 1000),
        (lambda hu: np.maximum(hu + 1024, 0).astype(np.uint16), 1024),
        (lambda hu: np.maximum(hu + 1000, 0).astype(np.uint16), 1000),
        (lambda hu: np.where(outside(hu), 0, hu + 1024), 1024),
        (lambda hu: np.where(outside(hu), -2000, hu + 1000), 1000),
        (lambda hu: (hu + 1024).astype(np.float32) + 0.25, 1024),
    ],
)
def test_the_offset_is_found_and_named(hu, spoil, offset):
    assert f"subtract {offset} to get HU" in why_not_ct(spoil(hu))


@pytest.mark.parametrize("offset", [1000, 1024])
def test_an_offset_that_was_subtracted_twice_is_named(hu, offset):
    assert f"add {offset} to get HU" in why_not_ct(hu - offset)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda hu: np.clip(hu, -160, 240), "give the whole scan, without a window"),
        (lambda hu: np.clip(hu, -500, 400), "give the whole scan, without a window"),
        (lambda hu: np.clip((hu + 1350) / 1500 * 255, 0, 255).astype(np.uint8), "a picture's grey values"),
        (lambda hu: np.clip((hu + 1000) / 1400, 0, 1).astype(np.float32), "fractions of a range of HU"),
        (lambda hu: hu / 1000, "percent air"),
    ],
)
def test_windows_and_pictures_get_the_remedy_that_fits(hu, spoil, said):
    assert said in why_not_ct(spoil(hu))


@pytest.mark.parametrize("top", [100, 150, 240])
def test_a_bright_end_that_was_cut_off_is_told_of(tmp_path, hu, top):
    sitk.WriteImage(
        sitk.GetImageFromArray(np.clip(hu, -1350, top).astype(np.int16)), str(tmp_path / "ct.nii.gz")
    )
    (warning,) = volume.read_ct(tmp_path / "ct.nii.gz").warnings
    assert f"its values end at {top} HU" in warning


@pytest.mark.parametrize(
    ("padding", "expected"), [(62512, -3024), (63536, -2000), (64512, -1024), (33000, -32536)]
)
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_padding_that_lost_its_sign_is_below_air_in_every_format(tmp_path, hu, padding, expected, suffix):
    values = np.where(outside(hu), padding, hu)
    sitk.WriteImage(sitk.GetImageFromArray(values.astype(np.int32)), str(tmp_path / f"ct{suffix}"))
    ct = volume.read_ct(tmp_path / f"ct{suffix}")
    np.testing.assert_array_equal(ct.array, np.where(outside(hu), expected, hu))
    assert ct.array.dtype == np.int16 and "padding that lost its sign" in ct.warnings[0]


def test_metal_is_no_padding(tmp_path, hu):
    values = hu.copy()
    values[5, 5, 5:8] = 30719
    assert with_signs(values)[1] == ()


def test_values_beyond_all_words_are_left_as_they_are(hu):
    values = hu.astype(np.float32)
    values[0, 0, 0] = 1e6
    assert with_signs(values)[0] is values


def test_a_refusal_names_the_file_and_may_be_overruled(tmp_path, hu):
    path = tmp_path / "stored.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray((hu + 1000).astype(np.int16)), str(path))
    with pytest.raises(InputError, match=r"stored\.nii\.gz: does not look like a CT: .*subtract 1000"):
        volume.read_ct(path)
    assert "subtract 1000" in volume.read_ct(path, allow_unusual=True).warnings[0]
