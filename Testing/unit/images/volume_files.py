"""Small CTs as arrays, images and files, and what a refusal says: for the tests of volumes."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
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
