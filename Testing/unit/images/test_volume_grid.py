"""A mask or map has to lie on its CT's grid."""

import numpy as np
import pytest
import SimpleITK as sitk
from volume_files import ct_image, ct_values, reordered, rotation, written

from DRAMLesionLib.images import volume
from DRAMLesionLib.system.errors import InputError


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
